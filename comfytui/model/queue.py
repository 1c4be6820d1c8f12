"""The order in which waiting scenes get their turn: by rule, and as people changed it. Pure."""

from collections.abc import Iterable, Sequence
from math import inf

from msgspec import Struct

from comfytui.model.state import Scene, State


class Placing(Struct, frozen=True, kw_only=True):
    """A waiting scene's other place: its turn, and the scene that then comes next (``None``: it is the last one)."""

    scene: str
    turn: float
    before: str | None


def turn_of(scene: Scene, place: int, count: int) -> float:
    """Return the turn of the scene at ``place`` (from 0) of a story of ``count`` scenes; the lowest comes first.

    By rule it is the place in the story, and for a scene that was tried before as much ahead of all others.
    """
    if scene.turn is not None:
        return scene.turn
    return float(place - count if scene.attempts else place)


def waiting(state: State) -> list[Scene]:
    """Return the scenes that wait to be sent, in the order of their turns, without those that were given up."""
    return [scene for _, scene in _turns(state)]


def first_of(state: State, places: Sequence[int]) -> list[Scene]:
    """Return the scene whose turn comes first of those at ``places`` (rising); nothing where there are none."""
    count = len(state.scenes)
    first = min(places, key=lambda place: turn_of(state.scenes[place], place, count), default=None)
    return [] if first is None else [state.scenes[first]]


def ahead(state: State) -> dict[str, int]:
    """Return how many scenes that have not begun come before each of them: those on the server, then those waiting."""
    sent = [scene for scene in state.scenes if scene.phase in ("planned", "queued")]
    sent.sort(key=lambda scene: scene.attempts[-1].planned_at.timestamp() if scene.attempts else inf)
    return {scene.id: place for place, scene in enumerate([*sent, *waiting(state)])}


def placings(state: State, chosen: Iterable[str], by: int) -> list[Placing]:
    """Return what moving the ``chosen`` waiting scenes, together, ``by`` places amounts to.

    Nothing where they are at that end of the queue already, or where two neighbours leave no turn between them.
    """
    queue, names = _turns(state), set(chosen)
    moving = [scene for _, scene in queue if scene.id in names]
    rest = [entry for entry in queue if entry[1].id not in names]
    if not moving or not rest:
        return []
    first = next(at for at, (_, scene) in enumerate(queue) if scene.id in names)
    at = max(0, min(len(rest), first + by))
    if [scene.id for _, scene in rest[:at]] + [s.id for s in moving] == [s.id for _, s in queue[: at + len(moving)]]:
        return []
    turns = _between(rest[at - 1][0] if at else None, rest[at][0] if at < len(rest) else None, len(moving))
    before = [*(scene.id for scene in moving[1:]), rest[at][1].id if at < len(rest) else None]
    return (
        [Placing(scene=s.id, turn=t, before=b) for s, t, b in zip(moving, turns, before, strict=True)] if turns else []
    )


def _turns(state: State) -> list[tuple[float, Scene]]:
    count = len(state.scenes)
    turns = [
        (turn_of(scene, place, count), scene)
        for place, scene in enumerate(state.scenes)
        if scene.phase == "waiting" and scene.given_up is None
    ]
    turns.sort(key=lambda entry: entry[0])  # stable: the story's order where turns are equal
    return turns


def _between(low: float | None, high: float | None, count: int) -> Sequence[float]:
    """Return ``count`` turns that rise between two others; none where floating point has no more between them."""
    if low is None:
        low = (high or 0.0) - count - 1
    if high is None:
        high = low + count + 1
    step = (high - low) / (count + 1)
    turns = [low + step * number for number in range(1, count + 1)]
    rising = all(one < other for one, other in zip([low, *turns], [*turns, high], strict=True))
    return turns if rising else ()
