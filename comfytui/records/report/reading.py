"""Run folders as the figures of a report: those of this program, and those in the contract's older form.

Everything comes from ``artifact-metadata.json``; the journal, where there is one, adds how a duration is made up and
how the run ended. What neither tells stays unknown, with a note.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from comfytui.model.report import Parts, RunFigures, SceneFigures
from comfytui.records.report.completeness import completeness
from comfytui.records.report.fields import Fields
from comfytui.records.report.timeline import Steps, Timeline, parts_of, read_timeline
from comfytui.records.rundir import RunDir
from comfytui.untrusted import plain

LARGEST = 256 * 1024 * 1024
"""Bytes of metadata that are read."""


class RunReading(Struct, frozen=True, kw_only=True):
    """One run as read: its figures (``None`` where it has no record yet), its scenes, and what is not known."""

    name: str
    run: RunFigures | None
    scenes: tuple[SceneFigures, ...] = ()
    notes: tuple[str, ...] = ()


def read_run(folder: Path) -> RunReading:
    """Return what is recorded in the run folder ``folder``. It raises nothing: what cannot be read is a note."""
    run_dir, name = RunDir(folder), plain(folder.name, 200)
    metadata, why = read_metadata(run_dir.metadata)
    timeline = read_timeline(run_dir.journal)
    if metadata is None:
        run = _unrecorded(run_dir, timeline)
        note = why if run is None else f"it exited with {run.exit_code} and recorded no scene"
        return RunReading(name=name, run=run, notes=(note,))
    older = _is_older(metadata)
    run_id = metadata.text("RunId") or name
    scenes = tuple(_scene(each, run_id, timeline, older=older) for each in metadata.children("Scenes"))
    run = _run(metadata, run_id, str(folder), scenes, timeline)
    return RunReading(name=run_id, run=run, scenes=scenes, notes=tuple(_notes(scenes, timeline)))


def _is_older(metadata: Fields) -> bool:
    return "ContractVersion" not in metadata


def read_metadata(file: Path) -> tuple[Fields | None, str]:
    """Return the metadata, or why there is none. Scripts of old wrote a byte order mark, or UTF-16."""
    try:
        if not file.is_file():
            return None, "no artifact-metadata.json: it has not ended, or never began"
        if file.stat().st_size > LARGEST:
            return None, f"the artifact-metadata.json has more than {LARGEST} bytes"
        content = file.read_bytes()
        encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        raw = json.loads(content.decode(encoding))
    except (OSError, ValueError, RecursionError) as fault:
        return None, f"the artifact-metadata.json cannot be read: {plain(str(fault), 200)}"
    return (Fields(raw), "") if isinstance(raw, dict) else (None, "the artifact-metadata.json holds no object")


def _unrecorded(run_dir: RunDir, timeline: Timeline | None) -> RunFigures | None:
    """Return a run that ended without a record (it could not begin): it counts, and not well."""
    if timeline is None or timeline.exit_code is None:
        return None
    return RunFigures(
        run_id=run_dir.run_id, dir=str(run_dir.path), origin="comfytui", started_at=timeline.opened_at,
        exit_code=timeline.exit_code, well=False, planned=timeline.planned, recorded=0, scenes_well=0, frames=0,
        requeued=0, values=timeline.values,
    )  # fmt: skip


def _run(
    metadata: Fields, run_id: str, folder: str, scenes: tuple[SceneFigures, ...], timeline: Timeline | None
) -> RunFigures:
    planned = max(metadata.child("Story").whole("SceneCount") or 0, len(scenes))
    code = timeline.exit_code if timeline is not None else None
    whole = planned > 0 and len(scenes) == planned and all(scene.well for scene in scenes)
    begun = [scene.started_at for scene in scenes if scene.started_at is not None]
    opened = timeline.opened_at if timeline is not None else None
    return RunFigures(
        run_id=run_id,
        dir=folder,
        origin="scripts" if _is_older(metadata) else "comfytui",
        started_at=opened or min(begun, default=None) or metadata.moment("Timestamp"),
        exit_code=code,
        well=whole if code is None else code == 0,
        planned=planned,
        recorded=len(scenes),
        scenes_well=sum(scene.well for scene in scenes),
        frames=sum(scene.frames or 0 for scene in scenes),
        requeued=sum((scene.attempts or 0) > 1 for scene in scenes),
        values=timeline.values if timeline is not None else {},
    )


def _scene(scene: Fields, run_id: str, timeline: Timeline | None, *, older: bool) -> SceneFigures:
    told = scene.child("Telemetry")
    gpu, error = told.child("GPU"), told.child("ExecutionError")
    steps = timeline.steps.get(scene.text("PromptId") or "") if timeline is not None else None
    errors = scene.texts("Errors")
    return SceneFigures(
        run_id=run_id,
        scene=scene.text("SceneId") or "?",
        success=scene.flag("Success"),
        meets_floor=scene.flag("MeetsFrameFloor"),
        frames=scene.whole("FrameCount"),
        floor=scene.whole("FrameFloor"),
        attempts=scene.whole("AttemptsRun"),
        exit_reason=told.text("HistoryExitReason"),
        status=told.text("ExecutionStatus"),
        started_at=told.moment("QueueStart"),
        ended_at=told.moment("QueueEnd"),
        seconds=None if steps is not None and steps.unsent else _seconds(scene, told),
        parts=parts_of(steps) if steps is not None else Parts(),
        telemetry=completeness(told, older=older),
        fallback_notes=told.child("System").texts("FallbackNotes"),
        server=_server(scene, timeline, steps),
        gpu=gpu.text("Name"),
        gpu_index=gpu.whole("Index"),
        vram_before_mb=gpu.number("VramBeforeMB"),
        vram_after_mb=gpu.number("VramAfterMB"),
        error=error.text("Message") or (errors[0] if errors else None),
    )


def _seconds(scene: Fields, told: Fields) -> float | None:
    seconds = told.number("DurationSeconds")
    return scene.number("DurationSeconds") if seconds is None else seconds


def _server(scene: Fields, timeline: Timeline | None, steps: Steps | None) -> str:
    """Return the server's name where the run had several, else its address, or ``sim``."""
    if steps is not None and steps.server:
        return steps.server
    return "sim" if timeline is not None and timeline.server == "sim" else scene.text("Server") or ""


def _unsplit(scene: SceneFigures) -> bool:
    return scene.parts.execute is not None and scene.parts.save is None


def _notes(scenes: tuple[SceneFigures, ...], timeline: Timeline | None) -> Iterator[str]:
    if timeline is None:
        yield "no journal: durations are not split, and the exit code is unknown"
        return
    if timeline.exit_code is None:
        yield "the journal tells of no end"
    if timeline.problems:
        yield f"{timeline.problems} lines of the journal cannot be read"
    if unsent := sum(scene.seconds is None for scene in scenes):
        yield f"{unsent} of {len(scenes)} scenes have no duration: nothing of theirs was sent, or it is not recorded"
    if unsplit := sum(map(_unsplit, scenes)):
        yield f"{unsplit} of {len(scenes)} scenes had no frame before they ended: their saving is part of execute"
