"""How long the run will probably still take, from what its own scenes took: honest, or silent."""

from collections.abc import Iterable
from datetime import datetime
from statistics import median

from msgspec import Struct

from comfytui.model.state import Attempt, Scene, State


class Pace(Struct, frozen=True, kw_only=True):
    """What a run's finished scenes say about the rest: the median seconds of a scene, and how many are to come.

    ``working`` holds the start of each attempt that executes now.
    """

    median: float
    waiting: int
    working: tuple[datetime, ...] = ()


def scene_seconds(scene: Scene) -> float | None:
    """Return how long ``scene`` kept the server busy, all its attempts together; ``None`` if it never executed."""
    spans = [span for attempt in scene.attempts if (span := _execution(attempt)) is not None]
    return sum(spans) if spans else None


def pace(scenes: Iterable[Scene]) -> Pace | None:
    """Return the pace that ``scenes`` show, or ``None`` until one of them was rendered to its end."""
    taken: list[float] = []
    waiting, working = 0, []
    for scene in scenes:
        if scene.phase == "done":
            seconds = scene_seconds(scene)
            if seconds is not None:
                taken.append(seconds)
        elif not scene.over:
            latest = scene.latest
            if latest is not None and latest.executing_at is not None and latest.ended_at is None:
                working.append(latest.executing_at)
            else:
                waiting += 1
    return Pace(median=median(taken), waiting=waiting, working=tuple(working)) if taken else None


def remaining(known: Pace | None, now: datetime) -> float | None:
    """Return the seconds that are left at ``now`` by that pace; ``None`` while it is being learnt."""
    if known is None:
        return None
    under_way = sum(max(0.0, known.median - (now - start).total_seconds()) for start in known.working)
    return known.waiting * known.median + under_way


def remaining_seconds(state: State, now: datetime) -> float | None:
    """Return the seconds until the last scene is over: the median of the finished ones for each that remains.

    ``None`` as long as no scene was rendered to its end ("learning"), and 0 when nothing remains.
    """
    return remaining(pace(state.scenes), now)


def _execution(attempt: Attempt) -> float | None:
    """Return the seconds from the start of execution to its end, or ``None`` when one of them is not known."""
    if attempt.executing_at is None or attempt.execution_ended_at is None:
        return None
    return (attempt.execution_ended_at - attempt.executing_at).total_seconds()
