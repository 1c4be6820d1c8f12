"""The Frames pane: the live watcher, newest first: name, size, state in words, age."""

from collections.abc import Sequence

from comfytui.faces.tui.panes.figures import age, file_size
from comfytui.faces.tui.panes.line import Line, Role, clip, clip_start, left, right, safe
from comfytui.faces.tui.panes.pane import Pane
from comfytui.faces.tui.panes.picture import Lazy, Picture
from comfytui.faces.tui.view import View
from comfytui.model.state import FrameRow, FrameState

Entry = FrameRow | tuple[str, int]
"""A frame, or the scene and attempt whose frames follow."""

STATE, SIZE, AGE = 11, 7, 8
"""Cells of the columns right of the name."""

_LOOKS: dict[FrameState, tuple[str, str, Role]] = {
    "writing": ("executing", "writing", "accent"),
    "proven": ("done", "proven", "dim"),
    "unproven": ("short", "unproven", "warn"),
    "truncated": ("failed", "truncated", "bad"),
    "missing": ("failed", "missing", "bad"),
    "unsafe": ("failed", "unsafe", "bad"),
}


class FramesPane(Pane):
    """Shows :func:`line_of` for each of the newest frames, under a line for each attempt they belong to."""

    _entries: Sequence[Entry] = ()

    def draw(self, view: View, width: int, height: int) -> Picture:
        """Return the picture of the newest frames; what a person has scrolled to stays where it is."""
        rows = view.state.frames
        if not rows:
            return Picture(lines=((("No frames yet.", "dim"),),))
        before, self._entries = self._entries, entries(rows)
        top = _place_of(before[self.top], self._entries) if 0 < self.top < len(before) else self.top
        found = self._entries
        shown = Lazy(len(found), lambda place: entry_line(found[place], view, width))
        return Picture(lines=shown, head=(head(width),) if height > 4 else (), note=_note(rows), top=top)


def entries(rows: Sequence[FrameRow]) -> list[Entry]:
    """Return ``rows`` with a ``(scene, attempt)`` before the first row of each."""
    listed: list[Entry] = []
    group: tuple[str, int] | None = None
    for row in rows:
        if group != (row.scene, row.attempt):
            group = (row.scene, row.attempt)
            listed.append(group)
        listed.append(row)
    return listed


def _place_of(sought: Entry, listed: Sequence[Entry]) -> int:
    """Return where ``sought`` stands now, whatever became of its state; 0 when it is gone."""

    def key(entry: Entry) -> tuple[object, ...]:
        return (entry.scene, entry.attempt, entry.name) if isinstance(entry, FrameRow) else entry

    return next((place for place, entry in enumerate(listed) if key(entry) == key(sought)), 0)


def entry_line(entry: Entry, view: View, width: int) -> Line:
    """Return the line of a frame, or the one that says whose frames follow."""
    if isinstance(entry, FrameRow):
        return line_of(entry, view, width)
    return ((clip(f"{safe(entry[0])}, attempt {entry[1]}", width), "dim"),)


def head(width: int) -> Line:
    """Return the names of the columns."""
    state = _state_width(width)
    name = left("name", width - state - SIZE - AGE - 2)
    return ((name + "  " + left("state", state) + right("size", SIZE) + right("age", AGE), "faint"),)


def line_of(row: FrameRow, view: View, width: int) -> Line:
    """Return one frame as a line of ``width`` cells. Of a long name the end is kept: it carries the number."""
    sign, word, role = _LOOKS[row.state]
    state = _state_width(width)
    room = width - state - SIZE - AGE - 2
    told = word if state < STATE else f"{getattr(view.glyphs, sign)} {word}"
    return (
        (left(clip_start(safe(row.name), room), room), "text" if row.state in ("proven", "writing") else role),
        ("  ", "text"),
        (left(told, state), role),
        (right(file_size(row.bytes) if row.bytes else "", SIZE) + right(age(view.now - row.at), AGE), "dim"),
    )


def _state_width(width: int) -> int:
    """Return the cells of the state: where room is short the word stands without its sign."""
    return STATE if width >= 38 else STATE - 2


def _note(rows: tuple[FrameRow, ...]) -> Line:
    bad = sum(row.state in ("truncated", "missing", "unsafe") for row in rows)
    return ((f" {bad} not whole ", "warn"),) if bad else ()
