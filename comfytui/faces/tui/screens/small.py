"""What is shown where a terminal is too small for the panes: how the run stands, and how much room is missing."""

from typing import Any

from textual.app import App, ComposeResult

from comfytui.faces.tui.bars import header_line
from comfytui.faces.tui.layout import LEAST, too_small
from comfytui.faces.tui.lean import LeanScreen
from comfytui.faces.tui.panes.line import BLANK, Line, wrap
from comfytui.faces.tui.panes.line_list import LineList
from comfytui.faces.tui.panes.picture import Picture
from comfytui.faces.tui.view import Resumed, View


class SmallScreen(LeanScreen[None]):
    """Lies over everything while the terminal is too small, and goes by itself when there is room again."""

    def __init__(self) -> None:
        super().__init__()
        self.view: View | None = None
        self.list = LineList(edge="none", name="small")

    def compose(self) -> ComposeResult:
        """Return the words."""
        yield self.list

    def look(self, view: View) -> None:
        """Show ``view``."""
        self.view = view
        width, height = self.app.size
        self.list.show(Picture(lines=small_lines(view, width, height)))

    def on_screen_resume(self) -> None:
        """Go when there is room by now; else show the present moment."""
        if not too_small(*self.app.size):
            self.dismiss()
        else:
            self.app.post_message(Resumed())

    def on_resize(self) -> None:
        """Draw for the new size, or go."""
        if not too_small(*self.app.size) and self.is_current:
            self.dismiss()
        elif self.view is not None:
            self.look(self.view)


def cover(app: App[Any]) -> None:
    """Put the words over all screens of ``app``, unless they are there already or there is room after all."""
    if too_small(*app.size) and not any(isinstance(screen, SmallScreen) for screen in app.screen_stack):
        app.push_screen(SmallScreen())


def small_lines(view: View, width: int, height: int) -> list[Line]:
    """Return how the run stands and how much room the dashboard wants, as far as ``width`` cells tell it."""
    wanted = f"This terminal is {width}x{height}. The panes need {LEAST[0]}x{LEAST[1]}; they come back with the room."
    return [header_line(view, width), BLANK, *(((f" {part}", "text"),) for part in wrap(wanted, max(1, width - 2)))]
