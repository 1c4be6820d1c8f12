"""``comfytui sweep``: a story run after run, in lines or behind the dashboard, and the report at its end."""

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from comfytui import __version__
from comfytui.cli.endings import INTERRUPTED
from comfytui.cli.faces import Face, chosen_face, formatter_for, prepare_dashboard, show
from comfytui.cli.keyframes import with_keyframes
from comfytui.cli.planning import make_plan, order_story
from comfytui.cli.reporting import told_in_lines
from comfytui.clock import Clock, system_clock
from comfytui.errors import Failure
from comfytui.model.matrix import parse_matrix
from comfytui.model.sweep import SweepPlan, parse_count
from comfytui.records.atomic import write_atomic
from comfytui.records.report.gate import parse_gate
from comfytui.records.report.gathering import read_baseline
from comfytui.records.rundir import readable
from comfytui.records.sweepdir import SweepDir, create_sweep, find_sweep, read_sweep, write_sweep
from comfytui.settings.merged import Settings, load
from comfytui.settings.secrets import headers_of
from comfytui.settings.table import PLACES, QUEUE
from comfytui.untrusted import plain

if TYPE_CHECKING:
    from comfytui.model.report import Report

LOG_TAIL = 4096
"""Bytes of a log that are worth a look."""

FIXED_SEEDS = (
    "Scenes with a seed of their own are rendered alike in every run: the server may take parts of them from its "
    "cache, and their durations tell the less"
)


def sweep_story(story: Path | None, flags: Mapping[str, Any]) -> int:
    """Sweep the story, or go on with a sweep (``--resume``), and return the exit code.

    0: every run went well, or with a gate: no condition of it holds; 1 otherwise. Raises ``Failure`` before anything
    is sent or made: what ``run`` raises, ``sweep.*``, ``gate.syntax``, ``report.no_runs`` for the baseline.
    """
    settings = load(flags, os.environ, Path.cwd())
    face = chosen_face(flags)
    if not face.headless:
        prepare_dashboard(settings)
    headers_of(os.environ)  # so that unusable ones are told here, not in the log of a runner
    clock = system_clock()
    if flags.get("resume"):
        _refuse_changes(flags)
        sweep = find_sweep(settings.runs_dir, str(story) if story is not None else None)
    elif story is None:
        raise Failure("sweep.no_story")
    else:
        sweep = _opened(story, flags, settings, face, clock)
    return go_on(sweep, face, settings, clock)


def _refuse_changes(flags: Mapping[str, Any]) -> None:
    """Raise ``click.UsageError`` for a flag that would change what was planned."""
    said = {"count": "-n", "matrix": "--matrix", "baseline": "--baseline", "fail_on": "--fail-on"}
    said |= {setting.name: setting.flag for setting in (*PLACES, *QUEUE) if setting.name != "runs_dir"}
    given = [flag for name, flag in said.items() if flags.get(name) not in (None, ())]
    if given:
        raise click.UsageError(f"A sweep goes on as it was planned: {', '.join(given)} cannot be given with --resume.")


def go_on(sweep: SweepDir, face: Face, settings: Settings, clock: Clock) -> int:
    """Go on with ``sweep`` wherever it stands, and return its exit code."""
    read_sweep(sweep)
    if face.headless:
        return _in_lines(sweep, face, clock, ascii_only=settings.ascii)
    return _in_dashboard(sweep, face, settings, clock)


def _opened(story: Path, flags: Mapping[str, Any], settings: Settings, face: Face, clock: Clock) -> SweepDir:
    """Return the folder of a sweep that is all checked and written down."""
    order = order_story(story, settings)
    least, most = parse_count(flags.get("count") or "5")
    axes = parse_matrix(flags.get("matrix") or (), order.workflow)
    gate, baseline = flags.get("fail_on") or "", flags.get("baseline")
    parse_gate(gate, baseline=baseline is not None)
    then = read_baseline(Path(baseline).absolute(), clock.now()) if baseline is not None else None
    sweep = create_sweep(settings.runs_dir, clock)
    if then is not None:  # its runs may be gone by the time that the sweep is over
        write_atomic(sweep.baseline, readable(then))
    order = with_keyframes(order, sweep.drawn_keyframes)
    template = make_plan(
        order, settings, run_id="", created_at=clock.now(), simulator_speed="instant" if face.headless else "demo"
    )
    fixed = any(scene.seed is not None for scene in template.scenes) and all(axis.target != "seed" for axis in axes)
    plan = SweepPlan(
        id=sweep.sweep_id, created_at=clock.now(), version=__version__, template=template, least=least, most=most,
        axes=axes, baseline=str(Path(baseline).absolute()) if baseline is not None else None, fail_on=gate,
        notes=(FIXED_SEEDS,) if fixed else (),
    )  # fmt: skip
    write_sweep(sweep, plan, order.story_file)
    return sweep


def _in_lines(sweep: SweepDir, face: Face, clock: Clock, *, ascii_only: bool) -> int:
    import anyio

    from comfytui.cli.driving import Telling, in_lines
    from comfytui.cli.sweeper import drive_with, ending
    from comfytui.faces.headless import json_line
    from comfytui.faces.printer import Printer, to_stdout
    from comfytui.records.report.words import report_summary

    printer = Printer(to_stdout)

    def telling() -> Telling:
        return in_lines(formatter_for(face, clock), printer)

    driven = anyio.run(drive_with, sweep, clock, telling, printer.close, face.metrics_port)
    code, report = ending(sweep, driven, clock)
    if report is not None:
        words = report_summary(report, sweep.path)
        lines = (
            [json_line(sweep=words)]
            if face.kind == "json"
            else told_in_lines(report, sweep.path, ascii_only=ascii_only)
        )
        anyio.run(printer.lines, lines)
    if printer.busy:  # a reader that never reads would keep the interpreter from leaving
        os._exit(code)
    return code


def _in_dashboard(sweep: SweepDir, face: Face, settings: Settings, clock: Clock) -> int:
    from comfytui.link.launch import start_sweeper
    from comfytui.link.sweep_feed import SweepFeed

    process = start_sweeper(sweep, face.metrics_port)
    feed = SweepFeed(sweep, clock, starting=lambda: process.poll() is None)
    left = show(feed, clock, face, settings, title=f"comfytui {sweep.sweep_id}", owns_run=True)
    if left == "stopped":
        return INTERRUPTED
    code = process.poll()
    if code is None:
        print(f"The sweep goes on. Join it again with: comfytui attach {sweep.path}")
        return 0
    _print_report(sweep, ascii_only=settings.ascii)
    if code not in (0, 1):
        _print_log(sweep)
    return code if code >= 0 else 1  # a signal ended it


def _print_log(sweep: SweepDir) -> None:
    """Print why the process of the sweep left: the last lines of what it said."""
    with contextlib.suppress(OSError):
        said = sweep.log.read_bytes()[-LOG_TAIL:].decode("utf-8", "replace")
        print("\n".join(plain(line, 500) for line in said.splitlines()[-4:]), file=sys.stderr)


def _print_report(sweep: SweepDir, *, ascii_only: bool) -> None:
    from comfytui.records.report.writing import read_report

    report: Report | None = read_report(sweep.path)
    if report is not None:
        print("\n".join(told_in_lines(report, sweep.path, ascii_only=ascii_only)))
