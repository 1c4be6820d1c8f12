"""Driving a sweep: one run after the other, each written down before it begins, so that a sweep can be taken up again.

A run that finished, well or not, is followed by the next. A run that was stopped, paused or could not begin ends the
sweep for now: it stays open, and whoever goes on with the sweep goes on with that run.
"""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec import Struct, structs

from comfytui.clock import Clock
from comfytui.engine.runner import Reason
from comfytui.errors import Failure
from comfytui.model.plan import RunPlan
from comfytui.model.sweep import SweepPlan, SweepProgress, SweepRun, begun, finished, next_turn, run_plan
from comfytui.records.faults import why, writing
from comfytui.records.rundir import RunDir, create_run, read_plan, write_plan
from comfytui.records.sweepdir import SweepDir, read_progress, write_progress


class RunResult(Struct, frozen=True):
    """How the drive of one run ended: its exit code, and whether the run came to its end."""

    exit_code: int
    finished: bool


Drive = Callable[[RunDir, RunPlan, Reason], Awaitable[RunResult]]
"""Drives one run to its end. Raises ``Failure`` as :class:`comfytui.engine.runner.Runner` does."""


async def drive_sweep(sweep: SweepDir, plan: SweepPlan, clock: Clock, drive: Drive) -> int:
    """Run what is left of ``plan`` and return 0 once it is complete, else the exit code of the run that stays open.

    Raises ``Failure``: ``run.unwritable``, ``run.plan``, ``story.unreadable``, and what ``drive`` raises.
    """
    progress = read_progress(sweep)
    if progress.ended:
        return 0
    while True:
        run = progress.open
        if run is None:
            turn = next_turn(plan, progress)
            if turn is None:
                write_progress(sweep, structs.replace(progress, ended=True))
                return 0
            number, values = turn
            folder = create_run(sweep.path.parent, clock)
            run = SweepRun(number=number, run_id=folder.run_id, values=values)
            progress = begun(progress, run)
            write_progress(sweep, progress)
        run_dir, its_plan, reason = _prepared(sweep, plan, run, clock)
        result = await drive(run_dir, its_plan, reason)
        if not result.finished:
            return result.exit_code
        progress = finished(progress, run.number, result.exit_code)
        write_progress(sweep, progress)


def _prepared(sweep: SweepDir, plan: SweepPlan, run: SweepRun, clock: Clock) -> tuple[RunDir, RunPlan, Reason]:
    """Return the run's folder, its plan, and whether it is begun or taken up. A folder without a plan gets one."""
    folder = sweep.run(run.run_id)
    if folder.plan.exists():
        return folder, read_plan(folder), "resume" if folder.journal.exists() else "run"
    with writing(folder.path):
        folder.path.mkdir(exist_ok=True)
    its_plan = run_plan(plan, run, clock.now(), os.urandom(4).hex())
    story = plan.template.story.file
    write_plan(folder, its_plan, _content(sweep.story_file(story)) if story else None)
    return folder, its_plan, "run"


def _content(story: Path) -> bytes:
    try:
        return story.read_bytes()
    except OSError as fault:
        raise Failure("story.unreadable", file=str(story), why=why(fault)) from fault


def all_well(progress: SweepProgress) -> bool:
    """Tell whether every run that finished exited with 0."""
    return all(run.exit_code == 0 for run in progress.runs)
