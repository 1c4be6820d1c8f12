"""``comfytui report``: figures over any set of past runs."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from comfytui.clock import system_clock
from comfytui.model.report import Report
from comfytui.records.report.gathering import report_on
from comfytui.records.report.words import report_lines
from comfytui.records.report.writing import write_report


def report_runs(places: Sequence[Path], flags: Mapping[str, Any]) -> int:
    """Report on the runs at ``places``, into the folder ``out`` where one is named; return 1 for a broken gate, else 0.

    Raises ``Failure`` ``report.no_runs``, ``gate.syntax``, ``run.unwritable``.
    """
    baseline, out = flags.get("baseline"), flags.get("out")
    report = report_on(
        places, system_clock().now(), baseline=Path(baseline) if baseline else None, gate=flags.get("fail_on") or ""
    )
    if out is not None:
        write_report(report, Path(out).absolute())
    if flags.get("as_json"):
        import msgspec

        click.echo(msgspec.json.encode(report).decode())
    else:
        click.echo("\n".join(told_in_lines(report, Path(out).absolute() if out is not None else None)))
    return 1 if report.broken else 0


def told_in_lines(report: Report, folder: Path | None, *, ascii_only: bool = False) -> list[str]:
    """Return ``report`` in lines that this terminal can show."""
    spoken = (sys.stdout.encoding or "").lower().replace("-", "")
    return report_lines(report, folder, ascii_only=ascii_only or not spoken.startswith("utf"))


def print_gates() -> int:
    """Print the figures that a gate may ask for, and return 0."""
    from comfytui.records.report.gate import gate_help

    click.echo(gate_help(), nl=False)
    return 0
