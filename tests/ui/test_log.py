"""The Log pane: it follows, it stays where a person scrolled, it is filtered; levels are words."""

from collections.abc import Callable

import pytest

from comfytui.faces.tui.panes.log import fits
from comfytui.model import events as e
from comfytui.model.state import Note
from tests.ui import script
from tests.ui.stage import COMPACT, NORMAL, SIZES, Stage, stage

Same = Callable[..., None]


@pytest.mark.parametrize("size", SIZES)
async def test_filtered(size: str, same_picture: Same) -> None:
    async with stage(script.running(), SIZES[size]) as shown:
        await shown.press("5", "slash", *"level", "colon", *"err", "enter")
        same_picture(shown)
        text = shown.text()
        assert "CUDA out" in text
        assert "2 fit lev" in text
        assert "Requeued" not in text
        await shown.press("escape")
        assert "2 fit lev" not in shown.text()


async def test_the_filter_of_one_pane_leaves_the_other_alone() -> None:
    async with stage(script.running(), NORMAL) as shown:
        await shown.press("5", "slash", *"nothing", "enter")
        assert "No line fits the filter" in shown.text()
        assert "scene-001" in shown.text()
        assert shown.app.deck.focused_name == "log"


async def test_it_stays_where_a_person_scrolled_and_follows_again() -> None:
    night = script.running()

    async def told(shown: Stage, text: str) -> None:
        night.items.clear()
        await shown.tell(night.tell(e.RunNoted(text=text)).items)

    async with stage(night, COMPACT) as shown:
        await shown.press("5")
        await told(shown, "first news")
        assert "first news" in shown.text()
        await shown.press("k", "k")
        assert "t follows" in shown.text()
        await told(shown, "second news")
        assert "second news" not in shown.text()
        await shown.press("t")
        assert "second news" in shown.text()
        assert "t follows" not in shown.text()
        await shown.press("k", "G")
        await told(shown, "third news")
        assert "third news" in shown.text()


@pytest.mark.parametrize(
    ("terms", "found"),
    [((), True), (("level:warn",), True), (("level:error",), False), (("scene:004",), True), (("scene:5",), False),
     (("requeued", "below"), True), (("requeued", "above"), False), (("004",), True)],
)  # fmt: skip
def test_what_fits(terms: tuple[str, ...], found: bool) -> None:
    note = Note(at=script.MIDNIGHT, seq=1, level="warning", text="Requeued: below floor", scene="scene-004")
    assert fits(note, terms) is found
