"""A stall of the whole server: what a full garbage collection does to its HTTP and its WebSockets."""

from __future__ import annotations

import asyncio


class Freeze:
    """Until when nothing is answered or sent, in the seconds of the running loop's clock."""

    def __init__(self) -> None:
        self._until = float("-inf")
        self._last = float("-inf")

    def begin(self, seconds: float, interval: float) -> None:
        """Stall for `seconds` from now on, unless the last stall began less than `interval` seconds ago."""
        now = asyncio.get_running_loop().time()
        if seconds > 0 and now - self._last >= interval:
            self._last = now
            self._until = now + seconds

    async def over(self) -> None:
        """Wait until the server is awake; returns at once when it is."""
        left = self._until - asyncio.get_running_loop().time()
        if left > 0:
            await asyncio.sleep(left)
