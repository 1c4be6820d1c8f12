"""What every pane is shown: one moment of the run, and how this dashboard stands to it."""

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Protocol, runtime_checkable

from msgspec import Struct, field
from textual.message import Message

from comfytui.faces.tui.panes.figures import wall_time
from comfytui.faces.tui.panes.line import Role
from comfytui.faces.tui.themes import UNICODE, Glyphs
from comfytui.model.eta import Estimate, Known, run_estimate, scene_estimate
from comfytui.model.presence import cut_off
from comfytui.model.state import State

NOTHING_KNOWN = Known()


class Lane(Struct, frozen=True):
    """How the feed stands: ``live`` is whether a runner is at its other end (``None``: not told yet), since when."""

    live: bool | None = None
    why: str = ""
    since: datetime | None = None
    caught_up: bool = False


class Playback(Struct, frozen=True):
    """Where a replay stands: the moment, between start and end, the fact, and the seconds of a step."""

    at: datetime
    start: datetime
    end: datetime
    fact: int
    facts: int
    playing: bool
    step: float
    trouble: str = ""
    """What of the recording cannot be read."""


class View(Struct, frozen=True):
    """One moment: the state of the run, the time, and this dashboard's own standing."""

    state: State
    now: datetime
    lane: Lane = Lane()
    paused: bool = False
    readonly: bool = False
    keymap: Mapping[str, str] = field(default_factory=dict)
    """The keys that a person has moved, by command."""
    glyphs: Glyphs = UNICODE
    zone: tzinfo | None = None
    known: Known = NOTHING_KNOWN
    """What the scenes so far tell about those to come."""
    name: str = ""
    """What the run is called, where that is known before it is read."""
    replay: Playback | None = None
    """Where a replay stands; ``None`` for a run as it is now."""

    @property
    def empty(self) -> bool:
        """Whether nothing is known yet: the first of the run is still being read."""
        return not self.lane.caught_up and self.state.run is None

    @property
    def running(self) -> bool:
        """Whether the run is under way and time passes for it."""
        run = self.state.run
        return run is not None and run.ended_at is None and not run.observing and self.lane.live is not False

    @property
    def past(self) -> bool:
        """Whether nobody asks the servers any more how they are."""
        run = self.state.run
        return self.lane.live is False or (run is not None and run.ended_at is not None and not run.observing)

    @property
    def over(self) -> int:
        """How many scenes are over."""
        scenes, known = self.state.scenes, self.known
        if known.scenes is scenes:
            return len(scenes) - len(known.waiting) - len(known.working)
        return sum(scene.over for scene in scenes)

    @property
    def eta(self) -> Estimate | None:
        """How long the run probably still takes; ``None`` while that is being learnt."""
        return run_estimate(self.known, self.state, self.now)

    def eta_of(self, scene_id: str, ahead: int | None = None) -> Estimate | None:
        """Return how long it probably takes until that scene is over; ``None`` while that cannot be said.

        ``ahead`` scenes come before it, where that is known to be another number than in the story.
        """
        return scene_estimate(self.known, self.state, scene_id, self.now, ahead)

    @property
    def until(self) -> datetime:
        """Until when what goes on is known to have gone on: now, or the last event of a run that nobody drives."""
        return self.now if self.lane.live is not False else self.state.at or self.now

    def wall(self, moment: datetime, seconds: bool = True) -> str:
        """Return ``moment`` as the wall clock shows it here."""
        return wall_time(moment, self.zone, seconds)


class Resumed(Message):
    """A screen came back to the top and wants to be shown the present moment."""


@runtime_checkable
class Viewing(Protocol):
    """A screen that wants each new view."""

    def look(self, view: View) -> None:
        """Show ``view``."""
        ...


def state_words(view: View) -> list[tuple[str, Role]]:
    """Return how the run stands, in words, the gravest first; each with the role that colours it."""
    run, words = view.state.run, list[tuple[str, Role]]()
    if not view.lane.caught_up:
        words.append(("READING", "dim"))
    elif run is None:
        words.append(("NO RUN", "dim"))
    elif run.ended_at is not None:
        words.append(_ending(run.outcome or "finished", run.exit_code))
    elif view.lane.live is False:
        since = f" since {view.wall(view.lane.since)}" if view.lane.since else ""
        words.append((f"RUNNER GONE{since}", "alarm"))
    elif _disconnected(view.state):
        words.append(("DISCONNECTED", "alarm"))
    elif run.held:
        words.append(("HELD", "caution"))
    elif run.observing:
        words.append(("WATCHING", "accent"))
    else:
        words.append(("RUNNING" if run.settled_at is None else "FINISHING", "accent"))
    if view.paused:
        words.append(("PAUSED", "caution"))
    if view.replay is not None:
        words.insert(0, ("REPLAY", "accent"))
    elif view.readonly:
        words.append(("READ-ONLY", "dim"))
    return words


def _disconnected(state: State) -> bool:
    server = state.server
    return cut_off(state) or bool(not state.several and server.trouble and not server.reached)


def _ending(outcome: str, exit_code: int | None) -> tuple[str, Role]:
    code = "" if exit_code is None else f" exit {exit_code}"
    role: Role = "good" if exit_code == 0 else "alarm" if outcome == "failed" else "caution"
    return f"{outcome.upper()}{code}", role
