"""The end of the server's log, read when it is asked for."""

from comfytui.faces.tui.keys import bindings
from comfytui.faces.tui.panes.line import BLANK, Line, Role, safe, wrap
from comfytui.faces.tui.screens.sheet import Sheet
from comfytui.faces.tui.view import View
from comfytui.model.state import LogTail


class ServerLogScreen(Sheet[None]):
    """Shows the log once it was read after ``before``, what had been read when the sheet was opened."""

    BINDINGS = bindings("sheet", "lists", "server_log")
    heading = "Server log"
    widest = 116

    def __init__(self, before: LogTail | None) -> None:
        super().__init__()
        self.shown = before
        self.view: View | None = None
        self.told: tuple[str, Role] = ("", "dim")
        self.message = self
        """Where answers to commands are said: here."""

    def sheet_lines(self, width: int) -> list[Line]:
        """Return when the log was read, its lines, and what became of the last question."""
        lines = log_lines(self.shown, self.view, width)
        text, role = self.told
        return [*lines, BLANK, *(((part, role),) for part in wrap(safe(text), width))] if text else lines

    def look(self, view: View) -> None:
        """Show the log of ``view`` where it was read anew."""
        first, self.view = self.view is None, view
        if first or view.state.server_log is not self.shown:
            self.shown, self.told = view.state.server_log, self.told if first else ("", "dim")
            self._fill()
            self.action_jump(True)

    def say(self, text: str, role: Role) -> None:
        """Show what became of the question; that it was accepted is seen from the log."""
        if role == "text":
            return
        self.told = (text, role)
        self._fill()
        self.action_jump(True)

    def hush(self) -> None:
        """Leave it there: it belongs to what is read here."""

    def action_shut(self) -> None:
        """Close the sheet."""
        self.dismiss()


def log_lines(log: LogTail | None, view: View | None, width: int) -> list[Line]:
    """Return the log as lines of ``width`` cells: when it was read, then the oldest line first."""
    if log is None:
        return [(("It has not been read yet.", "dim"),)]
    at = f"Read at {view.wall(log.at)}; f5 reads it again." if view is not None else ""
    lines: list[Line] = [((part, "dim"),) for part in wrap(at, width)]
    if log.why:
        return [*lines, *(((part, "warn"),) for part in wrap(safe(log.why), width))]
    if not log.lines:
        return [*lines, (("The server's log is empty.", "dim"),)]
    return [*lines, *(((part, "text"),) for line in log.lines for part in wrap(safe(line), width))]
