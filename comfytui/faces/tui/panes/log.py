"""The Log pane: the facts of the run in words, newest at the end; it follows unless a person scrolled back."""

from collections.abc import Sequence
from datetime import tzinfo
from functools import lru_cache

from comfytui.faces.tui.keys import bindings
from comfytui.faces.tui.panes.figures import wall_time
from comfytui.faces.tui.panes.line import BLANK, Line, Role, left, line_width, safe, wrap
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

LEVEL = 8
"""Cells of the level as a word, where there is room for it."""


class LogPane(Pane):
    """Shows :func:`lines_of` for each note that the filter lets through."""

    BINDINGS = bindings("log")
    filter_hint = "filter: words, level:error, scene:005"
    following = True

    def draw(self, view: View, width: int, height: int) -> Picture:
        """Return the picture of the notes, at their end while it follows."""
        notes = [note for note in view.state.notes if fits(note, self.terms)]
        lines = [line for note in notes for line in lines_of(note, view.zone, width)]
        if not lines:
            text = "No line fits the filter. esc clears it." if self.terms else "Nothing happened yet."
            return Picture(lines=(((text, "dim"),),), note=self._note(0))
        top = max(0, len(lines) - height) if self.following else None
        return Picture(lines=lines, top=top, note=self._note(len(notes)))

    def _note(self, found: int) -> Line:
        words = [self.filter_words(found)] if self.terms else []
        words += [] if self.following else ["t follows"]
        return ((f" {', '.join(words)} ", "accent"),) if words else BLANK

    def follow(self) -> None:
        """Keep the newest line in sight, until a person scrolls back."""
        self.jump(True)

    def move_top(self, top: int) -> None:
        """Show the lines from ``top`` on; at their end it follows."""
        followed, self.following = self.following, top + self.page >= len(self.picture.lines)
        super().move_top(top)
        if followed is not self.following:
            self.rebuild()


def fits(note: Note, terms: Sequence[str]) -> bool:
    """Return whether ``note`` fits every term: ``level:error``, ``scene:005``, or a word that is in its line."""
    return all(_fits(note, term) for term in terms)


def _fits(note: Note, term: str) -> bool:
    field, colon, word = term.partition(":")
    if colon and field == "level":
        return note.level.startswith(word)
    if colon and field == "scene":
        return word in (note.scene or "").casefold()
    return term in f"{note.scene or ''} {note.text}".casefold()


@lru_cache(maxsize=2048)
def lines_of(note: Note, zone: tzinfo | None, width: int) -> tuple[Line, ...]:
    """Return one note as lines: time, its level, scene, what happened; long words go on beneath.

    The level is a word where there is room, else a mark.
    """
    mark, mark_role, role = _MARKS[note.level]
    worded = width >= 64
    level = left("" if note.level == "info" else note.level, LEVEL) if worded else f"{mark} "
    start: Line = ((f"{wall_time(note.at, zone, seconds=worded)} ", "faint"), (level, mark_role))
    if note.scene:
        start = (*start, (f"{safe(note.scene)}  ", "dim"))
    indent = line_width(start)
    if indent > width // 2:  # an id so long that the words go beneath it
        return (start, *(((" " * 8 + part, role),) for part in wrap(safe(note.text), width - 8)))
    first, *rest = wrap(safe(note.text), width - indent)
    return ((*start, (first, role)), *(((" " * indent + part, role),) for part in rest))
