"""The files of a report."""

from pathlib import Path

import msgspec

from comfytui.model.report import Report
from comfytui.records.atomic import write_atomic
from comfytui.records.faults import writing
from comfytui.records.report.junit import junit_xml
from comfytui.records.report.page import report_page
from comfytui.records.report.plots import plots
from comfytui.records.report.words import report_markdown
from comfytui.records.rundir import readable

FILES = ("report.json", "report.md", "junit.xml", "report.html")
"""In the order in which they are written: what is drawn comes last."""


def write_report(report: Report, folder: Path) -> None:
    """Write ``report`` into ``folder``, which is made where it is not there. Raises ``Failure`` ``run.unwritable``."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "report.json", readable(report))
    write_atomic(folder / "report.md", report_markdown(report).encode())
    write_atomic(folder / "junit.xml", junit_xml(report))
    write_atomic(folder / "report.html", report_page(report, plots(report)).encode())


def read_report(folder: Path) -> Report | None:
    """Return the report in ``folder``, or ``None`` where there is none that can be read."""
    try:
        return msgspec.json.decode((folder / "report.json").read_bytes(), type=Report)
    except (OSError, ValueError, RecursionError):
        return None
