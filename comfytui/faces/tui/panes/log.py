"""The Log pane: the facts of the run in words, newest at the end; it follows unless a person scrolled back."""

from datetime import tzinfo
from functools import lru_cache

from comfytui.faces.tui.panes.figures import wall_time
from comfytui.faces.tui.panes.line import Line, Role, line_width, safe, wrap
from comfytui.faces.tui.panes.pane import Pane
from comfytui.faces.tui.panes.picture import Picture
from comfytui.faces.tui.view import View
from comfytui.model.state import Note

_MARKS: dict[str, tuple[str, Role, Role]] = {
    "info": (" ", "dim", "text"),
    "warning": ("!", "warn", "warn"),
    "error": ("x", "bad", "bad"),
}
"""Mark, role of the mark, role of the words, for each level."""


class LogPane(Pane):
    """Shows :func:`lines_of` for each note."""

    _length = 0

    def draw(self, view: View, width: int, height: int) -> Picture:
        """Return the picture of the notes, at their end when the end was on the screen before."""
        at_end = self.top + self.page >= self._length
        lines = [line for note in view.state.notes for line in lines_of(note, view.zone, width)]
        self._length = len(lines)
        if not lines:
            return Picture(lines=((("Nothing happened yet.", "dim"),),))
        return Picture(lines=lines, top=max(0, len(lines) - height) if at_end else None)


@lru_cache(maxsize=2048)
def lines_of(note: Note, zone: tzinfo | None, width: int) -> tuple[Line, ...]:
    """Return one note as lines: time, mark of its level, scene, what happened; long words go on beneath."""
    mark, mark_role, role = _MARKS[note.level]
    start: Line = ((f"{wall_time(note.at, zone, seconds=width >= 64)} ", "faint"), (f"{mark} ", mark_role))
    if note.scene:
        start = (*start, (f"{safe(note.scene)}  ", "dim"))
    indent = line_width(start)
    if indent > width // 2:  # an id so long that the words go beneath it
        return (start, *(((" " * 8 + part, role),) for part in wrap(safe(note.text), width - 8)))
    first, *rest = wrap(safe(note.text), width - indent)
    return ((*start, (first, role)), *(((" " * indent + part, role),) for part in rest))
