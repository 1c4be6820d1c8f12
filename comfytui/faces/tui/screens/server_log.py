"""The end of the server's log, read when it is asked for."""

from comfytui.faces.tui.keys import bindings
from comfytui.faces.tui.panes.line import BLANK, Line, Role, safe, wrap
from comfytui.faces.tui.screens.sheet import Sheet
from comfytui.faces.tui.view import View
from comfytui.model.presence import Presence, presence
from comfytui.model.state import LogTail


class ServerLogScreen(Sheet[None]):
    """Shows what ``view`` has of the log, until it is read anew; of several servers that of ``server``, and how it
    stands.
    """

    BINDINGS = bindings("sheet", "lists", "server_log")
    heading = "Server log"
    widest = 116

    def __init__(self, view: View, server: str = "") -> None:
        super().__init__()
        self.view = view
        self.server = server
        self.shown = view.state.server_called(server).log
        self.told: tuple[str, Role] = ("", "dim")
        self.message = self
        """Where answers to commands are said: here."""

    def sheet_lines(self, width: int) -> list[Line]:
        """Return when the log was read, its lines, and what became of the last question."""
        self.box.title = f"{self.heading} of {safe(self.server)}" if self.server else self.heading
        lines = [*self._standing(width), *log_lines(self.shown, self.view, width)]
        text, role = self.told
        return [*lines, BLANK, *(((part, role),) for part in wrap(safe(text), width))] if text else lines

    def look(self, view: View) -> None:
        """Show the log of ``view`` where it was read anew."""
        self.view = view
        log = view.state.server_called(self.server).log
        if log is not self.shown:
            self.shown, self.told = log, ("", "dim")
            self._fill()
            self.action_jump(True)

    def action_next_server(self, by: int) -> None:
        """Show the log of the server ``by`` further, of several."""
        if not self.view.state.several:
            return
        servers = self.view.state.servers
        place = [server.name for server in servers].index(self.server) + by
        chosen = servers[place % len(servers)]
        self.server, self.shown, self.told = chosen.name, chosen.log, ("", "dim")
        self._fill()
        self.action_jump(True)
        self.app.action_server_log()  # type: ignore[attr-defined]

    def _standing(self, width: int) -> list[Line]:
        """Return how one of several servers stands, and what troubles it."""
        if not self.server:
            return []
        server = self.view.state.server_called(self.server)
        trouble = f": {server.trouble} {server.remedy}" if server.trouble else "."
        role: Role = "warn" if server.trouble else "dim"
        return [((part, role),) for part in wrap(safe(f"It {_STANDS[presence(server)]}{trouble}"), width)]

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


_STANDS: dict[Presence, str] = {
    "answers": "answers", "away": "is away", "left out": "is left out", "not reached": "has not been reached yet"
}  # fmt: skip


def log_lines(log: LogTail | None, view: View, width: int) -> list[Line]:
    """Return the log as lines of ``width`` cells: when it was read, then the oldest line first."""
    if log is None:
        return [((f"{'Its log' if view.state.several else 'It'} has not been read yet.", "dim"),)]
    others = " ← and → show the other servers'." if view.state.several else ""
    at = f"Read at {view.wall(log.at)}; f5 reads it again.{others}"
    lines: list[Line] = [((part, "dim"),) for part in wrap(at, width)]
    if log.why:
        return [*lines, *(((part, "warn"),) for part in wrap(safe(log.why), width))]
    if not log.lines:
        return [*lines, (("The server's log is empty.", "dim"),)]
    return [*lines, *(((part, "text"),) for line in log.lines for part in wrap(safe(line), width))]
