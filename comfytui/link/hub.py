"""What the link needs of a hub, and a hub of this very process as a feed."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from typing import Protocol

import anyio.to_thread

from comfytui.link.backlog import Backlog, next_batch
from comfytui.model.commands import AnyCommand
from comfytui.model.envelope import Envelope
from comfytui.model.feed import CaughtUp, FeedChanged, FeedItem
from comfytui.model.state import State


class MailboxLike(Protocol):
    """What a subscriber of the hub has not read yet."""

    after: int

    def batches(self) -> AsyncIterator[list[Envelope]]:
        """Return what arrives, batch by batch, until the hub closes."""
        ...


class HubLike(Protocol):
    """What the link needs of the hub."""

    run_id: str
    state: State

    def subscribe(self) -> AbstractContextManager[MailboxLike]:
        """Return a mailbox that receives everything from now on, until the context ends."""
        ...


class HubFeed:
    """A run of this very process: what its hub told (``backlog``) and tells. It ends when the hub closes."""

    def __init__(self, hub: HubLike, backlog: Backlog, on_command: Callable[[AnyCommand], None]) -> None:
        self._hub = hub
        self._backlog = backlog
        self._on_command = on_command

    def state(self) -> State:
        """Return what the hub knows now: all that was told, and perhaps more."""
        return self._hub.state

    async def items(self) -> AsyncIterator[FeedItem]:
        """Return the run's envelopes from its first one on. Raises ``Failure`` ``journal.unreadable``."""
        with self._hub.subscribe() as mailbox:
            past = self._backlog.since(0, mailbox.after)
            while batch := await anyio.to_thread.run_sync(next_batch, past):
                for envelope in batch:
                    yield envelope
            yield CaughtUp()
            yield FeedChanged(live=True)
            async for batch in mailbox.batches():
                for envelope in batch:
                    yield envelope

    async def send(self, command: AnyCommand) -> None:
        """Hand ``command`` to the runner."""
        self._on_command(command)
