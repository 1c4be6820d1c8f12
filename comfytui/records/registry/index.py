"""All runs of a folder, quickly: what was read of each run folder is kept in one file, with how the folder looked then.

The file (``.runs-index`` beside the runs) is a cache and nothing else: whatever is odd about it, the folders are read
again. A run is read anew when size or time of its journal or its metadata changed. One file rather than a database:
reading 10,000 runs back takes about 50 ms, it is replaced whole and atomically, so that two processes which write it
at once leave one of two true ones, and there is nothing to repair. SQLite would save the rewriting, which happens only
when a run has changed, and bring its own locks, which shared folders are bad at.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from comfytui.errors import Failure
from comfytui.model.catalog import RunEntry
from comfytui.records.atomic import write_atomic
from comfytui.records.lock import holder_of
from comfytui.records.registry.entry import read_entry
from comfytui.records.rundir import RunDir, run_names

NAME = ".runs-index"
VERSION = 2
LARGEST = 256 * 1024 * 1024
"""Bytes of an index that is read: more than any that we write."""

_ANY = RunDir(Path())
_JOURNAL, _METADATA, _PLAN, _LOCK = _ANY.journal.name, _ANY.metadata.name, _ANY.plan.name, _ANY.lock.name

Look = tuple[int, int, int, int]
"""Size and time (nanoseconds) of a journal and of a metadata file; -1 where there is none."""


class _Kept(Struct, frozen=True, array_like=True):
    look: Look
    entry: RunEntry


class _Index(Struct, frozen=True):
    version: int
    runs: dict[str, _Kept]


def list_entries(runs_dir: Path) -> list[RunEntry]:
    """Return every run under ``runs_dir``, the newest first; none where it does not exist or cannot be read."""
    folder = runs_dir.absolute()
    known = _read(folder / NAME)
    found: dict[str, _Kept] = {}
    for name in run_names(folder):
        path = f"{folder}{os.sep}{name}"
        look = _look_at(path)
        if look is None:
            continue
        kept = known.get(name)
        if kept is None or kept.look != look or kept.entry.path != path:
            kept = _Kept(look, read_entry(RunDir(Path(path))))
        found[name] = kept
    if found.keys() != known.keys() or any(known[name] is not kept for name, kept in found.items()):
        _write(folder / NAME, found)
    return [_with_driver(kept.entry) for kept in found.values()]


def _look_at(path: str) -> Look | None:
    """Return how the run folder ``path`` looks; ``None`` where it is no run (any more)."""
    journal, metadata = _file(path, _JOURNAL), _file(path, _METADATA)
    if journal[0] < 0 and metadata[0] < 0 and _file(path, _PLAN)[0] < 0:
        return None
    return (*journal, *metadata)


def _file(path: str, name: str) -> tuple[int, int]:
    """Return size and time of a file; texts and not ``Path``, which would take three times as long as the disk."""
    try:
        facts = os.stat(f"{path}{os.sep}{name}")  # noqa: PTH116
    except (OSError, ValueError):
        return (-1, -1)
    return (facts.st_size, facts.st_mtime_ns)


def _with_driver(entry: RunEntry) -> RunEntry:
    """Return ``entry``, marked where a process drives the run now; one that ended may be driven again."""
    locked = _file(entry.path, _LOCK)[0] > 0  # a lock that was let go is empty
    if locked and holder_of(RunDir(Path(entry.path))) is not None:
        return replace(entry, driven=True)
    return entry


def _read(path: Path) -> Mapping[str, _Kept]:
    """Return what is kept at ``path``; nothing where it is absent, torn, foreign or of another version."""
    try:
        if path.stat().st_size > LARGEST:
            return {}
        index = msgspec.msgpack.decode(path.read_bytes(), type=_Index)
    except (OSError, ValueError, RecursionError):
        return {}
    return index.runs if index.version == VERSION else {}


def _write(path: Path, runs: dict[str, _Kept]) -> None:
    """Keep ``runs`` at ``path``, if the disk lets us: without an index the next list only takes longer."""
    try:
        write_atomic(path, msgspec.msgpack.encode(_Index(version=VERSION, runs=runs)))
    except Failure:
        return
