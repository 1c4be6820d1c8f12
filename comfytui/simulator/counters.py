"""The largest counter of each prefix in a folder of frames, remembered while nobody else changes a crowded one.

ComfyUI lists the whole folder for every save, and so does this. In a folder of 10,000 frames that takes longer than
all the rest of a small prompt, and a long story could not be told from one that slows down by itself.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

CROWDED = 1000
"""Names from which on a folder is worth remembering."""

_COUNTER = re.compile(r"_(\d+)")


class Counters:
    """What is known of the folders that this server saves to. Blocking: for a worker thread."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, dict[str, int]]] = {}
        """When a crowded folder last changed (mtime in nanoseconds), and the largest counters in it then."""

    def largest(self, folder: Path, name: str) -> int:
        """Return the largest counter of the files in ``folder`` that begin with ``name``, 0 without one."""
        changed = _changed(folder)
        at, largest = self._known.get(folder, (None, {}))
        if at != changed:
            self._known.pop(folder, None)
            names = os.listdir(folder)  # noqa: PTH208
            if len(names) < CROWDED:
                ours = name.lower()  # nearly all others are passed by their first letters
                return max((_number(file, name) for file in names if file.lower().startswith(ours)), default=0)
            largest = {}
            for file in names:
                _enter(file, largest)
            self._known[folder] = changed, largest
        return largest.get(name.lower(), 0)

    def create(self, path: Path) -> None:
        """Make the empty file ``path``; what is known of its folder stays known."""
        before = _changed(path.parent)
        path.write_bytes(b"")
        at, largest = self._known.get(path.parent, (None, {}))
        if at == before:
            _enter(path.name, largest)
            self._known[path.parent] = _changed(path.parent), largest


def _changed(folder: Path) -> int:
    return folder.stat().st_mtime_ns


def _number(file: str, name: str) -> int:
    """Return the counter in a file name of ours, 0 for a foreign file."""
    match = re.match(re.escape(name) + r"_(\d+)", file, re.IGNORECASE)
    return int(match[1]) if match else 0


def _enter(file: str, largest: dict[str, int]) -> None:
    """Count ``file`` under every name that it may have been saved by."""
    for found in _COUNTER.finditer(file):
        name = file[: found.start()].lower()
        largest[name] = max(largest.get(name, 0), int(found[1]))
