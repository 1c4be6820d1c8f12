"""A ComfyUI that we start, or that a runner before us started: it outlives its runner, and is ended only when proven.

A runner may be killed while its server renders. So the server holds no pipe of ours: it writes into its log file, and a
runner that takes the run over knows it again by process id, start time and executable.
"""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from anyio import to_thread

from comfytui.clock import Clock
from comfytui.errors import Failure
from comfytui.sources.comfy.server_output import ServerOutput
from comfytui.sources.processes.environment import child_environment
from comfytui.sources.processes.group import group_of, group_options
from comfytui.sources.processes.group_end import LOOK, end_group
from comfytui.sources.processes.identity import ProcessIdentity, identity_of, mismatch, same_start

LAST_WORDS: Final = 1.0
"""Seconds in which a process that cannot be looked at may turn out to be one that was just ending."""
_TAIL: Final = 8192
"""Bytes of the log that are looked at for its last lines."""


class OwnServer:
    """One server of ours; made by :meth:`start` or :meth:`taken_over`. ``identity`` proves which process it is."""

    def __init__(self, identity: ProcessIdentity, child: "subprocess.Popen[bytes] | None", log: Path | None) -> None:
        self.identity = identity
        self._group = group_of(identity)
        self._log = log
        self._log_from = 0
        self._child = child
        self._code: int | None = None
        self._end_noted = False

    @classmethod
    def start(cls, command: Sequence[str], *, cwd: Path | None, env: Mapping[str, str], log: Path | None) -> Self:
        """Start ``command`` with ``env`` added to our environment; its output is added to the file ``log``.

        It blocks for some milliseconds. Raises Failure ``server.start_failed`` when the command cannot be run.
        """
        start = 0
        with contextlib.ExitStack() as stack:
            output = None
            with contextlib.suppress(OSError):  # a log that cannot be written stops no server
                if log is not None:
                    log.parent.mkdir(parents=True, exist_ok=True)
                    output = stack.enter_context(log.open("ab"))
                    start = output.tell()
            try:
                child = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=output if output is not None else subprocess.DEVNULL,
                    stderr=subprocess.STDOUT,
                    cwd=cwd,
                    env=child_environment(env),
                    **group_options(),
                )
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or "its command cannot be run"
                raise Failure("server.start_failed", why=f"{command[0]}: {why}") from None
        unknown = ProcessIdentity(pid=child.pid, created=0.0, executable="")
        server = cls(identity_of(child.pid) or unknown, child, log if output is not None else None)
        server._log_from = start
        threading.Thread(target=server._wait, name=f"end-of-{child.pid}", daemon=True).start()
        return server

    @classmethod
    def taken_over(cls, identity: ProcessIdentity, log: Path | None) -> Self:
        """Return the server that a runner before us started; that it is the recorded one was proven just before."""
        server = cls(identity, None, log)
        with contextlib.suppress(OSError):
            server._log_from = log.stat().st_size if log is not None else 0
        return server

    def runs(self) -> bool:
        """Tell whether it runs. A process of the same id that was started at another time is not it."""
        if self._child is not None:
            return self._code is None
        found = identity_of(self.identity.pid)
        if found is not None and same_start(found, self.identity):
            return True
        if not self._end_noted:
            import psutil  # type: ignore[import-untyped,unused-ignore]

            self._end_noted = True
            if found is None and not psutil.pid_exists(self.identity.pid):
                self._group.leader_ended()
        return False

    def how_it_ended(self) -> str:
        """Return how it ended, in words that follow "the server"; empty while it runs."""
        if self.runs():
            return ""
        if self._code is None:
            return "it is gone"
        if self._code < 0:
            with contextlib.suppress(ValueError):
                return f"it was ended by {signal.Signals(-self._code).name}"
        return f"it ended with code {self._code}"

    def last_words(self) -> str:
        """Return the last lines that it wrote into its log, as an addition to a sentence."""
        output = ServerOutput(None, None)
        if self._log is not None:
            with contextlib.suppress(OSError), self._log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(min(self._log_from, size), size - _TAIL))
                output.take(file.read(_TAIL))
        return output.told()

    def look_again(self) -> bool:
        """Read anew who it is, and return whether that has changed: a launcher puts another program in its place.

        Only for a child, whose id cannot have been given to another process while it was not waited for.
        """
        found = identity_of(self.identity.pid)
        ours = self._child is not None and self._code is None
        if found is None or not ours or found == self.identity:
            return False
        if self.identity.executable and not same_start(found, self.identity):
            return False
        self.identity = self._group.leader = found
        return True

    async def stop(self, grace: float, clock: Clock) -> str | None:
        """End the server and everything it started, killing after ``grace`` seconds; return why it was left alone.

        It is left alone unless process id, start time and executable all match ``identity``. Of a server that has ended
        by itself, what it left behind is ended.
        """
        why = await to_thread.run_sync(self._why_not)
        until = clock.monotonic() + LAST_WORDS
        while why is not None and self.runs() and clock.monotonic() < until:
            await clock.sleep(LOOK)
            why = await to_thread.run_sync(self._why_not)
        return why or await end_group(self._group, self.runs, grace, clock)

    def _why_not(self) -> str | None:
        if not self.runs():
            return None
        found = identity_of(self.identity.pid)
        if found is None:
            return f"process {self.identity.pid} cannot be looked at"
        return mismatch(self.identity, found)

    def _wait(self) -> None:
        assert self._child is not None
        code = self._child.wait()
        self._group.leader_ended()
        self._code = code
