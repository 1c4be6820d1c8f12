"""The pictures of a report, as SVG to stand inside an HTML page: drawn by matplotlib, coloured by the page.

Each colour is drawn as a stand-in and named as a variable of the page's style, so that one picture serves light and
dark. The same report gives the same bytes. matplotlib is imported only here, without a window system.
"""

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

from comfytui.model.report import PARTS, Rate, Report, SceneFigures
from comfytui.records.report.words import values_words

Axes = Any
"""``matplotlib.axes.Axes``: not named, so that matplotlib is imported only when it draws."""

WIDTH = 9.2
"""Inches, of 72 units each."""

MOST_BARS = 240
"""Scenes that are drawn one by one: the newest."""

MOST_CELLS = 40
MOST_SEPARATORS = 60
"""Runs up to which a line parts each from the next."""

_NAMES = ("ink", "dim", "line", "queue", "execute", "save", "collect", "good", "bad", "whole")
COLOURS = {name: f"#0{number:x}0{number:x}0{number:x}" for number, name in enumerate(_NAMES, 1)}
"""The stand-in of each colour of the page."""

_NO_METADATA: dict[str, Any] = {"Date": None, "Creator": None, "Format": None, "Type": None}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "font.size": 9,
    "text.color": COLOURS["ink"],
    "axes.labelcolor": COLOURS["dim"],
    "axes.edgecolor": COLOURS["line"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": COLOURS["dim"],
    "ytick.color": COLOURS["dim"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": COLOURS["line"],
    "axes.grid": True,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def plots(report: Report) -> dict[str, str]:
    """Return the pictures of ``report`` by name, each an ``<svg>`` element; one without a reading is left out."""
    drawn: dict[str, str] = {}
    if report.scene_success.rate is not None:
        drawn["success"] = _svg("success", report, _success, height=0.7 + 0.34 * len(_rates(report)))
    if report.seconds.count:
        drawn["durations"] = _svg("durations", report, _durations, height=2.9)
    if any(spread.count for spread in report.parts.values()):
        drawn["parts"] = _svg("parts", report, _parts, height=2.2)
    if report.vram:
        drawn["vram"] = _svg("vram", report, _vram, height=2.6)
    return drawn


def _svg(name: str, report: Report, draw: Callable[[Axes, Report], None], *, height: float) -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure.add_subplot(), report)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    return _for_page(buffer.getvalue(), name)


def _for_page(svg: str, name: str) -> str:
    """Return the ``<svg>`` element with the page's colours, and with ids that no other picture has."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.S)
    element = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", element)
    element = re.sub(r' (?:width|height)="[\d.]+pt"', "", element, count=2)
    for colour, stand_in in COLOURS.items():
        element = element.replace(stand_in, f"var(--{colour})")
    return element.replace("<svg", '<svg role="img"', 1).strip()


# --- the pictures --------------------------------------------------------------------------------------------------


def _rates(report: Report) -> list[tuple[str, Rate]]:
    cells = [(values_words(cell.values), cell.scenes) for cell in report.cells[:MOST_CELLS]]
    return [("all scenes", report.scene_success), *cells, ("runs", report.run_success)]


def _success(axes: Axes, report: Report) -> None:
    rows = [(label, rate) for label, rate in _rates(report) if rate.rate is not None]
    for place, (_, rate) in enumerate(rows):
        axes.plot([rate.low, rate.high], [place, place], color=COLOURS["dim"], linewidth=2, solid_capstyle="round")
        axes.plot([rate.rate], [place], "o", color=COLOURS["good" if rate.rate == 1 else "bad"], markersize=7)
    axes.set_yticks(range(len(rows)), [_literal(f"{label}  {rate.count}/{rate.of}") for label, rate in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(-0.01, 1.01)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(visible=False, axis="y")


def _durations(axes: Axes, report: Report) -> None:
    scenes = [scene for scene in report.scenes if scene.seconds is not None][-MOST_BARS:]
    bottoms = [0.0] * len(scenes)
    for part in PARTS:
        heights = [getattr(scene.parts, part) or 0.0 for scene in scenes]
        axes.bar(range(len(scenes)), heights, 0.86, bottoms, color=COLOURS[part], label=part)
        bottoms = [low + height for low, height in zip(bottoms, heights, strict=True)]
    unsplit = [max(0.0, (s.seconds or 0.0) - low) if low == 0 else 0.0 for s, low in zip(scenes, bottoms, strict=True)]
    if any(unsplit):
        axes.bar(range(len(scenes)), unsplit, 0.86, color=COLOURS["whole"], label="not split")
    tops = [max(low, scene.seconds or 0.0) for low, scene in zip(bottoms, scenes, strict=True)]
    failed = [place for place, scene in enumerate(scenes) if not scene.well]
    if failed:
        marks = [tops[place] for place in failed]
        axes.plot(failed, marks, "x", color=COLOURS["bad"], markersize=6, label="not well")
    _name_runs(axes, scenes, report)
    axes.set_ylabel("seconds")
    axes.grid(visible=False, axis="x")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.18), ncols=6)


def _parts(axes: Axes, report: Report) -> None:
    known = [part for part in PARTS if report.parts[part].count]
    for place, part in enumerate(known):
        spread = report.parts[part]
        axes.plot([spread.p50, spread.p95], [place, place], color=COLOURS[part], linewidth=7, solid_capstyle="round")
        axes.annotate(
            f"p50 {spread.p50:.2f} s, p95 {spread.p95:.2f} s", (spread.p95 or 0.0, place), (9, 0),
            textcoords="offset points", va="center", color=COLOURS["dim"],
        )  # fmt: skip
    axes.set_yticks(range(len(known)), known)
    axes.set_ylim(len(known) - 0.5, -0.5)
    axes.set_xlim(0, 1.35 * max(report.parts[part].p95 or 0.0 for part in known) or 1)
    axes.set_xlabel("seconds")
    axes.grid(visible=False, axis="y")


def _vram(axes: Axes, report: Report) -> None:
    scenes = list(report.scenes)[-MOST_BARS:]
    for name, colour, mark in (("before", "dim", "o"), ("after", "execute", "o")):
        readings = [(place, getattr(scene, f"vram_{name}_mb")) for place, scene in enumerate(scenes)]
        told = [(place, mb / 1024) for place, mb in readings if mb is not None]
        if told:
            xs, ys = zip(*told, strict=True)
            axes.plot(xs, ys, mark, color=COLOURS[colour], markersize=3.5, linestyle="-", linewidth=1, label=name)
    _name_runs(axes, scenes, report)
    axes.set_ylabel("free VRAM, GB")
    axes.grid(visible=False, axis="x")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=2)


def _run_starts(scenes: Sequence[SceneFigures]) -> list[int]:
    return [place for place in range(1, len(scenes)) if scenes[place].run_id != scenes[place - 1].run_id]


def _name_runs(axes: Axes, scenes: Sequence[SceneFigures], report: Report) -> None:
    """Part the runs, and name them below their scenes by their number in the report; of many only some."""
    numbers = {run.run_id: number for number, run in enumerate(report.runs, 1)}
    starts = [0, *_run_starts(scenes)]
    ends = [*starts[1:], len(scenes)]
    for place in starts[1:] if len(starts) <= MOST_SEPARATORS else ():
        axes.axvline(place - 0.5, color=COLOURS["line"], linewidth=1)
    shown = list(zip(starts, ends, strict=True))[:: -(-len(starts) // 20)]
    names = [f"run {numbers.get(scenes[low].run_id, '?')}" for low, _ in shown]
    axes.set_xticks([(low + high - 1) / 2 for low, high in shown], names)
    axes.set_xlim(-0.6, max(1, len(scenes)) - 0.4)


def _literal(text: str) -> str:
    """Return ``text`` so that matplotlib takes none of it for mathematics."""
    return text.replace("$", r"\$")
