"""The whole dashboard as pictures: each state that a night can be in, at the three sizes."""

from collections.abc import Callable

import pytest

from comfytui.model import events as e
from tests.ui import script
from tests.ui.stage import NORMAL, SIZES, WIDE, Stage, stage

NIGHTS: dict[str, Callable[[], script.Script]] = {
    "empty": script.empty,
    "running": script.running,
    "disconnected": script.disconnected,
    "held": script.held,
    "gone": script.gone,
    "finished": script.finished,
    "failed": lambda: script.finished(exit_code=1),
    "hostile": script.hostile,
    "thousand": script.thousand,
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("night", NIGHTS)
async def test_night(night: str, size: str, same_picture: Callable[[Stage], None]) -> None:
    async with stage(NIGHTS[night](), SIZES[size]) as shown:
        same_picture(shown)


async def test_daylight(same_picture: Callable[[Stage], None]) -> None:
    async with stage(script.running(), WIDE, theme="daylight") as shown:
        same_picture(shown)


async def test_ascii(same_picture: Callable[[Stage], None]) -> None:
    async with stage(script.running(), NORMAL, ascii=True) as shown:
        same_picture(shown)
        assert shown.text().isascii()


async def test_no_color(same_picture: Callable[[Stage], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with stage(script.running(), NORMAL) as shown:
        same_picture(shown)


async def test_paused_and_readonly(same_picture: Callable[[Stage], None]) -> None:
    async with stage(script.running(), NORMAL, readonly=True) as shown:
        await shown.press("p")
        same_picture(shown)


@pytest.mark.parametrize("night", NIGHTS)
async def test_every_state_is_told_in_words(night: str) -> None:
    words = {
        "empty": "WATCHING", "running": "RUNNING", "disconnected": "DISCONNECTED", "held": "HELD",
        "gone": "RUNNER GONE since 00:06:26", "finished": "FINISHED exit 0", "failed": "FINISHED exit 1",
        "hostile": "RUNNING", "thousand": "RUNNING",
    }  # fmt: skip
    async with stage(NIGHTS[night](), NORMAL) as shown:
        assert words[night] in shown.text().splitlines()[0]


async def test_the_time_between_the_last_frame_and_the_end_has_its_word() -> None:
    night = script.running()
    async with stage(night, NORMAL) as shown:
        night.items.clear()
        await shown.tell(night.tell(e.RunSettled()).items)
        assert "FINISHING" in shown.text().splitlines()[0]
        assert "left" not in shown.text().splitlines()[0]
        await shown.tell(night.tell(e.RunEnded(outcome="interrupted", exit_code=130)).items)
        assert "INTERRUPTED exit 130" in shown.text().splitlines()[0]


async def test_hostile_text_is_shown_as_it_is_and_does_nothing() -> None:
    async with stage(script.hostile(), WIDE) as shown:
        await shown.press("enter")
        text = shown.text()
        assert "[red]not red[/red]" in text
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert all(len(line) <= 120 for line in text.splitlines())
