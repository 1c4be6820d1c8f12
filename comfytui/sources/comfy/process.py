"""Servers that we start ourselves: ready before they are used, ended with everything they started.

A server that we start holds the other end of a pipe on its standard input, which closes when we end, however we end:
with ``--exit-with-parent`` the simulator ends then too.

Two threads look after it, not the event loop: one takes its output, so that a loop that is busy never makes it stand
still, and one waits for its end. They also outlive the ``async with`` where a process had to be left alone.
"""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import anyio
from anyio import to_thread

from comfytui.clock import Clock, wait_for
from comfytui.errors import Failure
from comfytui.sources.comfy.server_output import Ready, ServerOutput
from comfytui.sources.processes.environment import child_environment
from comfytui.sources.processes.group import group_of, group_options
from comfytui.sources.processes.group_end import all_gone, end_group
from comfytui.sources.processes.identity import ProcessIdentity, identity_of, mismatch, same_start

__all__ = ["ProcessIdentity", "ServerProcess", "simulator_command", "simulator_url"]

FAREWELL: Final = 2.0
"""Seconds in which a server may end by itself, as its input has ended, before it is sent a signal."""
LAST_WORDS: Final = 1.0
"""Seconds to wait for the rest of the output of a server that has ended, and for the end of one that just ends."""
_READY_LINE: Final = re.compile(r"ComfyUI simulator ready at (http://[0-9A-Za-z.:\[\]-]+)")


def simulator_command(output_dir: Path, speed: str = "demo") -> list[str]:
    """Return the command that starts the embedded simulator on a free port; simulator_url reads its ready line."""
    # -P: a file in the folder we stand in must not pose as comfytui.
    command = [sys.executable, "-P", "-m", "comfytui", "sim", "--port", "0", "--output-dir", str(output_dir)]
    return [*command, "--speed", speed, "--exit-with-parent"]


def simulator_url(line: str) -> str | None:
    """Return the address in the line with which the simulator says that it is ready; ``None`` for any other line."""
    found = _READY_LINE.fullmatch(line.strip())
    return found[1] if found else None


class ServerProcess:
    """A server that runs for as long as an ``async with`` block; make it with :meth:`start`.

    Inside the block ``url`` is the address that it told, and ``identity`` proves which process it is.
    """

    identity: ProcessIdentity

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path | None,
        env: Mapping[str, str] | None,
        log: Path | None,
        ready: Ready | None,
        timeout: float,
        clock: Clock,
    ) -> None:
        self.url = ""
        """The address that it told; empty when it was not asked for any."""
        self.left_alone: str | None = None
        """Why the last stop left it, or a part of it, running."""
        self._command = list(command)
        self._cwd, self._env, self._log, self._ready = cwd, env, log, ready
        self._timeout, self._clock = timeout, clock
        self._child: _Child | None = None
        self._stopping = anyio.Lock()

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        *,
        clock: Clock,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
        ready: Ready | None = None,
        timeout: float = 60.0,
    ) -> Self:
        """Return a server that the ``async with`` starts with ``command``.

        ``ready`` gets each line of output, and returns the address once a line tells it; without it the server counts
        as ready at once. ``env`` is added to our environment, which goes along without our secrets. Output is added to
        the file ``log``. Entering raises Failure ``server.start_failed`` with the last lines of output when the
        command cannot be run, ends, or is not ready within ``timeout`` seconds.
        """
        return cls(command, cwd=cwd, env=env, log=log, ready=ready, timeout=timeout, clock=clock)

    @property
    def ended(self) -> int | None:
        """Return the exit code; ``None`` while it runs."""
        return self._child.code if self._child is not None else None

    @property
    def log_fault(self) -> str | None:
        """Return why the log file is not complete; ``None`` when it is."""
        return self._child.output.log_fault if self._child is not None else None

    async def __aenter__(self) -> Self:
        child = await to_thread.run_sync(self._spawn)
        child.look_after(asyncio.get_running_loop())
        self._child, self.identity = child, child.group.leader
        try:
            await self._become_ready(child)
        except BaseException:  # failed or cancelled: nothing that we started may stay behind
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def wait(self) -> int:
        """Wait until it ends, and return its exit code; the ``async with`` must have been entered."""
        assert self._child is not None
        await self._child.ended.wait()
        return self._child.process.returncode

    async def stop(self, grace: float = 10.0) -> str | None:
        """End the server and everything it started, killing after ``grace`` seconds; return why it was left alone.

        ``None``: all of them have ended. It is left alone unless process id, start time and executable all match
        ``identity``. Of a server that has ended before, what it left behind is ended.
        """
        async with self._stopping:
            self.left_alone = await self._stop(self._child, grace) if self._child is not None else None
        return self.left_alone

    def _spawn(self) -> "_Child":
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self._cwd,
                env=child_environment(self._env or {}),
                **group_options(),
            )
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "its command cannot be run"
            raise Failure("server.start_failed", why=f"{self._command[0]}: {why}") from None
        return _Child(process, ServerOutput(self._ready, self._log))

    async def _become_ready(self, child: "_Child") -> None:
        """Wait until the server is ready; raises Failure ``server.start_failed``."""
        if self._ready is not None:
            await wait_for(child.settled, self._timeout, self._clock)
            self.url = child.output.address
            if not self.url:
                code = child.code
                how = f"it was not ready within {self._timeout:g} s" if code is None else f"it ended with code {code}"
                raise Failure("server.start_failed", why=how + child.output.told())
        # A launcher may have put another program in its place meanwhile, under the same id: this child, not reaped yet,
        # is proven to be ours.
        found = identity_of(child.process.pid)
        if (
            found is not None
            and child.code is None
            and (not self.identity.executable or same_start(found, self.identity))
        ):
            self.identity = child.group.leader = found

    async def _stop(self, child: "_Child", grace: float) -> str | None:
        farewell = min(FAREWELL, grace / 2)
        if (why := await self._why_not(child)) is not None:
            return why
        child.end_input()
        if await all_gone(child.group, child.runs, farewell, self._clock):
            return None
        if (why := await self._why_not(child)) is not None:
            return why
        return await end_group(child.group, child.runs, grace - farewell, self._clock)

    async def _why_not(self, child: "_Child") -> str | None:
        """Return why the server must not be signalled; ``None`` too when it has ended, and only others are left."""
        if child.code is not None:
            return None
        found = await to_thread.run_sync(identity_of, self.identity.pid)
        if found is not None:
            return mismatch(self.identity, found)
        if await wait_for(child.ended, LAST_WORDS, self._clock):  # it was ending at that very moment
            return None
        return f"process {self.identity.pid} cannot be looked at"

    async def _close(self) -> None:
        with anyio.CancelScope(shield=True):
            await self.stop()


class _Child:
    """A process that was just started, and the two threads that look after it until it has ended."""

    def __init__(self, process: "subprocess.Popen[bytes]", output: ServerOutput) -> None:
        self.process, self.output = process, output
        unknown = ProcessIdentity(pid=process.pid, created=0.0, executable="")
        self.group = group_of(identity_of(process.pid) or unknown)
        self.settled = anyio.Event()
        """Set once the address is known, or will never be."""
        self.ended = anyio.Event()

    @property
    def code(self) -> int | None:
        """Return the exit code; ``None`` while it runs."""
        return self.process.returncode if self.ended.is_set() else None

    def runs(self) -> bool:
        """Tell whether it still runs."""
        return self.code is None

    def look_after(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the threads, which tell ``loop`` what happens."""
        reading = threading.Thread(target=self._read, args=(loop,), name=f"output-{self.process.pid}", daemon=True)
        reading.start()
        threading.Thread(
            target=self._wait, args=(loop, reading), name=f"end-of-{self.process.pid}", daemon=True
        ).start()

    def end_input(self) -> None:
        """Close its standard input."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream, contextlib.suppress(OSError):
            while piece := os.read(stream.fileno(), 65536):
                if self.output.take(piece):
                    _tell(loop, self.settled)
        self.output.close()

    def _wait(self, loop: asyncio.AbstractEventLoop, reading: threading.Thread) -> None:
        self.process.wait()
        self.group.leader_ended()
        self.end_input()
        _tell(loop, self.ended)
        reading.join(LAST_WORDS)  # what it left behind may hold its output open for ever
        _tell(loop, self.settled)


def _tell(loop: asyncio.AbstractEventLoop, event: anyio.Event) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
        loop.call_soon_threadsafe(event.set)
