"""``report.html``: one file without network, script or font, for light and dark. Every text in it is escaped."""

import importlib.resources
from collections.abc import Iterator, Sequence
from html import escape

from comfytui.model.report import PARTS, Rate, Report
from comfytui.records.report.words import (
    MOST_ROWS,
    changes,
    figure,
    frame_rows,
    missing_fields,
    run_row,
    scene_row,
    trends,
    values_words,
)
from comfytui.untrusted import plain

PICTURES = (
    ("success", "What went well, with the 95 % interval of Wilson"),
    ("durations", "Scenes in order: what their durations are made of"),
    ("parts", "Each part from p50 to p95"),
    ("vram", "Free VRAM as scenes began to execute, and after them"),
)


def report_page(report: Report, pictures: dict[str, str]) -> str:
    """Return the page; ``pictures`` are the ``<svg>`` elements of :mod:`comfytui.records.report.plots`."""
    style = importlib.resources.files("comfytui").joinpath("bundled", "report.css").read_text(encoding="utf-8")
    body = "\n".join(_body(report, pictures))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{_text(report.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _body(report: Report, pictures: dict[str, str]) -> Iterator[str]:
    count = f"{len(report.runs)} runs, {len(report.scenes)} scenes"
    yield f"<h1>{_text(report.title)}</h1>"
    yield f'<p class="when">{count}; {report.created_at:%Y-%m-%d %H:%M} UTC</p>'
    for verdict in report.gate:
        kind, word = ("broken", "Broken") if verdict.broken else ("holds", "Holds")
        yield f'<p class="verdict {kind}">{word}: <b>{_text(verdict.condition)}</b>. {_text(verdict.why)}</p>'
    yield '<div class="tiles">'
    yield from _tiles(report)
    yield "</div>"
    for name, title in PICTURES:
        if name in pictures:
            picture = pictures[name].replace("<svg", f'<svg aria-label="{title}"', 1)
            yield f'<h2>{title}</h2>\n<div class="card">{picture}</div>'
    yield from _tables(report)


def _tiles(report: Report) -> Iterator[str]:
    yield _tile("Scenes that went well", *_rate(report.scene_success))
    yield _tile("Runs that went well", *_rate(report.run_success))
    yield _tile("Scenes requeued", *_rate(report.requeued, f"{report.attempts} attempts in all"))
    yield _tile("Telemetry fields told", *_rate(report.telemetry, "of those that the contract requires"))
    seconds = report.seconds
    yield _tile("Duration of a scene", f"{figure(seconds.p50)} s", f"p95 {figure(seconds.p95)} s")
    yield _tile("Fallback notes", str(sum(report.fallback_notes.values())), f"{len(report.fallback_notes)} kinds")


def _count(report: Report) -> str:
    count = len(report.scenes)
    return f"{count} scenes" if count <= MOST_ROWS else f"the newest {MOST_ROWS} of {count} scenes"


def _rate(rate: Rate, more: str = "") -> tuple[str, str]:
    if rate.rate is None or rate.low is None or rate.high is None:
        return f"{rate.count}/{rate.of}", more
    return f"{rate.rate * 100:.1f} %", more or f"{rate.count} of {rate.of}; {rate.low:.1%} to {rate.high:.1%}"


def _tile(name: str, value: str, more: str) -> str:
    parts = (("name", name), ("value", value), ("more", more))
    return '<div class="tile">' + "".join(f'<div class="{kind}">{_text(text)}</div>' for kind, text in parts) + "</div>"


def _tables(report: Report) -> Iterator[str]:
    yield "<h2>Durations, seconds</h2>"
    spreads = [("whole", report.seconds), *((part, report.parts[part]) for part in PARTS)]
    rows = [[name, str(s.count), *map(figure, (s.p50, s.p95, s.least, s.most))] for name, s in spreads]
    yield _table(["part", "readings", "p50", "p95", "least", "most"], rows)
    if report.cells:
        yield "<h2>Matrix</h2>"
        cells = [
            [
                values_words(cell.values), f"{cell.runs.count}/{cell.runs.of}",
                f"{cell.scenes.count}/{cell.scenes.of}", figure(cell.seconds.p50), figure(cell.seconds.p95),
            ]
            for cell in report.cells
        ]  # fmt: skip
        yield _table(["values", "runs well", "scenes well", "p50", "p95"], cells)
    counted = [*((f"exit reason {word}", count) for word, count in report.exit_reasons.items())]
    counted += [*((f"status {word}", count) for word, count in report.statuses.items())]
    counted += [*((note, count) for note, count in report.fallback_notes.items())]
    yield "<h2>Exit reasons, statuses, fallback notes</h2>"
    yield _table(["what", "scenes"], [[word, str(count)] for word, count in counted])
    if missing := missing_fields(report):
        yield "<h2>Telemetry fields that were not told</h2>"
        yield _table(["field", "scenes"], [[name, str(count)] for name, count in missing.items()])
    yield "<h2>Proven frames of each scene</h2>"
    yield _table(["scene", "readings", "least", "p50", "most"], frame_rows(report))
    if report.vram:
        yield "<h2>Free VRAM from scene to scene</h2>" + _list(trends(report))
    if report.baseline is not None:
        yield f"<h2>Against {_text(report.baseline)}</h2>" + _list(changes(report))
    yield "<h2>Runs</h2>"
    rows = [run_row(run) for run in report.runs[-MOST_ROWS:]]
    yield _table(["run", "exit", "scenes well", "frames", "requeued", "values"], rows)
    yield f'<h2>Scenes</h2><details class="card"><summary>{_count(report)}</summary>'
    head = ["run", "scene", "frames", "verdict", "exit reason", "seconds", "telemetry", "notes"]
    yield _table(head, [scene_row(scene) for scene in report.scenes[-MOST_ROWS:]], card=False) + "</details>"
    if report.notes:
        yield "<h2>Notes</h2>" + _list(report.notes)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, card: bool = True) -> str:
    def cell(text: str) -> str:
        mood = "good" if text == "well" else "bad" if text in ("failed", "below its floor") else ""
        return f'<td class="{mood}">{_text(text)}</td>' if mood else f"<td>{_text(text)}</td>"

    top = "".join(f"<th>{_text(name)}</th>" for name in head)
    body = "\n".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    table = f"<table><thead><tr>{top}</tr></thead><tbody>\n{body}\n</tbody></table>"
    return f'<div class="card">{table}</div>' if card else table


def _list(lines: Sequence[str]) -> str:
    return f'<div class="card"><ul>{"".join(f"<li>{_text(line)}</li>" for line in lines)}</ul></div>'


def _text(text: str) -> str:
    return escape(plain(text, 1000))
