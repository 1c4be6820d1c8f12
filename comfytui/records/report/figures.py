"""The figures of a report, from what was read of the runs. Pure: the same runs give the same report."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from msgspec import structs

from comfytui.model.report import (
    PARTS,
    CellFigures,
    Change,
    DeviceTrend,
    Report,
    RunFigures,
    SceneFigures,
    Spread,
)
from comfytui.model.trend import leak, slope_per_reading, words
from comfytui.records.report.reading import RunReading
from comfytui.records.report.statistics import rate, spread

UNKNOWN = "not recorded"
TREND_READINGS = 1000
"""Readings of VRAM that a slope is drawn through: the newest; its cost grows with their square."""

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def figures(title: str, readings: Sequence[RunReading], created_at: datetime, notes: Sequence[str] = ()) -> Report:
    """Return the report over ``readings``, without baseline and gate. Runs and scenes stand in the order of time."""
    read = sorted((each for each in readings if each.run is not None), key=_begun)
    unread = [each for each in readings if each.run is None]
    runs = tuple(each.run for each in read if each.run is not None)
    scenes = tuple(scene for each in read for scene in each.scenes)
    planned = sum(run.planned for run in runs)
    return Report(
        title=title,
        created_at=created_at,
        runs=runs,
        scenes=scenes,
        run_success=rate(sum(run.well for run in runs), len(runs)),
        scene_success=rate(sum(scene.well for scene in scenes), planned),
        requeued=rate(sum((scene.attempts or 0) > 1 for scene in scenes), len(scenes)),
        attempts=sum(scene.attempts or 0 for scene in scenes),
        exit_reasons=_counted(scene.exit_reason or UNKNOWN for scene in scenes),
        statuses=_counted(scene.status or UNKNOWN for scene in scenes),
        telemetry=rate(
            sum(scene.telemetry.present for scene in scenes), sum(scene.telemetry.required for scene in scenes)
        ),
        fallback_notes=_counted(note for scene in scenes for note in scene.fallback_notes),
        frames=_frames(scenes),
        seconds=spread(scene.seconds for scene in scenes),
        parts={part: spread(getattr(scene.parts, part) for scene in scenes) for part in PARTS},
        vram=tuple(_trends(scenes)),
        cells=_cells(runs, scenes),
        notes=(*notes, *_notes((*unread, *read))),
    )


def compared(report: Report, baseline: Report, name: str) -> Report:
    """Return ``report`` with what has changed since ``baseline``."""
    return structs.replace(report, baseline=name, changes=tuple(_changes(report, baseline)))


def _worst_slope(report: Report) -> float | None:
    return min((each.after_slope_mb for each in report.vram if each.after_slope_mb is not None), default=None)


def _part(part: str, percentile: str) -> Callable[[Report], float | None]:
    def taken(report: Report) -> float | None:
        value: float | None = getattr(report.parts.get(part, Spread(count=0)), percentile)
        return value

    return taken


MEASURES: dict[str, Callable[[Report], float | None]] = {
    "success": lambda report: report.scene_success.rate,
    "runs": lambda report: report.run_success.rate,
    "requeues": lambda report: report.requeued.rate,
    "telemetry": lambda report: report.telemetry.rate,
    "fallbacks": lambda report: float(sum(report.fallback_notes.values())),
    "p50": lambda report: report.seconds.p50,
    "p95": lambda report: report.seconds.p95,
    **{f"{part}.{mark}": _part(part, mark) for part in PARTS for mark in ("p50", "p95")},
    "vram": _worst_slope,
}
"""The figures that baselines are compared by and gates ask for."""

MEANINGS: dict[str, str] = {
    "success": "share of scenes that succeeded and met their floor",
    "runs": "share of runs that went well",
    "requeues": "share of scenes with more than one attempt",
    "telemetry": "share of required telemetry fields that are there",
    "fallbacks": "fallback notes in all",
    "p50": "median of the scenes' durations, seconds",
    "p95": "95th percentile of the scenes' durations, seconds",
    **{f"{part}.{mark}": f"the same of the part `{part}`" for part in PARTS for mark in ("p50", "p95")},
    "vram": "slope of free VRAM after the scenes, MB a scene, of the device where it falls most",
}


def _begun(reading: RunReading) -> tuple[datetime, str]:
    run = reading.run
    return (run.started_at or _LONG_AGO, run.run_id) if run is not None else (_LONG_AGO, "")


def _counted(texts: Iterable[str]) -> dict[str, int]:
    """Return how often each word comes, the most frequent first, then by the alphabet."""
    counts = Counter(texts)
    return {word: counts[word] for word in sorted(counts, key=lambda word: (-counts[word], word))}


def _notes(readings: Iterable[RunReading]) -> Iterable[str]:
    """Return what is to be known of the runs, the same of many of them once."""
    names: dict[str, list[str]] = {}
    for reading in readings:
        for note in reading.notes:
            names.setdefault(note, []).append(reading.name)
    for note, runs in names.items():
        yield f"{runs[0]}: {note}" if len(runs) == 1 else f"{runs[0]} and {len(runs) - 1} more: {note}"


def _frames(scenes: Iterable[SceneFigures]) -> dict[str, Spread]:
    counts: dict[str, list[int | None]] = {}
    for scene in scenes:
        counts.setdefault(scene.scene, []).append(scene.frames)
    return {name: spread(told) for name, told in counts.items()}


def _trends(scenes: Sequence[SceneFigures]) -> Iterable[DeviceTrend]:
    ordered = sorted(scenes, key=lambda scene: scene.ended_at or _LONG_AGO)
    keys = dict.fromkeys((scene.server, scene.gpu or "Unknown", scene.gpu_index) for scene in ordered)
    for server, gpu, index in keys:
        own = [s for s in ordered if (s.server, s.gpu or "Unknown", s.gpu_index) == (server, gpu, index)]
        before = [scene.vram_before_mb for scene in own if scene.vram_before_mb is not None]
        after = [scene.vram_after_mb for scene in own if scene.vram_after_mb is not None]
        if not before and not after:
            continue
        found = leak([round(mb * 1048576) for mb in after])
        yield DeviceTrend(
            server=server, gpu=gpu, index=index, before_readings=len(before), before_slope_mb=_slope(before),
            after_readings=len(after), after_slope_mb=_slope(after), leak=words(found) if found else None,
        )  # fmt: skip


def _slope(readings: Sequence[float]) -> float | None:
    readings = readings[-TREND_READINGS:]
    return round(slope_per_reading(readings), 3) if len(readings) > 1 else None


def _cells(runs: Sequence[RunFigures], scenes: Sequence[SceneFigures]) -> tuple[CellFigures, ...]:
    """Return the figures of each combination of the matrix; none where there was no matrix."""
    cells: dict[tuple[tuple[str, str], ...], list[RunFigures]] = {}
    for run in runs:
        cells.setdefault(tuple(run.values.items()), []).append(run)
    if not any(cells):
        return ()
    found = []
    for values, own in cells.items():
        ids = {run.run_id for run in own}
        its = [scene for scene in scenes if scene.run_id in ids]
        found.append(
            CellFigures(
                values=dict(values),
                runs=rate(sum(run.well for run in own), len(own)),
                scenes=rate(sum(scene.well for scene in its), sum(run.planned for run in own)),
                seconds=spread(scene.seconds for scene in its),
            )
        )
    return tuple(found)


def _changes(now: Report, then: Report) -> Iterable[Change]:
    for name, taken in MEASURES.items():
        a, b = taken(now), taken(then)
        ratio = round(a / b, 4) if a is not None and b else None
        yield Change(name=name, now=a, then=b, ratio=ratio)
