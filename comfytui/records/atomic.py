"""Files that are there whole or not at all: written beside their place, synced, then renamed into it."""

import itertools
import os
import re
import stat
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from comfytui.records.faults import writing

_TMP = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)-\d+\.tmp")
_count = itertools.count(1)

_PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Seconds between tries to replace a file that somebody holds open on Windows: 1.2 s in all."""

READERS_HOLD = sys.platform == "win32"
"""Whether a file that is open for reading cannot be replaced."""

_pause: Callable[[float], object] = threading.Event().wait


def write_atomic(path: Path, data: bytes | Iterable[bytes]) -> None:
    """Write ``data`` (whole, or in pieces as they come) so that ``path`` holds either what it held before or all of it.

    The folder must exist. On return the file and its name are on the disk. Raises ``Failure`` ``run.unwritable``; the
    file that was there stays, and no temporary file is left behind.
    """
    tmp = temporary(path)
    with writing(path.parent):
        try:
            with tmp.open("xb") as file:
                for piece in (data,) if isinstance(data, bytes) else data:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            put_in_place(tmp, path)
        except BaseException:
            tmp.unlink(missing_ok=True)
            raise


def copy_atomic(source: Path, path: Path) -> None:
    """Copy the small file ``source`` (a picture, a history entry) to ``path``, whole or not at all.

    Raises ``OSError`` when ``source`` cannot be read, ``Failure`` ``run.unwritable`` when ``path`` cannot be written.
    """
    write_atomic(path, source.read_bytes())


def link_atomic(source: Path, path: Path) -> None:
    """Let ``path`` be the very file ``source``, which is never written to again, or a copy where the disk has no links.

    Where they are the same already nothing is done. Raises ``OSError`` when ``source`` cannot be read, ``Failure``
    ``run.unwritable`` when ``path`` cannot be written.
    """
    facts = source.stat()
    there = _facts(path)
    if there is not None and os.path.samestat(facts, there):
        return
    if there is not None and stat.S_ISREG(there.st_mode) and path.read_bytes() == source.read_bytes():
        return
    tmp = temporary(path)
    try:
        tmp.hardlink_to(source)
    except OSError:  # FAT, some network shares
        copy_atomic(source, path)
        return
    with writing(path.parent):
        try:
            put_in_place(tmp, path)
        except BaseException:
            tmp.unlink(missing_ok=True)
            raise


def _facts(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def temporary(path: Path) -> Path:
    """Return a name beside ``path`` that nobody else uses, and that :func:`clean_leftovers` knows again."""
    return path.with_name(f".{path.name}.{os.getpid()}-{next(_count)}.tmp")


def is_temporary(name: str) -> bool:
    """Tell whether ``name`` is one of :func:`temporary`'s."""
    return _TMP.fullmatch(name) is not None


def put_in_place(tmp: Path, path: Path) -> None:
    """Rename the synced file ``tmp`` to ``path``, replacing what is there, and sync the folder's entry of it.

    On Windows a reader that holds ``path`` open forbids that for as long as it reads: tried again for about a second.
    Raises ``OSError``.
    """
    for pause in _PAUSES:
        try:
            tmp.replace(path)
            break
        except PermissionError:
            if not READERS_HOLD:
                raise
            _pause(pause)
    else:
        tmp.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Sync the names in ``folder``; Windows has no such thing, and its rename is journalled by NTFS."""
    if sys.platform != "win32":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def clean_leftovers(folder: Path, *, deep: bool = False) -> list[str]:
    """Remove the temporary files of processes that are gone from ``folder``, and where ``deep`` from those below it.

    Returns their names, sorted; links are not followed. Raises ``Failure`` ``run.unwritable``.
    """
    removed = []
    with writing(folder):
        for place, below, names in os.walk(folder):
            for name in names:
                found = _TMP.fullmatch(name)
                if found and not _runs(int(found["pid"])):
                    Path(place, name).unlink(missing_ok=True)
                    removed.append(name)
            if not deep:
                below.clear()
    return sorted(removed)


def _runs(pid: int) -> bool:
    import psutil  # type: ignore[import-untyped,unused-ignore]

    try:
        return bool(psutil.pid_exists(pid))
    except OverflowError:  # a number that no process has
        return False
