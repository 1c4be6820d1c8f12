"""A question before something is done that cannot be undone."""

from comfytui.faces.tui.keys import bindings
from comfytui.faces.tui.panes.line import BLANK, Line, safe, wrap
from comfytui.faces.tui.screens.leave import choices
from comfytui.faces.tui.screens.sheet import Sheet


class ConfirmScreen(Sheet[bool]):
    """Asks ``question``, says what it means, and returns the answer."""

    BINDINGS = bindings("confirm")
    heading = "Confirm"
    note = BLANK  # the answers say it
    widest = 62

    def __init__(self, question: str, meaning: str) -> None:
        super().__init__()
        self.question, self.meaning = question, meaning

    def sheet_lines(self, width: int) -> list[Line]:
        """Return the question, what it means, and the answers."""
        asked: list[Line] = [((part, "strong"),) for part in wrap(safe(self.question), width)]
        meant: list[Line] = [((part, "text"),) for part in wrap(safe(self.meaning), width)]
        return [BLANK, *asked, *meant, BLANK, *choices(("yes", "no"), width), BLANK]

    def action_answer(self, yes: bool) -> None:
        """Return the answer."""
        self.dismiss(yes)
