"""How the scenes of a run stand, kept up from state to state by looking only at the scenes that changed.

The planner is asked after every fact. In a story of 10,000 scenes counting them all each time would cost more than the
rendering does; an unchanged scene is the same object, so those that changed are found without looking into any.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator, Sequence

from comfytui.model.changes import changed_places
from comfytui.model.state import Scene, ScenePhase


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

    def waiting(self) -> Iterator[Scene]:
        """Return the scenes that wait, given up or not, in the story's order."""
        return (self._scenes[place] for place in sorted(self._untouched | self._special | self._given_up))

    def given_up(self) -> list[Scene]:
        """Return the scenes that a person gave up while they waited, in the story's order."""
        return [self._scenes[place] for place in sorted(self._given_up)]

    def candidates(self) -> list[int]:
        """Return the places, rising, among which the scene is whose turn is next: none when none waits.

        The first one that nobody touched, and all that were tried before or moved by people.
        """
        return sorted({*self._special, *([min(self._untouched)] if self._untouched else ())})

    def _start_anew(self, scenes: Sequence[Scene]) -> None:
        self._scenes = scenes
        self._phases: Counter[ScenePhase] = Counter()
        self._open: set[int] = set()
        self._untouched: set[int] = set()
        self._special: set[int] = set()
        self._given_up: set[int] = set()
        self._durations: list[float] = []

    def _enter(self, place: int, scene: Scene) -> None:
        self._phases[scene.phase] += 1
        if not scene.over:
            self._open.add(place)
        if scene.phase == "waiting":
            self._waiting_as(scene).add(place)
        for seconds in executions(scene):
            insort(self._durations, seconds)

    def _leave(self, place: int, scene: Scene) -> None:
        self._phases[scene.phase] -= 1
        self._open.discard(place)
        if scene.phase == "waiting":
            self._waiting_as(scene).discard(place)
        for seconds in executions(scene):
            del self._durations[bisect_left(self._durations, seconds)]

    def _waiting_as(self, scene: Scene) -> set[int]:
        if scene.given_up is not None:
            return self._given_up
        return self._untouched if scene.turn is None and not scene.attempts else self._special


def executions(scene: Scene) -> list[float]:
    """Return how many seconds each attempt executed that succeeded and was not answered from a cache."""
    return [
        (attempt.execution_ended_at - attempt.executing_at).total_seconds()
        for attempt in scene.attempts
        if attempt.status in ("success", "partial") and attempt.executing_at and attempt.execution_ended_at
    ]
