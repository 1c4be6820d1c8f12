"""Whether a disk will take what is to be written: by writing, and by asking for the space that is left."""

import os
import shutil
from pathlib import Path

from comfytui.records.atomic import temporary
from comfytui.records.faults import writing

_PROBE = b"comfytui\n" * 512


def prove_writable(folder: Path) -> None:
    """Make ``folder`` where there is none, and write a small file into it, synced and removed again.

    Raises ``Failure`` ``run.unwritable``.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        probe = temporary(folder / "probe")
        try:
            with probe.open("xb") as file:
                file.write(_PROBE)
                file.flush()
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)


def free_bytes(folder: Path) -> int | None:
    """Return the bytes that this user may still write at ``folder``; ``None`` where the system does not tell."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return usage.free if usage.total > 0 else None  # some network shares tell 0 of 0


def is_folder(path: Path) -> bool:
    """Tell whether ``path`` is a folder, as far as that can be seen: the way to it may be closed to this user."""
    try:
        return path.is_dir()
    except OSError:
        return False


def same_disk(one: Path, other: Path) -> bool:
    """Tell whether both folders share their free space, as far as that can be seen."""
    try:
        return one.stat().st_dev == other.stat().st_dev
    except OSError:
        return False
