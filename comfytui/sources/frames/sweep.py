"""Looking at what events name, and in small slices between them at everything else, for events may be lost.

The event queue of a kernel may overflow, and ``watchfiles`` may drop an event that arrives in the instant in which it
hands others over. What events missed is found by going through the whole folder, again and again: first the names
nobody told of, then the files that are known. That goes slowly, so that no frame waits for it and an idle folder costs
next to nothing: a folder of 1,000 files is gone through every few seconds, one of 100,000 in two or three minutes, and
where looking takes longer than usual (a slow disk, a busy machine) accordingly later.
"""

from collections.abc import Collection, Iterator
from itertools import islice

from comfytui.clock import Clock
from comfytui.sources.frames.folder import Batch, FolderView

SLICE = 1000
"""How many known files are asked in one go: some milliseconds."""
LISTED = 4 * SLICE
"""How many names are listed in one go, in about the same time."""
AGAIN = 2.0
"""Seconds between two rounds of a folder that is small, and at least until a file that changed is looked at again."""
LARGEST_SHARE = 0.006
"""Slices may take this share of the time at most."""


class Sweep:
    """Looks at a folder on top of events; each look tells what changed. Blocking."""

    def __init__(self, view: FolderView, clock: Clock) -> None:
        self._view, self._clock = view, clock
        self._round: Iterator[Collection[str]] | None = None
        self._next_at = 0.0
        self._lately: set[str] = set()
        self._earlier: set[str] = set()
        self._again_at = 0.0

    def look(self, names: Collection[str] | None) -> Batch:
        """Look at ``names``, or with ``None`` at everything, and at the next slice when it is due."""
        if names is None:
            batch = self._view.look()
            self._round, self._next_at = None, self._clock.monotonic() + AGAIN
            return batch
        began = self._clock.monotonic()
        batch = self._view.look({*names, *self._once_more(names, began)})
        if began >= self._next_at:
            began = self._clock.monotonic()
            batch += self._onward(began)
        return batch

    def _once_more(self, names: Collection[str], now: float) -> Collection[str]:
        """Return the names last told of some time ago: the last event of a file may be the one that was lost."""
        once_more: Collection[str] = ()
        if now >= self._again_at:
            once_more, self._earlier, self._lately = self._earlier - self._lately, self._lately, set()
            self._again_at = now + AGAIN
        self._lately.update(names)
        return once_more

    def _onward(self, began: float) -> Batch:
        """Look at the next slice."""
        if self._round is None:
            self._round = self._slices()
        names = next(self._round, None)
        batch = self._view.look(names) if names else ()
        self._rest(began, over=names is None)
        return batch

    def _rest(self, began: float, over: bool) -> None:
        """Leave the folder alone for a time, after the round is over for longer."""
        ended = self._clock.monotonic()
        pause = (ended - began) / LARGEST_SHARE
        if over:
            self._round, pause = None, max(pause, AGAIN)
        self._next_at = ended + pause

    def _slices(self) -> Iterator[Collection[str]]:
        """Give the names of one round: those that nobody told of, then all that are known."""
        entries = self._view.entries()
        while listed := list(islice(entries, LISTED)):
            yield self._view.unknown(listed)
        known = self._view.known()
        for at in range(0, len(known), SLICE):
            yield known[at : at + SLICE]
