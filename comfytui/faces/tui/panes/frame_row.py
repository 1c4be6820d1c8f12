"""Frames as lines of the Frames pane, how they are ordered, and how fast they come: pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from comfytui.faces.tui.panes.figures import age, file_size
from comfytui.faces.tui.panes.line import BLANK, Line, Role, clip, clip_start, left, line_width, right, safe
from comfytui.faces.tui.view import View
from comfytui.model.frame_numbers import gap_words, gaps
from comfytui.model.frame_rows import FrameRow
from comfytui.model.state import Attempt, State

Group = tuple[str, int]
"""The scene and attempt whose frames follow."""

Entry = FrameRow | Group

STATE, SIZE, AGE = 11, 7, 8
"""Cells of the columns right of the name."""

RATE_SECONDS = 60.0
"""The time over which the rate is taken."""

_LOOKS: dict[str, tuple[str, str, Role]] = {
    "writing": ("executing", "writing", "accent"),
    "proven": ("done", "proven", "dim"),
    "fetched": ("done", "fetched", "dim"),
    "unproven": ("short", "unproven", "warn"),
    "truncated": ("failed", "truncated", "bad"),
    "missing": ("failed", "missing", "bad"),
    "unsafe": ("failed", "unsafe", "bad"),
}
"""Sign, word and role of a state. ``fetched`` is proven too, and came over HTTP."""


def key_of(entry: Entry) -> tuple[object, ...]:
    """Return what stays the same of ``entry``, whatever becomes of its state."""
    return (entry.scene, entry.attempt, entry.name) if isinstance(entry, FrameRow) else entry


def by_scene(rows: Iterable[FrameRow], state: State) -> list[FrameRow]:
    """Return ``rows`` in the order of the story, then by attempt and name."""
    last = len(state.scenes)
    return sorted(rows, key=lambda row: (state.index.get(row.scene, last), row.scene, row.attempt, row.name))


def entries(rows: Iterable[FrameRow]) -> list[Entry]:
    """Return ``rows`` with the group before the first row of each."""
    listed: list[Entry] = []
    group: Group | None = None
    for row in rows:
        if group != (row.scene, row.attempt):
            group = (row.scene, row.attempt)
            listed.append(group)
        listed.append(row)
    return listed


def rate(rows: Sequence[FrameRow], now: datetime) -> tuple[float, float] | None:
    """Return frames a minute and bytes a second of what came in the last minute; ``None`` when nothing did."""
    fresh = [row for row in rows if row.bytes and (now - row.at).total_seconds() <= RATE_SECONDS]
    if not fresh:
        return None
    seconds = max(5.0, (now - min(row.at for row in fresh)).total_seconds())
    return len(fresh) / seconds * 60, sum(row.bytes for row in fresh) / seconds


def note(rows: Sequence[FrameRow], view: View) -> Line:
    """Return what is said of all frames: how many are not whole, and how fast they come while the run goes on."""
    parts: list[Line] = []
    if bad := sum(row.state in ("truncated", "missing", "unsafe") for row in rows):
        parts.append(((f" {bad} not whole ", "warn"),))
    coming = rate(rows, view.now) if view.running else None
    if coming is not None:
        parts.append(((f" {coming[0]:.0f}/min", "dim"), (f" {coming[1] / 1048576:.1f} MB/s ", "dim")))
    return tuple(span for part in parts for span in part)


def head(width: int) -> Line:
    """Return the names of the columns."""
    state = _state_width(width)
    name = left("name", width - state - SIZE - AGE - 2)
    return ((name + "  " + left("state", state) + right("size", SIZE) + right("age", AGE), "faint"),)


def group_line(group: Group, view: View, rows: Iterable[FrameRow], width: int) -> Line:
    """Return the line over the frames of an attempt: whose they are, and which numbers are missing between them."""
    scene = view.state.scene(group[0])
    if scene is None and not group[0]:
        return (("in the output folder", "dim"),)
    attempt = scene.attempt(group[1]) if scene is not None else None
    names = {row.name for row in rows if (row.scene, row.attempt) == group}
    missing = gap_words(gaps(names | names_of(attempt)))
    whose = f"{safe(group[0])}, attempt {group[1]}"
    told: Line = ((f"gap: {missing}", "warn"),) if missing else BLANK
    if attempt is not None and scene is not None and not missing:
        told = ((f"{attempt.proven}/{scene.brief.floor}", "faint"),)
    room = width - line_width(told) - 2
    if room < 12:
        return ((clip(f"gap: {missing}", width), "warn"),)
    return ((left(clip(whose, room), room), "dim"), ("  ", "text"), *told)


def names_of(attempt: Attempt | None) -> set[str]:
    """Return the names of all frames that are known of ``attempt``."""
    if attempt is None:
        return set()
    return {frame.name for frame in attempt.frames} | {refusal.name for refusal in attempt.refused}


def line_of(row: FrameRow, view: View, width: int) -> Line:
    """Return one frame as a line of ``width`` cells. Of a long name the end is kept: it carries the number."""
    sign, word, role = _LOOKS["fetched" if row.state == "proven" and row.via == "http" else row.state]
    state = _state_width(width)
    room = width - state - SIZE - AGE - 2
    told = word if state < STATE else f"{getattr(view.glyphs, sign)} {word}"
    return (
        (left(clip_start(safe(row.name), room), room), "text" if row.state in ("proven", "writing") else role),
        ("  ", "text"),
        (left(told, state), role),
        (
            right(file_size(row.bytes) if row.bytes or row.state == "writing" else "", SIZE)
            + right(age(view.now - row.at), AGE),
            "dim",
        ),
    )


def _state_width(width: int) -> int:
    """Return the cells of the state: where room is short the word stands without its sign."""
    return STATE if width >= 38 else STATE - 2
