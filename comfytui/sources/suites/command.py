"""One check command: run to its end or its time limit, with all that it started ended in any case."""

import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread
from msgspec import Struct

from comfytui.clock import Clock
from comfytui.sources.processes.environment import child_environment
from comfytui.sources.processes.group import group_of, group_options
from comfytui.sources.processes.group_end import end_group
from comfytui.sources.processes.identity import ProcessIdentity, identity_of, same_start
from comfytui.sources.suites.log import BoundedLog

TIMED_OUT: Final = 124
"""The exit code of a command that ran out of time; that of ``timeout`` (GNU coreutils)."""
NOT_STARTED: Final = 127
"""The exit code of a command that cannot be started; that of a POSIX shell."""
SIGNALLED: Final = 128
"""Added to the number of the signal that ended a command, as POSIX shells do: old tools read digits only."""

GRACE: Final = 5.0
"""Seconds in which a command that is asked to end may tidy up."""
LAUNCHING: Final = (0.5, 2.0, 5.0)
"""Seconds from one look to the next at whether a launcher (npx, a shim) has put the program itself in its place."""
LAST_WORDS: Final = 1.0
"""Seconds to wait for the rest of the output once all of its processes have ended."""


class CommandEnd(Struct, frozen=True, kw_only=True):
    """How a command ended: its ``exit_code`` (never negative), and what else is to be said of it."""

    exit_code: int
    notes: tuple[str, ...] = ()


async def run_command(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: Path,
    timeout: float,
    clock: Clock,
    started: Callable[[ProcessIdentity], None],
) -> CommandEnd:
    """Run ``command`` for at most ``timeout`` seconds, its output in the file ``log``; return how it ended.

    ``started`` is told at once which process it is.

    ``env`` is added to our environment, which goes along without our secrets; its input is empty. Whatever it started
    and left behind is ended with it, also when this is cancelled. A command that cannot be started ends with 127.
    """
    kept = await to_thread.run_sync(BoundedLog, log)
    notes: list[str] = []
    code = NOT_STARTED
    try:
        child = await to_thread.run_sync(_start, command, cwd, env, kept)
        if isinstance(child, str):
            notes.append(f"it could not be started: {command[0]}: {child}")
        else:
            code = await _to_its_end(child, timeout, clock, notes, started)
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(lambda: kept.close(*notes))
    if kept.fault is not None:
        notes.append(f"its log is not complete: {kept.fault}")
    return CommandEnd(exit_code=code, notes=tuple(notes))


class _Child:
    """A command under way, and the thread that keeps its output."""

    def __init__(self, process: "subprocess.Popen[bytes]", kept: BoundedLog) -> None:
        self.process = process
        unknown = ProcessIdentity(pid=process.pid, created=0.0, executable="")
        self.group = group_of(identity_of(process.pid) or unknown)
        self.reading = threading.Thread(target=self._read, args=(kept,), name=f"output-{process.pid}", daemon=True)
        self.reading.start()

    def runs(self) -> bool:
        """Tell whether the command itself still runs."""
        return self.process.poll() is None

    def wait(self) -> None:
        """Wait for the end of the command itself; whom it leaves behind is taken note of at that moment."""
        self.process.wait()
        self.group.leader_ended()

    def look_again(self) -> bool:
        """Read anew who it is, and return whether that has changed: a launcher puts another program in its place.

        The id of a child that was not waited for cannot have been given to another process.
        """
        found = identity_of(self.process.pid) if self.runs() else None
        known = self.group.leader
        if found is None or found == known or (known.executable and not same_start(found, known)):
            return False
        self.group.leader = found
        return True

    def _read(self, kept: BoundedLog) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream, contextlib.suppress(OSError):
            while piece := os.read(stream.fileno(), 65536):
                kept.take(piece)


def _start(command: Sequence[str], cwd: Path, env: Mapping[str, str], kept: BoundedLog) -> _Child | str:
    """Start ``command`` and return it, or why it cannot be run."""
    program = shutil.which(command[0]) or command[0]  # Windows itself finds `npx`, but no `npx.cmd`
    try:
        process = subprocess.Popen(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=child_environment(env),
            **group_options(),
        )
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or "its command cannot be run"
    return _Child(process, kept)


async def _to_its_end(
    child: _Child, timeout: float, clock: Clock, notes: list[str], started: Callable[[ProcessIdentity], None]
) -> int:
    """Return the exit code; ``notes`` takes what else there is to say. Nothing of the command runs afterwards."""
    in_time = False
    try:
        async with anyio.create_task_group() as looking:
            looking.start_soon(_tell_who, child, clock, started)
            with anyio.move_on_after(timeout):
                await to_thread.run_sync(child.wait, abandon_on_cancel=True)
                in_time = True
            looking.cancel_scope.cancel()
        if in_time and (left := await to_thread.run_sync(child.group.living)):
            notes.append(f"it left processes behind ({len(left)}), which were ended")
        if not in_time:
            notes.append(f"it was ended after {timeout:g} s, its time limit")
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(child.look_again)
            if (stays := await end_group(child.group, child.runs, GRACE, clock)) is not None:
                notes.append(stays)
            # who has left the group may hold the output open for ever
            await to_thread.run_sync(child.reading.join, LAST_WORDS)
    if not in_time:
        return TIMED_OUT
    code = child.process.returncode or 0
    return SIGNALLED - code if code < 0 else code


async def _tell_who(child: _Child, clock: Clock, started: Callable[[ProcessIdentity], None]) -> None:
    """Tell ``started`` which process it is, and once more when a launcher has put another program in its place."""
    started(child.group.leader)
    for pause in LAUNCHING:
        await clock.sleep(pause)
        if await to_thread.run_sync(child.look_again):
            started(child.group.leader)
