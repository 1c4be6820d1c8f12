"""What a server that we started writes: kept in a log file, looked through for its ready line, its end remembered."""

import contextlib
import re
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

from comfytui.untrusted import plain

TAIL_LINES, TAIL_CHARACTERS = 20, 1500
"""How much of its end is quoted when a server does not start."""
MAX_LINE: Final = 8192
"""Bytes of one line that are looked at."""
MAX_LOG: Final = 64 * 1024 * 1024
"""Bytes that are written to the log file."""

Ready = Callable[[str], str | None]


class ServerOutput:
    """The output of one server, in the order in which it comes; filled from one thread, read from others."""

    def __init__(self, ready: Ready | None, log: Path | None) -> None:
        """Open ``log`` to add to it; one that cannot be opened is told in ``log_fault``, and does not stop a server."""
        self.address = ""
        """What ``ready`` made of the ready line; empty until then."""
        self.log_fault: str | None = None
        self._ready = ready
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._rest = b""
        self._written = 0
        self._log = self._opened(log) if log is not None else None

    def _opened(self, log: Path) -> IO[bytes] | None:
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            return log.open("ab", buffering=0)
        except OSError as error:
            self.log_fault = error.strerror or str(error)
            return None

    def take(self, piece: bytes) -> bool:
        """Add ``piece`` of the output; return whether the ready line came with it."""
        self._keep(piece)
        *lines, rest = re.split(rb"[\r\n]+", self._rest + piece)
        self._rest = rest[-MAX_LINE:]
        known = bool(self.address)
        for line in lines:
            self._read(line)
        return bool(self.address) and not known

    def told(self) -> str:
        """Return the last lines as an addition to a sentence."""
        rest = plain(self._rest.decode("utf-8", "replace")).strip()
        said = " | ".join([*self._tail, rest] if rest else self._tail)
        if len(said) > TAIL_CHARACTERS:
            said = f"…{said[1 - TAIL_CHARACTERS :]}"
        return f": {said}" if said else ", and wrote nothing"

    def close(self) -> None:
        """Let go of the log file."""
        log, self._log = self._log, None
        if log is not None:
            with contextlib.suppress(OSError):
                log.close()

    def _keep(self, piece: bytes) -> None:
        if self._log is None:
            return
        try:
            self._log.write(piece)
            self._written += len(piece)
            if self._written > MAX_LOG:
                self._log.write(f"\n[no more is kept after {MAX_LOG >> 20} MiB]\n".encode())
                self.close()
        except OSError as error:  # a full disk must not take the server down
            self.log_fault = error.strerror or str(error)
            self.close()

    def _read(self, line: bytes) -> None:
        text = plain(line[:MAX_LINE].decode("utf-8", "replace")).strip()
        if not text:
            return
        self._tail.append(text)
        if not self.address and self._ready is not None:
            self.address = self._ready(text) or ""
