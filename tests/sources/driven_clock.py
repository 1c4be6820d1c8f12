"""A clock that stands still until the test moves it, and tells when somebody sleeps on it."""

import heapq
import itertools
from datetime import UTC, datetime, timedelta

import anyio

START = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


class DrivenClock:
    """A :class:`comfytui.clock.Clock` that only :meth:`advance` moves."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._seconds = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, anyio.Event]] = []
        self._someone = anyio.Event()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await anyio.lowlevel.checkpoint()
            return
        woken = anyio.Event()
        entry = (self._seconds + seconds, next(self._order), woken)
        heapq.heappush(self._sleepers, entry)
        self._someone.set()
        try:
            await woken.wait()
        finally:
            if entry in self._sleepers:
                self._sleepers.remove(entry)
                heapq.heapify(self._sleepers)

    async def somebody_sleeps(self) -> None:
        """Return as soon as at least one task sleeps."""
        while not self._sleepers:
            self._someone = anyio.Event()
            with anyio.fail_after(20):
                await self._someone.wait()

    def waits(self) -> list[float]:
        """Return how many seconds each sleeper still waits, the shortest first."""
        return sorted(at - self._seconds for at, _, _ in self._sleepers)

    def advance(self, seconds: float) -> None:
        """Move the time and wake those whose time has come."""
        self._seconds += seconds
        while self._sleepers and self._sleepers[0][0] <= self._seconds + 1e-9:
            heapq.heappop(self._sleepers)[2].set()

    async def tick(self) -> None:
        """Wait for a sleeper and move the time exactly to where the first one wakes."""
        await self.somebody_sleeps()
        self.advance(self.waits()[0])
