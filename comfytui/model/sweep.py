"""A stability sweep: the same story run after run, what was planned, how far it is, and which run comes next. Pure."""

import re
from datetime import datetime

from msgspec import Struct, structs

from comfytui.errors import Failure
from comfytui.model.events.parts import SweepPart
from comfytui.model.matrix import Axis, Cell, cells, spelled, with_cell
from comfytui.model.plan import RunPlan

MOST_RUNS = 1000

_COUNT = re.compile(r"(\d{1,4})(?:\.\.(\d{1,4}))?", re.ASCII)


class SweepPlan(Struct, frozen=True, kw_only=True):
    """What a sweep was told to do. It is written before its first run, and read by whoever goes on with it."""

    id: str
    """``sweep-`` and the time of its making, which is its folder's name."""
    created_at: datetime
    version: str
    template: RunPlan
    """The plan of every run, but for its id, its time and the values of its cell."""
    least: int
    most: int
    """Rounds: see :func:`next_turn`. A round runs each cell once."""
    axes: tuple[Axis, ...] = ()
    baseline: str | None = None
    """What the report compares with, as a path that tells people so; the figures are in ``baseline.json``."""
    fail_on: str = ""
    """The gate, as it was given."""
    notes: tuple[str, ...] = ()
    """What a reader of the report should know of the plan."""


class SweepRun(Struct, frozen=True, kw_only=True):
    """One run of a sweep, from 1: its folder is settled before it begins; ``exit_code`` is there when it finished."""

    number: int
    run_id: str
    values: Cell = {}
    exit_code: int | None = None


class SweepProgress(Struct, frozen=True, kw_only=True):
    """The runs that a sweep has begun, in order; ``ended`` once no further one comes."""

    runs: tuple[SweepRun, ...] = ()
    ended: bool = False

    @property
    def open(self) -> SweepRun | None:
        """The run that was begun and has not finished."""
        return next((run for run in self.runs if run.exit_code is None), None)


def parse_count(text: str) -> tuple[int, int]:
    """Return the least and the most rounds of ``-n``: ``5`` or ``5..10``. Raises ``Failure`` ``sweep.count``."""
    found = _COUNT.fullmatch(text.strip())
    least, most = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= least <= most <= MOST_RUNS:
        raise Failure("sweep.count", count=text, most=MOST_RUNS)
    return least, most


def another_round(plan: SweepPlan, progress: SweepProgress) -> bool:
    """Tell whether one more round is due after the rounds that are complete.

    With ``-n 5`` that is until five are done. With ``-n 5..10`` it is until the last five in a row have gone well
    (every run of them exited with 0), and until ten at the most.
    """
    width = len(cells(plan.axes))
    done = len(progress.runs) // width
    if done < plan.least:
        return True
    lately = progress.runs[(done - plan.least) * width : done * width]
    return done < plan.most and any(run.exit_code != 0 for run in lately)


def next_turn(plan: SweepPlan, progress: SweepProgress) -> tuple[int, Cell] | None:
    """Return the number (from 1) and the cell of the run to begin next; ``None`` when the sweep is over.

    The cells take turns, so that what drifts with time falls on all of them alike. Every run that was begun must have
    finished.
    """
    combinations = cells(plan.axes)
    begun = len(progress.runs)
    if begun % len(combinations) == 0 and not another_round(plan, progress):
        return None
    return begun + 1, combinations[begun % len(combinations)]


def run_plan(plan: SweepPlan, run: SweepRun, created_at: datetime, mark: str) -> RunPlan:
    """Return the plan of ``run``."""
    width = len(cells(plan.axes))
    part = SweepPart(
        sweep=plan.id,
        number=run.number,
        least=plan.least * width,
        most=plan.most * width,
        values={name: spelled(value) for name, value in run.values.items()},
    )
    filled = with_cell(plan.template, plan.axes, run.values)
    return structs.replace(filled, run_id=run.run_id, created_at=created_at, mark=mark, sweep=part)


def begun(progress: SweepProgress, run: SweepRun) -> SweepProgress:
    """Return ``progress`` with ``run`` begun."""
    return structs.replace(progress, runs=(*progress.runs, run))


def finished(progress: SweepProgress, number: int, exit_code: int) -> SweepProgress:
    """Return ``progress`` with run ``number`` finished."""
    runs = tuple(structs.replace(run, exit_code=exit_code) if run.number == number else run for run in progress.runs)
    return structs.replace(progress, runs=runs)
