"""Servers that we start ourselves: ready before they are used, ended with everything they started.

A server that we start holds the other end of a pipe on its standard input, which closes when we end, however we end:
with ``--exit-with-parent`` the simulator ends then too.
"""

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import anyio
from anyio.abc import Process

from comfytui.clock import Clock
from comfytui.errors import Failure
from comfytui.sources.comfy.identity import ProcessIdentity, end_process, identity_of, same_start
from comfytui.sources.comfy.process_group import group_options
from comfytui.untrusted import plain

__all__ = ["ProcessIdentity", "ServerProcess", "end_process", "simulator_command", "simulator_url"]

READY_LINE: Final = "ComfyUI simulator ready at "
TAIL_LINES: Final = 12
"""Last lines of output that tell why a server did not start."""
MAX_LINE: Final = 8192
"""Bytes of one line of output that are looked at."""
MAX_LOG: Final = 64 * 1024 * 1024
"""Bytes of output that are written to a log file."""
_SECRETS: Final = ("COMFYTUI_TOKEN", "COMFYTUI_HEADERS")

Ready = Callable[[str], str | None]


def simulator_command(output_dir: Path, speed: str = "demo") -> list[str]:
    """Return the command that starts the embedded simulator on a free port; simulator_url reads its ready line."""
    command = [sys.executable, "-m", "comfytui", "sim", "--port", "0", "--output-dir", str(output_dir)]
    return [*command, "--speed", speed, "--exit-with-parent"]


def simulator_url(line: str) -> str | None:
    """Return the address in the line with which the simulator says that it is ready; ``None`` for any other line."""
    return line.removeprefix(READY_LINE).strip() if line.startswith(READY_LINE) else None


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
        output: "ServerOutput",
        timeout: float,
        clock: Clock,
    ) -> None:
        self._command = list(command)
        self._cwd = cwd
        self._env = env
        self._output = output
        self._timeout = timeout
        self._clock = clock
        self._child: Process | None = None
        self._resources = AsyncExitStack()

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
    ) -> "ServerProcess":
        """Return a server that the ``async with`` starts with ``command``.

        ``ready`` gets each line of output, and returns the address once a line tells it; without it the server counts
        as ready at once. ``env`` is added to our environment, which goes along without our secrets. Output is added to
        the file ``log``. Entering raises Failure ``server.start_failed`` with the last lines of output when the
        command cannot be run, ends, or is not ready within ``timeout`` seconds.
        """
        return cls(command, cwd=cwd, env=env, output=ServerOutput(ready, log), timeout=timeout, clock=clock)

    @property
    def url(self) -> str | None:
        """Return the address that the server told; ``None``: it was not asked for any."""
        return self._output.address

    @property
    def ended(self) -> int | None:
        """Return the exit code; ``None`` while it runs."""
        return self._child.returncode if self._child is not None else None

    async def __aenter__(self) -> Self:
        self._child = child = await self._spawn()
        found = identity_of(child.pid)
        self.identity = found or ProcessIdentity(pid=child.pid, created=0.0, executable="")
        group = await self._resources.enter_async_context(anyio.create_task_group())
        self._resources.callback(group.cancel_scope.cancel)
        group.start_soon(self._output.follow, child, name="server output")
        try:
            why = await self._why_not_ready(child)
        except BaseException:  # cancelled while waiting: nothing that we started may stay behind
            await self._close()
            raise
        if why is not None:
            await self._close()
            raise Failure("server.start_failed", why=why + self._output.told())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def stop(self, grace: float = 10.0) -> str | None:
        """End the server and everything it started, killing after ``grace`` seconds; return why it was left alone.

        ``None``: it has ended. It is left alone unless process id, start time and executable all match ``identity``.
        """
        child = self._child
        if child is None or child.returncode is not None:
            return None
        why = await end_process(self.identity, self._clock, grace)
        if why is None:
            with anyio.move_on_after(grace):
                await child.wait()
        return why

    async def _spawn(self) -> Process:
        environment = {name: value for name, value in os.environ.items() if name not in _SECRETS}
        environment |= {"PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"} | dict(self._env or {})
        try:
            return await anyio.open_process(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self._cwd,
                env=environment,
                **group_options(),
            )
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "its command cannot be run"
            raise Failure("server.start_failed", why=f"{self._command[0]}: {why}") from None

    async def _why_not_ready(self, child: Process) -> str | None:
        """Wait until the server is ready; return ``None``, or why it is not."""
        if not self._output.is_awaited:
            return None
        with anyio.move_on_after(self._timeout):
            await self._output.settled.wait()
        if self._output.address is None:
            if self._output.settled.is_set():  # its output has ended, so it is about to
                with anyio.move_on_after(5.0):
                    await child.wait()
            if child.returncode is not None:
                return f"it ended with code {child.returncode}"
        # A launcher may have put another program in its place meanwhile, under the same id: this child, not reaped yet,
        # is proven to be ours.
        found = identity_of(child.pid)
        if found is not None and child.returncode is None and same_start(self.identity, found):
            self.identity = found
        return None if self._output.address is not None else f"it was not ready within {self._timeout:g} s"

    async def _close(self) -> None:
        child = self._child
        with anyio.CancelScope(shield=True):
            await self.stop()
            if child is not None:
                for stream in (child.stdin, child.stdout):
                    if stream is not None:
                        await stream.aclose()
        await self._resources.aclose()


class ServerOutput:
    """What a server writes: kept in a log file, looked through for its ready line, its end remembered."""

    def __init__(self, ready: Ready | None, log: Path | None) -> None:
        self.address: str | None = None
        self.settled = anyio.Event()
        """Set once the address is known, or no more output will come."""
        self._ready = ready
        self._log = log
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    @property
    def is_awaited(self) -> bool:
        """Return whether there is a ready line to wait for."""
        return self._ready is not None

    def told(self) -> str:
        """Return the last lines as an addition to a sentence; empty when it wrote nothing."""
        return f": {' | '.join(self._tail)}" if self._tail else ", and wrote nothing"

    async def follow(self, child: Process) -> None:
        """Read to the end, always: a server whose output nobody takes stands still."""
        assert child.stdout is not None
        async with AsyncExitStack() as stack:
            log = None
            if self._log is not None:
                log = await stack.enter_async_context(await anyio.open_file(self._log, "ab"))
            written, rest = 0, b""
            try:
                async for piece in child.stdout:
                    if log is not None and written < MAX_LOG:
                        written += len(piece)
                        await log.write(piece)
                        await log.flush()
                    *lines, rest = (rest + piece).split(b"\n")
                    rest = rest[-MAX_LINE:]
                    for line in lines:
                        self._read(line)
            except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                return  # it was stopped
            finally:
                self._read(rest)
                self.settled.set()

    def _read(self, line: bytes) -> None:
        text = plain(line[:MAX_LINE].decode("utf-8", "replace")).strip()
        if not text:
            return
        self._tail.append(text[:300])
        if self.address is None and self._ready is not None:
            self.address = self._ready(text)
            if self.address is not None:
                self.settled.set()
