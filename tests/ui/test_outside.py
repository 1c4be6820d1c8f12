"""What is said to the terminal beside the picture: bell, notification, title; live news only, and nothing but text."""

import pytest

from comfytui.faces.tui.outside import (
    KEEP_TITLE,
    RESTORE_TITLE,
    Calls,
    Outside,
    call_text,
    calls_for,
    notice,
)
from comfytui.model import events as e
from comfytui.model.news import NEWS_KINDS, News
from tests.ui import script
from tests.ui.script import Script
from tests.ui.stage import NORMAL, Stage, stage

ALL = Calls(bell=True, protocols=("osc9",), title=True)


class Heard:
    """Everything that was written to the terminal beside the picture."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written: list[str] = []
        monkeypatch.setattr(
            "comfytui.faces.tui.app.Dashboard._to_terminal", lambda _app, sequence: self.written.append(sequence)
        )

    def since(self) -> list[str]:
        told, self.written = self.written, []
        return told


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    return Heard(monkeypatch)


async def tell(shown: Stage, night: Script) -> None:
    items, night.items = night.items, []
    await shown.tell(items)


async def test_the_title_tells_progress_and_is_given_back(heard: Heard) -> None:
    night = script.running()
    async with stage(night, NORMAL, calls=ALL) as shown:
        assert heard.since() == [KEEP_TITLE, "\x1b]2;comfytui\x07", f"\x1b]2;4/12 comfytui {script.RUN_ID}\x07"]
        night.items = []
        await tell(shown, night.progress("scene-005", 14).progress("scene-005", 15))
        assert heard.since() == [], "nothing is written while nothing changes"
        await tell(shown, night.scene_ended("scene-005"))
        assert heard.since() == [f"\x1b]2;5/12 comfytui {script.RUN_ID}\x07"]
        await tell(shown, night.tell(e.QueueHeld(held=True)))
        assert heard.since() == [f"\x1b]2;held 5/12 comfytui {script.RUN_ID}\x07"]
    assert heard.since() == [RESTORE_TITLE]


async def test_each_kind_of_live_news_calls_once(heard: Heard) -> None:
    night = script.running()
    async with stage(night, NORMAL, calls=Calls(bell=True, protocols=("osc9",))) as shown:
        assert heard.since() == [], "what happened before is no news"
        night.items = []
        await tell(shown, night.scene_ended("scene-005", frames=0, success=False, meets=False))
        assert heard.since() == ["\x07\x1b]9;comfytui: scene-005 failed with 0 frames proven\x07"]
        away = e.ServerAway(code="server.lost", what="The server went away.", remedy="", away=0.0, next_try=1.0)
        await tell(shown, night.tell(away))
        assert heard.since() == ["\x07\x1b]9;comfytui: The server went away.\x07"]
        await tell(shown, night.tell(e.RunEnded(outcome="finished", exit_code=1)))
        assert heard.since() == [
            f"\x07\x1b]9;comfytui: Run {script.RUN_ID} finished, exit 1: 3 of 12 scenes, 75 frames\x07"
        ]


async def test_a_run_that_is_over_is_read_in_silence(heard: Heard) -> None:
    async with stage(script.finished(exit_code=1), NORMAL, calls=Calls(bell=True, protocols=("osc9",))):
        assert heard.since() == []


async def test_a_replay_is_silent(heard: Heard) -> None:
    async with stage(
        script.finished(exit_code=1), NORMAL, calls=Calls(bell=True, protocols=("osc9",)), replay=True
    ) as s:
        await s.press("{", "{", "{", "}", "}", "}")
    assert heard.since() == []


async def test_a_paused_dashboard_calls_all_the_same(heard: Heard) -> None:
    night = script.running()
    async with stage(night, NORMAL, calls=Calls(bell=True)) as shown:
        await shown.press("p")
        night.items = []
        await tell(shown, night.scene_ended("scene-005", frames=0, success=False, meets=False))
        assert heard.since() == ["\x07"]


async def test_nothing_is_said_unless_it_is_asked_for(heard: Heard) -> None:
    night = script.running()
    async with stage(night, NORMAL) as shown:
        night.items = []
        await tell(shown, night.scene_ended("scene-005", frames=0, success=False, meets=False))
    assert heard.since() == []


def test_news_that_come_together_are_one_call() -> None:
    written: list[str] = []
    news = [News(kind="scene_failed", text=f"scene-{n} failed") for n in range(3)]
    Outside(ALL, written.append).call([*news, News(kind="run_finished", text="Run finished")])
    assert written == ["\x07\x1b]9;comfytui: Run finished (and 3 more)\x07"]


def test_only_the_kinds_that_are_wanted_call() -> None:
    written: list[str] = []
    calls = Calls(bell=True, kinds=("run_finished",))
    Outside(calls, written.append).call([News(kind="scene_failed", text="x")])
    assert written == []


def test_what_a_server_says_cannot_leave_the_notification() -> None:
    nasty = News(kind="server_lost", text="gone\x07\x1b]0;owned\x07;rm -rf;\x9b31m\u202e" + "x" * 500)
    sequence = notice(call_text([nasty]), ("osc9", "osc777"), None)
    first, second, nothing = sequence.split("\x07")
    assert nothing == ""
    for part in (first, second):
        assert part.count("\x1b") == 1
        assert "\x9b" not in part and "\u202e" not in part and "owned" not in part
        assert len(part) < 260
    assert second.count(";") == 3, "777, notify, title, body"


def test_through_tmux_and_screen() -> None:
    assert notice("x", ("osc9",), "tmux") == "\x1bPtmux;\x1b\x1b]9;comfytui: x\x07\x1b\\"
    assert notice("x", ("osc9",), "screen") == "\x1bP\x1b]9;comfytui: x\x07\x1b\\"


@pytest.mark.parametrize(
    ("environ", "protocols"),
    [
        ({"TERM": "xterm-256color"}, ("osc9", "osc777")),
        ({"TERM": "xterm-kitty"}, ("osc9",)),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, ("osc9",)),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, ("osc9",)),
        ({"TERM": "xterm-256color", "VTE_VERSION": "7600"}, ("osc777",)),
        ({"TERM": "foot"}, ("osc777",)),
        ({"TERM": "linux"}, ()),
    ],
)
def test_which_terminal_is_asked_how(environ: dict[str, str], protocols: tuple[str, ...]) -> None:
    calls = calls_for(environ, bell=True, desktop="auto", title=True, kinds=NEWS_KINDS)
    assert calls.protocols == protocols
    assert calls.title is (environ["TERM"] != "linux")
    assert calls_for(environ, bell=True, desktop="off", title=True, kinds=NEWS_KINDS).protocols == ()
