"""The journal: ``events.jsonl``, one envelope a line, appended to and never rewritten. It is the truth about a run.

What :meth:`Journal.append` has returned from is with the operating system and survives the death of this process;
what :meth:`Journal.sync` has returned from is on the disk and survives the death of the machine. Both may run at the
same time in different threads; many appends share one sync (group commit).

An append that fails (the disk is full) takes the piece that it wrote back again: nobody was told of it. A line that was
torn all the same (the machine died in the middle of it, the disk does not even take back) stays where it is as a line
of its own: readers report it and go on. No whole line is ever cut away.
"""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Protocol, Self

from comfytui.errors import Failure
from comfytui.model.envelope import Envelope, decode, encode
from comfytui.records.faults import why, writing

MAX_LINE = 16 * 1024 * 1024
"""The longest line that is taken for an envelope, in bytes; it bounds what a reader holds in memory."""

MAX_PROBLEMS = 1000
"""The most problems that one reading lists; the rest is only counted."""

_CHUNK = 1024 * 1024


class Journal:
    """An open journal. One process appends (see :mod:`comfytui.records.lock`), from one thread; any may sync."""

    def __init__(self, path: Path) -> None:
        """Open the journal at ``path`` for appending, making it where there is none.

        A torn last line is completed with a line break. Raises ``Failure`` ``run.unwritable``.
        """
        self.path = path
        self._open = threading.Lock()
        with writing(path.parent):
            # Unbuffered: what is written is with the operating system at once.
            self._file: IO[bytes] = path.open("ab", buffering=0)
            self._torn = _ends_torn(path)

    def append(self, envelope: Envelope) -> None:
        """Write ``envelope`` as one line and hand it to the operating system.

        Raises ``Failure`` ``run.unwritable`` when the disk does not take it whole; what it took is taken back, or else
        stays a line of its own, before the next one.
        """
        line = encode(envelope) + b"\n"
        whole = memoryview(b"\n" + line if self._torn else line)
        rest = whole
        with writing(self.path.parent):
            try:
                while rest:
                    written = self._file.write(rest)
                    if not written:
                        raise OSError(errno.EIO, os.strerror(errno.EIO))
                    rest = rest[written:]
            except OSError:
                if len(rest) < len(whole):
                    self._take_back(whole[: len(whole) - len(rest)])
                raise
        self._torn = False

    def _take_back(self, piece: memoryview) -> None:
        """Cut the ``piece`` of a line off the end again, if the disk lets us."""
        try:
            self._file.truncate(os.fstat(self._file.fileno()).st_size - len(piece))
        except (OSError, ValueError):  # a device; a disk that turned read-only
            self._torn = piece[-1] != ord("\n")

    def sync(self) -> None:
        """Return once everything appended before this call is on the disk. May be called from any thread.

        Raises ``Failure`` ``run.unwritable`` when the disk fails, or when the journal was removed meanwhile: then
        writing goes on without a fault, and nothing of it would ever be found.
        """
        with self._open, writing(self.path.parent):
            if self._file.closed:
                return
            os.fsync(self._file.fileno())
            removed = os.fstat(self._file.fileno()).st_nlink == 0
        if removed:
            raise Failure("run.unwritable", place=str(self.path.parent), why="the journal in it was removed")

    def close(self) -> None:
        """Sync and close; a second call does nothing. Raises what :meth:`sync` does, and is closed even then."""
        try:
            self.sync()
        finally:
            with self._open:
                self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _ends_torn(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read(1) not in (b"", b"\n")


class Problem(NamedTuple):
    """A line that could not be read: its number (from 1) and why."""

    line: int
    why: str


class Lines(Protocol):
    """Bytes that are read line by line."""

    def readline(self, limit: int, /) -> bytes:
        """Return the next line, or the first ``limit`` bytes of it; nothing at the end."""
        ...


class JournalReading:
    """The envelopes of a journal, in order; iterate once. Memory does not grow with the journal.

    ``problems`` fills while it is iterated: at most :data:`MAX_PROBLEMS` of them, ``corrupt`` counts them all.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self.corrupt = 0

    def __iter__(self) -> Iterator[Envelope]:
        """Yield every line that holds an envelope. Raises ``Failure`` ``journal.unreadable``."""
        try:
            with self.path.open("rb", buffering=_CHUNK) as file:
                yield from self._envelopes(file)
        except OSError as fault:
            raise Failure("journal.unreadable", file=str(self.path), why=why(fault)) from fault

    def _envelopes(self, file: Lines) -> Iterator[Envelope]:
        number = 0
        while line := file.readline(MAX_LINE):
            number += 1
            if len(line) == MAX_LINE and not line.endswith(b"\n"):
                _skip_line(file)
                self._report(number, f"longer than {MAX_LINE} bytes")
                continue
            try:
                envelope = decode(line)
            except ValueError as fault:
                torn = "" if line.endswith(b"\n") else "torn off at the end of the journal; "
                self._report(number, f"{torn}{fault}")
            else:
                yield envelope

    def _report(self, line: int, problem: str) -> None:
        self.corrupt += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(line, problem))


def _skip_line(file: Lines) -> None:
    while (rest := file.readline(MAX_LINE)) and not rest.endswith(b"\n"):
        continue


def read(path: Path) -> JournalReading:
    """Return the journal at ``path`` for one iteration; nothing is opened before that."""
    return JournalReading(path)


class Tail(NamedTuple):
    """What was added to a journal: envelopes, what could not be read, where to go on, whether there is more already."""

    envelopes: list[Envelope]
    offset: int
    problems: list[str]
    more: bool


def tail(path: Path, offset: int = 0, limit: int = _CHUNK) -> Tail:
    """Return the complete lines of the journal at ``path`` from byte ``offset`` on, about ``limit`` bytes at a time.

    A last line without its line break is still being written: it is left for the next call. A journal shorter than
    ``offset`` was replaced, and is read from its start (folding a fact twice changes nothing). Raises ``Failure``
    ``journal.unreadable``.
    """
    problems: list[str] = []
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size < offset:
                problems.append(f"the journal shrank from {offset} to {size} bytes; read again from its start")
                offset = 0
            file.seek(offset)
            data = file.read(limit)
            if not data.endswith(b"\n") and len(data) == limit:
                data += file.readline(MAX_LINE)
    except OSError as fault:
        raise Failure("journal.unreadable", file=str(path), why=why(fault)) from fault
    whole = data[: data.rfind(b"\n") + 1]
    if not whole and len(data) >= MAX_LINE:
        problems.append(f"byte {offset}: longer than {MAX_LINE} bytes")
        return Tail([], offset + len(data), problems, True)
    envelopes: list[Envelope] = []
    place = offset
    for line in whole.split(b"\n")[:-1]:
        try:
            envelopes.append(decode(line))
        except ValueError as fault:
            problems.append(f"byte {place}: {fault}")
        place += len(line) + 1
    return Tail(envelopes, place, problems, place < size)
