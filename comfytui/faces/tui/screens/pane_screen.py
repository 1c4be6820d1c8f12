"""A screen that is one pane between its edges: the keys of lists go to that pane."""

from typing import TypeVar

from comfytui.faces.tui.lean import LeanScreen
from comfytui.faces.tui.panes.pane import Pane
from comfytui.faces.tui.view import Resumed

Result = TypeVar("Result")


class PaneScreen(LeanScreen[Result]):
    """Hands moving about on to ``pane``, and catches up when it comes back to the top."""

    pane: Pane

    def on_screen_resume(self) -> None:
        """Catch up with what happened while another screen lay over this one."""
        self.app.post_message(Resumed())

    def action_move(self, by: int) -> None:
        """Go ``by`` lines down."""
        self.pane.move(by)

    def action_jump(self, last: bool) -> None:
        """Go to the first or last line."""
        self.pane.jump(last)

    def action_turn(self, pages: int) -> None:
        """Go ``pages`` pages down."""
        self.pane.turn(pages)
