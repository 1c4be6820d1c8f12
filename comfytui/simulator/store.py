"""What the server remembers while it lives: the queue of prompts and the history of those that ended.

Shapes are those of GET /queue and GET /history of ComfyUI 0.3.64 and 0.8.0. Nothing survives a restart.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from comfytui.simulator.faults import PromptFault

Json = dict[str, Any]

MAXIMUM_HISTORY_SIZE = 10_000


@dataclass(eq=False, kw_only=True)
class QueuedPrompt:
    """A prompt that was accepted; `ordinal` counts every POST /prompt since the Simulator was made."""

    number: float
    prompt_id: str
    graph: dict[str, Json]
    extra_data: Json
    outputs: list[str]
    ordinal: int
    prefixes: tuple[str, ...] = ()
    faults: tuple[PromptFault, ...] = field(default=())

    @property
    def client_id(self) -> str | None:
        """Return the client that asked, the only one to hear how it goes; None: nobody in particular."""
        client_id = self.extra_data.get("client_id")
        return None if client_id is None else str(client_id)

    def item(self) -> list[Any]:
        """Return the prompt as GET /queue and GET /history list it."""
        return [self.number, self.prompt_id, self.graph, self.extra_data, self.outputs]

    def __lt__(self, other: QueuedPrompt) -> bool:
        """Order by number, then id; a full tie raises TypeError.

        The real queue compares tuples, and two prompts of the same number and id end in comparing two
        dictionaries: POST /prompt answers 500, and the prompt stays queued all the same (recorded on 0.3.64).
        """
        mine, theirs = (self.number, self.prompt_id), (other.number, other.prompt_id)
        if mine == theirs:
            raise TypeError("'<' not supported between instances of 'dict' and 'dict'")
        return mine < theirs


class PromptQueue:
    """Prompts that wait or run. `changed` is called after every change, to broadcast `status`."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._pending: list[QueuedPrompt] = []
        self._running: list[QueuedPrompt] = []
        self._arrived = asyncio.Event()

    def put(self, prompt: QueuedPrompt) -> None:
        """Queue a prompt; raises TypeError on a tie of number and id (see :meth:`QueuedPrompt.__lt__`)."""
        heapq.heappush(self._pending, prompt)
        self._changed()
        self._arrived.set()

    async def get(self) -> QueuedPrompt:
        """Wait for the prompt with the lowest number; it counts as running from now on."""
        while not self._pending:
            self._arrived.clear()
            await self._arrived.wait()
        prompt = heapq.heappop(self._pending)
        self._running.append(prompt)
        self._changed()
        return prompt

    def done(self, prompt: QueuedPrompt) -> None:
        """Forget a prompt that ended."""
        self._running.remove(prompt)
        self._changed()

    @property
    def running(self) -> list[QueuedPrompt]:
        """Return the prompts that run: one or none."""
        return list(self._running)

    @property
    def pending(self) -> list[QueuedPrompt]:
        """Return the waiting prompts in the order of the raw heap, which is not the order they will run in."""
        return list(self._pending)

    @property
    def remaining(self) -> int:
        """Return how many prompts wait or run: the `queue_remaining` of `status`."""
        return len(self._pending) + len(self._running)

    def clear(self) -> None:
        """Drop every waiting prompt; no event tells their clients."""
        self._pending = []
        self._changed()

    def delete(self, prompt_id: str) -> bool:
        """Drop one waiting prompt; return whether there was one. A running one is not touched."""
        for index, prompt in enumerate(self._pending):
            if prompt.prompt_id == prompt_id:
                if len(self._pending) == 1:
                    self.clear()  # hence two `status` messages, as recorded
                else:
                    self._pending.pop(index)
                    heapq.heapify(self._pending)
                self._changed()
                return True
        return False


class History:
    """Prompts that ended, oldest first, at most 10,000; `time` is the loop's clock, in seconds."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._entries: dict[str, Json] = {}
        self._hidden_until: dict[str, float] = {}

    def add(self, prompt: QueuedPrompt, result: Json, status: Json, *, hidden_for: float = 0.0) -> None:
        """Store an entry; it stays invisible for `hidden_for` seconds (a fault)."""
        if len(self._entries) >= MAXIMUM_HISTORY_SIZE:
            self._entries.pop(next(iter(self._entries)))
        self._entries[prompt.prompt_id] = {"prompt": prompt.item(), "outputs": {}, "status": status, **result}
        if hidden_for > 0:
            self._hidden_until[prompt.prompt_id] = self._time() + hidden_for

    def one(self, prompt_id: str) -> Json:
        """Return `{id: entry}`, or `{}` for an id that is unknown, waiting or running."""
        entry = self._entries.get(prompt_id)
        return {prompt_id: entry} if entry is not None and self._visible(prompt_id) else {}

    def page(self, max_items: int | None = None, offset: int = -1) -> Json:
        """Return `max_items` entries from `offset` on, oldest first; without an offset the newest ones."""
        names = [name for name in self._entries if self._visible(name)]
        if offset < 0 and max_items is not None:
            offset = len(names) - max_items
        names = names[max(offset, 0) :]
        if max_items is not None:
            names = names[:max_items]
        return {name: self._entries[name] for name in names}

    def delete(self, prompt_id: str) -> None:
        """Forget one entry."""
        self._entries.pop(prompt_id, None)

    def clear(self) -> None:
        """Forget all entries."""
        self._entries = {}

    def _visible(self, prompt_id: str) -> bool:
        return self._time() >= self._hidden_until.get(prompt_id, float("-inf"))
