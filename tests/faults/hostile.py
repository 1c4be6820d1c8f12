"""What a hostile server, story or workflow says, and how to find any of it where it must not be."""

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from comfytui.clock import system_clock
from comfytui.faces.headless import JsonFormatter, LineFormatter
from comfytui.model.feed import CaughtUp
from comfytui.records import journal as journals

SHOUT = (
    "\x1b[31mred\x1b[0m \x1b]52;c;aGVsbG8=\x07clip \x1b]8;;http://evil\x1b\\link \x9b2Jwipe \x9d52;c;eA==\x9c "
    "\x1bPq#0\x1b\\ \u202eesrever\u2066 \u200b\ufeff\u2028 \x00\x08\x7f [red]loud[/red] \U000e0041"
)
"""Colours, OSC 52 and 8, C1, DCS, direction overrides, invisible tags, NUL, and markup that is to stay as it is."""


def foul(value: Any, line_breaks: bool = False) -> list[str]:
    """Return the texts anywhere in ``value`` that would do something to a terminal."""
    return [text for text in _texts(value) if any(_acts(char, line_breaks) for char in text)]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(key)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _acts(char: str, line_breaks: bool) -> bool:
    if char == "\n" and line_breaks:
        return False
    return unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") and char not in "\u200c\u200d"


def told(journal: Path) -> tuple[list[str], list[Any]]:
    """Return what the run with this ``journal`` prints: its plain lines, and its NDJSON decoded."""
    plain_lines, json_lines = LineFormatter(system_clock(), verbose=True), JsonFormatter(verbose=True)
    printed, ndjson = [], []
    for item in (CaughtUp(), *journals.read(journal)):
        printed += plain_lines.on_item(item)
        ndjson += json_lines.on_item(item)
    printed += plain_lines.finalize()
    ndjson += json_lines.finalize()
    return printed, [json.loads(line) for line in ndjson]
