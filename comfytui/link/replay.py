"""A recorded run as a feed: everything in its journal, then the end. It takes no command."""

from collections.abc import AsyncIterator
from itertools import islice

import anyio.to_thread

from comfytui.errors import Failure
from comfytui.model.commands import AnyCommand
from comfytui.model.counted import counted
from comfytui.model.feed import CaughtUp, FeedChanged, FeedItem
from comfytui.records.recorded import Recorded

BATCH = 512


class ReplayFeed:
    """The journal of ``record``, from a run folder or an archive."""

    def __init__(self, record: Recorded) -> None:
        self._record = record

    async def items(self) -> AsyncIterator[FeedItem]:
        """Return the run's envelopes. Raises ``Failure`` ``journal.unreadable``, ``archive.unreadable``."""
        reading = self._record.journal()
        envelopes = iter(reading)
        while batch := await anyio.to_thread.run_sync(lambda: list(islice(envelopes, BATCH))):
            for envelope in batch:
                yield envelope
        lost = f"{counted(reading.corrupt, 'line')} of the journal cannot be read" if reading.corrupt else ""
        yield FeedChanged(live=False, why=lost, recorded=True)
        yield CaughtUp()

    async def send(self, command: AnyCommand) -> None:
        """Refuse ``command``. Raises ``Failure`` ``run.no_runner``."""
        raise Failure("run.no_runner", run=f"{self._record.run_id} (this is a replay)")
