"""The archive: everything of a run in one zip, written last and atomically, to be kept or sent to somebody.

Entries are named ``<RunId>/...``, so that it unpacks into a run folder again. Their order and their bytes do not depend
on when or where it was packed, but for the files' own times. ``<RunId>/MANIFEST.sha256`` lists the SHA-256 of every
other entry in the form that ``sha256sum -c`` reads.

What belongs to a running process (lock, socket, temporary files) stays out, and so does everything that is not a plain
file: a symbolic link is neither followed nor packed.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from comfytui.records.atomic import clean_leftovers, is_temporary, put_in_place, temporary
from comfytui.records.faults import writing
from comfytui.records.rundir import RunDir

if TYPE_CHECKING:
    from zipfile import ZipFile

MANIFEST = "MANIFEST.sha256"

PRIVATE = frozenset({"run.lock", "run.link"})
"""Files of the process that drives the run; ``run.link`` holds the token of its socket."""

_PRESSED = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".mp4", ".webm", ".mov", ".mp3", ".ogg", ".zip"})
"""Suffixes of files that are compressed already."""

_EARLIEST, _LATEST = datetime(1980, 1, 1, tzinfo=UTC), datetime(2107, 12, 31, tzinfo=UTC)
"""The days that a zip can tell."""
_CHUNK = 1024 * 1024

_JUNCTION = 0xA0000003
"""``IO_REPARSE_TAG_MOUNT_POINT``: what Windows calls a folder that is a link."""


def write_archive(run: RunDir) -> Path:
    """Pack the run folder into ``archives/comfyui-e2e-<RunId>.zip`` beside the runs and return its path.

    Files may grow meanwhile (the journal does): each is packed as long as it was when its turn came. Raises
    ``Failure`` ``run.unwritable``; an older archive stays until the new one is whole.
    """
    target = run.archive
    tmp = temporary(target)
    with writing(target.parent):
        target.parent.mkdir(exist_ok=True)
        clean_leftovers(target.parent)
        try:
            with tmp.open("x+b") as file:
                _pack(run, file)
                file.flush()
                os.fsync(file.fileno())
            put_in_place(tmp, target)
        except BaseException:
            tmp.unlink(missing_ok=True)
            raise
    return target


def _pack(run: RunDir, file: BinaryIO) -> None:
    from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

    manifest = bytearray()
    with ZipFile(file, "w", ZIP_DEFLATED) as packed:
        for path in plain_files(run.path):
            name = _as_text(path.relative_to(run.path).as_posix())
            digest = _add(packed, f"{run.run_id}/{name}", path)
            manifest += f"{digest}  {name}\n".encode()
        entry = ZipInfo(f"{run.run_id}/{MANIFEST}", date_time=_EARLIEST.timetuple()[:6])
        entry.compress_type = ZIP_DEFLATED
        entry.external_attr = 0o644 << 16
        packed.writestr(entry, bytes(manifest))


def _as_text(name: str) -> str:
    """Return the name of a file with U+FFFD for what in it is no text: a disk takes any bytes, a zip does not."""
    return os.fsencode(name).decode("utf-8", "replace")


def _add(packed: "ZipFile", name: str, path: Path) -> str:
    """Pack the file at ``path`` as ``name`` and return its SHA-256 (hex), worked out of the same bytes."""
    from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipInfo

    digest = hashlib.sha256()
    with path.open("rb") as source:
        facts = os.fstat(source.fileno())
        seconds = min(max(facts.st_mtime, _EARLIEST.timestamp()), _LATEST.timestamp())
        changed = datetime.fromtimestamp(seconds, UTC)
        entry = ZipInfo(name, date_time=changed.timetuple()[:6])
        entry.compress_type = ZIP_STORED if path.suffix.lower() in _PRESSED else ZIP_DEFLATED
        entry.external_attr = 0o644 << 16
        entry.file_size = rest = facts.st_size  # tells zipfile whether it needs the 64-bit form
        with packed.open(entry, "w") as place:
            while rest and (chunk := source.read(min(_CHUNK, rest))):
                digest.update(chunk)
                place.write(chunk)
                rest -= len(chunk)
    return digest.hexdigest()


def plain_files(folder: Path) -> Iterator[Path]:
    """Yield the plain files under ``folder`` that belong to the run, sorted by name, without following links.

    Raises ``OSError`` for what cannot be read.
    """
    yield from _walk(folder, top=True)


def is_link(facts: os.stat_result) -> bool:
    """Tell whether what ``lstat`` says is a symbolic link, or what Windows has for one between folders."""
    return stat.S_ISLNK(facts.st_mode) or getattr(facts, "st_reparse_tag", 0) == _JUNCTION


def _walk(folder: Path, *, top: bool) -> Iterator[Path]:
    for name in sorted(os.listdir(folder)):  # noqa: PTH208  (10,000 of them; a scanned entry weighs ten times as much)
        # What is hidden at the top is a process' own too: the folder of its socket, temporary files.
        if is_temporary(name) or (top and (name in PRIVATE or name.startswith("."))):
            continue
        path = folder / name
        facts = path.lstat()
        if is_link(facts):
            continue
        if stat.S_ISDIR(facts.st_mode):
            yield from _walk(path, top=False)
        elif stat.S_ISREG(facts.st_mode):
            yield path
