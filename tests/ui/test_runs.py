"""The Runs screen: past runs in a list, one of them opened as a replay and left again, two of them compared."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from itertools import product

import pytest

from comfytui.errors import Failure
from comfytui.faces.tui.screens.runs import RunsScreen
from comfytui.model.catalog import FieldChange, RunEntry, SceneChange, SceneSide
from comfytui.model.commands import AnyCommand
from comfytui.model.feed import Feed, FeedItem
from tests.ui import script
from tests.ui.stage import ALL_SIZES, NORMAL, SIZES, WIDE, Stage, stage


class Recorded:
    """A feed that tells a script and ends."""

    def __init__(self, items: Sequence[FeedItem]) -> None:
        self._items = items

    async def items(self) -> AsyncIterator[FeedItem]:
        for item in self._items:
            yield item

    async def send(self, command: AnyCommand) -> None:
        raise AssertionError("a replay sends nothing")


class Shelf:
    """Past runs that a test has put there."""

    place = "/home/ada/films/runs"

    def __init__(self, entries: Sequence[RunEntry], failure: Failure | None = None) -> None:
        self.entries, self.failure = entries, failure

    async def runs(self) -> Sequence[RunEntry]:
        if self.failure is not None:
            raise self.failure
        return self.entries

    async def compare(self, before: str, after: str) -> Sequence[SceneChange]:
        if self.failure is not None:
            raise self.failure
        good = SceneSide(verdict="success", frames=25, floor=25, seconds=45.2, attempts=1)
        short = SceneSide(verdict="success, below its floor", frames=11, floor=25, seconds=99.0, attempts=2)
        field = FieldChange(field="GPU.VramDeltaMB", before="-1400.0", after="-2300.5")
        return [
            SceneChange(scene="scene-001", before=good, after=good),
            SceneChange(scene="scene-002 [b]\u202e", before=good, after=short, telemetry=(field,)),
            SceneChange(scene="scene-003", before=None, after=good),
        ]

    def open(self, run_id: str) -> Feed:
        if self.failure is not None:
            raise self.failure
        return Recorded(script.finished(exit_code=1).items)


def entry(number: int, **more: object) -> RunEntry:
    opened = script.MIDNIGHT - timedelta(days=number)
    fields: dict[str, object] = {
        "run_id": f"{opened:%Y%m%d-%H%M%S}", "path": "/runs", "story": "the-lighthouse", "logline": "A keeper waits.",
        "opened_at": opened, "ended_at": opened + timedelta(seconds=200 + number), "outcome": "finished",
        "exit_code": 0, "planned": 5, "well": 5, "frames": 125, "requeues": 0,
    }  # fmt: skip
    return RunEntry(**{**fields, **more})  # type: ignore[arg-type]


MANY = [
    entry(0, outcome=None, exit_code=None, ended_at=None, driven=True, well=2, frames=50),
    entry(1),
    entry(2, exit_code=1, well=4, frames=111, requeues=3),
    entry(3, outcome="interrupted", exit_code=130, well=1, frames=25),
    entry(4, outcome=None, exit_code=None, ended_at=None, well=0, frames=0),
    entry(
        5,
        outcome=None,
        exit_code=None,
        planned=None,
        well=None,
        frames=None,
        requeues=None,
        problem="the journal cannot be read: Permission denied",
    ),
    *(entry(number) for number in range(6, 5000)),
]
HOSTILE = [
    entry(0, story="\x1b[31mred\x07", logline="[bold]not[/bold] \u202eevil " + "long " * 60),
    entry(1, story="夜の灯台", problem="\x9b2J[link=x]"),
]


@pytest.mark.parametrize(
    ("shelf", "size"), [("many", "200x60"), *product(("empty", "many", "hostile"), SIZES)]
)  # fmt: skip
async def test_the_list(shelf: str, size: str, same_picture: Callable[[Stage], None]) -> None:
    entries = {"empty": [], "many": MANY, "hostile": HOSTILE}[shelf]
    async with stage(script.running(), ALL_SIZES[size], catalog=Shelf(entries)) as shown:
        await shown.press("L")
        same_picture(shown)
        if shelf == "many":
            await shown.press("G")
            assert MANY[-1].run_id in shown.text()


@pytest.mark.parametrize("size", SIZES)
async def test_two_compared(size: str, same_picture: Callable[[Stage], None]) -> None:
    async with stage(script.running(), SIZES[size], catalog=Shelf(MANY)) as shown:
        await shown.press("L", "j", "c")
        assert "Mark one run" in shown.text()
        await shown.press("space", "j", "c")
        same_picture(shown)
        await shown.press("escape", "escape")
        assert shown.app.screen is shown.app.deck


async def test_a_run_is_opened_and_left_and_the_live_one_goes_on() -> None:
    night = script.running()
    async with stage(night, WIDE, catalog=Shelf(MANY)) as shown:
        live = shown.app.mailbox
        await shown.press("L", "j", "enter")
        assert "REPLAY" in shown.text()
        assert "scene-005" in shown.text()
        await shown.tell(script.Script().items)
        await shown.press("left_curly_bracket", "r")
        assert shown.feed.sent == []
        await shown.press("enter", "q")
        assert shown.app.screen is shown.app.deck
        await shown.press("escape")
        assert isinstance(shown.app.screen, RunsScreen)
        await shown.press("escape")
        assert shown.app.mailbox is live
        assert "REPLAY" not in shown.text()
        assert "RUNNING" in shown.text()


async def test_where_there_is_no_run_it_says_where_they_are_kept_and_what_makes_one() -> None:
    shelf = Shelf([])
    shelf.place = "/home/ada/a folder with a long name/and \x1b[31manother one in it/and one more/runs"
    async with stage(script.running(), SIZES["60x15"], catalog=shelf) as shown:
        await shown.press("L")
        text = " ".join(shown.text().replace("│", " ").split())
        assert "/home/ada/a folder with a long name/and another one in it/and one more/runs" in text
        assert "comfytui demo" in text and "comfytui run STORY" in text


async def test_what_cannot_be_read_is_told() -> None:
    failure = Failure("run.not_found", place="/runs")
    async with stage(script.running(), NORMAL, catalog=Shelf(MANY, failure)) as shown:
        await shown.press("L")
        assert "There is no run at /runs" in shown.text()
        await shown.press("enter", "space", "c")
        assert isinstance(shown.app.screen, RunsScreen)
    async with stage(script.running(), NORMAL) as shown:
        await shown.press("L")
        assert "no past runs" in shown.text()


async def test_browsing_begins_with_the_list_and_ends_with_it() -> None:
    async with stage(script.empty(), NORMAL, catalog=Shelf(MANY), browse=True) as shown:
        assert isinstance(shown.app.screen, RunsScreen)
        await shown.press("enter")
        assert "REPLAY" in shown.text()
        await shown.press("q")
        assert isinstance(shown.app.screen, RunsScreen)
        await shown.pilot.press("escape")
        assert shown.app.leaving == "detached"
