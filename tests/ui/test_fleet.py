"""Several servers in the dashboard: each is seen, says what it does or why it does nothing, and can be chosen."""

from collections.abc import Callable

import pytest

from comfytui.faces.tui.panes.fleet import Fleet
from comfytui.model import commands as c
from comfytui.model import events as e
from comfytui.model.feed import FeedChanged
from tests.ui import script
from tests.ui.stage import COMPACT, NORMAL, SIZES, WIDE, stage

Same = Callable[..., None]


@pytest.mark.parametrize("size", SIZES)
async def test_four(size: str, same_picture: Same) -> None:
    async with stage(script.several(4), SIZES[size]) as shown:
        if size == "60x15":
            await shown.press("4")
        same_picture(shown)
        assert "2/4 servers" in shown.text() and "away, tried again in 12 s" in shown.text()


async def test_nine_scroll_and_the_chosen_one_stays_in_sight(same_picture: Same) -> None:
    async with stage(script.several(9), NORMAL) as shown:
        await shown.press("4", "G")
        same_picture(shown)
        assert "remote…rg:8188" in shown.text() and shown.app.deck.health.selected == "remote.example.org:8188"
        await shown.press("g", "j", "j")
        assert shown.app.deck.health.selected == "gpu-c"


async def test_of_the_chosen_one_everything_is_told_with_the_remedy() -> None:
    async with stage(script.several(4), WIDE) as shown:
        await shown.press("4", "z", "G")
        assert "trouble   wrong workflow (node SVD_img2vid_Conditioning missing)" in shown.text()
        assert "Install the nodes on http://attic:8188, or leave it out." in shown.text()
        await shown.press("k", "k", "k")
        assert "tags      24gb" in shown.text()


async def test_two_that_answer_need_no_warning() -> None:
    async with stage(script.several(2), COMPACT) as shown:
        await shown.press("4")
        assert "2 servers" in shown.line("RUNNING") and "answer " not in shown.line("[4 Health]")


async def test_the_run_is_disconnected_once_none_answers() -> None:
    night = script.several(2)
    for name in ("gpu-a", "gpu-b"):
        gone = e.ServerAway(server=name, code="server.lost", what="It went away.", remedy="Wait.", away=0, next_try=1)
        night.tell(gone)
    async with stage(night, WIDE) as shown:
        assert "DISCONNECTED" in shown.text() and "0/2 servers" in shown.text()


async def test_the_queue_names_the_server_of_each_scene_and_finds_and_sorts_by_it() -> None:
    async with stage(script.several(4), NORMAL) as shown:
        assert "scene-008  gpu-b" in shown.line("scene-008")
        assert "On gpu-b for others: 1 prompt, only shown here" in "\n".join(
            "".join(text for text, _ in line) for line in shown.app.deck.scenes.picture.lines
        )
        shown.app.deck.scenes.filter("server:gpu-b")
        assert [shown.app.mailbox.state.scenes[place].id[-1] for place in shown.app.deck.scenes._shown] == list("148")
        shown.app.deck.scenes.filter("")
        await shown.press(*"sssssss")
        assert "by server" in shown.text()
        assert [shown.app.mailbox.state.scenes[place].id[-1] for place in shown.app.deck.scenes._shown][:8] == list(
            "36791482"
        )


async def test_where_there_is_no_room_for_a_column_what_waits_there_names_its_server() -> None:
    async with stage(script.several(4), COMPACT) as shown:
        assert "on gpu-a" in shown.line("scene-009")


async def test_the_scene_screen_names_the_server_of_each_attempt() -> None:
    async with stage(script.several(2), WIDE) as shown:
        await shown.press("enter")
        assert "gpu-a" in shown.line("server  ")


@pytest.mark.parametrize(("count", "size", "keys"), [(2, "80x24", "3z"), (9, "60x15", "3")])
async def test_gpus(count: int, size: str, keys: str, same_picture: Same) -> None:
    async with stage(script.several(count), SIZES[size]) as shown:
        await shown.press(*keys)
        same_picture(shown)


async def test_a_device_whose_server_is_silent_shows_no_figure_of_now() -> None:
    night = script.several(2)
    night.wait(20).gpu(50, 9, server="gpu-a")
    async with stage(night, NORMAL) as shown:
        await shown.press("3", "z")
        lines = shown.text().splitlines()
        loads = [line for line in lines if "load  " in line]
        assert loads[0].rstrip(" │").endswith("50 %") and loads[1].rstrip(" │").endswith("n/a")


async def test_the_log_is_that_of_the_chosen_server_and_the_next_one_is_a_key_away(same_picture: Same) -> None:
    night = script.several(4)
    async with stage(night, NORMAL) as shown:
        await shown.press("4", "j", "j", "enter")
        assert "Server log of gpu-c" in shown.text() and "It is away: The server at http://gpu-c:8188" in shown.text()
        await shown.press("left")
        sent = [command for command in shown.feed.sent if isinstance(command, c.ReadServerLog)]
        assert [command.server for command in sent] == ["gpu-c", "gpu-b"]
        night.items.clear()
        night.tell(e.ServerLog(lines=("another's",), server="gpu-a")).tell(
            e.ServerLog(lines=("got prompt",), server="gpu-b")
        )
        await shown.tell(night.items)
        same_picture(shown)
        assert "got prompt" in shown.text() and "another's" not in shown.text()


async def test_after_the_run_each_says_what_it_rendered_in_the_past_tense(same_picture: Same) -> None:
    night = script.several(4)
    for scene in ("scene-007", "scene-008"):
        night.executed(scene, frames=4).frame(scene, 1).attempt_ended(scene).scene_ended(scene, 1)
    night.items.append(FeedChanged(live=False, why="the run ended"))
    async with stage(night.ended(exit_code=1), WIDE) as shown:
        same_picture(shown)
        for words in ("4 servers", "gpu-a  answered", "rendered 3 scenes, 9 frames", "attic  was left out"):
            assert words in shown.text()
        assert "again" not in shown.text() and "of 4 answer" not in shown.text()


async def test_what_does_not_fit_beside_a_long_name_is_said_shorter() -> None:
    night = script.several(9).tell(
        e.ServerLeftOut(server=script.SERVERS[8], code="c", what="No answer.", remedy="Start it.", next_try=57.0)
    )
    async with stage(night, WIDE) as shown:
        await shown.press("4", "z")
        assert "left out, tried again in 57 s" in shown.text()
        lines = Fleet().picture(shown.app.view(), 39, 20, []).lines
        assert "out, again in 57 s" in "".join(text for text, _ in lines[16])
