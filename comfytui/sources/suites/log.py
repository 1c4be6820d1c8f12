"""The log of a check command: its beginning and its end, however much it writes in between."""

import contextlib
from pathlib import Path
from typing import IO, Final

HEAD: Final = 4 * 1024 * 1024
"""Bytes kept of the beginning."""
TAIL: Final = 256 * 1024
"""Bytes kept of the end, where a failure is usually told."""


class BoundedLog:
    """Writes the file ``path`` anew. A disk that fails costs the log and nothing else: ``fault`` says why."""

    def __init__(self, path: Path) -> None:
        self.fault: str | None = None
        self._room = HEAD
        self._tail = bytearray()
        self._left_out = 0
        self._file: IO[bytes] | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            self.fault = error.strerror or str(error)

    def take(self, piece: bytes) -> None:
        """Add ``piece`` of the output."""
        head, rest = piece[: self._room], piece[self._room :]
        self._room -= len(head)
        self._write(head)
        self._tail += rest
        if (surplus := len(self._tail) - TAIL) > 0:
            del self._tail[:surplus]
            self._left_out += surplus

    def close(self, *notes: str) -> None:
        """Write the end of the output, each of ``notes`` on a line of its own, and let go of the file."""
        if self._left_out:
            self._write(f"\n[comfytui: {self._left_out} bytes are left out here]\n".encode())
        self._write(bytes(self._tail))
        for note in notes:
            self._write(f"\n[comfytui: {note}]\n".encode())
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    def _write(self, piece: bytes) -> None:
        if self._file is None or not piece:
            return
        try:
            self._file.write(piece)
        except OSError as error:
            self.fault = error.strerror or str(error)
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
