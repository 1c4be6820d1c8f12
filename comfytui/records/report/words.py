"""A report in words: for the terminal, with small pictures of its own, and in Markdown."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from comfytui.model.report import PARTS, Rate, Report, RunFigures, SceneFigures, Spread
from comfytui.untrusted import plain

BARS, ASCII_BARS = "▁▂▃▄▅▆▇█", "_.-=+*%#"
MOST_ROWS = 1000
"""Scenes and runs that a table of people's lists; ``report.json`` has all."""

WIDEST = 60
"""Readings in one row of bars: the newest."""


def report_lines(report: Report, folder: Path | None, *, ascii_only: bool = False) -> list[str]:
    """Return ``report`` as lines for a terminal; ``folder`` is where its files are, if it has any."""
    runs, scenes = report.run_success, report.scene_success
    lines = [
        f"{plain(report.title)}: {runs.count}/{runs.of} runs went well, {rate_words(scenes)} of the scenes",
        f"Requeued: {rate_words(report.requeued)}; {report.attempts} attempts in all",
        f"Exit reasons: {counts_words(report.exit_reasons)}",
        f"Telemetry: {rate_words(report.telemetry)} of the required fields",
        *([f"  not told: {counts_words(missing_fields(report))}"] if missing_fields(report) else []),
        f"Frames: {', '.join(f'{row[0]} {row[2]} to {row[4]}' for row in frame_rows(report)[:12]) or 'none'}",
        f"Fallback notes: {counts_words(report.fallback_notes)}",
        f"Durations: {spread_words(report.seconds)}",
    ]
    for part in PARTS:
        lines.append(f"  {part:<8} {spread_words(report.parts[part])}")
    lines += [f"VRAM: {trend}" for trend in trends(report)] or ["VRAM: not read"]
    bars = ASCII_BARS if ascii_only else BARS
    lines += _bars(bars, "Durations in order", [scene.seconds for scene in report.scenes], "s")
    lines += _bars(bars, "Free VRAM after   ", [scene.vram_after_mb for scene in report.scenes], "MB")
    for cell in report.cells:
        lines.append(
            f"  {values_words(cell.values)}: {rate_words(cell.scenes)} of the scenes, {spread_words(cell.seconds)}"
        )
    if report.baseline is not None:
        lines.append(f"Against {report.baseline}:")
        lines += [f"  {change}" for change in changes(report)]
    lines += [f"Gate {v.condition}: {'BROKEN' if v.broken else 'holds'} ({v.why})" for v in report.gate]
    lines += [f"Note: {plain(note)}" for note in report.notes]
    return lines if folder is None else [*lines, f"Report: {folder / 'report.html'}"]


def report_summary(report: Report, folder: Path) -> dict[str, Any]:
    """Return what the summary line of NDJSON says about a sweep or a report."""
    return {
        "title": report.title,
        "dir": str(folder),
        "runs": {"well": report.run_success.count, "of": report.run_success.of},
        "scenes": {"well": report.scene_success.count, "of": report.scene_success.of},
        "p50": report.seconds.p50,
        "p95": report.seconds.p95,
        "gate": [{"condition": v.condition, "broken": v.broken, "why": v.why} for v in report.gate],
        "report": str(folder / "report.json"),
    }


def report_markdown(report: Report) -> str:
    """Return ``report`` as Markdown."""
    return "\n".join(_markdown(report)) + "\n"


def _markdown(report: Report) -> Iterator[str]:
    yield f"# Report: {_cell(report.title)}\n\n{report.created_at:%Y-%m-%d %H:%M} UTC\n"
    yield from _gate(report)
    yield "| figure | value |\n|---|---|"
    for name, value in headline(report):
        yield f"| {name} | {_cell(value)} |"
    yield "\n## Durations, seconds\n\n| part | readings | p50 | p95 | least | most |\n|---|---|---|---|---|---|"
    for name, spread in (("whole", report.seconds), *((part, report.parts[part]) for part in PARTS)):
        figures = " | ".join(figure(value) for value in (spread.p50, spread.p95, spread.least, spread.most))
        yield f"| {name} | {spread.count} | {figures} |"
    for title, counted in (("Exit reasons", report.exit_reasons), ("Statuses", report.statuses)):
        yield f"\n## {title}\n\n| | scenes |\n|---|---|"
        yield from (f"| {_cell(word)} | {count} |" for word, count in counted.items())
    yield "\n## Proven frames of each scene\n\n| scene | readings | least | p50 | most |\n|---|---|---|---|---|"
    for row in frame_rows(report):
        yield "| " + " | ".join(_cell(part) for part in row) + " |"
    if missing := missing_fields(report):
        yield "\n## Telemetry fields that were not told\n"
        yield from (f"- {_cell(name)}: {count}" for name, count in missing.items())
    yield "\n## Fallback notes\n"
    yield from (
        (f"- {_cell(note)}: {count}" for note, count in report.fallback_notes.items())
        if (report.fallback_notes)
        else ("none",)
    )
    yield "\n## Runs\n\n| run | exit | scenes well | frames | requeued | values |\n|---|---|---|---|---|---|"
    for run in report.runs[-MOST_ROWS:]:
        yield "| " + " | ".join(_cell(part) for part in run_row(run)) + " |"
    yield "\n## Scenes\n\n| run | scene | frames | verdict | exit reason | seconds | telemetry | notes |"
    yield "|---|---|---|---|---|---|---|---|"
    for scene in report.scenes[-MOST_ROWS:]:
        yield "| " + " | ".join(_cell(part) for part in scene_row(scene)) + " |"
    if len(report.scenes) > MOST_ROWS:
        yield f"\nThe newest {MOST_ROWS} of {len(report.scenes)}; report.json has them all."
    if report.baseline is not None:
        yield f"\n## Against {_cell(report.baseline)}\n"
        yield from (f"- {_cell(change)}" for change in changes(report))
    if report.notes:
        yield "\n## Notes\n"
        yield from (f"- {_cell(note)}" for note in report.notes)


def _gate(report: Report) -> Iterator[str]:
    for verdict in report.gate:
        yield f"- gate `{verdict.condition}`: **{'broken' if verdict.broken else 'holds'}**, {_cell(verdict.why)}"
    if report.gate:
        yield ""


# --- words that every form shares ----------------------------------------------------------------------------------


def headline(report: Report) -> list[tuple[str, str]]:
    """Return the figures that matter most, each with its name."""
    return [
        ("runs that went well", rate_words(report.run_success)),
        ("scenes that went well", rate_words(report.scene_success)),
        ("scenes requeued", rate_words(report.requeued)),
        ("telemetry fields told", rate_words(report.telemetry)),
        ("fallback notes", str(sum(report.fallback_notes.values()))),
        ("duration of a scene", spread_words(report.seconds)),
        *(("free VRAM", trend) for trend in trends(report)),
    ]


def run_row(run: RunFigures) -> list[str]:
    """Return a row about ``run``: id, exit code, scenes that went well, frames, requeues, values of the matrix."""
    code = "not recorded" if run.exit_code is None else str(run.exit_code)
    return [
        run.run_id,
        code,
        f"{run.scenes_well}/{run.planned}",
        str(run.frames),
        str(run.requeued),
        values_words(run.values),
    ]


def frame_rows(report: Report) -> list[list[str]]:
    """Return a row for each scene id: how many runs tell its frames, the least, the median, the most."""
    return [
        [name, str(spread.count), *(_or_unknown(value) for value in (spread.least, spread.p50, spread.most))]
        for name, spread in report.frames.items()
    ]


def missing_fields(report: Report) -> dict[str, int]:
    """Return the telemetry fields that were not told, and of how many scenes; the most frequent first."""
    counts = Counter(name for scene in report.scenes for name in scene.telemetry.missing)
    return dict(counts.most_common())


def scene_row(scene: SceneFigures) -> list[str]:
    """Return a row about ``scene``."""
    told = scene.telemetry
    verdict = "well" if scene.well else "below its floor" if scene.success else "failed"
    return [
        scene.run_id, scene.scene, f"{_or_unknown(scene.frames)}/{_or_unknown(scene.floor)}",
        verdict, scene.exit_reason or "?", figure(scene.seconds), f"{told.present}/{told.required}",
        str(len(scene.fallback_notes)),
    ]  # fmt: skip


def values_words(values: dict[str, str]) -> str:
    """Return the values of a matrix: ``seed=1, steps=20``."""
    return plain(", ".join(f"{name}={value}" for name, value in values.items()))


def rate_words(rate: Rate) -> str:
    """Return ``29/30 (96.7 %, 83.3 to 99.4)``."""
    if rate.rate is None or rate.low is None or rate.high is None:
        return f"{rate.count}/{rate.of}"
    return f"{rate.count}/{rate.of} ({rate.rate * 100:.1f} %, {rate.low * 100:.1f} to {rate.high * 100:.1f})"


def spread_words(spread: Spread) -> str:
    """Return ``p50 1.20 s, p95 2.40 s (30 readings)``."""
    if spread.p50 is None or spread.p95 is None:
        return "not recorded"
    return f"p50 {spread.p50:.2f} s, p95 {spread.p95:.2f} s ({spread.count} readings)"


def counts_words(counts: dict[str, int]) -> str:
    """Return ``success 29, maxWait 1``."""
    return ", ".join(f"{plain(word)} {count}" for word, count in counts.items()) or "none"


def trends(report: Report) -> list[str]:
    """Return a sentence about the free VRAM of each device."""
    found = []
    for trend in report.vram:
        slopes = [
            f"{moment} {slope:+.1f} MB a scene ({count} readings)"
            for moment, slope, count in (
                ("before", trend.before_slope_mb, trend.before_readings),
                ("after", trend.after_slope_mb, trend.after_readings),
            )
            if slope is not None
        ]
        words = ", ".join(slopes) or "too few readings"
        found.append(f"{plain(trend.gpu)}: {words}" + (f"; {trend.leak}" if trend.leak else ""))
    return found


def changes(report: Report) -> list[str]:
    """Return a line about each figure that both reports know."""
    return [
        f"{change.name}: {change.now:g}, was {change.then:g}" + (f" ({change.ratio:g}x)" if change.ratio else "")
        for change in report.changes
        if change.now is not None and change.then is not None
    ]


def figure(value: float | None) -> str:
    """Return a number of seconds to two digits, ``?`` for none."""
    return "?" if value is None else f"{value:.2f}"


def _or_unknown(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"


def _bars(bars: str, label: str, values: Sequence[float | None], unit: str) -> list[str]:
    told = [value for value in values if value is not None][-WIDEST:]
    if len(told) < 2:
        return []
    low, high = min(told), max(told)
    room = (high - low) or 1.0
    row = "".join(bars[min(len(bars) - 1, int((value - low) / room * len(bars)))] for value in told)
    return [f"{label} {row}  {low:g} to {high:g} {unit}"]


def _cell(text: str) -> str:
    """Return ``text`` for a cell of Markdown: nothing in it is taken for markup."""
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>|#" else char for char in plain(text, 500))
