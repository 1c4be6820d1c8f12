"""A feed that is opened late: the dashboard is on the screen before what reads a run is imported."""

import gc
from collections.abc import AsyncIterator, Callable

from comfytui.model.commands import AnyCommand
from comfytui.model.feed import CaughtUp, Feed, FeedItem


class LateFeed:
    """The feed that ``make`` returns, made when it is first asked for something."""

    def __init__(self, make: Callable[[], Feed]) -> None:
        self._make = make
        self._feed: Feed | None = None

    async def items(self) -> AsyncIterator[FeedItem]:
        """Return the items of the feed as they are. Raises what the feed raises.

        What is there once it has caught up stays: the garbage collector, which would look through all of it again and
        again while a key waits (20 ms at 10,000 scenes), leaves it out from then on.
        """
        async for item in self._opened().items():
            yield item
            if isinstance(item, CaughtUp):
                gc.freeze()

    async def send(self, command: AnyCommand) -> None:
        """Hand ``command`` on. Raises what the feed raises."""
        await self._opened().send(command)

    def _opened(self) -> Feed:
        if self._feed is None:
            self._feed = self._make()
        return self._feed
