"""The Log pane: the facts of the run in words, newest at the end; it follows unless a person scrolled back."""

from comfytui.faces.tui.panes.line import Line, Role, clip, left, safe
from comfytui.faces.tui.panes.pane import Pane
from comfytui.faces.tui.panes.picture import Lazy, Picture
from comfytui.faces.tui.view import View
from comfytui.model.state import Note

_MARKS: dict[str, tuple[str, Role]] = {"info": (" ", "dim"), "warning": ("!", "warn"), "error": ("x", "bad")}


class LogPane(Pane):
    """Shows :func:`line_of` for each note."""

    _length = 0

    def draw(self, view: View, width: int, height: int) -> Picture:
        """Return the picture of the notes, at their end when the end was on the screen before."""
        notes = view.state.notes
        at_end = self.top + self.page >= self._length
        self._length = len(notes)
        if not notes:
            return Picture(lines=((("Nothing happened yet.", "dim"),),))
        top = max(0, len(notes) - height) if at_end else None
        shown = Lazy(len(notes), lambda place: line_of(notes[place], view, width))
        return Picture(lines=shown, top=top)


def line_of(note: Note, view: View, width: int) -> Line:
    """Return one note as a line: time, mark of its level, scene, what happened."""
    mark, role = _MARKS[note.level]
    scene = f"{safe(note.scene)}  " if note.scene else ""
    said: Role = "text" if note.level == "info" else role
    room = width - 11
    return (
        (f"{view.wall(note.at)} ", "faint"),
        (f"{mark} ", role),
        (clip(scene, room), "dim"),
        (left(clip(safe(note.text), room - len(scene)), max(0, room - len(scene))), said),
    )
