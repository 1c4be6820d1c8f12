"""The Health pane and the server's log: in words, whatever the server does."""

from collections.abc import Callable

import pytest

from comfytui.errors import Failure
from comfytui.model import commands as c
from comfytui.model import events as e
from tests.ui import script
from tests.ui.stage import COMPACT, NORMAL, SIZES, WIDE, Stage, stage

Same = Callable[..., None]

LINES = (
    "[2026-01-24 00:04:31.215] got prompt",
    "[2026-01-24 00:04:31.377] Requested to load SVD_img2vid",
    "[2026-01-24 00:04:33.902] loaded completely 9.5367431640625e+25 2914.4 True",
    " 65%|######    | 13/20 [00:25<00:13,  1.94s/it]",
    "[bold]no markup[/bold] of anyone",
)


async def answered(shown: Stage, night: script.Script, *events: e.AnyEvent) -> None:
    night.items.clear()
    for event in events:
        night.tell(event)
    await shown.tell(night.items)


@pytest.mark.parametrize("size", SIZES)
async def test_server_log(size: str, same_picture: Same) -> None:
    night = script.running()
    async with stage(night, SIZES[size]) as shown:
        await shown.press("4", "enter")
        assert [type(command) for command in shown.feed.sent] == [c.ReadServerLog]
        assert "read server log: sent" in shown.text()
        ticket = shown.feed.sent[0].id
        answer = e.CommandAnswered(id=ticket, command="read server log", accepted=True)
        await answered(shown, night, answer, e.ServerLog(lines=LINES))
        same_picture(shown)
        assert "[bold]no markup[/bold]" in shown.text()
        await shown.press("f5")
        assert len(shown.feed.sent) == 2
        await shown.press("escape")
        assert shown.app.screen is shown.app.deck


async def test_a_server_that_does_not_offer_its_log_is_told_of_in_words(same_picture: Same) -> None:
    night = script.running()
    async with stage(night, NORMAL) as shown:
        await shown.press("4", "enter")
        await answered(shown, night, e.ServerLog(why="This server does not offer its log."))
        same_picture(shown)
        assert "does not offer its log" in shown.text()


async def test_a_refusal_is_said_in_the_sheet() -> None:
    night = script.running()
    async with stage(night, COMPACT) as shown:
        await shown.press("4", "enter")
        ticket = shown.feed.sent[0].id
        why = "the server is not reached yet"
        await answered(
            shown, night, e.CommandAnswered(id=ticket, command="read server log", accepted=False, why=why)
        )  # fmt: skip
        assert "refused, the server is not reached yet" in shown.text()


async def test_without_a_runner_the_sheet_says_so() -> None:
    async with stage(script.gone(), NORMAL) as shown:
        shown.feed.refusal = Failure("run.no_runner", run="20260124-000000")
        await shown.press("4", "enter")
        await shown.settle()
        assert "Nobody drives" in shown.text() or "no runner" in shown.text().casefold()


async def test_reading_changes_nothing_and_a_readonly_dashboard_may() -> None:
    async with stage(script.running(), WIDE, readonly=True) as shown:
        await shown.press("4", "enter")
        assert [type(command) for command in shown.feed.sent] == [c.ReadServerLog]


@pytest.mark.parametrize("size", SIZES)
async def test_an_observer_has_it_too(size: str, same_picture: Same) -> None:
    night = script.empty()
    async with stage(night, SIZES[size]) as shown:
        await shown.press("4", "enter")
        await answered(shown, night, e.ServerLog())
        assert "The server's log is empty." in shown.text()
        await shown.press("escape", "z")
        same_picture(shown)


async def test_a_trouble_that_is_over_is_remembered_with_its_remedy(same_picture: Same) -> None:
    night = script.disconnected()
    async with stage(night, WIDE) as shown:
        await answered(shown, night, e.ServerBack(away=3.0), e.Pulse(latency=0.012))
        same_picture(shown)
        assert "was       00:00:58 The server" in shown.text()
        assert "Look at the server's log" in shown.text()


async def test_our_own_server_is_named_with_its_process() -> None:
    night = script.Script().opened(1).reached(managed=True)
    night.tell(e.ServerStarted(pid=912, created=1.0, executable="python", host="box", ready=True, restarts=2))
    async with stage(night.caught_up(), WIDE) as shown:
        await shown.press("4", "z")
        assert "started by comfytui, PID 912, restarted 2 times" in shown.text()


async def test_the_pace_is_told_in_its_parts_once_it_is_known() -> None:
    night = script.Script().opened(4, 1).reached()
    for scene in ("scene-001", "scene-002"):
        night.queued(scene).wait(3).executing(scene).wait(4).progress(scene, 1).wait(40).progress(scene, 20)
        night.wait(5).executed(scene, frames=1).frame(scene, 1).attempt_ended(scene).scene_ended(scene, 1)
    async with stage(night.caught_up(), WIDE) as shown:
        await shown.press("4", "z")
        assert "52.0 s a scene: others 3.0 s, load 4.0 s, steps 40.0 s, save 5.0 s" in shown.text()
    async with stage(script.Script().opened(2).reached().caught_up(), WIDE) as shown:
        assert "a scene" not in shown.text()
