"""A run for other programs: its scenes as CSV, or all that is known of it as OpenMetrics text."""

import csv
import io
from datetime import datetime

from comfytui.errors import Failure
from comfytui.model.fold import fold_all
from comfytui.model.openmetrics import openmetrics
from comfytui.model.report import PARTS, SceneFigures
from comfytui.records import journal
from comfytui.records.report.reading import read_run
from comfytui.records.rundir import RunDir

COLUMNS = (
    "run", "scene", "success", "meets_floor", "frames", "floor", "attempts", "exit_reason", "status", "started_at",
    "ended_at", "seconds", *(f"{part}_seconds" for part in PARTS), "fields_present", "fields_required",
    "fallback_notes", "server", "gpu", "gpu_index", "vram_before_mb", "vram_after_mb", "error",
)  # fmt: skip

_FORMULA = ("=", "+", "-", "@", "\t")


def as_csv(run: RunDir) -> str:
    """Return a row for each scene of ``run``; what is not recorded is an empty cell.

    A text that a spreadsheet would take for a formula gets a ``'`` before it. Raises ``Failure`` ``export.incomplete``
    for a run without a record.
    """
    reading = read_run(run.path)
    if not reading.scenes:
        raise Failure("export.incomplete", run=run.run_id, why=" ".join(reading.notes) or "it recorded no scene")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_row(scene) for scene in reading.scenes)
    return text.getvalue()


def as_openmetrics(run: RunDir) -> str:
    """Return what the journal of ``run`` tells, as OpenMetrics text.

    Raises ``Failure`` ``export.incomplete`` without a journal, and ``journal.unreadable``.
    """
    if not run.journal.is_file():
        raise Failure("export.incomplete", run=run.run_id, why="it has no journal")
    return openmetrics(fold_all(journal.read(run.journal)))


def _row(scene: SceneFigures) -> list[object]:
    cells: list[object] = [
        scene.run_id, scene.scene, scene.success, scene.meets_floor, scene.frames, scene.floor, scene.attempts,
        scene.exit_reason, scene.status, _iso(scene.started_at), _iso(scene.ended_at), scene.seconds,
        *(getattr(scene.parts, part) for part in PARTS), scene.telemetry.present, scene.telemetry.required,
        "; ".join(scene.fallback_notes), scene.server, scene.gpu, scene.gpu_index, scene.vram_before_mb,
        scene.vram_after_mb, scene.error,
    ]  # fmt: skip
    return [_told(cell) for cell in cells]


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def _told(cell: object) -> object:
    if isinstance(cell, bool):
        return str(cell).lower()
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
