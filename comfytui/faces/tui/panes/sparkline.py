"""Sparklines as text: one row of signs, one style, buckets that stand still while time goes on."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from comfytui.faces.tui.panes.line import right


def buckets(
    readings: Iterable[tuple[datetime, float | None]], end: datetime, span: float, width: int
) -> list[float | None]:
    """Return the highest reading in each of ``width`` equal parts of the last ``span`` seconds before ``end``.

    The parts are fixed on the clock and do not slide with every reading: between two steps only the newest part
    changes. A part without a reading is ``None``.
    """
    if width <= 0:
        return []
    each = span / width
    last = int(end.timestamp() // each)
    found: list[float | None] = [None] * width
    for at, value in readings:
        place = width - 1 - (last - int(at.timestamp() // each))
        if value is not None and 0 <= place < width:
            found[place] = value if found[place] is None else max(value, found[place] or 0.0)
    return found


def sparkline(values: Sequence[float | None], top: float, signs: str, rows: int = 1) -> list[str]:
    """Return ``rows`` lines, the upper one first, with a column a value: empty for ``None``, full at ``top``.

    The last of ``signs`` fills a cell; it is kept for what stands on a full cell, so that a full line does not touch
    the line above it.
    """
    each = len(signs)
    most = each * rows - 1
    levels = [None if v is None else max(1, min(most, round(v / top * most))) if top > 0 else 1 for v in values]
    lines = []
    for row in range(rows - 1, -1, -1):
        heights = (0 if level is None else max(0, min(each, level - row * each)) for level in levels)
        lines.append("".join(signs[height - 1] if height else " " for height in heights))
    return lines


def axis(width: int, past: str, present: str, rule: str) -> tuple[str, str, str]:
    """Return a time axis of ``width``: ``past`` at its left end, a rule, ``present`` at its right end."""
    room = width - len(past) - len(present) - 2
    return (past, f" {rule * room} ", present) if room >= 1 else ("", "", right(present, width))


def bar(value: float, maximum: float, width: int, full: str, half: str) -> tuple[str, int]:
    """Return the done part of a bar of ``width`` cells and how many cells remain of it."""
    if maximum <= 0 or width <= 0:
        return "", max(width, 0)
    halves = round(max(0.0, min(1.0, value / maximum)) * width * 2)
    done = full * (halves // 2) + (half if halves % 2 else "")
    return done, width - len(done)
