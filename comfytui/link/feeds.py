"""A run of another process as a feed: live while its runner lives, from its journal always."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path

import anyio
import anyio.to_thread

from comfytui.clock import Clock
from comfytui.errors import Failure
from comfytui.link import messages
from comfytui.link.client import CommandRefused, Connection, deliver
from comfytui.link.endpoint import NobodyThere
from comfytui.model.commands import AnyCommand, Rerun
from comfytui.model.counted import counted
from comfytui.model.envelope import Envelope
from comfytui.model.feed import CaughtUp, FeedChanged, FeedItem
from comfytui.records.journal import Tail, tail

LOOK_SECONDS = 1.0
"""How often a feed without a runner looks for one, and for news in the journal."""

STARTING_LOOKS = 10
"""Looks that a process which has the run in hand may take until it answers."""

REST_SECONDS = 0.1
"""After a runner left, before the journal is read to its end."""


class RunFeed:
    """The run in ``folder``, which another process drives, has driven or will drive.

    Its journal (``None``: there is none) is told first, then what its runner tells. When that goes, the feed says so
    and keeps looking, gently, for the journal to grow and for a runner to come back; unless ``linger`` is false: then
    it ends once ``driven()`` says that no process has the run in hand. ``launch`` starts a runner for a rerun of a run
    that has none, and returns when it answers.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        journal: Path | None,
        launch: Callable[[], Awaitable[object]] | None = None,
        driven: Callable[[], bool] = lambda: False,
        linger: bool = True,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._journal = journal
        self._launch = launch
        self._driven = driven
        self._linger = linger
        self._offset = 0
        self._seq = 0
        self._heard_at: datetime | None = None
        self._unreadable = 0
        self._caught_up = False
        self._live: bool | None = None
        self._looks = 0
        self._nudge: anyio.Event | None = None
        self._launching: anyio.Lock | None = None

    async def items(self) -> AsyncIterator[FeedItem]:
        """Return the run's envelopes, and news of the feed. Raises ``Failure`` ``journal.unreadable``."""
        left = ""
        while True:
            while batch := await self._recorded():
                for envelope in batch:
                    yield envelope
            try:
                connection = await Connection.open(self._folder, self._seq)
            except NobodyThere as nobody:
                for news in self._silent(left or str(nobody)):
                    yield news
                if self._over():
                    return
                await self._pause()
                continue
            async with connection:
                while told := await connection.told():
                    for item in self._heard(told):
                        yield item
            left = "its runner left"
            await self._clock.sleep(REST_SECONDS)

    async def send(self, command: AnyCommand) -> None:
        """Hand ``command`` to the runner; a rerun starts one where there is none.

        Raises ``Failure`` ``run.no_runner``, and what starting one raises.
        """
        self._launching = self._launching or anyio.Lock()
        async with self._launching:
            try:
                try:
                    await deliver(self._folder, command)
                except NobodyThere:
                    if self._launch is None or not isinstance(command, Rerun):
                        raise
                    await self._launch()
                    await deliver(self._folder, command)
            except NobodyThere as nobody:
                raise Failure("run.no_runner", run=f"{self._folder.name} ({nobody})") from None
            except CommandRefused as refused:
                raise Failure("run.no_runner", run=f"{self._folder.name} (refused: {refused})") from None
        if self._nudge is not None:
            self._nudge.set()

    def _heard(self, told: list[Envelope | messages.Told]) -> list[FeedItem]:
        """Return what is new in what a runner told."""
        items: list[FeedItem] = []
        for each in told:
            if isinstance(each, Envelope):
                if self._is_new(each, recorded=False):
                    items.append(each)
            elif isinstance(each, messages.CaughtUp):
                if not self._caught_up:
                    items.append(CaughtUp())
                self._caught_up = self._live = True
                items.append(FeedChanged(live=True))
        return items

    def _silent(self, why: str) -> list[FeedItem]:
        """Return the news that nobody answers, where it is news. A runner that is just starting is waited for."""
        self._looks += 1
        if self._live is None and self._looks < STARTING_LOOKS and self._driven():
            return []
        news: list[FeedItem] = [] if self._caught_up else [CaughtUp()]
        if self._live is not False:
            lost = f"; {counted(self._unreadable, 'line')} of the journal cannot be read" if self._unreadable else ""
            news.append(FeedChanged(live=False, why=f"{why}{lost}"))
        self._caught_up, self._live = True, False
        return news

    def _over(self) -> bool:
        return not self._linger and self._live is False and not self._driven()

    async def _pause(self) -> None:
        """Wait for the next look, or for a command that may have started a runner."""
        self._nudge = anyio.Event()
        with anyio.move_on_after(LOOK_SECONDS):
            await self._nudge.wait()

    async def _recorded(self) -> list[Envelope]:
        """Return the next envelopes of the journal that are new; none at its present end."""
        while self._journal is not None:
            found = await anyio.to_thread.run_sync(self._read, self._journal)
            before, self._offset = self._offset, found.offset
            self._unreadable += len(found.problems)
            fresh = [each for each in found.envelopes if self._is_new(each, recorded=True)]
            if fresh or not found.more or found.offset == before:
                return fresh
        return []

    def _read(self, journal: Path) -> Tail:
        if not journal.exists() and journal.parent.is_dir():  # its runner has not begun
            return Tail([], self._offset, [], False)
        return tail(journal, self._offset)

    def _is_new(self, envelope: Envelope, *, recorded: bool) -> bool:
        """Tell whether ``envelope`` has not been told: facts by their number, recorded samples by their time."""
        if not recorded:
            self._heard_at = envelope.at
        if envelope.is_fact:
            is_new = envelope.seq > self._seq
            self._seq = max(envelope.seq, self._seq)
            return is_new
        return not recorded or self._heard_at is None or envelope.at > self._heard_at
