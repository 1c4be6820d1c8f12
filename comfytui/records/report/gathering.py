"""Which runs a report is about: run folders, sweeps, and folders of runs, in any mixture."""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from comfytui.errors import Failure
from comfytui.model.report import REPORT_VERSION, Report
from comfytui.records.report.figures import compared, figures
from comfytui.records.report.gate import judged, parse_gate
from comfytui.records.report.reading import read_run
from comfytui.records.rundir import is_run, list_runs
from comfytui.records.sweepdir import SweepDir, is_sweep, read_progress, read_sweep
from comfytui.untrusted import plain


def runs_of(place: Path) -> list[Path]:
    """Return the run folders that ``place`` stands for: itself, the runs of a sweep, or those in a folder.

    Raises ``Failure`` ``report.no_runs`` where there is none.
    """
    folder = place.absolute()
    if is_sweep(folder):
        sweep = SweepDir(folder)
        found = [sweep.run(run.run_id).path for run in read_progress(sweep).runs]
    elif is_run(folder):
        found = [folder]
    else:
        found = [run.path for run in list_runs(folder)] or _foreign_runs(folder)
    if not found:
        raise Failure("report.no_runs", place=str(place))
    return found


def _foreign_runs(folder: Path) -> list[Path]:
    """Return the folders in ``folder`` that are runs, whatever they are called: scripts of old named theirs freely."""
    try:
        return sorted(
            each for each in folder.iterdir() if each.is_dir() and (each / "artifact-metadata.json").is_file()
        )
    except OSError:
        return []


def report_on(
    places: Sequence[Path],
    created_at: datetime,
    *,
    title: str = "",
    baseline: Path | None = None,
    baseline_name: str = "",
    gate: str = "",
) -> Report:
    """Return the report over the runs at ``places``, each counted once.

    Raises ``Failure`` ``report.no_runs``, ``gate.syntax``, and ``run.plan`` for a sweep that cannot be read.
    """
    conditions = parse_gate(gate, baseline=baseline is not None)
    folders = dict.fromkeys(run for place in places for run in runs_of(place))
    notes = [note for place in places if is_sweep(place) for note in _sweep_notes(SweepDir(place.absolute()))]
    name = plain(title, 200) or ", ".join(plain(place.absolute().name, 80) for place in places[:3])
    report = figures(name, [read_run(folder) for folder in folders], created_at, notes)
    then = None
    if baseline is not None:
        then = read_baseline(baseline, created_at)
        report = compared(report, then, plain(baseline_name or str(baseline), 500))
    return judged(report, conditions, then)


def _sweep_notes(sweep: SweepDir) -> list[str]:
    progress = read_progress(sweep)
    notes = list(read_sweep(sweep).notes)
    if not progress.ended:
        done = sum(run.exit_code is not None for run in progress.runs)
        notes.append(f"{sweep.sweep_id} is not complete: {done} of {len(progress.runs)} runs begun have finished")
    return notes


def read_baseline(place: Path, created_at: datetime) -> Report:
    """Return the report over ``place``: worked out anew from its runs, or its ``report.json`` where they are gone.

    Raises ``Failure`` ``report.no_runs``.
    """
    is_folder = os.path.isdir(place)  # noqa: PTH112  (it raises for no name)
    file = place / "report.json" if is_folder else place
    if is_folder:
        try:
            folders = runs_of(place)
        except Failure:
            folders = []
        if folders and all(is_run(folder) for folder in folders):
            return figures(place.name, [read_run(folder) for folder in folders], created_at)
    try:
        report = msgspec.json.decode(file.read_bytes(), type=Report)
    except (OSError, ValueError, RecursionError):
        raise Failure("report.no_runs", place=str(place)) from None
    if report.version != REPORT_VERSION:
        raise Failure("report.no_runs", place=f"{place} (its report is of version {report.version})")
    return report
