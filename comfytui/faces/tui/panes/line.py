"""A line of the dashboard as plain data: pieces of text, each in a role that a theme gives a colour.

Everything here is pure. Widths are counted in terminal cells, not in characters. Text is never parsed as markup.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

from rich.cells import cell_len, set_cell_size

from comfytui.untrusted import plain

Role = Literal[
    "text", "strong", "dim", "faint", "border", "focus", "accent", "title", "good", "warn", "bad", "key",
    "caution", "alarm", "spark", "rule",
]  # fmt: skip
"""What a piece of text is for. Never the only carrier of a meaning: a word or a sign always says the same."""

Span = tuple[str, Role]
Line = tuple[Span, ...]

BLANK: Line = ()


@lru_cache(maxsize=4096)
def safe(text: str) -> str:
    """Return text from outside as it may be drawn: one line, no control characters."""
    return plain(text)


def cells_of(text: str) -> int:
    """Return how many cells ``text`` takes, which is plain."""
    return len(text) if text.isascii() else cell_len(text)


def line_width(line: Line) -> int:
    """Return how many cells ``line`` takes."""
    return sum([cells_of(text) for text, _ in line])


def clip(text: str, cells: int) -> str:
    """Return ``text`` cut to ``cells``, its end replaced by an ellipsis when it is too long."""
    if cells_of(text) <= cells:
        return text
    return set_cell_size(text, cells - 1).rstrip() + "…" if cells > 0 else ""


def clip_start(text: str, cells: int) -> str:
    """Return ``text`` cut to ``cells``, its beginning replaced by an ellipsis: for names that differ at their end."""
    if cells_of(text) <= cells:
        return text
    if cells <= 0:
        return ""
    kept = text[-(cells - 1) :] if cells > 1 else ""
    while cells_of(kept) > cells - 1:
        kept = kept[1:]
    return "…" + kept


def clip_middle(text: str, cells: int) -> str:
    """Return ``text`` cut to ``cells``, its middle replaced by an ellipsis: for hosts with ports."""
    if cell_len(text) <= cells:
        return text
    tail = max(0, cells // 2)
    return clip(text, cells - tail) + text[-tail:] if tail and text.isascii() else clip(text, cells)


def left(text: str, cells: int) -> str:
    """Return ``text`` in exactly ``cells``, flush left."""
    return set_cell_size(clip(text, cells), cells)


def right(text: str, cells: int) -> str:
    """Return ``text`` in exactly ``cells``, flush right."""
    short = clip(text, cells)
    return " " * (cells - cells_of(short)) + short


@lru_cache(maxsize=1024)
def fit(line: Line, cells: int) -> Line:
    """Return ``line`` in exactly ``cells``: cut with an ellipsis, or padded with blanks."""
    room, fitted = cells, []
    for text, role in line:
        width = cells_of(text)
        if width > room:
            fitted.append((clip(text, room), role))
            room -= cells_of(fitted[-1][0])
            break
        fitted.append((text, role))
        room -= width
    if room > 0:
        fitted.append((" " * room, "text"))
    return tuple(fitted)


def shortened(line: Line, cells: int) -> Line:
    """Return ``line`` without as many of its last pieces as it takes to fit ``cells``; the first is cut if it must."""
    whole = line_width(line) <= cells
    while len(line) > 1 and line_width(line) + (not whole) > cells:
        line = line[:-1]
    line = line if whole or not line else (*line, (" ", line[-1][1]))
    return line if line_width(line) <= cells else fit(line, max(0, cells))


def spread(start: Line, end: Line, cells: int) -> Line:
    """Return one line of ``cells`` with ``start`` at its left and ``end`` at its right; ``start`` gives way."""
    room = cells - line_width(end)
    return fit(start, cells) if room < 2 or not end else (*fit(start, room - 1), (" ", "text"), *end)


def wrap(text: str, cells: int) -> list[str]:
    """Return ``text`` broken at blanks (or inside a word that is too long) into lines of at most ``cells``."""
    lines: list[str] = []
    current = ""
    for word in text.split():
        rest = word
        while cells_of(rest) > cells > 0:
            if current:
                lines.append(current)
                current = ""
            head = set_cell_size(rest, cells).rstrip() or rest[:1]
            lines.append(head)
            rest = rest[len(head) :]
        joined = f"{current} {rest}" if current else rest
        if cells_of(joined) <= cells:
            current = joined
        else:
            lines.append(current)
            current = rest
    return [*lines, current] if current or not lines else lines


def changed_cells(old: Line, new: Line, gap: int = 8) -> list[tuple[int, int]]:
    """Return ``(start, end)`` of each run of cells in which two lines differ; runs closer than ``gap`` become one."""
    kept, old, new = _differing(old, new)
    before, after = _cells(old), _cells(new)
    if before == after:
        return []
    before += [_NOTHING] * (len(after) - len(before))
    after += [_NOTHING] * (len(before) - len(after))
    runs: list[tuple[int, int]] = []
    for place, (was, now) in enumerate(zip(before, after, strict=True)):
        if was == now:
            continue
        if runs and place - runs[-1][1] < gap:
            runs[-1] = (runs[-1][0], place + 1)
        else:
            runs.append((place, place + 1))
    whole = (_whole(before, after, *run) for run in runs)
    return [(kept + start, kept + end) for start, end in whole]


def _differing(old: Line, new: Line) -> tuple[int, Line, Line]:
    """Return the cells of the first pieces that two lines share, and the lines without those and the last they share.

    The last ones count only where they lie in the same cells. Nothing is cut off before a mark that belongs to the cell
    before it.
    """
    first, most = 0, min(len(old), len(new))
    while first < most and old[first] == new[first]:
        first += 1
    while first and not all(_begins_cell(line[first]) for line in (old, new) if first < len(line)):
        first -= 1
    last = 0
    while last < most - first and old[-1 - last] == new[-1 - last]:
        last += 1
    while last and not _begins_cell(old[-last]):
        last -= 1
    before, after = old[first : len(old) - last], new[first : len(new) - last]
    if last and line_width(before) != line_width(after):
        before, after = old[first:], new[first:]
    return line_width(old[:first]), before, after


def _begins_cell(piece: Span) -> bool:
    return bool(cells_of(piece[0][:1]))


_NOTHING: Span = ("\0", "text")


def _whole(before: list[Span], after: list[Span], start: int, end: int) -> tuple[int, int]:
    """Return a run grown until it cuts no wide character in two; the second half of one is an empty cell."""
    while start and not (before[start][0] and after[start][0]):
        start -= 1
    while end < len(after) and not (before[end][0] and after[end][0]):
        end += 1
    return start, end


def _cells(line: Line) -> list[Span]:
    cells: list[Span] = []
    for text, role in line:
        if text.isascii():
            cells.extend((char, role) for char in text)
            continue
        for char in text:
            width = cells_of(char)
            if width:
                cells.append((char, role))
                cells.extend([("", role)] * (width - 1))
            elif cells:  # a combining mark belongs to the cell before it
                cells[-1] = (cells[-1][0] + char, role)
    return cells


def join(lines: Iterable[Line], gap: str = "  ") -> Line:
    """Return the spans of ``lines`` on one line, with ``gap`` between them."""
    joined: list[Span] = []
    for line in lines:
        if line and joined:
            joined.append((gap, "text"))
        joined.extend(line)
    return tuple(joined)
