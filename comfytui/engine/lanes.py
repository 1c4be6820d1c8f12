"""Which of several servers takes the next scene, which waits for a faster one, which gives one back. Pure.

Every server is a lane: it renders one prompt at a time, and a few wait behind it. A scene goes to the lane that is
expected to have it done first. So a lane that is free takes one as long as the others cannot have done all that waits
by the time it were done; towards the end a slow one stays idle. What a lane takes for a scene is what it took on this
run so far, and as long as nothing is known of it, what the others took.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from comfytui.engine.standing import Standing, Tags
from comfytui.model.state import Scene, Server, State

TAKES_UNKNOWN = 1.0
"""Seconds that a scene is taken to need while nothing is known of any."""
FAR = 200
"""Scenes that are looked ahead: what is that far away is no reason to stay idle."""
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


def to_give_back(lanes: Sequence[Lane], standing: Standing) -> list[Scene]:
    """Return the scenes whose prompts wait on a server, but would be done sooner on one that has nothing to do.

    At most one for each idle lane, the one that would be done last first; only where nothing else waits for that lane.
    """
    found: list[Scene] = []
    if not standing.durations:
        return found
    for idle in sorted((lane for lane in lanes if not lane.busy), key=lambda lane: (lane.takes, lane.rank)):
        if standing.waiting_for(idle.tags) > len(found):
            continue
        late = [
            (lane.free_in, scene)
            for lane in lanes
            for scene in standing.on(lane.name).busy.values()
            if scene.phase == "queued" and scene not in found and _fits(scene, idle.tags)
            and lane.free_in > idle.takes * MARGIN
        ]  # fmt: skip
        if late:
            found.append(max(late, key=lambda entry: entry[0])[1])
    return found


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
    executing = [scene.attempts[-1].executing_at for scene in busy if scene.phase == "executing"]
    elapsed = max((max(0.0, (now - began).total_seconds()) for began in executing if began is not None), default=0.0)
    known = _median(standing.on(server.name).durations)
    takes = known if known is not None else max(usual or TAKES_UNKNOWN, elapsed)
    # One that is overdue by so much may well need as much again.
    left = abs(takes - elapsed) if executing else 0.0
    behind = len(busy) - len(executing)
    others = 0 if executing or not busy else (server.others or 0)
    return takes, left + (behind + others) * takes


def _median(seconds: Sequence[float]) -> float | None:
    return seconds[len(seconds) // 2] if seconds else None
