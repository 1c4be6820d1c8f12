"""A feed that is opened late: the dashboard is on the screen before what reads a run is imported."""

from collections.abc import AsyncIterator, Callable

from comfytui.model.commands import AnyCommand
from comfytui.model.feed import Feed, FeedItem


class LateFeed:
    """The feed that ``make`` returns, made when it is first asked for something."""

    def __init__(self, make: Callable[[], Feed]) -> None:
        self._make = make
        self._feed: Feed | None = None

    async def items(self) -> AsyncIterator[FeedItem]:
        """Return the items of the feed as they are. Raises what the feed raises."""
        async for item in self._opened().items():
            yield item

    async def send(self, command: AnyCommand) -> None:
        """Hand ``command`` on. Raises what the feed raises."""
        await self._opened().send(command)

    def _opened(self) -> Feed:
        if self._feed is None:
            self._feed = self._make()
        return self._feed
