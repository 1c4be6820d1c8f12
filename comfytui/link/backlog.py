"""The facts that a client missed: from the journal of a run, or from the memory of an observer, who keeps none."""

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from comfytui.model.envelope import Envelope, decode, encode
from comfytui.model.state import State
from comfytui.records.journal import tail

_BLOCK = 65536


class Backlog(Protocol):
    """Where facts of the past are found."""

    def since(self, after: int, upto: int) -> Iterator[list[Envelope]]:
        """Yield the facts numbered ``after < seq <= upto`` in batches, in order. May block on the disk."""
        ...


class JournalBacklog:
    """The facts of a journal. Raises ``Failure`` ``journal.unreadable`` where it cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def since(self, after: int, upto: int) -> Iterator[list[Envelope]]:
        """Yield the facts in batches; the journal is read from near the first of them, not from its beginning."""
        if after >= upto:
            return
        offset, more = place_after(self._path, after), True
        while more:
            before, found = offset, tail(self._path, offset)
            offset = found.offset
            more = found.more and offset != before  # a torn last line is more, and never comes
            wanted = [each for each in found.envelopes if each.is_fact and after < each.seq <= upto]
            if wanted:
                yield wanted
            if found.envelopes and found.envelopes[-1].seq > upto:
                return


class RecentBacklog:
    """The last ``limit`` facts of a hub that keeps no journal."""

    def __init__(self, record_with: Callable[[Callable[[Envelope, State], None]], None], limit: int = 5000) -> None:
        self._facts: deque[Envelope] = deque(maxlen=limit)
        record_with(lambda envelope, _state: self._facts.append(envelope))

    def since(self, after: int, upto: int) -> Iterator[list[Envelope]]:
        """Yield the facts as one batch; those older than the memory are gone."""
        yield [each for each in self._facts if after < each.seq <= upto]


def place_after(path: Path, after: int) -> int:
    """Return a byte offset of the journal at ``path``, at the start of a line, before every fact above ``after``.

    Found from the journal's end backwards, since a client that comes again has missed little. 0 when in doubt.
    """
    try:
        with path.open("rb") as file:
            start = file.seek(0, 2)
            while start > 0:
                start = max(0, start - _BLOCK)
                file.seek(start)
                block = file.read(_BLOCK)
                first = 0 if start == 0 else block.find(b"\n") + 1
                line = block[first : block.find(b"\n", first) + 1]
                if line and _number(line) <= after:
                    return start + first
    except OSError:
        return 0
    return 0


def _number(line: bytes) -> float:
    """Return the number of the fact in ``line``, or that before a sample; infinity when it cannot be read."""
    try:
        return decode(line).seq
    except ValueError:
        return float("inf")


def lines_of(envelopes: list[Envelope]) -> bytes:
    """Return ``envelopes`` as lines."""
    return b"".join(encode(each) + b"\n" for each in envelopes)


def next_batch(batches: Iterator[list[Envelope]]) -> list[Envelope] | None:
    """Return the next batch of a backlog, ``None`` at its end. May block on the disk."""
    return next((batch for batch in batches if batch), None)
