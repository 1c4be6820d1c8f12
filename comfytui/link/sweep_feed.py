"""A sweep as a feed: its runs one after the other, each as it happens."""

from collections.abc import AsyncIterator, Callable

import anyio.to_thread

from comfytui.clock import Clock
from comfytui.errors import Failure
from comfytui.link.feeds import RunFeed
from comfytui.model.commands import AnyCommand
from comfytui.model.feed import AnotherRun, FeedItem
from comfytui.model.sweep import SweepProgress, SweepRun
from comfytui.records.lock import holder_of
from comfytui.records.sweepdir import SweepDir, read_progress

LOOK_SECONDS = 0.1
"""How often it is looked for the run that comes next."""

START_SECONDS = 30.0
"""How long the first run of a sweep that is just being started may let us wait."""


class SweepFeed:
    """The sweep in ``sweep``, from its newest run on: that run, then those that follow, until the sweep is over.

    Commands go to the run that is shown. ``starting`` tells whether a process that was started to drive the sweep still
    runs: it takes a moment until it has the sweep in hand.
    """

    def __init__(self, sweep: SweepDir, clock: Clock, starting: Callable[[], bool] = lambda: False) -> None:
        self._sweep, self._clock, self._starting = sweep, clock, starting
        self._current: RunFeed | None = None

    async def items(self) -> AsyncIterator[FeedItem]:
        """Return the items of each run, with ``AnotherRun`` between two.

        Raises ``Failure`` ``journal.unreadable``, ``run.plan``, and ``run.no_runner`` when no run ever begins.
        """
        patience = self._clock.monotonic() + START_SECONDS
        shown = max(0, len((await self._progress()).runs) - 1)
        while True:
            progress = await self._progress()
            if shown < len(progress.runs):
                if self._current is not None:
                    yield AnotherRun()
                self._current = feed = self._feed(progress.runs[shown])
                shown += 1
                async for item in feed.items():
                    yield item
            elif progress.ended or (progress.runs and not self._driven()):
                return
            elif not progress.runs and self._clock.monotonic() > patience:
                raise Failure("run.no_runner", run=f"{self._sweep.sweep_id} (see {self._sweep.log})")
            else:
                await self._clock.sleep(LOOK_SECONDS)

    async def send(self, command: AnyCommand) -> None:
        """Hand ``command`` to the runner of the run that is shown. Raises ``Failure`` ``run.no_runner``."""
        if self._current is None:
            raise Failure("run.no_runner", run=self._sweep.sweep_id)
        await self._current.send(command)

    def _feed(self, run: SweepRun) -> RunFeed:
        folder = self._sweep.run(run.run_id)

        def under_way() -> bool:
            now = next(each for each in read_progress(self._sweep).runs if each.number == run.number)
            return now.exit_code is None and self._driven()

        return RunFeed(folder.path, self._clock, journal=folder.journal, driven=under_way, linger=False)

    def _driven(self) -> bool:
        return holder_of(self._sweep.locked_as) is not None or self._starting()

    async def _progress(self) -> SweepProgress:
        return await anyio.to_thread.run_sync(read_progress, self._sweep)
