"""Whether the server is there: one watcher asks it, and whoever needs the server waits for the watcher's word.

So a server that is away is asked by one task with growing pauses, however many prompts wait for it; and how long it was
away is known, so that nothing else runs out of time meanwhile.
"""

import random
from collections.abc import Callable

import anyio

from comfytui.clock import Clock, wait_for
from comfytui.engine.hub import HubLike
from comfytui.engine.prompt.router import queue_depth
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.sources.comfy.http import ComfyHttp

PULSE_INTERVAL = 5.0
"""Seconds between two ``GET /prompt``: 37 bytes that tell latency and queue length (ComfyUI 0.3.64 and 0.8.0)."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
"""Seconds between two tries while it is away, the shortest and the longest, before the jitter."""
TOLD_EVERY = 60.0
"""Seconds between two facts about one absence."""


def pause_before(tries: int, jitter: float) -> float:
    """Return the seconds before the next try after ``tries`` in vain; ``jitter`` from 0 to 1 moves it by a quarter.

    The jitter spreads the clients of a server that comes back.
    """
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(tries, 20)) * (0.75 + jitter / 2)


class ServerWatch:
    """Watches the server behind ``http``; ``wait`` is for how many seconds it may be away (``None``: for ever).

    ``on_change`` is called when it goes (False) and when it is back (True). Times are of ``clock``, monotonic.
    """

    def __init__(
        self,
        hub: HubLike,
        http: ComfyHttp,
        clock: Clock,
        *,
        wait: float | None = None,
        on_change: Callable[[bool], None] = lambda _: None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._hub, self._http, self._clock = hub, http, clock
        self._wait, self._on_change, self._jitter = wait, on_change, jitter
        self._doubt = anyio.Event()
        self._asking = anyio.Lock()
        self._away_at: float | None = None
        self._told_at = 0.0
        self._tries = 0
        self._gone = 0.0
        self._number: int | None = None
        self.contact_at = clock.monotonic()
        self.lost = False
        """It has been away for longer than it is waited for."""
        self.life = 0
        """How often it was seen to have been restarted: what it knew in an earlier life it has forgotten."""
        self.breaks = 0
        """How often the connection to it was lost, so that it may have been restarted."""

    @property
    def away(self) -> bool:
        """Whether it did not answer when it was last asked."""
        return self._away_at is not None

    def away_for(self) -> float:
        """Return the seconds that it is away now; 0 while it answers."""
        return 0.0 if self._away_at is None else self._clock.monotonic() - self._away_at

    def away_in_all(self) -> float:
        """Return the seconds that it was away since this watch began."""
        return self._gone + self.away_for()

    # --- asking ---------------------------------------------------------------------------------------------------

    async def keep(self) -> None:
        """Ask until cancelled: steadily while it answers, after growing pauses while it does not."""
        while True:
            self._doubt = anyio.Event()
            await self._ask()
            await wait_for(self._doubt, self._pause(), self._clock)

    async def answers(self) -> bool:
        """Ask now, and return whether it answers."""
        away = self.away
        await self._ask()
        if self.away and not away:
            self._doubt.set()  # from here on the watch keeps the pace of trying
        return not self.away

    async def _ask(self) -> None:
        async with self._asking:
            began = self._clock.monotonic()
            try:
                remaining = await self._http.queue_remaining()
            except Failure as failure:
                self._silent(failure)
            else:
                self._heard(self._clock.monotonic() - began, remaining)

    def doubt(self) -> None:
        """Something failed that should not have: ask now, unless it is known to be away."""
        if not self.away:
            self._doubt.set()

    def socket(self, opened: bool) -> None:
        """The WebSocket opened, so the server is there; or it ended: then the server may have been restarted."""
        self.breaks += not opened
        if opened == self.away:
            self._doubt.set()

    def _pause(self) -> float:
        if self._away_at is None:
            return PULSE_INTERVAL
        pause = pause_before(self._tries - 1, self._jitter())
        if self._wait is not None and not self.lost:
            pause = min(pause, max(0.0, self._away_at + self._wait - self._clock.monotonic()))
        self._hub.publish(e.Pulse(latency=None, next_try=round(pause, 1)))
        return pause

    def _silent(self, failure: Failure) -> None:
        now = self._clock.monotonic()
        self._tries += 1
        went = self._away_at is None
        if self._away_at is None:
            self._away_at, self._tries, self.breaks = now, 1, self.breaks + 1
        if went or (now - self._told_at >= TOLD_EVERY and not self.lost):
            self._told_at = now
            away, next_try = round(now - self._away_at, 1), round(pause_before(self._tries - 1, 0.5), 1)
            self._hub.publish(
                e.ServerAway(
                    code=failure.code, what=failure.what, remedy=failure.remedy, away=away, next_try=next_try,
                    wait=self._wait,
                )
            )  # fmt: skip
        if self._wait is not None and not self.lost and now - self._away_at >= self._wait:
            self.lost = True
            self._hub.publish(e.ServerGivenUp(away=round(now - self._away_at, 1)))
            self._on_change(False)
        elif went:
            self._on_change(False)

    def _heard(self, latency: float, remaining: int) -> None:
        self.contact_at = self._clock.monotonic()
        if self._away_at is not None:
            away = self.contact_at - self._away_at
            self._gone += away
            self._away_at, self._tries, self.lost = None, 0, False
            self._hub.publish(e.ServerBack(away=round(away, 1)))
            self._on_change(True)
        self._hub.publish(e.Pulse(latency=round(latency, 4)))
        self._hub.publish(queue_depth(self._hub, remaining))

    # --- was it restarted? ----------------------------------------------------------------------------------------

    def numbered(self, number: int | None) -> None:
        """Learn the ``number`` under which it took a prompt of ours: they only grow, and begin at 0 with each start."""
        if number is None:
            return
        if self._number is not None and number <= self._number:
            self._restarted(f"it numbers prompts from {number} again, after {self._number}")
        self._number = number

    def forgot(self, *, life: int, breaks: int, executing: bool) -> None:
        """Learn that a prompt it took in ``life``, after so many ``breaks``, is neither in its queue nor its history.

        One that waits may have been deleted by a person. One that executes leaves an entry, however it ends.
        """
        if life == self.life and (executing or breaks != self.breaks):
            self._restarted("it has forgotten a prompt that it was executing" if executing else "its queue is gone")

    def _restarted(self, why: str) -> None:
        self.life += 1
        self._number = None
        self._hub.publish(e.ServerRestarted(why=why))
