"""The pure parts: lines, figures, sparklines, rows, the layout, the colours."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from rich.cells import cell_len
from rich.color import Color, ColorSystem
from textual.geometry import Region, Size

from comfytui.faces.tui.keys import PANES, PaneName
from comfytui.faces.tui.layout import Wish, places, shape_for
from comfytui.faces.tui.palettes import PALETTES, Palette
from comfytui.faces.tui.panes import figures, line, scene_row
from comfytui.faces.tui.panes.frames import entries
from comfytui.faces.tui.panes.scene_filter import matches, parse
from comfytui.faces.tui.panes.sparkline import axis, bar, buckets, sparkline
from comfytui.faces.tui.strips import Brush
from comfytui.faces.tui.themes import ASCII, UNICODE
from comfytui.model.envelope import Envelope
from comfytui.model.fold import fold_all
from tests.ui import script

NOON = datetime(2026, 1, 24, 12, 0, tzinfo=UTC)
ANY = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)
LINES = st.lists(st.tuples(st.text("ab 橋é\u0301", max_size=6), st.sampled_from(["text", "dim"])), max_size=6).map(
    tuple
)


# --- lines --------------------------------------------------------------------------------------------------------


@given(ANY, st.integers(0, 30))
def test_fitting_is_exact_whatever_the_text(text: str, cells: int) -> None:
    assert cell_len(line.left(text, cells)) == cells
    assert cell_len(line.right(text, cells)) == cells
    assert line.line_width(line.fit(((text, "text"),), cells)) == cells
    assert cell_len(line.clip(text, cells)) <= cells
    assert cell_len(line.clip_start(text, cells)) <= cells


@given(ANY, st.integers(1, 30))
def test_wrapping_loses_no_character(text: str, cells: int) -> None:
    wrapped = line.wrap(text, cells)
    assert "".join("".join(wrapped).split()) == "".join(text.split())


def test_wrapping_breaks_at_blanks() -> None:
    assert line.wrap("the lamp is lit at dusk", 9) == ["the lamp", "is lit at", "dusk"]
    assert line.wrap("", 9) == [""]


@given(LINES, LINES)
def test_repainting_the_changed_cells_gives_the_new_line(old: line.Line, new: line.Line) -> None:
    old, new = line.fit(old, 20), line.fit(new, 20)
    before, after = line._cells(old), line._cells(new)
    for start, end in line.changed_cells(old, new):
        assert 0 <= start < end <= 20
        assert before[start][0] and after[start][0], "a wide character would be cut in two"
        assert end == 20 or (before[end][0] and after[end][0])
        before[start:end] = after[start:end]
    assert before == after


def test_a_row_of_a_scene_that_is_over_is_made_once() -> None:
    night = script.running()
    state = fold_all(item for item in night.items if isinstance(item, Envelope))
    done = next(scene for scene in state.scenes if scene.over)
    shape, rows = scene_row.columns(100, 9), scene_row.Rows()
    moment = scene_row.Moment(now=night.at, glyphs=UNICODE, run=state.run, progress={})
    first = rows.row(done, shape, moment, chosen=False)
    later = structs.replace(moment, now=night.at + timedelta(hours=1))
    assert rows.row(done, shape, later, chosen=False) is first == scene_row.row(done, shape, moment, chosen=False)
    for moved, chosen in ((later, True), (structs.replace(later, marks={done.id}), False)):
        assert rows.row(done, shape, moved, chosen) == scene_row.row(done, shape, moved, chosen) != first
    again = structs.replace(done, phase="waiting")
    assert rows.row(again, shape, moment, chosen=False) == scene_row.row(again, shape, moment, chosen=False)


def test_changes_far_apart_are_painted_apart() -> None:
    old, new = ((("a" * 30), "text"),), (("b" + "a" * 28 + "b", "text"),)
    assert line.changed_cells(old, new) == [(0, 1), (29, 30)]  # type: ignore[arg-type]
    assert line.changed_cells(old, new, gap=40) == [(0, 30)]  # type: ignore[arg-type]
    assert line.changed_cells(old, old) == []  # type: ignore[arg-type]


def test_untrusted_text_is_stripped() -> None:
    assert line.safe("\x1b[31mred\x1b[0m\x07\nnext") == "red next"


def test_spread_gives_way_at_the_start() -> None:
    assert line.spread((("a long beginning", "text"),), (("end", "dim"),), 12) == (
        ("a long…", "text"), (" ", "text"), (" ", "text"), ("end", "dim"),
    )  # fmt: skip


# --- figures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0.0 s"), (8.44, "8.4 s"), (59.96, "1m 00s"), (125, "2m 05s"), (4020, "1h 07m")]
)
def test_duration(seconds: float, told: str) -> None:
    assert figures.duration(seconds) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (1, "10 s"),
        (44, "40 s"),
        (58, "1 min"),
        (720, "12 min"),
        (3600, "1 h"),
        (5000, "1 h 23 min"),
    ],
)
def test_roughly(seconds: float, told: str) -> None:
    assert figures.roughly(seconds) == told


@pytest.mark.parametrize(
    ("seconds", "told"), [(-3, "now"), (4.9, "now"), (28, "25 s"), (61, "1 min"), (3599, "59 min"), (9000, "2 h")]
)
def test_age(seconds: float, told: str) -> None:
    assert figures.age(timedelta(seconds=seconds)) == told


@given(st.integers(0, 10**15))
def test_file_size_is_short(size: int) -> None:
    assert len(figures.file_size(size)) <= 8


def test_file_sizes() -> None:
    told = [figures.file_size(size) for size in (0, 812, 65_536, 1_212_416, 250 * 1024**2, 24 * 1024**3)]
    assert told == ["0 B", "812 B", "64 kB", "1.2 MB", "250 MB", "24.0 GB"]


def test_signed_and_clock() -> None:
    assert [figures.signed(value) for value in (-1400.04, 0.0, 12.5)] == ["-1,400.0", "0.0", "+12.5"]
    assert [figures.clock_face(seconds) for seconds in (0, 249, 6130)] == ["00:00", "04:09", "1:42:10"]


# --- sparklines -----------------------------------------------------------------------------------------------------


def test_buckets_stand_still_while_time_goes_on() -> None:
    readings = [(NOON + timedelta(seconds=second), float(second)) for second in range(60)]
    drawn = buckets(readings, NOON + timedelta(seconds=58), 40, 10)
    again = buckets(readings, NOON + timedelta(seconds=59), 40, 10)
    assert drawn == again
    assert drawn == [23.0, 27.0, 31.0, 35.0, 39.0, 43.0, 47.0, 51.0, 55.0, 59.0]


def test_buckets_without_a_reading_are_empty() -> None:
    assert buckets([(NOON, None), (NOON - timedelta(seconds=30), 5.0)], NOON, 40, 4) == [5.0, None, None, None]
    assert buckets([], NOON, 40, 0) == []


def test_sparkline_of_one_and_of_three_lines() -> None:
    values = [None, 0.0, 50.0, 100.0]
    assert sparkline(values, 100, "12345678") == [" 147"]
    assert sparkline(values, 100, "12345678", rows=2) == ["   7", " 188"]
    assert sparkline([1.0, None], 0, "12345678") == ["1 "]


def test_axis_and_bar() -> None:
    assert axis(20, "then", "now", "-") == ("then", " ----------- ", "now")
    assert axis(5, "then", "now", "-") == ("", "", "  now")
    assert [bar(value, 20, 10, "=", ">") for value in (0, 7, 20, 30)] == [
        ("", 10), ("===>", 6), ("==========", 0), ("==========", 0),
    ]  # fmt: skip
    assert bar(1, 0, 4, "=", ">") == ("", 4)


# --- rows -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", range(46, 200, 7))
@pytest.mark.parametrize("night", [script.running, script.hostile, script.finished])
def test_rows_fill_their_width_exactly(width: int, night: object) -> None:
    state = fold_all(item for item in night().items if hasattr(item, "event"))  # type: ignore[operator]
    shape = scene_row.columns(width, 9)
    moment = scene_row.Moment(now=NOON, glyphs=UNICODE, run=state.run, progress=state.progress)
    assert {line.line_width(scene_row.row(scene, shape, moment, False)) for scene in state.scenes} == {width}
    assert line.line_width(scene_row.head(shape)) == width


def test_what_a_row_tells_of_how_a_scene_ended() -> None:
    state = fold_all(item for item in script.running().items if hasattr(item, "event"))
    told = [scene_row.outcome(scene, scene.chosen) for scene in state.scenes[:4]]
    assert told == [("success", "dim"), ("success", "dim"), ("error, OutOfMemoryError", "bad"), ("success", "dim")]
    assert scene_row.outcome(state.scenes[2], state.scenes[2].chosen, width=10) == ("error", "bad")
    assert [scene_row.tries(scene, state.run) for scene in state.scenes[4:7]] == ["2/2", "1/2", ""]


def test_frames_are_grouped_by_attempt() -> None:
    state = fold_all(item for item in script.running().items if hasattr(item, "event"))
    groups = [entry for entry in entries(state.frames) if isinstance(entry, tuple)]
    assert groups[:3] == [("scene-005", 2), ("scene-005", 1), ("scene-004", 1)]


def test_filters() -> None:
    state = fold_all(item for item in script.running().items if hasattr(item, "event"))
    found = {
        text: [scene.id[-3:] for scene in state.scenes if matches(scene, parse(text))]
        for text in ("state:failed", "BRIDGE", "prompt:gulls state:done", "waiting rain", "id:005", "odd:term", "")
    }
    assert found["state:failed"] == ["003"]
    assert found["BRIDGE"] == ["005"]
    assert found["prompt:gulls state:done"] == ["002"]
    assert found["waiting rain"] == ["012"]
    assert found["id:005"] == ["005"]
    assert found["odd:term"] == []
    assert len(found[""]) == 12


# --- layout ---------------------------------------------------------------------------------------------------------


WISHES = st.builds(Wish, health=st.integers(0, 40), health_short=st.integers(0, 9), gpu=st.integers(0, 60))


@given(st.integers(1, 300), st.integers(1, 100), st.sampled_from(PANES), st.booleans(), WISHES)
def test_panes_never_overlap_and_stay_on_the_deck(
    width: int, height: int, focused: PaneName, zoomed: bool, wish: Wish
) -> None:
    deck = Size(width, max(1, height - 2))
    found = places(deck, shape_for(width, height), focused, zoomed, lambda cells: wish)
    assert focused in found
    regions = list(found.values())
    for place, region in enumerate(regions):
        assert deck.region.contains_region(region)
        assert region.height >= (1 if len(regions) == 1 else 4)
        assert not any(region.overlaps(other) for other in regions[place + 1 :])
    assert sum(region.area for region in regions) == deck.area


def test_shapes() -> None:
    sizes = [(120, 40), (120, 29), (119, 50), (80, 24), (79, 24), (75, 24), (80, 19), (60, 15)]
    shapes = ["wide", "normal", "normal", "normal", "normal", "compact", "compact", "compact"]
    assert [shape_for(*size) for size in sizes] == shapes
    assert places(Size(60, 12), "compact", "gpu", False, lambda cells: Wish()) == {"gpu": Region(0, 0, 60, 12)}


# --- colours --------------------------------------------------------------------------------------------------------


def _luminance(colour: str) -> float:
    parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


COLOURED = {name: palette for name, palette in PALETTES.items() if not palette.native}
"""The themes that name their colours; what the others look like is the terminal's to say."""


@pytest.mark.parametrize("palette", COLOURED.values(), ids=COLOURED)
def test_everything_that_is_read_can_be_read(palette: Palette) -> None:
    for ground in (palette.panel, palette.bar, palette.sheet, palette.select_idle, palette.select):
        for role in ("text", "strong", "dim", "accent", "good", "warn", "bad"):
            assert _contrast(palette.ink(role), ground) >= 4.5, (role, ground)
    assert _contrast(palette.faint, palette.panel) >= 4.5
    assert _contrast(palette.spark, palette.panel) >= 2.5


@pytest.mark.parametrize("palette", COLOURED.values(), ids=COLOURED)
def test_with_256_colours_it_can_still_be_read(palette: Palette) -> None:
    def shown(colour: str) -> str:
        return Color.parse(colour).downgrade(ColorSystem.EIGHT_BIT).get_truecolor().hex

    for ground in (palette.panel, palette.bar, palette.sheet, palette.select_idle, palette.select):
        for role in ("text", "strong", "dim", "accent", "good", "warn", "bad"):
            assert _contrast(shown(palette.ink(role)), shown(ground)) >= 3.5, (role, ground)


def test_signs_take_one_cell() -> None:
    for glyphs in (UNICODE, ASCII):
        for name, signs in structs.asdict(glyphs).items():
            assert all(cell_len(sign) == 1 for sign in signs), name
    assert all(signs.isascii() for signs in structs.asdict(ASCII).values())


def test_ascii_turns_our_own_signs_and_leaves_foreign_text() -> None:
    strip = Brush("flight-deck", ascii=True).strip((("a… 橋 −3 °C", "text"),), "panel", 12)
    assert strip.text == "a~ 橋 -3  C "


def test_blanks_cost_no_colour_of_their_own() -> None:
    strip = Brush("flight-deck").strip((("done", "good"), ("    ", "text"), ("25/25", "good")), "panel", 13)
    assert len(list(strip)) == 1


# --- pictures -------------------------------------------------------------------------------------------------------


def test_every_folder_of_pictures_has_its_module() -> None:
    here = Path(__file__).resolve().parent
    folders = {folder.name for folder in (here.parents[1] / "snapshots").iterdir() if folder.is_dir()}
    assert folders <= {module.stem for module in here.glob("test_*.py")}


@pytest.mark.parametrize(
    ("text", "cells", "told"),
    [
        ("127.0.0.1:8188", 14, "127.0.0.1:8188"), ("192.168.1.100:8188", 14, "192.16…00:8188"), ("gpu-a", 3, "g…a"),
        ("gpu-a", 1, "…"), ("gpu-a", 0, ""), ("橋の夜明け霧光", 6, "橋の…"),
    ],
)  # fmt: skip
def test_a_name_keeps_its_beginning_and_its_end(text: str, cells: int, told: str) -> None:
    assert line.clip_middle(text, cells) == told and line.line_width(((told, "text"),)) <= cells
