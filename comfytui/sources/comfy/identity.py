"""Whether a process is the one that we started, and its end if it is.

A process id is reused sooner or later, and a name proves nothing: so nothing is ended unless id, start time and
executable all match what was recorded.
"""

import os
from typing import Final

import psutil  # type: ignore[import-untyped,unused-ignore]
from msgspec import Struct

from comfytui.clock import Clock
from comfytui.sources.comfy.process_group import ask_group_to_end

SAME_MOMENT: Final = 1.0
"""Seconds that a start time may be off: systems count it from boot, and the wall clock may have been corrected."""
_LOOK_EVERY: Final = 0.05


class ProcessIdentity(Struct, frozen=True, kw_only=True):
    """What proves that a process is the one that was started; ``created`` is in seconds since the epoch."""

    pid: int
    created: float
    executable: str


def identity_of(pid: int) -> ProcessIdentity | None:
    """Return what identifies the process ``pid`` now; ``None``: it has ended, or may not be looked at."""
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
    if not same_start(recorded, found):
        return f"process {found.pid} was started at another time: it is another one"
    if os.path.normcase(found.executable) != os.path.normcase(recorded.executable):
        return f"process {found.pid} runs another program"
    return None


def same_start(recorded: ProcessIdentity, found: ProcessIdentity) -> bool:
    """Return whether both were started at the same moment."""
    return abs(found.created - recorded.created) <= SAME_MOMENT


async def end_process(identity: ProcessIdentity, clock: Clock, grace: float = 10.0) -> str | None:
    """End the process and everything it started: asked first, killed after ``grace`` seconds.

    Return ``None`` when it is gone (or was already), else why it was left alone.
    """
    found = identity_of(identity.pid)
    if found is None:
        return None if _is_gone(identity.pid) else f"process {identity.pid} cannot be looked at"
    if (why := mismatch(identity, found)) is not None:
        return why
    family = _family(identity.pid)  # psutil remembers their start times: a reused id is never signalled
    ask_group_to_end(identity.pid)
    await _until_gone(family, clock, grace)
    late = [child for member in family for child in _children(member)]
    for member in {*family, *late}:
        _kill(member)
    await _until_gone(family, clock, grace)
    return f"process {identity.pid} does not end" if _any_runs(family) else None


async def _until_gone(family: list[psutil.Process], clock: Clock, seconds: float) -> None:
    deadline = clock.monotonic() + seconds
    while _any_runs(family) and clock.monotonic() < deadline:
        await clock.sleep(_LOOK_EVERY)


def _family(pid: int) -> list[psutil.Process]:
    try:
        leader = psutil.Process(pid)
    except psutil.Error:
        return []
    return [leader, *_children(leader)]


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except (psutil.Error, OSError):
        return []


def _any_runs(family: list[psutil.Process]) -> bool:
    return any(_runs(member) for member in family)


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, OSError):
        return False


def _is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, OSError):
        return False


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except (psutil.Error, OSError):
        return  # it is gone, or not ours to kill: the caller looks whether it still runs
