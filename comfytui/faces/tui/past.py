"""Past runs from the dashboard: the list of them, one of them as a replay over the run that is watched, and back."""

from typing import TYPE_CHECKING

from comfytui.errors import Failure
from comfytui.faces.tui.mailbox import Mailbox
from comfytui.faces.tui.replay import ReplayMailbox
from comfytui.model.catalog import RunEntry
from comfytui.model.feed import Feed

if TYPE_CHECKING:
    from comfytui.faces.tui.app import Dashboard


class Past:
    """What the keys of past runs do. The run that is watched goes on being read beneath a replay."""

    def __init__(self, app: "Dashboard") -> None:
        self.app = app
        self._beneath: tuple[Feed, Mailbox] | None = None

    def begin(self) -> None:
        """Show the list at once, where that is what was asked for."""
        if self.app.options.browse:
            self.browse()

    def do(self, what: str, by: int) -> None:
        """Carry out ``what``: one of the methods below, or a move in the replay."""
        if what == "runs":
            self.browse()
        else:
            self.app.actions.move_replay(what, by)

    def browse(self) -> None:
        """Show the list of past runs."""
        from comfytui.faces.tui.screens.runs import RunsScreen

        if self.app.options.catalog is None:
            self.app.say("There are no past runs to look over from here.", "dim")
        elif not isinstance(self.app.screen, RunsScreen):
            self.app.push_screen(RunsScreen(self.app.options.catalog))

    def open(self, entry: RunEntry) -> bool:
        """Show the run as a replay; return whether it can be."""
        catalog = self.app.options.catalog
        if catalog is None:
            return False
        try:
            feed = catalog.open(entry.run_id)
        except Failure as failure:
            self.app.say(str(failure), "bad")
            return False
        if self._beneath is None:
            self._beneath = (self.app.feed, self.app.mailbox)
        mailbox = ReplayMailbox(self.app.clock)
        self.app.turn_to(feed, mailbox)
        self.app.run_worker(self.app.follow(feed, mailbox), group="replay", exclusive=True, exit_on_error=False)
        return True

    def close(self) -> bool:
        """Go a screen back in a replay that was opened from the list, at last to that; return whether there is one."""
        if self._beneath is None:
            return False
        if self.app.screen is not self.app.deck:
            self.app.pop_screen()
            return True
        self.app.workers.cancel_group(self.app, "replay")
        feed, mailbox = self._beneath
        self._beneath = None
        self.app.turn_to(feed, mailbox)
        self.browse()
        return True
