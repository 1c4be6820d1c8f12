"""The dashboard: it reads a feed, folds it, shows the state in a calm rhythm, and sends commands. Nothing else.

It owns no run and no I/O: quitting it cancels one worker that reads a mailbox. What a pane shows is in ``panes``, what
a key does is in ``keys``, how a moment looks as a whole in ``screens``.
"""

import asyncio
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from textual.app import SystemCommand
from textual.screen import Screen
from textual.timer import Timer

from comfytui.clock import Clock
from comfytui.errors import Failure
from comfytui.faces.tui.actions import Actions
from comfytui.faces.tui.bars import Message
from comfytui.faces.tui.keys import bindings
from comfytui.faces.tui.lessons import Lessons
from comfytui.faces.tui.mailbox import Mailbox, Urgency
from comfytui.faces.tui.options import DashboardOptions, Leaving
from comfytui.faces.tui.orders import Orders
from comfytui.faces.tui.outside import Outside
from comfytui.faces.tui.pace import unwritten
from comfytui.faces.tui.panes.line import Role
from comfytui.faces.tui.past import Past
from comfytui.faces.tui.replay import PLAY_EVERY, ReplayMailbox
from comfytui.faces.tui.screens.deck import DeckScreen
from comfytui.faces.tui.themed import ThemedApp
from comfytui.faces.tui.themes import ASCII, UNICODE
from comfytui.faces.tui.view import Resumed, View, Viewing
from comfytui.model import commands
from comfytui.model.feed import Feed

BATCH = 256
"""Feed items taken in before the loop gets a turn, so that a long journal never freezes the keys."""

LATEST_START = 0.2
"""Seconds after which the feed is read although the deck was not painted: another screen may lie over it at once."""

SHORTEST = 0.02
"""Seconds of the shortest timer: one of Textual's (8.2) never fires where this process pauses for longer than it."""

MESSAGE_SECONDS = 6.0


class Dashboard(ThemedApp[Leaving]):
    """The terminal face of a run. :meth:`run` returns how it was left."""

    CSS_PATH = Path("theme.tcss")
    BINDINGS = bindings("everywhere", "replay")
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"

    def __init__(self, feed: Feed, clock: Clock, options: DashboardOptions | None = None) -> None:
        self.options = options or DashboardOptions()
        super().__init__(self.options.theme)
        self.feed, self.clock = feed, clock
        self.ascii = self.options.ascii
        self.mailbox = ReplayMailbox(clock) if self.options.replay else Mailbox(clock)
        self.actions, self.orders, self.past, self.lessons = Actions(self), Orders(self), Past(self), Lessons(self)
        self.outside = Outside(self.options.calls, self._to_terminal)
        self.paths: list[str] = []
        """The paths that a person asked for, to be printed on leaving."""
        self.paused, self._begun, self._painted_at = False, False, 0.0
        self.leaving: Leaving | None = None
        self.deck = DeckScreen()
        self._run_name = self.options.title.partition(" ")[2]
        self._due: tuple[float, Timer] | None = None
        self._said: tuple[Message, Timer] | None = None
        self.sent: set[str] = set()
        self.set_keymap(dict(self.options.keymap))

    def get_default_screen(self) -> Screen[None]:
        """Return the deck as the first screen."""
        return self.deck

    def on_mount(self) -> None:
        """Begin to read the feed once the empty deck is on the screen."""
        self.title = self.options.title
        self.outside.begin()
        self.paint()
        self.set_interval(self.options.clock_every, self._tick, name="clock")
        self.beat = self.set_interval(PLAY_EVERY, self.actions.play_on, name="beat", pause=True)
        self.call_after_refresh(self._begin)
        self.set_timer(LATEST_START, self._begin, name="begin")
        self.past.begin()
        self.lessons.begin()

    def on_unmount(self) -> None:
        """Leave the terminal as it was."""
        self.outside.end()

    def _to_terminal(self, sequence: str) -> None:
        if self._driver is not None:
            self._driver.write(sequence)

    # --- from the feed to the screen -----------------------------------------------------------------------------

    def _begin(self) -> None:
        """Begin to read the feed, once."""
        if not self._begun:
            self._begun = True
            self.run_worker(self.follow(self.feed, self.mailbox), group="feed", exit_on_error=False)

    async def follow(self, feed: Feed, mailbox: Mailbox) -> None:
        """Take ``feed`` into ``mailbox``, item by item; its end or failure is shown, never raised."""
        taken = 0
        try:
            async for item in feed.items():
                urgency = mailbox.take(item)
                self._schedule(urgency if mailbox is self.mailbox else "later")
                taken += 1
                if taken % BATCH == 0:
                    await asyncio.sleep(0)
            mailbox.lost("the feed ended")
        except Failure as failure:
            mailbox.lost(failure.what)
            self.say(str(failure), "bad")
        except Exception as problem:  # noqa: BLE001  (a face must survive its feed; the words are shown)
            mailbox.lost(str(problem))
            self.say(f"The feed broke: {problem}", "bad")
        self._schedule("fact")

    def turn_to(self, feed: Feed, mailbox: Mailbox) -> None:
        """Show another run from here on: what ``mailbox`` knows of it, and what comes."""
        self.feed, self.mailbox, self._run_name = feed, mailbox, ""
        self.lessons.forget()
        self.paint(force=True)

    def _schedule(self, urgency: Urgency) -> None:
        """See that the screen is painted in time: facts promptly, figures with the beat, nothing twice."""
        if urgency == "later":
            return
        now = self.clock.monotonic()
        beat = self._painted_at + self.options.samples_every
        due = {"now": now, "fact": now + self.options.facts_within}.get(urgency, max(now, beat))
        if self._due is not None:
            if self._due[0] <= due:
                return
            self._due[1].stop()
        self._due = (due, self.set_timer(max(SHORTEST, due - now), self.paint, name="paint"))

    @property
    def at_rest(self) -> bool:
        """Whether all that came has been shown: the feed has caught up and no painting is due."""
        return self.mailbox.lane.caught_up and self._due is None

    def _tick(self) -> None:
        """Let time pass on the screen: with each beat while the run goes on, each half minute when it rests."""
        since = self.clock.monotonic() - self._painted_at
        if self.replay is None and (self.view().running or since >= 30):
            fresh = since < self.options.clock_every / 2  # then time is painted with the next figures
            self._schedule("sample") if fresh else self.paint()

    @property
    def replay(self) -> ReplayMailbox | None:
        """The recording that is shown; ``None`` while it is a run as it is now."""
        return self.mailbox if isinstance(self.mailbox, ReplayMailbox) else None

    def view(self) -> View:
        """Return the moment to show."""
        state, now = self.mailbox.state, self.clock.now()
        playback = self.replay.playback() if self.replay is not None else None
        now = playback.at if playback is not None else now
        return View(
            state=state, now=now, lane=self.mailbox.lane, paused=self.paused, keymap=self.options.keymap,
            readonly=self.options.readonly or self.replay is not None, replay=playback, name=self._run_name,
            glyphs=ASCII if self.ascii else UNICODE, zone=self.options.zone, known=self.lessons.learn(state),
        )  # fmt: skip

    def paint(self, force: bool = False) -> None:
        """Show the present moment on the screen on top; while paused only when ``force`` is set.

        What lies beneath another screen or a question is painted when it comes back: Textual would repaint it whole.
        """
        if self._due is not None:
            self._due[1].stop()
            self._due = None
        if not self.is_running:  # it is leaving, and its screens are gone
            return
        self._painted_at = self.clock.monotonic()
        view = self.view()
        if (force or not self.paused) and isinstance(self.screen, Viewing):
            self.screen.look(view)
        if not unwritten(self):
            self.outside.entitle(view)
            news, self.mailbox.news = self.mailbox.news, []
            self.outside.call(news)
        answers, self.mailbox.answers = self.mailbox.answers, []
        for answer in answers:
            self.actions.answered(answer)

    def on_resumed(self, _message: Resumed) -> None:
        """Show a screen that came to the top the present moment; while paused, only one that shows nothing yet."""
        self.paint(force=getattr(self.screen, "view", None) is None)

    # --- words to the person -------------------------------------------------------------------------------------

    def say(self, text: str, role: Role = "text") -> None:
        """Show ``text`` above the footer for a few seconds."""
        message: Message = getattr(self.screen, "message", self.deck.message)
        if self._said is not None:
            self._said[1].stop()
            if self._said[0] is not message:
                self._said[0].hush()
        message.say(text, role)
        self._said = message, self.set_timer(MESSAGE_SECONDS, message.hush, name="hush")

    # --- commands ------------------------------------------------------------------------------------------------

    def refuses(self) -> bool:
        """Return whether this dashboard may send no commands, and say so."""
        return self.actions.refuses()

    def send(self, make: Callable[[str], commands.AnyCommand], changes: bool = True) -> None:
        """Send the command that ``make`` builds around a fresh id; its answer comes back as an event.

        One that ``changes`` the run is not sent by a read-only dashboard.
        """
        if not (changes and self.refuses()):
            self.run_worker(self.deliver(make(uuid.uuid4().hex)), group="commands", exit_on_error=False)

    async def deliver(self, command: commands.AnyCommand) -> bool:
        """Hand ``command`` to the feed and say how that went; return whether it went well."""
        self.sent.add(command.id)
        self.say(f"{commands.describe(command)}: sent", "dim")
        try:
            await self.feed.send(command)
        except Failure as failure:
            self.say(str(failure), "bad")
            return False
        except Exception as problem:  # noqa: BLE001  (as above)
            self.say(f"{commands.describe(command)}: not sent, {problem}", "bad")
            return False
        return True

    def leave(self, how: Leaving) -> None:
        """End the dashboard and remember how it was left."""
        self.leaving = how
        self.exit(how)

    # --- keys that hold everywhere (what they do is in actions.py) --------------------------------------------------

    def action_help(self) -> None:
        """Show the keys."""
        self.actions.help()

    def action_leave(self) -> None:
        """Leave, or ask how."""
        self.actions.leave()

    def action_pause(self) -> None:
        """Stop painting, or go on; a replay plays, or pauses."""
        self.actions.pause()

    def action_past(self, what: str, by: int = 0) -> None:
        """Look past runs over, or move in the replay of one."""
        self.past.do(what, by)

    def action_order(self, name: str) -> None:
        """Order something of the run."""
        self.orders.give(name)

    def action_open(self) -> None:
        """Open the selected scene."""
        self.actions.open()

    def action_preview(self) -> None:
        """Show the selected frame as a picture."""
        self.actions.preview()

    def action_server_log(self) -> None:
        """Read the end of the server's log."""
        self.actions.server_log()

    def action_copy(self) -> None:
        """Copy what is chosen."""
        self.actions.copy()

    def action_path(self) -> None:
        """Show the path of what is chosen."""
        self.actions.path()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Return what the command palette offers."""
        from comfytui.faces.tui.command_palette import offered

        return offered(self, screen)

    def action_command_palette(self) -> None:
        """Open the command palette."""
        from comfytui.faces.tui.command_palette import calm

        super().action_command_palette()
        self.call_after_refresh(lambda: calm(self.screen))
