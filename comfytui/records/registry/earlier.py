"""What scenes took in earlier runs of the same workflow: what an estimate begins with. Blocking: for a worker thread.

It raises nothing: a run that cannot be read teaches nothing.
"""

from collections.abc import Iterator
from itertools import islice

from comfytui.errors import Failure
from comfytui.model.eta import ENOUGH, Known, Spent, learn
from comfytui.model.fold import fold_all
from comfytui.model.plan import RunPlan
from comfytui.model.workflow import digest
from comfytui.records import journal
from comfytui.records.rundir import RunDir, read_plan, run_names

NEWEST = 8
"""Earlier runs that are looked at."""
FACTS = 4000
"""Facts of each that are read: the beginning of a long run is enough."""
LARGEST_PLAN = 2 << 20
"""Bytes beyond which a plan is not read for this."""


def earlier_spent(run: RunDir) -> tuple[Spent, ...]:
    """Return what scenes took in the newest runs before ``run`` in its folder that are like it, the newest first.

    Alike are runs of the same graph and bindings, with the same servers and as many frames a scene. The first scene of
    a run counts for nothing: its models were loaded for it.
    """
    plan = _plan(run)
    found: list[Spent] = []
    for other in _before(run) if plan is not None else ():
        theirs = _plan(other)
        if plan is not None and theirs is not None and _kind(theirs) == _kind(plan):
            found += _spent(other)
            if len(found) >= ENOUGH:
                break
    return tuple(found[:ENOUGH])


def _before(run: RunDir) -> Iterator[RunDir]:
    runs = run.path.parent
    earlier = (name for name in run_names(runs) if name < run.run_id)
    return (RunDir(runs / name) for name in islice(earlier, NEWEST))


def _plan(run: RunDir) -> RunPlan | None:
    try:
        return read_plan(run) if run.plan.stat().st_size <= LARGEST_PLAN else None
    except (Failure, OSError):
        return None


def _kind(plan: RunPlan) -> tuple[str, tuple[str, ...], frozenset[int]]:
    servers = tuple(sorted(server.url for server in plan.servers))
    return digest(plan.workflow), servers, frozenset(scene.expected_frames for scene in plan.scenes)


def _spent(run: RunDir) -> list[Spent]:
    try:
        known = learn(Known(), fold_all(islice(journal.read(run.journal), FACTS)))
    except (Failure, OSError):
        return []
    return list(reversed(known.spent[1:] if known.cold else known.spent)) if known.done else []
