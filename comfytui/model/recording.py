"""A run as a recording: what was known at any moment of it, found quickly in both directions.

The state at a moment is the fold of everything up to it, and nothing else. Every :data:`STRIDE` envelopes the state is
kept (states share what did not change), and the envelopes in between are kept as compressed lines: a step back folds
at most that many again, and within one stretch far fewer.
"""

import zlib
from bisect import bisect_right
from datetime import datetime

from comfytui.model.envelope import Envelope, decode, encode
from comfytui.model.fold import fold
from comfytui.model.state import State

STRIDE = 256
"""Envelopes between two kept states."""

NEAR = 16
"""The same within the stretch that was looked into last."""


class Recording:
    """Envelopes in the order in which they were recorded. A position counts them: 0 is before the first."""

    def __init__(self) -> None:
        self._kept: list[State] = []
        self._packed: list[bytes] = []
        self._open: list[Envelope] = []
        self._last = State()
        self._moments: list[datetime] = []
        self._facts: list[int] = []
        self._read: tuple[int, list[Envelope]] = (-1, [])
        self._near: dict[int, State] = {}
        """Some states of the stretch that was looked into last, by position."""

    def __len__(self) -> int:
        return len(self._moments)

    @property
    def facts(self) -> int:
        """How many facts there are."""
        return len(self._facts)

    def add(self, envelope: Envelope) -> None:
        """Take ``envelope`` in as the newest. A clock that was set back counts as one that stood still."""
        if len(self) % STRIDE == 0:
            if self._open:
                self._packed.append(zlib.compress(b"\n".join(map(encode, self._open)), 1))
                self._open = []
            self._kept.append(self._last)
        self._open.append(envelope)
        self._last = fold(self._last, envelope)
        self._moments.append(max(envelope.at, self._moments[-1]) if self._moments else envelope.at)
        if envelope.is_fact:
            self._facts.append(len(self._moments))

    def state(self, position: int) -> State:
        """Return what was known after ``position`` envelopes."""
        position = max(0, min(position, len(self)))
        if position == len(self):
            return self._last
        stretch = position // STRIDE
        first = stretch * STRIDE
        if first not in self._near:
            self._near = {first: self._kept[stretch]}
        start = max(place for place in self._near if place <= position)
        state = self._near[start]
        for place, envelope in enumerate(self._stretch(stretch)[start - first : position - first], start + 1):
            state = fold(state, envelope)
            if (place - first) % NEAR == 0:
                self._near[place] = state
        return state

    def _stretch(self, number: int) -> list[Envelope]:
        if number == len(self._packed):
            return self._open
        if self._read[0] != number:
            self._read = (number, [decode(line) for line in zlib.decompress(self._packed[number]).split(b"\n")])
        return self._read[1]

    def moment(self, position: int) -> datetime | None:
        """Return when the envelope at ``position`` was recorded; of 0, when the first was. ``None`` for no envelope."""
        return self._moments[max(0, min(position, len(self)) - 1)] if self._moments else None

    def at(self, moment: datetime) -> int:
        """Return the last position that is not after ``moment``."""
        return bisect_right(self._moments, moment)

    def fact(self, position: int, by: int) -> int:
        """Return the position of the next fact after ``position`` (``by`` 1), or of the one before it (-1).

        Where there is none: the end, or the beginning.
        """
        place = bisect_right(self._facts, position) if by > 0 else bisect_right(self._facts, position - 1) - 1
        if place < 0:
            return 0
        return self._facts[place] if place < len(self._facts) else len(self)

    def fact_number(self, position: int) -> int:
        """Return how many facts there are up to ``position``."""
        return bisect_right(self._facts, position)
