"""How long the run will probably still take, from what this workflow's own scenes took: a range, or silence. Pure.

Several servers share what is to come: what one would take is divided by how many of the usual speed they amount to.

What a scene keeps its server busy for is learnt in four parts: the wait for its turn beyond our own prompts (other
people's), the time until the first step is told (models are loaded), the steps, and what follows them (decoding,
saving). The load of the very first scene is a cold one and does not count for the rest.

The range is from p50 to p90. What ``n`` scenes to come take together has the mean ``n m`` and, seen from ``k`` known
ones with the spread ``s``, the standard error ``s sqrt(n + n² / k)``: the chance of each scene, and that ``m`` itself
is known from ``k`` only. p90 stands the 90 % quantile of Student's t above it; p50 is corrected by how far the median
of a scene lies from its mean. A scene that executes is judged by those that took longer in its present part.
"""

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import ceil, sqrt
from statistics import fmean, median, stdev

from msgspec import Struct
from msgspec.structs import replace

from comfytui.model.changes import changed_places
from comfytui.model.state import Attempt, Scene, State

WINDOW = 64
"""Scenes that teach: the newest ones."""

ENOUGH = 5
"""Scenes of a run from which on earlier runs teach nothing any more."""

FEWEST = 2
"""Scenes below which nothing is known: one alone has no spread."""

RECENT_TURNS = 8

FARTHEST = 10 * 365 * 86400.0
"""Seconds beyond which no clock time is told: where a clock jumped, a scene may seem to have taken half a century."""

_NEVER = datetime.max.replace(tzinfo=UTC)


class Spent(Struct, frozen=True, kw_only=True):
    """Seconds that a scene kept its server busy, all its attempts together.

    ``wait`` is for other people's prompts; ``busy`` the execution; ``load``, ``steps`` and ``save`` are its parts,
    ``None`` where no step was told.
    """

    wait: float
    busy: float
    load: float | None = None
    steps: float | None = None
    save: float | None = None
    server: str = ""
    """The name of the server that it was kept busy; empty where the run has only one."""


class Known(Struct, frozen=True, kw_only=True):
    """What was learnt up to fact ``seq``: the scenes that are over, and where the others stand.

    ``cold`` is whether the first of ``spent`` is the first scene of all.
    """

    run: str = ""
    seq: int = -1
    scenes: Sequence[Scene] = ()
    spent: tuple[Spent, ...] = ()
    cold: bool = True
    done: int = 0
    turns: dict[str, tuple[tuple[datetime, datetime], ...]] = {}
    """When the newest prompts of each server began and ended, by its name."""
    waiting: tuple[int, ...] = ()
    working: tuple[int, ...] = ()

    @property
    def learning(self) -> bool:
        """Whether too little is known to say anything: fewer than two scenes, or none that was rendered."""
        return len(self.spent) < FEWEST or not self.done


class Estimate(Struct, frozen=True, kw_only=True):
    """Seconds from now: as likely less as more (p50), and not exceeded nine times out of ten (p90)."""

    likely: float
    late: float

    def clock(self, now: datetime) -> tuple[datetime, datetime]:
        """Return when that is, seen from ``now``; at most :data:`FARTHEST` from it."""
        likely, late = (timedelta(seconds=min(FARTHEST, seconds)) for seconds in (self.likely, self.late))
        return now + likely, now + late


def learn(known: Known, state: State) -> Known:
    """Return what is known with ``state``, looking only at the scenes that changed since ``known``.

    A state that lies before, or is of another run, is learnt from anew.
    """
    run = state.run.id if state.run is not None else ""
    backwards = state.seq < known.seq or run != known.run
    if state.scenes is known.scenes and not backwards:
        return known
    if backwards or len(state.scenes) != len(known.scenes):
        known = Known(run=run, waiting=tuple(range(len(state.scenes))))
        changed: Sequence[int] = range(len(state.scenes))
        before: Sequence[Scene | None] = [None] * len(state.scenes)
    else:
        before = known.scenes
        changed = changed_places(before, state.scenes)
    waiting, working, over = list(known.waiting), set(known.working), list[Scene]()
    for place in changed:
        was, scene = before[place], state.scenes[place]
        _move(waiting, place, here=not scene.over and not _begun(scene))
        (working.add if not scene.over and _begun(scene) else working.discard)(place)
        if scene.phase in ("done", "failed") and (was is None or not was.over):
            over.append(scene)
    known = replace(
        known, seq=state.seq, scenes=state.scenes, waiting=tuple(waiting), working=tuple(sorted(working))
    )  # fmt: skip
    for scene in sorted(over, key=_ended_at):
        known = _taught(known, scene)
    return known


def reminded(known: Known, earlier: Sequence[Spent]) -> Known:
    """Return what is known with what ``earlier`` runs of the same workflow took, the newest first, in the place of what
    this run has not told yet: with each of its own scenes by one less.
    """
    lack = ENOUGH - len(known.spent)
    if lack <= 0 or not earlier:
        return known
    cold = known.cold and bool(known.spent)
    return replace(known, spent=(*known.spent, *earlier[:lack]), cold=cold, done=max(1, known.done))


def run_estimate(known: Known, state: State, now: datetime) -> Estimate | None:
    """Return how long it takes until the last scene is over; ``None`` while learning, 0 when nothing remains."""
    return _ahead(known, state, now, len(known.waiting))


def scene_estimate(
    known: Known, state: State, scene_id: str, now: datetime, ahead: int | None = None
) -> Estimate | None:
    """Return how long it takes until that scene is over: what is before it counts too.

    ``ahead`` is how many of those that have not begun come before it; ``None``: as many as in the story.
    ``None`` while learning, when it is over or unknown, and when it takes longer than every scene before it.
    """
    place = state.index.get(scene_id)
    if known.learning or place is None:
        return None
    if place in known.working:
        return _under_way(known, state, state.scenes[place], now)
    rank = bisect_left(known.waiting, place)
    if rank == len(known.waiting) or known.waiting[rank] != place:
        return None
    return _ahead(known, state, now, (rank if ahead is None else ahead) + 1)


def typical(known: Known) -> Spent | None:
    """Return what a scene typically takes: the median of each part; ``None`` while learning."""
    if known.learning:
        return None
    load, steps, save = (median(told) if (told := _told(known, name)) else None for name in ("load", "steps", "save"))
    return Spent(
        wait=median(spent.wait for spent in known.spent), busy=median(spent.busy for spent in known.spent),
        load=load, steps=steps, save=save,
    )  # fmt: skip


# --- learning ---------------------------------------------------------------------------------------------------------


def _begun(scene: Scene) -> bool:
    return scene.phase in ("executing", "collecting")


def _move(places: list[int], place: int, *, here: bool) -> None:
    at = bisect_left(places, place)
    there = at < len(places) and places[at] == place
    if here and not there:
        insort(places, place)
    elif there and not here:
        del places[at]


def _ended_at(scene: Scene) -> datetime:
    return max((a.execution_ended_at or a.planned_at for a in scene.attempts), default=_NEVER)


def _taught(known: Known, scene: Scene) -> Known:
    """Return ``known`` with what ``scene`` took. One that people asked for again teaches by its newest attempt."""
    attempts = scene.attempts[-1:] if scene.extra_attempts else scene.attempts
    parts = [part for attempt in attempts if (part := _spent(attempt, known.turns)) is not None]
    if not parts:
        return known
    turns = dict(known.turns)
    for attempt in attempts:
        if attempt.executing_at is not None and attempt.execution_ended_at is not None:
            turn = attempt.executing_at, attempt.execution_ended_at
            turns[attempt.server_name] = (*turns.get(attempt.server_name, ()), turn)[-RECENT_TURNS:]
    spent = (*known.spent, replace(_sum(parts), server=attempts[-1].server_name))
    return replace(
        known, spent=spent[-WINDOW:], cold=known.cold and len(spent) <= WINDOW,
        done=known.done + (scene.phase == "done"), turns=turns,
    )  # fmt: skip


def _spent(attempt: Attempt, turns: Mapping[str, Sequence[tuple[datetime, datetime]]]) -> Spent | None:
    """Return what ``attempt`` took; ``None`` unless it executed. Its turn came when the one before had ended there.

    A server executes one prompt at a time, but that one has ended may be told after the next has begun.
    """
    began, ended = attempt.executing_at, attempt.execution_ended_at
    if began is None or ended is None:
        return None
    before = (min(end, began) for start, end in turns.get(attempt.server_name, ()) if start < began)
    wait, busy = _seconds(max([attempt.planned_at, *before]), began), _seconds(began, ended)
    if attempt.steps is None:
        return Spent(wait=wait, busy=busy)
    load, steps = _seconds(began, attempt.steps.first), _seconds(attempt.steps.first, attempt.steps.last)
    return Spent(wait=wait, busy=busy, load=load, steps=steps, save=_seconds(attempt.steps.last, ended))


def _seconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())


def _sum(parts: Sequence[Spent]) -> Spent:
    def total(name: str) -> float | None:
        told = [getattr(part, name) for part in parts]
        return None if None in told else sum(told)

    return Spent(
        wait=sum(part.wait for part in parts), busy=sum(part.busy for part in parts), load=total("load"),
        steps=total("steps"), save=total("save"),
    )  # fmt: skip


def _told(known: Known, name: str) -> list[float]:
    """Return the seconds of one part of the known scenes, without the first load where there is another."""
    spent = known.spent[1:] if name == "load" and known.cold and len(known.spent) > 1 else known.spent
    return [told for one in spent if (told := getattr(one, name)) is not None]


# --- looking ahead ----------------------------------------------------------------------------------------------------


def _ahead(known: Known, state: State, now: datetime, scenes: int) -> Estimate | None:
    """Return how long what executes now and ``scenes`` more take."""
    if not scenes and not known.working:
        return Estimate(likely=0.0, late=0.0)
    if known.learning:
        return None
    working = [_under_way(known, state, state.scenes[place], now) for place in known.working]
    parts = [part for part in working if part is not None]
    together = _added([_together(known, scenes), *parts])
    return _shared(known, state, together, parts, scenes) if state.several else together


def _shared(known: Known, state: State, together: Estimate, working: Sequence[Estimate], scenes: int) -> Estimate:
    """Return how long it takes several servers to do what one would do in ``together``: not less than what executes
    now, nor than one of the ``scenes`` to come takes.
    """
    lanes = _lanes(known, state)
    one = fmean(_costs(known)) if scenes else 0.0
    least = max(one, *(part.likely for part in working), 0.0)
    most = max(one, *(part.late for part in working), 0.0)
    likely = max(together.likely / lanes, least)
    return Estimate(likely=likely, late=max(likely, together.late / lanes, most))


def _lanes(known: Known, state: State) -> float:
    """Return how many servers of the usual speed those that can be used now amount to; at least one."""
    usual, lanes = fmean(spent.busy for spent in known.spent), 0.0
    for server in state.servers:
        if server.reached and not server.left_out and server.away_since is None:
            own = [spent.busy for spent in known.spent if spent.server == server.name]
            lanes += usual / fmean(own) if own and fmean(own) > 0 else 1.0
    return max(1.0, lanes)


def _together(known: Known, scenes: int) -> Estimate:
    """Return how long ``scenes`` take one after the other (see the module)."""
    if not scenes:
        return Estimate(likely=0.0, late=0.0)
    costs = _costs(known)
    mean, known_scenes = fmean(costs), len(costs)
    likely = max(0.0, scenes * mean + median(costs) - mean)
    error = stdev(costs) * sqrt(scenes + scenes**2 / known_scenes)
    return Estimate(likely=likely, late=max(likely, scenes * mean + _student_90(known_scenes - 1) * error))


def _costs(known: Known) -> list[float]:
    costs = [spent.wait + spent.busy for spent in known.spent]
    first, warm = known.spent[0], _told(known, "load")
    if known.cold and first.load is not None and warm:
        costs[0] -= max(0.0, first.load - median(warm))
    return costs


def _under_way(known: Known, state: State, scene: Scene, now: datetime) -> Estimate | None:
    """Return how much longer ``scene`` executes, or ``None`` when it is slower than all that are known.

    A scene whose frames are being collected counts as good as over. Of several servers it is judged by its own, as soon
    as that has ended enough.
    """
    known = _of_server(known, scene)
    began = scene.latest.executing_at if scene.latest is not None else None
    if scene.phase != "executing" or began is None:
        return Estimate(likely=0.0, late=0.0)
    part, since = _part(state, scene.id, began)
    present = _beyond(_told(known, part), _seconds(since, now))
    if present is None:
        return _beyond(_told(known, "busy"), _seconds(began, now))
    rest = {"load": ("steps", "save"), "steps": ("save",)}.get(part, ())
    later = [Estimate(likely=median(told), late=_high(told)) for name in rest if (told := _told(known, name))]
    return _added([present, *later])


def _of_server(known: Known, scene: Scene) -> Known:
    """Return what is known of the server that ``scene`` is on, where it has one among several and that is enough."""
    server = scene.latest.server_name if scene.latest is not None else ""
    own = tuple(spent for spent in known.spent if spent.server == server) if server else ()
    return replace(known, spent=own) if len(own) >= FEWEST else known


def _part(state: State, scene_id: str, began: datetime) -> tuple[str, datetime]:
    """Return the part in which the scene executes, and since when."""
    steps, sample = state.steps.get(scene_id), state.progress.get(scene_id)
    if steps is None:
        return "load", began
    return ("save", steps.last) if sample is not None and sample.maximum <= 1 else ("steps", steps.first)


def _beyond(told: Sequence[float], elapsed: float) -> Estimate | None:
    longer = [seconds - elapsed for seconds in told if seconds > elapsed]
    return Estimate(likely=median(longer), late=_high(longer)) if longer else None


def _high(told: Sequence[float]) -> float:
    """Return the ninth decile of ``told``: the least value that nine out of ten do not exceed."""
    return sorted(told)[ceil(0.9 * len(told)) - 1]


def _added(parts: Sequence[Estimate]) -> Estimate:
    """Return the sum of estimates that have nothing to do with each other: their widths add up as squares."""
    likely = sum(part.likely for part in parts)
    return Estimate(likely=likely, late=likely + sqrt(sum((part.late - part.likely) ** 2 for part in parts)))


def _student_90(freedom: int) -> float:
    """Return the 90 % quantile of Student's t, by its expansion around the normal one."""
    z = 1.2815515655446004
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / freedom + second / freedom**2
