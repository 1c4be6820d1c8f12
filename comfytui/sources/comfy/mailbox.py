"""Where messages of the socket wait to be read: what counts in order, what does not as its latest state only."""

from collections.abc import Hashable
from typing import Generic, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from comfytui.sources.comfy.messages import (
    Malformed,
    Message,
    Preview,
    Progress,
    ProgressState,
    Status,
    TextProgress,
    Unknown,
)

_Item = TypeVar("_Item")

MAX_WAITING = 10_000
"""Messages that may wait; whoever is further behind had better look at the server's state anew."""


def latest_wins(message: object) -> Hashable | None:
    """Return what ``message`` is the latest state of; ``None``: each one counts."""
    match message:
        case Progress(prompt_id=prompt_id, node=node):
            return "progress", prompt_id, node
        case ProgressState(prompt_id=prompt_id):
            return "progress_state", prompt_id
        case TextProgress(node=node):
            return "text", node
        case Unknown(kind=kind):
            return "unknown", kind
        case Preview() | Status() | Malformed():
            return type(message)
        case _:
            return None


class Mailbox(Generic[_Item]):
    """A queue whose writer never waits, and an async iterator over it for the one task that reads.

    A message that supersedes one still waiting takes its place at the END: what is read is always in the order in
    which it came, with superseded ones left out. A read that is cancelled loses nothing.
    """

    def __init__(self) -> None:
        self._waiting: dict[Hashable, _Item | Message] = {}
        self._count = 0
        self._arrival = anyio.Event()
        self._closed = False

    def put(self, item: _Item | Message) -> bool:
        """Add an item; return ``False`` when so many wait that the reader should be told to look anew."""
        key = latest_wins(item)
        if key is None:
            self._count += 1
            key = self._count
        else:
            self._waiting.pop(key, None)
        self._waiting[key] = item
        self._arrival.set()
        return len(self._waiting) < MAX_WAITING

    def clear(self) -> None:
        """Forget everything that waits."""
        self._waiting.clear()

    def close(self) -> None:
        """End the iteration at once."""
        self.clear()
        self._closed = True
        self._arrival.set()

    def __aiter__(self) -> "Mailbox[_Item]":
        return self

    async def __anext__(self) -> _Item | Message:
        await checkpoint()  # a reader that always finds something must not keep the socket from being drained
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._arrival = anyio.Event()
            await self._arrival.wait()
        return self._waiting.pop(next(iter(self._waiting)))
