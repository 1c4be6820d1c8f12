"""Lines to standard output that can never hold the run up: a closed pipe ends the printing and nothing else."""

import os
import sys
from collections.abc import Callable, Iterable

import anyio.to_thread


class Printer:
    """Writes lines through ``write(bytes)``, in a thread, each batch flushed.

    ``open`` is false once nobody reads; ``busy`` is true while a write waits for its reader.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self.open = True
        self.busy = False

    async def lines(self, lines: Iterable[str]) -> None:
        """Write ``lines``, each with a line break; do nothing once the other end is closed.

        A reader that pauses is waited for, and the wait can be cancelled.
        """
        data = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
        if not data or not self.open:
            return
        try:
            await anyio.to_thread.run_sync(self._write_now, data, abandon_on_cancel=True)
        except (OSError, ValueError):  # EPIPE; EIO of a terminal that hung up; ValueError: a closed file
            self.close()

    def _write_now(self, data: bytes) -> None:
        self.busy = True
        try:
            self._write(data)
        finally:
            self.busy = False

    def close(self) -> None:
        """Print nothing from now on."""
        self.open = False


def to_stdout(data: bytes) -> None:
    """Write ``data`` (UTF-8) to standard output and flush it. Raises ``OSError`` when nobody reads any more."""
    sys.stdout.flush()
    out = sys.stdout.buffer
    out.write(in_encoding(data, sys.stdout.encoding, out.isatty()))
    out.flush()


def in_encoding(data: bytes, encoding: str | None, terminal: bool) -> bytes:
    """Return UTF-8 ``data`` as a terminal of another ``encoding`` can show it; what is no terminal gets UTF-8."""
    if not terminal or (encoding or "utf-8").lower().replace("-", "") == "utf8":
        return data
    return data.decode("utf-8").encode(encoding or "utf-8", "replace")


def leave_stdout() -> None:
    """Point standard output at nothing, so that the interpreter's last flush does not fail on a closed pipe."""
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
    except (OSError, ValueError):  # there is no standard output to leave
        return
