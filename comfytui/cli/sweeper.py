"""Driving a sweep in this process, and what follows its last run: the report, and the exit code it amounts to."""

from collections.abc import Callable
from pathlib import Path

import anyio

from comfytui.cli.driving import Driving, Telling, credentials
from comfytui.clock import Clock, system_clock
from comfytui.engine.runner import Reason
from comfytui.engine.sweep import RunResult, all_well, drive_sweep
from comfytui.model.plan import RunPlan
from comfytui.model.report import Report
from comfytui.records.lock import RunLock
from comfytui.records.report.gathering import report_on
from comfytui.records.report.writing import write_report
from comfytui.records.rundir import RunDir
from comfytui.records.sweepdir import SweepDir, read_progress, read_sweep


async def drive_with(
    sweep: SweepDir,
    clock: Clock,
    telling: Callable[[], Telling | None],
    on_hangup: Callable[[], None],
    metrics_port: int | None = None,
) -> int:
    """Drive what is left of ``sweep``; ``telling`` makes what tells one run in lines, if anybody wants to know.

    Returns 0 once it is complete, else the exit code of the run that stays open. Raises ``Failure`` as the runner
    does, and ``run.locked`` while another process drives the sweep.
    """

    async def drive(run: RunDir, plan: RunPlan, reason: Reason) -> RunResult:
        driving = Driving(run, plan, reason, clock, credentials(*plan.servers), metrics_port=metrics_port)
        code = await driving.drive(telling(), on_hangup)
        return RunResult(code, finished=driving.finished)

    with RunLock.acquire(sweep.locked_as):
        return await drive_sweep(sweep, read_sweep(sweep), clock, drive)


def ending(sweep: SweepDir, driven: int, clock: Clock) -> tuple[int, Report | None]:
    """Write the report over what the sweep has so far; return the exit code and the report (``None``: nothing ran).

    ``driven`` is what :func:`drive_with` returned; other than 0 it is the exit code. A complete sweep with a gate exits
    with what the gate says, and one without with 0 only when every run of it did. Raises ``Failure``
    ``run.unwritable``.
    """
    plan, progress = read_sweep(sweep), read_progress(sweep)
    if not progress.runs:
        return driven, None
    report = report_on(
        [sweep.path],
        clock.now(),
        title=sweep.sweep_id,
        baseline=sweep.baseline if plan.baseline is not None else None,
        baseline_name=plan.baseline or "",
        gate=plan.fail_on,
    )
    write_report(report, sweep.path)
    if driven != 0:
        return driven, report
    well = not report.broken if plan.fail_on else all_well(progress)
    return (0 if well else 1), report


def drive_sweep_detached(folder: Path, metrics_port: int | None = None) -> int:
    """Drive the sweep in ``folder`` for dashboards that look on, write its report, and return its exit code."""
    sweep, clock = SweepDir(folder.absolute()), system_clock()
    driven = anyio.run(drive_with, sweep, clock, lambda: None, lambda: None, metrics_port)
    code, _ = ending(sweep, driven, clock)
    return code
