"""What is asked when a person leaves a run that was started from this terminal."""

from comfytui.faces.tui.keys import bindings, key
from comfytui.faces.tui.options import Leaving
from comfytui.faces.tui.panes.line import BLANK, Line, left, wrap
from comfytui.faces.tui.screens.sheet import Sheet


class LeaveScreen(Sheet[Leaving]):
    """Detach, stop, or stay."""

    BINDINGS = bindings("leave")
    heading = "Leave"
    note = BLANK  # the answers say it
    widest = 62

    def sheet_lines(self, width: int) -> list[Line]:
        """Return the question and its three answers."""
        lines: list[Line] = [BLANK, (("The run is still going on.", "strong"),), BLANK]
        return [*lines, *choices(("detach", "stop", "stay"), width), BLANK]

    def action_detach(self) -> None:
        """Leave and let the run go on."""
        self.dismiss("detached")

    def action_stop(self) -> None:
        """Stop the run and leave."""
        self.dismiss("stopped")

    def action_stay(self) -> None:
        """Back to the dashboard."""
        self.dismiss(None)


def choices(ids: tuple[str, ...], width: int) -> list[Line]:
    """Return the keys with those ids as answers to choose from, each with its sentence."""
    lines: list[Line] = []
    for one in map(key, ids):
        for place, part in enumerate(wrap(one.tooltip, width - 15)):
            start = (left("" if place else f"  {one.face}", 6), left("" if place else one.label, 9))
            lines.append(((start[0], "key"), (start[1], "strong"), (part, "dim")))
    return lines
