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

FILES = ("report.json", "report.md", "report.html", "junit.xml")


def write_report(report: Report, folder: Path) -> None:
    """Write ``report`` into ``folder``, which is made where it is not there. Raises ``Failure`` ``run.unwritable``."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    contents = (
        readable(report), report_markdown(report).encode(), report_page(report, plots(report)).encode(),
        junit_xml(report),
    )  # fmt: skip
    for name, content in zip(FILES, contents, strict=True):
        write_atomic(folder / name, content)


def read_report(folder: Path) -> Report | None:
    """Return the report in ``folder``, or ``None`` where there is none that can be read."""
    try:
        return msgspec.json.decode((folder / "report.json").read_bytes(), type=Report)
    except (OSError, ValueError, RecursionError):
        return None
