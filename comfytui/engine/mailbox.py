"""One reader's post box: facts in order and complete, of samples only the newest of each kind."""

from collections import deque
from collections.abc import AsyncIterator

import anyio

from comfytui.model.envelope import Envelope
from comfytui.model.events import Sample, sample_key


class Mailbox:
    """What a subscriber of the hub has not read yet.

    Putting never waits, so a slow reader cannot slow the engine. It loses samples that a newer one has replaced and
    never a fact. ``after`` is the number of the last fact published before the subscription began.
    """

    def __init__(self, after: int) -> None:
        self.after = after
        self._facts: deque[Envelope] = deque()
        self._samples: dict[tuple[str, ...], Envelope] = {}
        self._arrived = anyio.Event()
        self._closed = False

    def put(self, envelope: Envelope) -> None:
        """Add ``envelope``; a sample replaces the unread one of its kind."""
        if isinstance(envelope.event, Sample):
            self._samples[sample_key(envelope.event)] = envelope
        else:
            self._facts.append(envelope)
        self._arrived.set()

    def close(self) -> None:
        """Let the reader end once it has read what is here."""
        self._closed = True
        self._arrived.set()

    def take(self) -> list[Envelope]:
        """Return and remove everything unread: the facts in order, then the samples."""
        taken = [*self._facts, *self._samples.values()]
        self._facts.clear()
        self._samples.clear()
        return taken

    async def batches(self) -> AsyncIterator[list[Envelope]]:
        """Yield what has arrived since the last batch, as it arrives; end when the hub closes."""
        while True:
            if batch := self.take():
                yield batch
            elif self._closed:
                return
            else:
                self._arrived = anyio.Event()
                await self._arrived.wait()

    async def __aiter__(self) -> AsyncIterator[Envelope]:
        """Yield what arrives one by one; end when the hub closes."""
        async for batch in self.batches():
            for envelope in batch:
                yield envelope
