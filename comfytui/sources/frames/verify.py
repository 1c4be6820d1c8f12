"""Proof of wholeness: is this file complete? Answered from its structure, never from its age.

ComfyUI's SaveImage writes frames in place (0 bytes first, then about 64 KiB steps, IEND last; measured on 0.3.64 and
0.8.0), so a frame that is there may still be half a frame. Nothing here decodes a picture, raises on hostile bytes
or holds more than a few hundred kilobytes; all of it is blocking and meant for a worker thread.
"""

import errno
import os
import stat
import sys
from collections.abc import Iterable
from io import FileIO
from pathlib import Path
from zlib import crc32

from msgspec import Struct

from comfytui.sources.frames.formats import MAGIC_BYTES, MAGICS, grammar_for
from comfytui.sources.frames.formats.steps import (
    Finding,
    Skip,
    Step,
    Steps,
    Sum,
    Tail,
    Take,
    Until,
    broken,
    unproven,
)

#: Bytes read at once; also the most that is read past the point where a verdict is already known.
CHUNK = 1 << 20

#: No honest file of these formats has more parts than this; a hostile one ends here.
MOST_STEPS = 4_000_000


class Proof(Struct, frozen=True, kw_only=True):
    """What the structure of a file says.

    ``whole``: it is proven complete. ``proven``: a conclusion was possible at all; where it is ``False`` the format
    has no end mark (or is unknown) and only time can tell. ``why``: the reason, or a remark on a whole file. ``kind``:
    ``png``, ``jpeg``, ``webp``, ``gif``, ``mp4``, ``mov``, ``avif``, ``heic``, ``webm``, ``mkv``, ``wav``, ``flac``,
    ``mp3``, ``ogg``, or ``empty``, ``missing``, ``unreadable``, ``unknown``. ``bytes``: the size that was seen.
    """

    kind: str
    whole: bool
    proven: bool
    why: str = ""
    bytes: int = 0
    width: int | None = None
    height: int | None = None


class Prover:
    """Proves one file from its bytes, fed in order in chunks of any size."""

    def __init__(self) -> None:
        self._size = 0
        self._kind = "empty"
        self._steps: Steps | None = None
        self._step: Step | None = None
        self._finding: Finding | None = None
        self._held = bytearray()  # what a Take, an Until or a Tail has seen so far
        self._left = 0  # what a Skip or a Sum still has to pass
        self._crc = 0
        self._taken = 0
        self._end = 0  # where the structure ended

    def feed(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes of the file."""
        data = memoryview(chunk)
        self._size += len(data)
        if self._steps is None and self._finding is None:
            data = self._begin(data)
        self._walk(data)

    def _walk(self, data: memoryview) -> None:
        at = 0
        while at < len(data) and self._finding is None:
            at += self._pass(data[at:])
        self._end += at

    def idle_bytes(self) -> int:
        """Return how many of the next bytes the verdict does not depend on, so that a reader may seek over them."""
        if self._finding is not None:
            return sys.maxsize
        return self._left if isinstance(self._step, Skip) else 0

    def pass_over(self, count: int) -> None:
        """Count ``count`` bytes as seen, at most :meth:`idle_bytes`, without their content."""
        self._size += count
        if self._finding is None:
            self._end += count
            self._left -= count
            if not self._left:
                self._advance(b"")

    def finish(self) -> Proof:
        """Return the proof: the file has ended here."""
        if self._steps is None and self._finding is None and self._size:
            self._walk(self._begin(memoryview(b""), last=True))
        if self._finding is None:
            self._cut()
        found = self._finding or broken("it is empty")
        extra = self._size - self._end
        whole, why = found.whole, found.why
        if found.whole and extra:
            whole, why = found.trailing_ok, f"{extra} bytes follow its end"
        return Proof(
            kind=found.kind or self._kind,
            whole=whole,
            proven=found.proven,
            why=why,
            bytes=self._size,
            width=found.width,
            height=found.height,
        )

    def _begin(self, data: memoryview, last: bool = False) -> memoryview:
        """Choose the grammar as soon as the magic bytes are there; returns the bytes that it has still to see."""
        if self._held or len(data) < MAGIC_BYTES:
            self._held += data
            if len(self._held) < MAGIC_BYTES and not last:
                return memoryview(b"")
            data = memoryview(bytes(self._held))
        head = bytes(data[:MAGIC_BYTES])
        self._kind, grammar = grammar_for(head)
        if grammar is None:
            born = last and any(magic.startswith(head) or head.startswith(magic) for magic in MAGICS)
            self._finding = broken("it has hardly begun") if born else unproven("its format has no end mark")
        else:
            self._steps = grammar()
            self._advance(None)
        return data

    def _pass(self, data: memoryview) -> int:
        """Let the step at hand use some of ``data``; returns how many bytes it used."""
        step = self._step
        if isinstance(step, (Skip, Sum)):
            used = min(self._left, len(data))
            if isinstance(step, Sum):
                self._crc = crc32(data[:used], self._crc)
            self._left -= used
            if not self._left:
                self._advance(self._crc.to_bytes(4, "big") if isinstance(step, Sum) else b"")
            return used
        if isinstance(step, Take):
            used = min(step.size - len(self._held), len(data))
            self._held += data[:used]
            if len(self._held) == step.size:
                self._advance(bytes(self._held))
            return used
        if isinstance(step, Until):
            return self._search(step, data)
        assert isinstance(step, Tail)
        self._held += data[-step.size :]
        del self._held[: -step.size]
        return len(data)

    def _search(self, step: Until, data: memoryview) -> int:
        """Look for a two-byte match, which may begin with the last byte of the chunk before."""
        before = len(self._held)
        if before and (match := step.pattern.match(bytes(self._held) + bytes(data[:1]))):
            self._advance(match.group())
            return 1
        found = step.pattern.search(data)
        if found:
            self._advance(found.group())
            return found.end()
        self._held[:] = data[-1:]
        return len(data)

    def _advance(self, answer: bytes | None) -> None:
        """Send ``answer`` to the grammar and take its next step that needs bytes."""
        assert self._steps is not None
        self._held.clear()
        try:
            while True:
                self._taken += 1
                if self._taken > MOST_STEPS:
                    self._finding = broken("it has more parts than any honest file")
                    return
                step = next(self._steps) if answer is None else self._steps.send(answer)
                self._step = step
                answer = b""
                if isinstance(step, Sum):
                    self._crc, answer = step.seed, step.seed.to_bytes(4, "big")
                if isinstance(step, Until):
                    return
                self._left = step.size
                if step.size:
                    return
        except StopIteration as end:
            self._finding = end.value

    def _cut(self) -> None:
        """Conclude what the end of the file means for the step at hand."""
        step = self._step
        if isinstance(step, Tail) or (isinstance(step, Take) and step.end_ok and not self._held):
            self._advance(bytes(self._held))
            if self._finding is not None:
                return
            step = self._step
        if step is not None and not isinstance(step, Tail):
            self._finding = broken(f"it ends inside {step.place}")


def prove_bytes(chunks: bytes | Iterable[bytes]) -> Proof:
    """Return the proof of the file that these bytes are."""
    prover = Prover()
    for chunk in (chunks,) if isinstance(chunks, bytes) else chunks:
        prover.feed(chunk)
    return prover.finish()


def prove(path: Path) -> Proof:
    """Return the proof of the file at ``path``; ``kind`` is ``missing`` or ``unreadable`` where it cannot be read.

    Bytes that the verdict does not depend on are passed over, so a long video costs a few reads. Blocking.
    """
    try:
        with open_source(path) as file:
            return _prove_open(file)
    except FileNotFoundError:
        return Proof(kind="missing", whole=False, proven=True, why="it is not there")
    except OSError as error:
        return Proof(kind="unreadable", whole=False, proven=False, why=error.strerror or type(error).__name__)


def _prove_open(file: FileIO) -> Proof:
    size = os.fstat(file.fileno()).st_size
    prover = Prover()
    while chunk := file.read(CHUNK):
        prover.feed(chunk)
        idle = min(prover.idle_bytes(), size - file.tell())
        if idle > CHUNK:
            file.seek(idle, os.SEEK_CUR)
            prover.pass_over(idle)
    return prover.finish()


def open_source(path: Path) -> FileIO:
    """Open a regular file for unbuffered reading, never waiting for a pipe's other end; :class:`OSError` otherwise."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        return FileIO(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise
