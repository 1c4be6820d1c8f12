"""A program in a terminal of its own (a pty, 120x40, true colour), and what it costs there. Not on Windows."""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import psutil

from tests.e2e.command import environment

if sys.platform != "win32":
    import fcntl
    import pty
    import struct
    import termios

ROWS, COLUMNS = 40, 120
QUIET = 0.03
"""Seconds without a byte after which a program has finished drawing."""
_QUESTION, _ANSWER = b"\x1b[6n", b"\x1b[1;1R"
"""Where the cursor is, as any terminal is asked and answers."""
_SEQUENCES = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]P_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.")


class Terminal:
    """A running program; everything it writes is read at once, and what it asks is answered."""

    def __init__(self, process: "subprocess.Popen[bytes]", master: int, began: float) -> None:
        self.process, self._master, self._began = process, master, began
        self.program = psutil.Process(process.pid)
        self._shown = b""

    def first_shows(self, text: str, patience: float = 30.0) -> float:
        """Return the seconds from the start until ``text`` was written. Raises ``RuntimeError`` when it never is."""
        while time.perf_counter() - self._began < patience:
            if text.encode() in _SEQUENCES.sub(b"", self._shown):
                return time.perf_counter() - self._began
            self._shown += self._read(0.05)
        raise RuntimeError(f"{text!r} was never shown; last: {self._shown[-300:]!r}")

    def watch(self, seconds: float) -> tuple[float, float]:
        """Return bytes a second and the share of a core over the next ``seconds``."""
        began, cpu, written = time.perf_counter(), self.cpu, 0
        while (left := seconds - (time.perf_counter() - began)) > 0:
            written += len(self._read(left))
        return written / seconds, (self.cpu - cpu) / seconds

    def press(self, keys: str, patience: float = 0.5) -> tuple[float, float] | None:
        """Return seconds from a key to the first byte and to quiet; ``None`` when nothing came of it."""
        began = time.perf_counter()
        os.write(self._master, keys.encode())
        return self._answered(began, patience)

    def resize(self, columns: int, rows: int) -> tuple[float, float] | None:
        """Return the same from a change of size."""
        began = time.perf_counter()
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)
        return self._answered(began, patience=1.0)

    def _answered(self, began: float, patience: float) -> tuple[float, float] | None:
        first = last = 0.0
        while (now := time.perf_counter()) - began < patience and not (first and now - last >= QUIET):
            if self._read(QUIET):
                last = time.perf_counter()
                first = first or last
        return (first - began, last - began) if first else None

    def leave(self, keys: str) -> float:
        """Return the seconds from ``keys`` to the end of the process. Raises ``RuntimeError`` unless that is 0."""
        began = time.perf_counter()
        os.write(self._master, keys.encode())
        while self.process.poll() is None:
            if time.perf_counter() - began > 10:
                raise RuntimeError(f"it did not leave at {keys!r}")
            self._read(0.01)
        if self.process.returncode != 0:
            raise RuntimeError(f"it left with {self.process.returncode}")
        return time.perf_counter() - began

    @property
    def cpu(self) -> float:
        """Seconds of CPU that the process has used."""
        used = self.program.cpu_times()
        return float(used.user + used.system)

    @property
    def memory(self) -> float:
        """Its resident memory in MB."""
        return float(self.program.memory_info().rss) / 1048576

    def _read(self, seconds: float) -> bytes:
        """Return what comes within ``seconds``, as soon as anything does."""
        if not select.select([self._master], [], [], seconds)[0]:
            return b""
        try:
            read = os.read(self._master, 65536)
            os.write(self._master, _ANSWER * read.count(_QUESTION))
        except OSError:  # the other end is closed
            return b""
        return read


@contextlib.contextmanager
def terminal(command: Sequence[str], **more: str) -> Iterator[Terminal]:
    """Run ``command`` in a terminal until the block ends. Raises ``RuntimeError`` on Windows, which has no pty."""
    if sys.platform == "win32":
        raise RuntimeError("this benchmark needs a pty, which Windows has not")
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    began = time.perf_counter()
    surroundings = environment(TERM="xterm-256color", COLORTERM="truecolor", **more)
    with subprocess.Popen(
        command, env=surroundings, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    ) as process:
        os.close(slave)
        try:
            yield Terminal(process, master, began)
        finally:
            process.kill()
            os.close(master)
