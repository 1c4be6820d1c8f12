"""Cloning a file instead of copying it, where the file system shares blocks (btrfs, xfs, bcachefs, APFS)."""

import errno
import os
import sys
from pathlib import Path

_FICLONE = 0x4004_9409  # linux/fs.h: _IOW(0x94, 9, int)
_AT_FDCWD = -2  # sys/fcntl.h of macOS

_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)

#: How a disk fails, as against a file system that cannot clone, or not these two files.
_DISK_FAULTS = frozenset({errno.ENOSPC, errno.EIO, errno.EROFS, errno.ENOENT, errno.EEXIST, errno.EDQUOT})


def create(path: Path, source: int | None = None) -> tuple[int, bool]:
    """Make the new file ``path`` and return its descriptor, and whether it already is a clone of ``source``.

    ``source`` is a descriptor open for reading; where it cannot be cloned the new file is empty. The descriptor of a
    clone may be fit for reading only.

    :raises OSError: when the file cannot be made, :class:`FileExistsError` when there is one.
    """
    if source is not None and sys.platform == "darwin" and _clone_on_macos(source, path):
        return os.open(path, os.O_RDONLY), True
    target = os.open(path, _NEW_FILE, 0o666)
    try:
        cloned = source is not None and _clone_on_linux(source, target)
    except BaseException:
        os.close(target)
        path.unlink(missing_ok=True)
        raise
    return target, cloned


def _clone_on_linux(source: int, target: int) -> bool:
    if sys.platform == "linux" and os.fstat(source).st_dev == os.fstat(target).st_dev:
        import fcntl

        try:
            fcntl.ioctl(target, _FICLONE, source)
        except OSError as error:
            if error.errno in _DISK_FAULTS:
                raise
        else:
            return True
    return False


def _clone_on_macos(source: int, path: Path) -> bool:
    """Clone by ``fclonefileat(2)``, which makes the new file itself."""
    import ctypes

    try:
        clone = ctypes.CDLL(None, use_errno=True).fclonefileat
    except (OSError, AttributeError):
        return False
    if not clone(source, _AT_FDCWD, os.fsencode(path), 0):
        return True
    error = ctypes.get_errno()
    if error in _DISK_FAULTS:
        raise OSError(error, os.strerror(error), str(path))
    return False
