"""Whether a process is the one that we started.

A process id is reused sooner or later, and a name proves nothing: so nothing is ended unless id, start time and
executable all match what was recorded.
"""

import os
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    import psutil  # type: ignore[import-untyped,unused-ignore]

SAME_MOMENT: Final = 1.0
"""Seconds that a start time may be off: systems count it from boot, and the wall clock may have been corrected."""


class ProcessIdentity(Struct, frozen=True, kw_only=True):
    """What proves that a process is the one that was started; ``created`` is in seconds since the epoch."""

    pid: int
    created: float
    executable: str


def identity_of(pid: int) -> ProcessIdentity | None:
    """Return what identifies the process ``pid`` now; ``None``: it has ended, or may not be looked at."""
    import psutil  # type: ignore[import-untyped,unused-ignore]

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return ProcessIdentity(pid=pid, created=process.create_time(), executable=process.exe())
    except (psutil.Error, OSError):
        return None


def mismatch(recorded: ProcessIdentity, found: ProcessIdentity) -> str | None:
    """Return in what ``found`` is not the process that was recorded; ``None``: it is the same."""
    if found.pid != recorded.pid:
        return "the process id differs"
    if not recorded.executable or not found.executable:
        return f"process {found.pid} cannot be told from others: its program cannot be read"
    if not same_start(recorded, found):
        return f"process {found.pid} was started at another time: it is another one"
    if os.path.normcase(found.executable) != os.path.normcase(recorded.executable):
        return f"process {found.pid} runs another program"
    return None


def same_start(recorded: ProcessIdentity, found: ProcessIdentity) -> bool:
    """Return whether both were started at the same moment."""
    return abs(found.created - recorded.created) <= SAME_MOMENT


def why_not(recorded: ProcessIdentity) -> str | None:
    """Return why the process with that id must not be ended; ``None`` when it is proven to be the recorded one."""
    found = identity_of(recorded.pid)
    if found is None:
        return f"process {recorded.pid} has ended, or cannot be looked at"
    return mismatch(recorded, found)


def has_ended(pid: int) -> bool:
    """Return whether nothing runs under ``pid``; one that merely cannot be looked at has not ended."""
    import psutil  # type: ignore[import-untyped,unused-ignore]

    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, OSError):
        return False


def is_alive(process: "psutil.Process") -> bool:
    """Return whether ``process`` runs: still the same one under its id, and no zombie."""
    import psutil  # type: ignore[import-untyped,unused-ignore]

    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, OSError):
        return False
