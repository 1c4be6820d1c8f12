"""Done markers: a file ``<prefix>.done`` by which a producer says that it has written all frames of a prefix.

Other tools of the same users write and read them: JSON with ``Timestamp``, ``FrameCount`` and ``Latest``. Any other
content is a marker too. Blocking: for a worker thread.
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from comfytui.clock import from_epoch
from comfytui.sources.frames.draft import Draft, writing
from comfytui.sources.frames.folder import stamp
from comfytui.sources.frames.verify import open_source
from comfytui.untrusted import plain

#: Bytes of a marker that are read; a larger one is a marker whose content is ignored.
LARGEST_MARKER = 65_536

_WRITER = "comfytui"


class Marker(Struct, frozen=True, kw_only=True):
    """A producer's marker: where it is, when it was written (mtime, UTC), and what it says, where it says anything."""

    path: Path
    timestamp: datetime
    frame_count: int | None = None
    latest: str | None = None


def marker_path(folder: Path, prefix: str) -> Path:
    """Return where the marker of ``prefix`` (a file name's beginning, without folders) is expected."""
    return folder / f"{prefix}.done"


def find_marker(folder: Path, prefix: str, not_before: datetime) -> Marker | None:
    """Return the producer's marker of ``prefix``, or ``None`` when there is none that counts.

    One that was written before ``not_before`` is of an earlier attempt, and one that we wrote ourselves proves
    nothing (telemetry contract, DoneMarkerDetected): neither counts. A marker that cannot be read yet counts as none.
    """
    path = marker_path(folder, prefix)
    try:
        found = stamp(path)
        content = _content(path) if found else {}
    except OSError:
        return None
    if found is None or content.get("Writer") == _WRITER:
        return None
    written = from_epoch(found.mtime_ns / 1e9)
    if written + _grain(found.mtime_ns) < not_before:
        return None
    return _marker(path, found.mtime_ns, content)


def _marker(path: Path, mtime_ns: int, content: dict[str, Any]) -> Marker:
    count, latest = content.get("FrameCount"), content.get("Latest")
    return Marker(
        path=path,
        timestamp=from_epoch(mtime_ns / 1e9),
        frame_count=count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None,
        latest=plain(latest) if isinstance(latest, str) else None,
    )


def whose_marker(folder: Path, prefix: str) -> tuple[Literal["ours", "theirs"], Marker] | None:
    """Return the marker of ``prefix``, however old, and whether comfytui wrote it; ``None``: there is none.

    :raises OSError: when it cannot be read.
    """
    path = marker_path(folder, prefix)
    found = stamp(path)
    if found is None:
        return None
    content = _content(path)
    return "ours" if content.get("Writer") == _WRITER else "theirs", _marker(path, found.mtime_ns, content)


def withdraw_marker(folder: Path, prefix: str) -> bool:
    """Remove our own marker of ``prefix``; tell whether there was one. A producer's stays.

    :raises OSError: when it cannot be read or removed.
    """
    found = whose_marker(folder, prefix)
    if found is None or found[0] != "ours":
        return False
    marker_path(folder, prefix).unlink(missing_ok=True)
    return True


def write_marker(folder: Path, prefix: str, *, at: datetime, frame_count: int, latest: str | None) -> Path | None:
    """Write our own marker into the existing ``folder``, atomically; ``None`` when a producer's marker is there.

    :raises Failure: ``run.unwritable`` when it cannot be written.
    """
    path = marker_path(folder, prefix)
    content = {
        "Timestamp": at.isoformat().replace("+00:00", "Z"),
        "FrameCount": frame_count,
        "Latest": None if latest is None else plain(latest),
        "Writer": _WRITER,
    }
    with writing(folder):
        if stamp(path) is not None and _content(path).get("Writer") != _WRITER:
            return None
    draft = Draft(folder)
    try:
        draft.write(msgspec.json.format(msgspec.json.encode(content), indent=2))
        draft.keep(path, replace=True)
    finally:
        draft.discard()
    return path


def _grain(mtime_ns: int) -> timedelta:
    """Return by how much an mtime may lie before the writing: FAT keeps two seconds, a kernel milliseconds."""
    return timedelta(seconds=2) if mtime_ns % 2_000_000_000 == 0 else timedelta(milliseconds=20)


def _content(path: Path) -> dict[str, Any]:
    """Return what a marker says as JSON (UTF-8, or UTF-16 with a mark, as PowerShell writes), else nothing."""
    with open_source(path) as file:
        raw = file.read(LARGEST_MARKER + 1) or b""
    if len(raw) > LARGEST_MARKER:
        return {}
    try:
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        said = msgspec.json.decode(text)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
