"""How the scenes of a run stand, kept up from state to state by looking only at the scenes that changed.

The planner is asked after every fact. In a story of 10,000 scenes counting them all each time would cost more than the
rendering does; an unchanged scene is the same object, so those that changed are found without looking into any.
"""

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush

from comfytui.model.changes import changed_places
from comfytui.model.state import Scene, ScenePhase

ON_SERVER: tuple[ScenePhase, ...] = ("planned", "queued", "executing")
Tags = frozenset[str]
NO_TAGS: Tags = frozenset()


class LaneStanding:
    """How the scenes stand whose newest attempt is on one server, and how long its executions took."""

    def __init__(self) -> None:
        self.phases: Counter[ScenePhase] = Counter()
        self.busy: dict[int, Scene] = {}
        """The scenes that are on their way to it, wait or execute there, by their places."""
        self.durations: list[float] = []
        """Seconds that each execution took which succeeded and was not answered from a cache, in rising order."""
        self.by_frames: defaultdict[int, list[float]] = defaultdict(list)
        """The same by the frames that the scene expects: only scenes of a size can be compared."""

    def count(self, *phases: ScenePhase) -> int:
        """Return how many scenes are in one of ``phases``."""
        return sum(self.phases[phase] for phase in phases)


class Places(set[int]):
    """Places in the story, of which the least is found without a look at all the others."""

    def __init__(self) -> None:
        super().__init__()
        self._rising: list[int] = []
        """A heap of all of them, and of some that are not among them any more."""

    def add(self, place: int) -> None:
        """Put ``place`` among them."""
        super().add(place)
        heappush(self._rising, place)

    def least(self) -> int | None:
        """Return the least of them, ``None`` when there is none."""
        while self._rising and self._rising[0] not in self:
            heappop(self._rising)
        return self._rising[0] if self._rising else None


class Standing:
    """Which scenes are open, how many are in each phase, which ones wait and how long executions took."""

    def __init__(self, scenes: Sequence[Scene] = ()) -> None:
        self._scenes: Sequence[Scene] = ()
        self._start_anew(())
        self.follow(scenes)

    def follow(self, scenes: Sequence[Scene]) -> "Standing":
        """Learn how they stand now, and return itself."""
        if scenes is self._scenes:
            return self
        if len(scenes) != len(self._scenes):
            self._start_anew(scenes)
            for place, scene in enumerate(scenes):
                self._enter(place, scene)
            return self
        for place in changed_places(self._scenes, scenes):
            self._leave(place, self._scenes[place])
            self._enter(place, scenes[place])
        self._scenes = scenes
        return self

    @property
    def finished(self) -> bool:
        """Whether every scene is over."""
        return not self._open

    def count(self, *phases: ScenePhase) -> int:
        """Return how many scenes are in one of ``phases``."""
        return sum(self._phases[phase] for phase in phases)

    @property
    def durations(self) -> list[float]:
        """Seconds that each execution took which succeeded and was not answered from a cache, in rising order."""
        return self._durations

    def on(self, server: str) -> LaneStanding:
        """Return how things stand on the server of that name (empty: the only one)."""
        return self._lanes[server]

    def waiting(self) -> Iterator[Scene]:
        """Return the scenes that wait, given up or not, in the story's order."""
        untouched = (place for places in self._untouched.values() for place in places)
        return (self._scenes[place] for place in sorted({*untouched, *self._special, *self._given_up}))

    def waiting_for(self, tags: Tags) -> int:
        """Return how many scenes wait, not given up, that a server with ``tags`` can render."""
        untouched = sum(len(places) for wanted, places in self._untouched.items() if wanted <= tags)
        return untouched + sum(tags_of(self._scenes[place]) <= tags for place in self._special)

    def given_up(self) -> list[Scene]:
        """Return the scenes that a person gave up while they waited, in the story's order."""
        return [self._scenes[place] for place in sorted(self._given_up)]

    def candidates(self, tags: Tags | None = None) -> list[int]:
        """Return the places, rising, among which the scene is whose turn is next: none when none waits.

        The first one that nobody touched, and all that were tried before or moved by people; with ``tags`` of those
        that a server with them can render.
        """
        fitting = (places for wanted, places in self._untouched.items() if tags is None or wanted <= tags)
        first = min((least for places in fitting if (least := places.least()) is not None), default=None)
        special = {place for place in self._special if tags is None or tags_of(self._scenes[place]) <= tags}
        return sorted(special if first is None else {*special, first})

    def _start_anew(self, scenes: Sequence[Scene]) -> None:
        self._scenes = scenes
        self._phases: Counter[ScenePhase] = Counter()
        self._lanes: defaultdict[str, LaneStanding] = defaultdict(LaneStanding)
        self._open: set[int] = set()
        self._untouched: dict[Tags, Places] = {}
        self._special: set[int] = set()
        self._given_up: set[int] = set()
        self._durations: list[float] = []
        self.by_frames: defaultdict[int, list[float]] = defaultdict(list)
        """The same by the frames that the scene expects."""

    def _enter(self, place: int, scene: Scene) -> None:
        self._phases[scene.phase] += 1
        if not scene.over:
            self._open.add(place)
        if scene.phase == "waiting":
            self._waiting_as(scene).add(place)
        if scene.attempts:
            lane = self.on(scene.attempts[-1].server_name)
            lane.phases[scene.phase] += 1
            if scene.phase in ON_SERVER:
                lane.busy[place] = scene
        for server, seconds in executions(scene):
            for durations in self._kept(server, scene):
                insort(durations, seconds)

    def _leave(self, place: int, scene: Scene) -> None:
        self._phases[scene.phase] -= 1
        self._open.discard(place)
        if scene.phase == "waiting":
            self._waiting_as(scene).discard(place)
        if scene.attempts:
            lane = self.on(scene.attempts[-1].server_name)
            lane.phases[scene.phase] -= 1
            lane.busy.pop(place, None)
        for server, seconds in executions(scene):
            for durations in self._kept(server, scene):
                del durations[bisect_left(durations, seconds)]

    def _kept(self, server: str, scene: Scene) -> tuple[list[float], ...]:
        """Return all that keep how long an execution of ``scene`` on ``server`` took."""
        lane, frames = self.on(server), scene.brief.expected_frames
        return self._durations, self.by_frames[frames], lane.durations, lane.by_frames[frames]

    def _waiting_as(self, scene: Scene) -> set[int]:
        if scene.given_up is not None:
            return self._given_up
        if scene.turn is None and not scene.attempts:
            return self._untouched.setdefault(tags_of(scene), Places())
        return self._special


def tags_of(scene: Scene) -> Tags:
    """Return the tags that a server must have to render ``scene``."""
    return frozenset(scene.brief.server_tags) if scene.brief.server_tags else NO_TAGS


def executions(scene: Scene) -> list[tuple[str, float]]:
    """Return the server and the seconds of each execution that succeeded and was not answered from a cache."""
    return [
        (attempt.server_name, (attempt.execution_ended_at - attempt.executing_at).total_seconds())
        for attempt in scene.attempts
        if attempt.status in ("success", "partial") and attempt.executing_at and attempt.execution_ended_at
    ]
