"""A replay: the mailbox of a recorded run, a position in it that keys move, and the line that shows where that is."""

from datetime import datetime, timedelta

from msgspec import Struct

from comfytui.clock import Clock
from comfytui.faces.tui.bars import Bar
from comfytui.faces.tui.mailbox import Mailbox, Urgency
from comfytui.faces.tui.panes.figures import clock_face
from comfytui.faces.tui.panes.line import Line, line_width, safe
from comfytui.faces.tui.view import Lane, Playback, View
from comfytui.model.envelope import Envelope
from comfytui.model.feed import AnotherRun, CaughtUp, FeedChanged, FeedItem
from comfytui.model.recording import Recording
from comfytui.model.state import State

STEPS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
"""Seconds of a step: the first of which a run has at most a hundred."""

PLAY_EVERY = 0.5
"""Seconds between two steps while it plays."""

PLAY_SECONDS = 60.0
"""The longest that playing takes from end to end."""


class Position(Struct, frozen=True):
    """Where a replay stands: envelopes taken in, and the moment, which may lie between two of them."""

    envelopes: int
    moment: datetime | None


class ReplayMailbox(Mailbox):
    """Takes a recorded run in whole; its state is that at :attr:`position`, at first the end."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.recording = Recording()
        self.playing = False
        self.position = Position(0, None)
        self._why = ""

    def take(self, item: FeedItem) -> Urgency:
        """Take ``item`` in; nothing is shown before the whole run is there."""
        if isinstance(item, Envelope):
            self.recording.add(item)
        elif isinstance(item, CaughtUp):
            self.lost(self._why)
            return "now"
        elif isinstance(item, FeedChanged):
            self._why = item.why
        elif isinstance(item, AnotherRun):
            self.recording = Recording()
        return "later"

    def lost(self, why: str) -> None:
        """Show what there is: nothing more will come."""
        if not self.lane.caught_up:
            self.lane = Lane(live=True, why=why, since=None, caught_up=True)
            self.go(len(self.recording))

    # --- moving --------------------------------------------------------------------------------------------------

    @property
    def step_seconds(self) -> float:
        """The seconds of a step, by the length of the run."""
        seconds = self._span / 100
        return float(next((step for step in STEPS if step >= seconds), STEPS[-1]))

    @property
    def _span(self) -> float:
        start, end = self.recording.moment(0), self.recording.moment(len(self.recording))
        return (end - start).total_seconds() if start is not None and end is not None else 0.0

    def go(self, envelopes: int) -> None:
        """Stand right after so many envelopes; the first, which opens the run, is always among them."""
        envelopes = max(min(1, len(self.recording)), envelopes)
        self._stand(Position(envelopes, self.recording.moment(envelopes)))

    def step(self, by: int, seconds: float | None = None) -> None:
        """Go a step of ``seconds`` on (``by`` 1) or back (-1); where nothing happens in it, to what comes next."""
        moment, tape = self.position.moment, self.recording
        if moment is None:
            return
        there = moment + by * timedelta(seconds=self.step_seconds if seconds is None else seconds)
        place = tape.at(there)
        if by > 0 and place <= self.position.envelopes:
            self.go(min(self.position.envelopes + 1, len(tape)))
        elif by < 0 and (place >= self.position.envelopes or not place):
            self.go(self.position.envelopes - 1 if place else 0)
        else:
            end = tape.moment(len(tape))
            self._stand(Position(place, min(there, end) if end is not None else there))

    def fact(self, by: int) -> None:
        """Go to the next fact (``by`` 1), or to the one before (-1)."""
        self.go(self.recording.fact(self.position.envelopes, by))

    def play(self) -> None:
        """Play, or pause; at the end: from the beginning."""
        self.playing = not self.playing and len(self.recording) > 0
        if self.playing and self.at_end:
            self.go(0)

    def beat(self) -> None:
        """Go on by one beat of playing; it pauses at the end."""
        self.step(1, max(PLAY_EVERY, self._span * PLAY_EVERY / PLAY_SECONDS))
        self.playing = not self.at_end

    @property
    def at_end(self) -> bool:
        """Whether everything has been taken in."""
        return self.position.envelopes >= len(self.recording)

    def _stand(self, position: Position) -> None:
        self.position = position
        self.state: State = self.recording.state(position.envelopes)

    def playback(self) -> Playback | None:
        """Return where the replay stands; ``None`` before anything is there."""
        tape, moment = self.recording, self.position.moment
        start, end = tape.moment(0), tape.moment(len(tape))
        if start is None or end is None or moment is None:
            return None
        return Playback(
            at=moment, start=start, end=end, fact=tape.fact_number(self.position.envelopes), facts=tape.facts,
            playing=self.playing, step=self.step_seconds, trouble=self.lane.why,
        )  # fmt: skip


class Timeline(Bar):
    """The slider of a replay, above the footer."""

    def __init__(self) -> None:
        super().__init__("timeline")
        self.display = False

    def look(self, view: View, width: int) -> None:
        """Show where the replay stands; nothing where there is none."""
        self.display = view.replay is not None
        if view.replay is not None:
            self.write(timeline_line(view, view.replay, width))


def timeline_line(view: View, replay: Playback, width: int) -> Line:
    """Return the slider for ``width`` cells: wall clock, slider, time gone of all, fact of all."""
    span = (replay.end - replay.start).total_seconds()
    gone = (replay.at - replay.start).total_seconds()
    word = "playing" if replay.playing else "paused"
    start: Line = ((f" {word:<7} ", "accent" if replay.playing else "dim"), (f"{view.wall(replay.at)} ", "strong"))
    end: Line = ((f" {clock_face(gone)} / {clock_face(span)}", "text"),)
    facts: Line = ((f"  fact {replay.fact:,}/{replay.facts:,}", "dim"),)
    trouble: Line = ((f"  ! {safe(replay.trouble)}", "warn"),) if replay.trouble else ()
    for extra in ((*facts, *trouble), facts, trouble):
        if width - line_width((*start, *end, *extra)) >= 16:
            end = (*end, *extra)
            break
    room = max(1, width - line_width((*start, *end)) - 1)
    place = round((room - 1) * (gone / span if span > 0 else 1.0))
    rule, knob = view.glyphs.slider[0], view.glyphs.slider[1]
    return (
        *start,
        (rule * place, "accent"),
        (knob, "strong"),
        (rule * (room - 1 - place), "rule"),
        *end,
        (" ", "text"),
    )
