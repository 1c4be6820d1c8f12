"""Which of several servers takes the next scene, which waits for a faster one, which gives one back. Pure.

Every server is a lane: it renders one prompt at a time, and a few wait behind it. A scene goes to the lane that is
expected to have it done first. So a lane that is free takes one as long as the others cannot have done all that waits
by the time it were done; towards the end a slow one stays idle. How slow it is, is told by what it took on this run for
scenes of a size that others rendered too; as long as that says nothing it counts as fast as they are.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from comfytui.engine.standing import Standing, Tags
from comfytui.model.state import Scene, Server, State

TAKES_UNKNOWN = 1.0
"""Seconds that a scene is taken to need while nothing is known of any."""
SIZES = 200
"""Sizes of scenes that are looked at, at most, to tell how fast a server is."""
FAR = 200
"""Scenes that are looked ahead: what is that far away is no reason to stay idle."""
NEAR = 8
"""Scenes that wait, for each of the others, up to which a prompt is given back: the end is near."""
MARGIN = 1.25
"""A prompt that waits is given back when its scene would be done elsewhere in less than its time divided by this."""
PATIENCE_UNKNOWN, LEAST_PATIENCE, MOST_PATIENCE = 5.0, 0.25, 30.0
"""Seconds for which a server that does not answer keeps its scenes while others could take them."""

Capacity = Mapping[str, int]
"""How many prompts each server may have at a time, by name; one that takes none now is not in it."""


class Lane(NamedTuple):
    """A server that takes scenes: when it will be free (seconds from now) and what it takes for one."""

    name: str
    tags: Tags
    room: int
    busy: int
    free_in: float
    takes: float
    rank: tuple[float, int]
    """Who comes first of equals: the heaviest, then the one named first."""


def is_up(server: Server) -> bool:
    """Tell whether scenes can be given to ``server`` now."""
    return server.away_since is None and not server.left_out


def lanes_of(state: State, capacity: Capacity, standing: Standing, now: datetime) -> list[Lane]:
    """Return the lanes that take scenes, in the order in which the servers were named."""
    usual = _median(standing.durations)
    lanes = []
    for place, server in enumerate(state.servers):
        if server.name in capacity and is_up(server):
            busy = list(standing.on(server.name).busy.values())
            takes, free_in = _pace(server, standing, busy, usual, now)
            lanes.append(
                Lane(
                    server.name, frozenset(server.tags), capacity[server.name] - len(busy), len(busy), free_in, takes,
                    (-server.weight, place),
                )
            )  # fmt: skip
    return lanes


def takers(lanes: Sequence[Lane], standing: Standing) -> list[str]:
    """Return the lanes that take a scene now, in the order in which they choose: who is idle first, then by rank.

    None while a prompt is on its way to it: two at the same time may arrive in either order.
    """
    ready = sorted((lane for lane in lanes if _open(lane, standing)), key=lambda lane: (lane.busy, lane.rank))
    return [lane.name for lane in ready if _is_first(lane, lanes, standing.waiting_for(lane.tags))]


def idle_for(scene: Scene, lanes: Sequence[Lane], *, but: str) -> str | None:
    """Return a lane with nothing to do that can render ``scene``, other than ``but``; ``None`` without one."""
    idle = sorted((lane for lane in lanes if not lane.busy and lane.name != but), key=lambda lane: lane.rank)
    return next((lane.name for lane in idle if _fits(scene, lane.tags)), None)


def to_give_back(lanes: Sequence[Lane], standing: Standing) -> list[Scene]:
    """Return the scenes whose prompts wait on a server, but would be done sooner by the others, even after all that
    waits for those; at most one of each server, the last in its queue. What executes stays where it is.
    """
    if not standing.durations:
        return []
    found: list[Scene] = []
    for lane in sorted(lanes, key=lambda one: -one.free_in):
        behind = [scene for scene in standing.on(lane.name).busy.values() if scene.phase == "queued"]
        for scene in sorted(behind, key=lambda one: one.attempts[-1].planned_at)[-1:]:
            rivals = [one for one in lanes if one is not lane and _fits(scene, one.tags)]
            waiting = max((standing.waiting_for(one.tags) for one in rivals), default=0) + len(found)
            if rivals and waiting <= NEAR * len(rivals) and lane.free_in > MARGIN * _done_in(rivals, waiting + 1):
                found.append(scene)
    return found


def _done_in(lanes: Sequence[Lane], scenes: int) -> float:
    """Return in how many seconds ``lanes`` will have done so many scenes more, each going where it is done first."""
    free, done = {one.name: one.free_in for one in lanes}, 0.0
    for _ in range(scenes):
        first = min(lanes, key=lambda one: (free[one.name] + one.takes, one.rank))
        done = free[first.name] = free[first.name] + first.takes
    return done


def patience(state: State, standing: Standing, capacity: Capacity, scene: Scene, server: str) -> float | None:
    """Return for how many seconds ``scene`` stays with a ``server`` that does not answer; ``None``: nobody else could
    take it, so it stays as long as the server is waited for.

    Half of what a scene takes, since what is lost by moving it is what it took so far; within bounds.
    """
    others = (one for one in state.servers if one.name != server and one.name in capacity and is_up(one))
    if not any(_fits(scene, frozenset(other.tags)) for other in others):
        return None
    usual = _median(standing.on(server).durations) or _median(standing.durations)
    return PATIENCE_UNKNOWN if usual is None else min(MOST_PATIENCE, max(LEAST_PATIENCE, usual / 2))


def nobody_left(scene: Scene, state: State) -> bool:
    """Tell whether every server that could render ``scene`` is given up for now."""
    return all(server.lost for server in state.servers if _fits(scene, frozenset(server.tags)))


def _fits(scene: Scene, tags: Collection[str]) -> bool:
    return set(scene.brief.server_tags or ()) <= set(tags)


def _open(lane: Lane, standing: Standing) -> bool:
    return lane.room > 0 and not standing.on(lane.name).count("planned")


def _is_first(lane: Lane, lanes: Sequence[Lane], waiting: int) -> bool:
    """Tell whether one of the ``waiting`` scenes would be done first by ``lane``, each going where it is done first."""
    if waiting > FAR:
        return True
    free = {one.name: one.free_in for one in lanes if one.tags >= lane.tags or one is lane}
    rivals = [one for one in lanes if one.name in free]
    for _ in range(waiting):
        first = min(rivals, key=lambda one: (free[one.name] + one.takes, one.rank))
        if first is lane:
            return True
        free[first.name] += first.takes
    return False


def _pace(
    server: Server, standing: Standing, busy: Sequence[Scene], usual: float | None, now: datetime
) -> tuple[float, float]:
    """Return the seconds that a scene takes on ``server``, and those until it has done what it has."""
    slowness = _slowness(server.name, standing)
    takes, left, executing = (usual or TAKES_UNKNOWN) * (slowness or 1.0), 0.0, 0
    for scene in busy:
        began = scene.attempts[-1].executing_at
        if scene.phase == "executing" and began is not None:
            elapsed = max(0.0, (now - began).total_seconds())
            expected = _median(standing.by_frames.get(scene.brief.expected_frames, ()))
            whole = takes if expected is None else expected * (slowness or 1.0)
            # One that is overdue by so much may well need as much again.
            left, executing = left + abs(whole - elapsed), executing + 1
            takes = max(takes, elapsed) if slowness is None and elapsed > whole else takes
    others = 0 if executing else (server.others or 0)  # theirs come before ours, or some of them
    return takes, left + (len(busy) - executing + others) * takes


def _slowness(name: str, standing: Standing) -> float | None:
    """Return how many times as long as usual a scene takes on that server, among scenes of the same size.

    ``None`` while none of its executions can be compared with what others took. A single one may have loaded the
    models, and is held to the longest of theirs, which may have done so too.
    """
    compared, total = 0, 0.0
    for frames, own in islice(standing.on(name).by_frames.items(), SIZES):
        everybody = standing.by_frames.get(frames, ())
        if own and len(everybody) > len(own):
            single = len(own) == 1
            usual = _longest_but(own[0], everybody) if single else _usual(everybody)
            ratio = _usual(own) / usual if usual else 1.0
            compared, total = compared + len(own), total + len(own) * (max(1.0, ratio) if single else ratio)
    return total / compared if compared else None


def _longest_but(own: float, everybody: Sequence[float]) -> float:
    return everybody[-2] if everybody[-1] == own else everybody[-1]


def _usual(seconds: Sequence[float]) -> float:
    """Return the (lower) median of ``seconds``, which rise; there is at least one."""
    return seconds[(len(seconds) - 1) // 2]


def _median(seconds: Sequence[float]) -> float | None:
    return _usual(seconds) if seconds else None
