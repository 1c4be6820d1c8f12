"""Lines over a byte stream: NDJSON in, with a bound on their length; pieces out, with a bound on their time."""

import anyio
from anyio.abc import ByteStream

_CHUNK = 65536


class TooLong(Exception):
    """A line was longer than the bound; it was skipped, and reading may go on."""


class LineReader:
    """Reads lines of at most ``limit`` bytes from ``stream``."""

    def __init__(self, stream: ByteStream, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._buffer = bytearray()
        self._skipping = False
        self._ended = False

    async def batch(self) -> list[bytes]:
        """Return the lines that have arrived, at least one, without their line breaks; none at the end of the stream.

        A last line without its break is dropped: it was torn. Raises :class:`TooLong` once for each line beyond the
        bound, and ``anyio.ClosedResourceError`` when the stream is closed here.
        """
        while not self._ended:
            if lines := self._complete():
                return lines
            if len(self._buffer) > self._limit:
                self._buffer.clear()
                if not self._skipping:
                    self._skipping = True
                    raise TooLong
            try:
                self._buffer += await self._stream.receive(_CHUNK)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                self._ended = True
        return []

    def _complete(self) -> list[bytes]:
        end = self._buffer.rfind(b"\n")
        if end < 0:
            return []
        whole = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        lines = whole.split(b"\n")
        if self._skipping:
            self._skipping = False
            del lines[0]
        return lines


class LineWriter:
    """Writes to ``stream``, one writer at a time; a reader that takes nothing for ``patience`` seconds is given up."""

    def __init__(self, stream: ByteStream, patience: float) -> None:
        self._stream = stream
        self._patience = patience
        self._turn = anyio.Lock()

    async def write(self, data: bytes) -> None:
        """Write ``data``, whole lines, in pieces. Raises ``TimeoutError`` or ``anyio.BrokenResourceError``."""
        async with self._turn:
            for start in range(0, len(data), _CHUNK):
                with anyio.fail_after(self._patience):
                    await self._stream.send(data[start : start + _CHUNK])
