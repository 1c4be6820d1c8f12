"""In which order the queue is shown, and which of it: sorted and filtered, at the cost of what changed."""

from collections.abc import Callable, Sequence

from comfytui.faces.tui.panes.scene_filter import matches
from comfytui.model.changes import changed_places
from comfytui.model.queue import turn_of
from comfytui.model.state import Scene

Key = Callable[[Scene, int, int], float | None]
"""What a scene, its place and the number of scenes are sorted by, the smallest first; ``None`` is not known: last."""

_LOUDEST = ("executing", "collecting", "planned", "queued", "failed", "cancelled", "skipped", "waiting", "done")


def _turn(scene: Scene, place: int, scenes: int) -> float | None:
    if scene.over:
        return None
    return turn_of(scene, place, scenes) if scene.phase == "waiting" else float(place - 10 * scenes)


def _duration(scene: Scene, place: int, scenes: int) -> float | None:
    attempt = scene.chosen
    if attempt is None or attempt.telemetry is None or attempt.unsent:
        return None
    return -attempt.telemetry.duration_seconds


def _vram(scene: Scene, place: int, scenes: int) -> float | None:
    attempt = scene.chosen
    return attempt.telemetry.gpu.vram_delta_mb if attempt is not None and attempt.telemetry is not None else None


SORTS: dict[str, Key] = {
    "story": lambda scene, place, scenes: float(place),
    "turn": _turn,
    "state": lambda scene, place, scenes: float(_LOUDEST.index(scene.phase)),
    "time": _duration,
    "frames": lambda scene, place, scenes: float(scene.frames) if scene.attempts else None,
    "VRAM": _vram,
    "tries": lambda scene, place, scenes: -float(len(scene.attempts)) if scene.attempts else None,
}
"""By what the queue can be sorted: the story's order, the order of rendering, what is loud, slow, short, greedy, or was
tried often first."""


BY_SERVER = "server"
"""Where there are several servers, one more: their scenes together, in the order in which the servers were named."""


class SceneOrder:
    """The places (in the story) of the scenes that are shown, in the order in which they are."""

    servers: tuple[str, ...] = ()
    """The names of the servers, in order."""

    def __init__(self) -> None:
        self.sort = "story"
        self.turned = False
        self._scenes: Sequence[Scene] = ()
        self._terms: tuple[str, ...] = ()
        self._stale = True
        self._fits: list[bool] = []
        self._keys: list[float | None] = []
        self._places: Sequence[int] = ()

    def sort_by(self, name: str, turned: bool = False) -> None:
        """Sort by ``name``, one of :data:`SORTS`, the other way round when ``turned``."""
        self.sort, self.turned, self._stale = name, turned, True

    def next_sort(self) -> None:
        """Sort by the next of :data:`SORTS`."""
        names = [*SORTS, *((BY_SERVER,) if len(self.servers) > 1 else ())]
        self.sort_by(names[(names.index(self.sort) + 1) % len(names)])

    @property
    def words(self) -> str:
        """By what it is sorted, in words; empty for the story's own order."""
        if self.sort == "story" and not self.turned:
            return ""
        return f"by {self.sort}{', reversed' if self.turned else ''}"

    def places(self, scenes: Sequence[Scene], terms: tuple[str, ...]) -> Sequence[int]:
        """Return the places of those ``scenes`` that fit all ``terms`` of a filter, in order."""
        if terms != self._terms:
            self._terms, self._stale = terms, True
        if self.sort == "story" and not terms:
            self._stale = True  # nothing is kept up to date meanwhile
            return range(len(scenes) - 1, -1, -1) if self.turned else range(len(scenes))
        if self._stale or scenes is not self._scenes:
            if self._learn(scenes):
                self._places = self._sorted()
            self._scenes, self._stale = scenes, False
        return self._places

    def _learn(self, scenes: Sequence[Scene]) -> bool:
        """Judge the scenes that changed; return whether any of them may stand elsewhere now."""
        total, key = len(scenes), SORTS.get(self.sort, self._server)
        afresh = self._stale or len(self._scenes) != total
        if afresh:
            self._fits, self._keys = [False] * total, [None] * total
        moved = afresh
        for place in range(total) if afresh else changed_places(self._scenes, scenes):
            scene = scenes[place]
            fits, value = matches(scene, self._terms), key(scene, place, total)
            moved |= fits != self._fits[place] or value != self._keys[place]
            self._fits[place], self._keys[place] = fits, value
        return moved

    def _server(self, scene: Scene, place: int, scenes: int) -> float | None:
        attempt = scene.chosen
        known = attempt is not None and attempt.server_name in self.servers
        return float(self.servers.index(attempt.server_name)) if attempt is not None and known else None

    def _sorted(self) -> list[int]:
        keys, sign = self._keys, -1.0 if self.turned else 1.0

        def rank(place: int) -> tuple[bool, float]:
            value = keys[place]
            return value is None, sign * (value if value is not None else place)

        return sorted((place for place, fits in enumerate(self._fits) if fits), key=rank)
