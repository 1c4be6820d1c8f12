"""How the dashboard paints: only what changed, in a calm rhythm, and nothing at all when nothing happens."""

import gc
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import SimpleNamespace

import pytest
from msgspec import structs
from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from textual._compositor import LayoutUpdate
from textual.app import App
from textual.driver import Driver
from textual.geometry import Region
from textual.widget import Widget

from comfytui.cli.opening import LateFeed
from comfytui.clock import Clock
from comfytui.faces.tui.bars import header_line
from comfytui.faces.tui.lean import LeanUpdate, colour_code
from comfytui.faces.tui.mailbox import Mailbox
from comfytui.faces.tui.pace import CROWDED
from comfytui.faces.tui.view import Lane, View
from comfytui.model import events as e
from comfytui.model.commands import Stop
from comfytui.model.feed import AnotherRun, CaughtUp, FeedChanged
from comfytui.model.state import State
from tests.ui import script
from tests.ui.script import FixedClock, ScriptedFeed
from tests.ui.stage import COMPACT, NORMAL, WIDE, Stage, stage


@contextmanager
def painted(shown: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[Region]]]:
    """Collect the regions that each list has painted; a whole widget is a region of its size."""
    asked: dict[str, list[Region]] = {}
    refresh = Widget.refresh

    def watched(self: Widget, *regions: Region, repaint: bool = True, **more: bool) -> Widget:
        if repaint:
            asked.setdefault(self.id or type(self).__name__, []).extend(regions or [self.size.region])
        return refresh(self, *regions, repaint=repaint, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Widget, "refresh", watched)
        yield asked


async def test_a_step_repaints_a_few_cells_of_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    night = script.running()
    async with stage(night, WIDE) as shown:
        night.items.clear()
        with painted(shown, monkeypatch) as asked:
            await shown.tell(night.progress("scene-005", 14).items)
        assert set(asked) == {"scenes"}
        assert {region.y for region in asked["scenes"]} == {6}
        assert sum(region.area for region in asked["scenes"]) <= 12


async def test_the_same_figures_again_paint_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    night = script.running()
    async with stage(night, WIDE) as shown:
        night.items.clear()
        with painted(shown, monkeypatch) as asked:
            await shown.tell(night.progress("scene-005", 13).pulse(0.004, ours=2, others=1).items)
        assert asked == {}


async def test_a_second_repaints_the_clock_and_the_executing_row_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage(script.running(), WIDE) as shown:
        shown.clock.at = shown.clock.at.replace(microsecond=0)
        shown.app.paint()
        await shown.settle()
        await shown.clock.sleep(1)
        with painted(shown, monkeypatch) as asked:
            shown.app.paint()
        assert set(asked) <= {"header", "scenes", "frames"}
        assert sum(region.area for region in asked["header"]) <= 2
        assert sum(region.area for region in asked["scenes"]) <= 2


async def test_time_that_goes_by_waits_for_the_figures_where_the_screen_is_fresh() -> None:
    async with stage(script.running(), WIDE, clock_every=1000.0, samples_every=600.0) as shown:
        shown.app.paint()
        await shown.clock.sleep(400)
        shown.app._tick()
        assert shown.app._due is not None
        assert shown.app._due[0] == shown.app._painted_at + 600
        shown.app.paint()
        await shown.clock.sleep(500)
        shown.app._tick()
        assert shown.app._due is None
        assert shown.app._painted_at == shown.clock.monotonic()


async def test_what_was_still_to_be_painted_on_leaving_is_let_go() -> None:
    async with stage(script.running(), COMPACT) as shown:
        app = shown.app
    app.paint()
    assert not app.screen_stack


async def test_another_pane_repaints_no_more_than_two_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage(script.running(), WIDE) as shown:
        with painted(shown, monkeypatch) as asked:
            await shown.press("tab")
        assert set(asked) == {"scenes", "frames", "footer"}
        assert sum(region.area for region in asked["scenes"]) < 400
        assert sum(region.area for region in asked["frames"]) < 200


async def test_a_finished_run_paints_nothing_as_time_goes_by(monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage(script.finished(), WIDE) as shown:
        with painted(shown, monkeypatch) as asked:
            for _ in range(50):
                await shown.clock.sleep(1)
                shown.app._tick()
        assert asked == {}


async def test_pause_stops_painting_while_the_data_goes_on() -> None:
    night = script.running()
    async with stage(night, NORMAL) as shown:
        await shown.press("p")
        assert "PAUSED" in shown.line("comfytui")
        before = shown.text()
        night.items.clear()
        await shown.tell(night.frame("scene-005", 13, 2).progress("scene-005", 19).items)
        assert shown.text() == before
        assert shown.app.mailbox.state.progress["scene-005"].value == 19
        await shown.press("p")
        assert "13/25" in shown.text()
        assert "19/20" in shown.text()
        assert "PAUSED" not in shown.text()


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> Callable[[Stage], "SimpleQueue[str]"]:
    """Gives a stage a terminal that takes nothing but what is taken out of the queue before it."""

    def stuck(shown: Stage) -> "SimpleQueue[str]":
        pieces: SimpleQueue[str] = SimpleQueue()
        pieces.put("a picture that the terminal has no room for")
        monkeypatch.setattr(shown.app._driver, "_writer_thread", SimpleNamespace(_queue=pieces), raising=False)
        return pieces

    return stuck


async def test_a_terminal_that_is_behind_gets_fewer_pictures_and_then_the_present_one(
    monkeypatch: pytest.MonkeyPatch, unread: Callable[[Stage], "SimpleQueue[str]"]
) -> None:
    night = script.running()
    async with stage(night, NORMAL) as shown:
        drawn: list[str] = []
        monkeypatch.setattr(shown.app, "post_display_hook", lambda: drawn.append(shown.line("scene-005")))
        pieces = unread(shown)
        night.items.clear()
        await shown.tell(night.progress("scene-005", 18).items)
        await shown.tell(night.frame("scene-005", 13, 2).progress("scene-005", 19).items)
        await shown.press("j", "k")
        assert drawn == []
        assert shown.app.mailbox.state.progress["scene-005"].value == 19
        pieces.get()
        await shown.settle()
        assert len(drawn) == 1
        assert "19/20" in drawn[0]


async def test_where_the_queue_is_crowded_a_whole_screen_waits_too(
    monkeypatch: pytest.MonkeyPatch, unread: Callable[[Stage], "SimpleQueue[str]"]
) -> None:
    async with stage(script.running(), NORMAL) as shown:
        pieces = unread(shown)
        written: list[object] = []
        monkeypatch.setattr(App, "_display", lambda _app, _screen, drawn: written.append(drawn) if drawn else None)
        for _ in range(CROWDED):
            pieces.put("more of them")
        await shown.press("question_mark", "escape", "enter", "escape")
        assert written == []
        assert shown.app.screen is shown.app.deck, "the keys go on"
        while not pieces.empty():
            pieces.get()
        await shown.settle()
        assert written != []


async def test_the_whole_screen_is_drawn_when_a_shell_had_the_terminal_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with stage(script.running(), NORMAL) as shown:
        written: list[object] = []
        monkeypatch.setattr(App, "_display", lambda _app, _screen, drawn: written.append(drawn) if drawn else None)
        shown.app.post_message(Driver.SignalResume())
        await shown.settle()
        assert [type(drawn) for drawn in written] == [LayoutUpdate], "once, and nothing twice"


async def test_what_lies_beneath_a_question_rests_and_catches_up() -> None:
    night = script.running()
    async with stage(night, NORMAL) as shown:
        await shown.press("x")
        night.items.clear()
        await shown.tell(night.progress("scene-005", 19).items)
        assert "19/20" not in shown.text()
        await shown.press("n")
        assert "19/20" in shown.text()


async def test_a_scene_opened_while_paused_is_shown_and_the_deck_stays_paused() -> None:
    night = script.running()
    async with stage(night, NORMAL) as shown:
        await shown.press("p")
        night.items.clear()
        await shown.tell(night.progress("scene-005", 19).items)
        await shown.press("enter")
        assert "executing, 12 of 25 frames proven" in shown.text()
        await shown.press("escape")
        assert "13/20" in shown.text()


@pytest.mark.parametrize("size", [WIDE, NORMAL, COMPACT, (200, 50), (40, 8), (76, 20), (120, 29)])
async def test_resizing_lands_where_a_start_at_that_size_does(size: tuple[int, int]) -> None:
    async with stage(script.running(), size) as shown:
        fresh = shown.text()
    async with stage(script.running(), WIDE if size != WIDE else COMPACT) as shown:
        await shown.pilot.resize_terminal(*size)
        await shown.settle()
        assert shown.text() == fresh


async def test_a_journal_is_folded_without_painting_it_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    night = script.thousand()
    night.items = [item for item in night.items if not isinstance(item, CaughtUp)]
    paints = 0
    async with stage(script.empty(), WIDE, clock_every=1000.0) as shown:  # on a slow machine the clock would paint too
        paint = type(shown.app).paint

        def counted(self: object, force: bool = False) -> None:
            nonlocal paints
            paints += 1
            paint(shown.app, force)

        monkeypatch.setattr(type(shown.app), "paint", counted)
        shown.feed.push([AnotherRun(), *night.items, CaughtUp()])
        await shown.settle()
        assert "499 done" in shown.text()
    assert paints <= 2


# --- when things are painted ----------------------------------------------------------------------------------------


def mailbox(clock: Clock | None = None) -> Mailbox:
    box = Mailbox(clock or FixedClock())
    for item in script.running().items:
        box.take(item)
    return box


def test_nothing_is_urgent_until_the_feed_caught_up() -> None:
    box = Mailbox(FixedClock())
    told = [box.take(item) for item in script.running().items]
    assert told[-1] == "now"
    assert set(told[:-1]) == {"later"}


def test_facts_are_more_urgent_than_figures() -> None:
    box, night = mailbox(), script.running()
    night.items.clear()
    night.tell(e.RunNoted(text="news")).progress("scene-005", 14).tell(e.Pulse(latency=0.01))
    assert [box.take(item) for item in night.items] == ["fact", "sample", "sample"]


def test_a_fact_that_was_known_already_wants_no_painting() -> None:
    box, night = mailbox(), script.running()
    assert box.take(night.items[3]) == "later"


def test_losing_the_feed_of_a_run_that_ended_keeps_its_ending() -> None:
    box = mailbox()
    box.take(FeedChanged(live=False, why="gone"))
    since = box.lane.since
    box.lost("the feed ended")
    assert (box.lane.live, box.lane.since, box.lane.caught_up) == (False, since, True)


# --- how few bytes it takes -----------------------------------------------------------------------------------------


async def test_a_changed_digit_takes_few_bytes() -> None:
    async with stage(script.running(), WIDE) as shown:
        console = Console(force_terminal=True, color_system="truecolor", legacy_windows=False)
        shown.app.screen._compositor._dirty_regions.add(Region(60, 6, 2, 1))
        update = shown.app.screen._compositor.render_partial_update()
        assert isinstance(update, LeanUpdate)
        sequence = update.render_segments(console)
        assert sequence.startswith("\x1b[7;61H")
        assert sequence.endswith("\x1b[0m")
        assert len(sequence) < 80


async def test_lean_updates_draw_what_full_ones_draw() -> None:
    async with stage(script.running(), WIDE) as shown:
        compositor = shown.app.screen._compositor
        console = Console(force_terminal=True, color_system="truecolor", legacy_windows=False)
        for region in (Region(0, 0, 120, 40), Region(3, 5, 80, 4), Region(70, 0, 20, 40), Region(119, 39, 1, 1)):
            compositor._dirty_regions = {region}
            update = compositor.render_partial_update()
            assert update is not None
            plain = _plain_screen(update.render_segments(console))
            lines = shown.text().splitlines()
            for y in range(region.y, region.bottom):
                assert plain[y][region.x : region.right] == lines[y][region.x : region.right]


def _plain_screen(sequence: str) -> list[str]:
    """Return what a terminal of 120x40 shows after ``sequence`` of cursor moves, colours and text."""
    import re

    screen = [[" "] * 120 for _ in range(40)]
    x = y = 0
    for move_y, move_x, _, text in re.findall(r"\x1b\[(\d+);(\d+)H|(\x1b\[[\d;]*m)|([^\x1b]+)", sequence):
        if move_y:
            y, x = int(move_y) - 1, int(move_x) - 1
        for char in text:
            screen[y][x] = char
            x += 1
    return ["".join(line) for line in screen]


def test_colours_are_named_in_full_so_that_none_is_inherited() -> None:
    assert colour_code(None, ColorSystem.TRUECOLOR) == "\x1b[0m"
    bold = colour_code(Style(bold=True, color="#102030", bgcolor="#000000"), ColorSystem.TRUECOLOR)
    assert bold == "\x1b[0;1;38;2;16;32;48;48;2;0;0;0m"


# --- what is loaded -------------------------------------------------------------------------------------------------


def test_a_run_is_shown_before_what_reads_it_is_loaded() -> None:
    code = (
        "import sys, comfytui.cli.attaching, comfytui.cli.catalog, comfytui.faces.tui.app\n"
        "late = ['anyio', 'comfytui.link', 'comfytui.model.workflow', 'hashlib', 'tomllib', 'zipfile']\n"
        "print([name for name in late if name in sys.modules])\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True)
    assert told.stdout.strip() == "[]"


async def test_a_feed_is_made_once_and_not_before_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen: list[bool] = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(True))
    made: list[ScriptedFeed] = []

    def make() -> ScriptedFeed:
        made.append(ScriptedFeed([CaughtUp(), FeedChanged(live=True)]))
        return made[-1]

    feed = LateFeed(make)
    items = feed.items()
    assert not made
    assert await anext(items) == CaughtUp()
    assert not frozen
    assert await anext(items) == FeedChanged(live=True)
    assert frozen == [True]
    await feed.send(Stop(id="1"))
    assert [one.sent for one in made] == [[Stop(id="1")]]


def test_while_nothing_is_read_the_header_names_the_run() -> None:
    reading = View(state=State(), now=script.Script().at, name="20260124-120000")
    assert "".join(text for text, _ in header_line(reading, 80)).split() == ["comfytui", "READING", "20260124-120000"]
    read = structs.replace(reading, lane=Lane(caught_up=True))
    assert "20260124-120000" not in "".join(text for text, _ in header_line(read, 80))


async def test_boxes_stay_without_a_word_until_there_is_one_to_say() -> None:
    async with stage(script.running(), WIDE) as shown:
        shown.app.mailbox = Mailbox(shown.clock)
        shown.app.deck.scenes.view = None
        before = shown.app.deck.scenes.picture
        shown.app.paint(force=True)
        assert shown.app.deck.scenes.picture is before
        assert "READING" in shown.line("comfytui")


def test_the_dashboard_loads_neither_sources_nor_what_it_shows_later() -> None:
    code = (
        "import sys, comfytui.faces.tui.app\n"
        "late = ['httpx', 'pynvml', 'watchfiles', 'psutil', 'aiohttp', 'PIL', 'comfytui.engine', 'comfytui.sources',\n"
        "        'comfytui.records', 'comfytui.faces.tui.screens.scene', 'comfytui.faces.tui.screens.help',\n"
        "        'comfytui.faces.tui.screens.leave', 'textual.widgets._data_table']\n"
        "print([name for name in late if name in sys.modules])\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True)
    assert told.stdout.strip() == "[]"
