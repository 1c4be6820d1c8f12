"""What each of several servers did in a run, and what it has to do now. Pure but for :class:`Shares`, which remembers.

A run of one server has no names, and no shares: all of it is that server's.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from comfytui.model.changes import changed_places
from comfytui.model.counted import counted
from comfytui.model.state import Scene, State


class Share(Struct, frozen=True, kw_only=True):
    """What one server did so far: scenes that are over and their proven frames, prompts and seconds that it executed.

    A scene is whose attempt counts; a prompt is also one that came to nothing.
    """

    scenes: int = 0
    frames: int = 0
    prompts: int = 0
    executed: float = 0.0

    @property
    def pace(self) -> float | None:
        """Seconds that it executes for a prompt; ``None`` before the first has ended."""
        return self.executed / self.prompts if self.prompts else None

    def plus(self, other: "Share", sign: int = 1) -> "Share":
        """Return the sum of both; with ``sign`` -1 the difference."""
        return Share(
            scenes=self.scenes + sign * other.scenes, frames=self.frames + sign * other.frames,
            prompts=self.prompts + sign * other.prompts, executed=self.executed + sign * other.executed,
        )  # fmt: skip


NOTHING = Share()


class Shares:
    """The shares of all servers, by name. It looks only at scenes that changed."""

    def __init__(self) -> None:
        self._run = ""
        self._scenes: Sequence[Scene] = ()
        self._parts: dict[int, dict[str, Share]] = {}
        self._of: dict[str, Share] = {}
        self.began: datetime | None = None
        """When the first prompt of the run began to execute."""

    def take(self, state: State) -> None:
        """Learn from ``state``; what another run did is forgotten."""
        run = state.run.id if state.run is not None else ""
        if not state.several or (state.scenes is self._scenes and run == self._run):
            return
        if run != self._run or len(state.scenes) != len(self._scenes):
            self._run, self._scenes, self._parts, self._of, self.began = run, (), {}, {}, None
        for place in changed_places(self._scenes, state.scenes):
            self._put(place, state.scenes[place])
        self._scenes = state.scenes

    def of(self, server: str) -> Share:
        """Return the share of the server of that name."""
        return self._of.get(server, NOTHING)

    def rate(self, server: str, until: datetime) -> float | None:
        """Return the scenes that it brings to their end in an hour, counted since the run's first prompt."""
        hours = (until - self.began).total_seconds() / 3600 if self.began is not None else 0.0
        scenes = self.of(server).scenes
        return scenes / hours if scenes and hours > 0 else None

    def busy(self, server: str, state: State) -> float | None:
        """Return which part of the time (0 to 1) it executed, from the first prompt until nothing was left."""
        run = state.run
        end = (run.settled_at or run.ended_at or state.at) if run is not None else None
        seconds = (end - self.began).total_seconds() if end is not None and self.began is not None else 0.0
        return min(1.0, self.of(server).executed / seconds) if seconds > 0 else None

    def _put(self, place: int, scene: Scene) -> None:
        before, after = self._parts.get(place, {}), _parts(scene)
        for sign, parts in ((-1, before), (1, after)):
            for name, part in parts.items():
                self._of[name] = self.of(name).plus(part, sign)
        self._parts[place] = after
        for began in (attempt.executing_at for attempt in scene.attempts):
            if began is not None and (self.began is None or began < self.began):
                self.began = began


def shares_of(state: State) -> Shares:
    """Return the shares of the servers in ``state``, counted from nothing."""
    shares = Shares()
    shares.take(state)
    return shares


class Contribution(Struct, frozen=True, kw_only=True):
    """What one of several servers did in a run; ``busy`` from 0 to 1, ``None`` where nothing was executed."""

    name: str
    scenes: int
    frames: int
    prompts: int
    busy: float | None

    @property
    def words(self) -> str:
        """``gpu-a: 12 scenes, 288 frames, busy 83 % of the time``, with the prompts where they are more."""
        tried = f" ({counted(self.prompts, 'prompt')})" if self.prompts > self.scenes else ""
        share = "" if self.busy is None else f", busy {self.busy * 100:.0f} % of the time"
        return f"{self.name}: {counted(self.scenes, 'scene')}{tried}, {counted(self.frames, 'frame')}{share}"


def contributions(state: State) -> list[Contribution]:
    """Return what each server did, in the order in which they were named; nothing where there is only one."""
    if not state.several:
        return []
    shares, found = shares_of(state), []
    for server in state.servers:
        own, busy = shares.of(server.name), shares.busy(server.name, state)
        found.append(
            Contribution(
                name=server.name, scenes=own.scenes, frames=own.frames, prompts=own.prompts,
                busy=None if busy is None else round(busy, 3),
            )
        )  # fmt: skip
    return found


def _parts(scene: Scene) -> dict[str, Share]:
    parts: dict[str, Share] = {}
    for attempt in scene.attempts:
        began, ended = attempt.executing_at, attempt.execution_ended_at
        if began is not None and ended is not None:
            part = Share(prompts=1, executed=max(0.0, (ended - began).total_seconds()))
            parts[attempt.server_name] = parts.get(attempt.server_name, NOTHING).plus(part)
    best = scene.chosen if scene.over and scene.success else None
    if best is not None:
        done = Share(scenes=1, frames=scene.frames)
        parts[best.server_name] = parts.get(best.server_name, NOTHING).plus(done)
    return parts


class Load(Struct, frozen=True, kw_only=True):
    """What a run has for its servers at one moment."""

    executing: dict[str, tuple[str, ...]]
    """The scenes that each server executes, by its name."""
    sent: Counter[str]
    """How many more each has before it, by its name."""
    wanted: Counter[frozenset[str]]
    """How many scenes wait for a server with these tags."""


def load_of(state: State) -> Load:
    """Return what is executed, has been sent, and waits."""
    executing: dict[str, tuple[str, ...]] = {}
    sent: Counter[str] = Counter()
    wanted: Counter[frozenset[str]] = Counter()
    anywhere = 0
    for scene in state.scenes:
        phase = scene.phase
        if phase == "waiting":
            if scene.brief.server_tags:
                wanted[frozenset(scene.brief.server_tags)] += scene.given_up is None
            else:
                anywhere += scene.given_up is None
        elif phase == "executing":
            server = scene.attempts[-1].server_name
            executing[server] = (*executing.get(server, ()), scene.id)
        elif phase in ("planned", "queued"):
            sent[scene.attempts[-1].server_name] += 1
    wanted[frozenset()] += anywhere
    return Load(executing=executing, sent=sent, wanted=+wanted)
