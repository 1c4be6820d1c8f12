"""A sheet: a box with text in the middle of the screen, over what lies beneath."""

from typing import TypeVar

from textual.app import ComposeResult
from textual.screen import ModalScreen

from comfytui.faces.tui.palettes import Ground
from comfytui.faces.tui.panes.line import Line
from comfytui.faces.tui.panes.line_list import LineList
from comfytui.faces.tui.panes.picture import Picture

Result = TypeVar("Result")


class SheetBox(LineList, can_focus=True):
    """The box of a sheet, as wide and high as its text wants and the screen allows."""

    ground: Ground = "sheet"


class Sheet(ModalScreen[Result]):
    """Shows lines in a box; a subclass makes the lines for the width there is."""

    heading = ""
    note: Line = ((" esc ", "key"), ("closes ", "dim"))
    widest = 72

    def __init__(self) -> None:
        super().__init__()
        self.box = SheetBox(self.heading, name="sheet")

    def sheet_lines(self, width: int) -> list[Line]:
        """Return the text for ``width`` cells."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        """Return the box."""
        yield self.box

    def on_mount(self) -> None:
        """Size the box and give it the keys."""
        self._fill()
        self.box.focus()

    def on_resize(self) -> None:
        """Size the box anew."""
        self._fill()

    def _fill(self) -> None:
        columns, rows = self.app.size
        width = self.widest if columns - self.widest >= 8 else columns  # no slivers of what lies beneath
        lines = self.sheet_lines(width - 4)
        self.box.styles.width = width
        self.box.styles.height = min(len(lines) + 2, max(3, rows - 2))
        self.box.show(Picture(lines=lines, note=self.note))

    def action_move(self, by: int) -> None:
        """Scroll ``by`` lines."""
        self.box.move_top(self.box.top + by)

    def action_jump(self, last: bool) -> None:
        """Scroll to the first or last line."""
        self.box.move_top(len(self.box.picture.lines) if last else 0)

    def action_turn(self, pages: int) -> None:
        """Scroll by pages."""
        self.box.move_top(self.box.top + pages * max(1, self.box.page - 1))
