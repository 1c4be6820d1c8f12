"""Several servers in the dashboard: each is seen, says what it does or why it does nothing, and can be chosen."""

from collections.abc import Callable

import pytest

from comfytui.model import events as e
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
        assert "remote.exampl" in shown.text() and shown.app.deck.health.selected == "remote.example.org:8188"
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
        assert night.items
        gone = e.ServerAway(server=name, code="server.lost", what="It went away.", remedy="Wait.", away=0, next_try=1)
        night.tell(gone)
    async with stage(night, WIDE) as shown:
        assert "DISCONNECTED" in shown.text() and "0/2 servers" in shown.text()
