"""Files of a run folder that may be anything: read only where they are plain files of it, and only within bounds."""

import os
import stat
from io import BufferedReader
from pathlib import Path

from comfytui.records.faults import why
from comfytui.untrusted import inside

LARGEST = 512 * 1024 * 1024
"""The largest record that is read, in bytes; the metadata of 10,000 scenes have about 100 MiB."""


class Unreadable(Exception):
    """Why a file of the run folder cannot be read, in words."""


def within(folder: Path, relative: str) -> Path | None:
    """Return the path that ``relative`` (with ``/``) names if proven to stay in ``folder``, else ``None``."""
    subfolder, _, name = relative.rpartition("/")
    return None if relative.startswith("/") else inside(folder, subfolder, name)


def is_plain_file(path: Path) -> bool:
    """Tell whether ``path`` is a file itself: no link, pipe or device. Raises nothing."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def opened(path: Path) -> BufferedReader:
    """Open the plain file at ``path`` for reading. Raises :class:`Unreadable`, also for one that is too large."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise Unreadable("is no plain file")
        file = path.open("rb")
    except FileNotFoundError:
        raise Unreadable("is missing") from None
    except (OSError, ValueError) as fault:
        raise Unreadable(f"cannot be read: {why(fault)}") from None
    if os.fstat(file.fileno()).st_size > LARGEST:
        file.close()
        raise _too_large()
    return file


def content(path: Path) -> bytes:
    """Return what the plain file at ``path`` holds. Raises :class:`Unreadable`."""
    with opened(path) as file:
        try:
            data = file.read(LARGEST + 1)
        except OSError as fault:
            raise Unreadable(f"cannot be read: {why(fault)}") from None
    if len(data) > LARGEST:
        raise _too_large()
    return data


def _too_large() -> Unreadable:
    return Unreadable(f"is larger than {LARGEST} bytes")
