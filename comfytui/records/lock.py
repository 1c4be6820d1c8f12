"""Who drives a run: ``run.lock`` names the one process that may append to its journal.

The holder is told by its process id, the time that process was started and its host. A holder that is gone leaves a
stale lock, which the next one takes over and tells of. Judging and taking happen under a lock of the operating system
that is held for that moment only, so that of two who find the same stale lock one gets it.
"""

import contextlib
import errno
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Annotated, BinaryIO, Self

import msgspec
from msgspec import Meta, Struct

from comfytui.errors import Failure
from comfytui.records.atomic import clean_leftovers
from comfytui.records.faults import writing
from comfytui.records.rundir import RunDir

_SAME_START = 2.0
"""Seconds within which two readings of one process' start agree: Linux derives it from a clock that is corrected."""

_TRIES = 100
_PAUSE = 0.02
_FAR = 1 << 30
"""Where Windows locks a byte: beyond what readers read, since its locks forbid reading."""

_pause: Callable[[float], object] = threading.Event().wait


class Holder(Struct, frozen=True, kw_only=True):
    """The process that holds a run; ``started`` in epoch seconds."""

    pid: Annotated[int, Meta(ge=1)]
    started: float
    host: str


class RunLock:
    """A run that is ours to drive until :meth:`release`. ``replaced`` is the dead holder it was taken over from."""

    def __init__(self, path: Path, holder: Holder, replaced: Holder | None) -> None:
        self.path = path
        self.holder = holder
        self.replaced = replaced

    @classmethod
    def acquire(cls, run: RunDir) -> Self:
        """Take the lock of ``run`` for this process, and remove what a dead holder was in the middle of writing.

        Raises ``Failure`` ``run.locked`` while its holder lives, ``run.locked_elsewhere`` when that is a process of
        another machine (which cannot be seen from here), and ``run.unwritable``.
        """
        ours = this_process()
        with writing(run.path), run.lock.open("a+b") as file, _alone(file):
            before = _decode(_content(file))
            if before is not None and before.host != ours.host:
                raise Failure(
                    "run.locked_elsewhere", run=run.run_id, pid=before.pid, host=before.host, file=str(run.lock)
                )
            if before is not None and is_alive(before):
                raise Failure("run.locked", run=run.run_id, pid=before.pid)
            _rewrite(file, msgspec.json.encode(ours))
        lock = cls(run.lock, ours, before)
        if before is not None:
            try:
                clean_leftovers(run.path, deep=True)
            except BaseException:
                lock.release()
                raise
        return lock

    def release(self) -> None:
        """Give the run free; does nothing when the lock is not ours any more, or its folder is gone."""
        with contextlib.suppress(OSError), self.path.open("r+b") as file, _alone(file):
            if _decode(_content(file)) == self.holder:
                _rewrite(file, b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def this_process() -> Holder:
    """Return this process as the holder that it would be."""
    return Holder(pid=os.getpid(), started=_our_start(), host=socket.gethostname())


def _our_start() -> float:
    """Return when this process was started, as psutil reckons it, whose import would hold up the start of every run."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError, IndexError):
            ticks = int(Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[19])
            boot = int(Path("/proc/stat").read_bytes().partition(b"btime ")[2].split()[0])
            return boot + ticks / os.sysconf("SC_CLK_TCK")
    import psutil  # type: ignore[import-untyped,unused-ignore]

    return float(psutil.Process().create_time())


def holder_of(run: RunDir) -> Holder | None:
    """Return the living process of this machine (or the one of another) that drives ``run``, or ``None``."""
    try:
        holder = _decode(run.lock.read_bytes())
    except OSError:
        return None
    if holder is None or (holder.host == socket.gethostname() and not is_alive(holder)):
        return None
    return holder


def is_alive(holder: Holder) -> bool:
    """Tell whether ``holder``, a process of this machine, still runs: its id may have been given to another since."""
    import psutil  # type: ignore[import-untyped,unused-ignore]

    try:
        process = psutil.Process(holder.pid)
        same = abs(float(process.create_time()) - holder.started) <= _SAME_START
        return same and str(process.status()) != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # it is there, and will not tell since when
        return True


def _decode(data: bytes) -> Holder | None:
    """Return the holder in ``data``; ``None`` for a lock that was released, or torn while it was written."""
    try:
        return msgspec.json.decode(data, type=Holder) if data else None
    except (ValueError, RecursionError):
        return None


def _content(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(4096)


def _rewrite(file: BinaryIO, data: bytes) -> None:
    file.truncate(0)
    file.seek(0)
    file.write(data)
    file.flush()


@contextlib.contextmanager
def _alone(file: BinaryIO) -> Iterator[None]:
    """Hold the operating system's lock on ``file``; about two seconds of waiting at most, then ``OSError``."""
    for _ in range(_TRIES):
        if _try_lock(file):
            break
        _pause(_PAUSE)
    else:
        raise TimeoutError("another process holds on to run.lock")
    try:
        yield
    finally:
        _unlock(file)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: BinaryIO) -> bool:
        file.seek(_FAR)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def _unlock(file: BinaryIO) -> None:
        file.seek(_FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(file: BinaryIO) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as fault:
            # Some network shares have no locks: the moment of taking over is then unguarded, nothing else.
            return fault.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
        return True

    def _unlock(file: BinaryIO) -> None:
        with contextlib.suppress(OSError):  # where there are no locks; closing the file lets go of it anyhow
            fcntl.flock(file, fcntl.LOCK_UN)
