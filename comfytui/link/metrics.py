"""The metrics of a run over HTTP: ``/metrics`` on this machine's loopback, for whoever scrapes it."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio.to_thread

from comfytui.errors import Failure
from comfytui.model.commands import AnyCommand
from comfytui.model.envelope import Envelope
from comfytui.model.feed import AnotherRun, Feed, FeedItem
from comfytui.model.fold import fold
from comfytui.model.state import State

HOST = "127.0.0.1"
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""What a request may call this host: a page of somebody else cannot read metrics through a name of its own."""


@asynccontextmanager
async def metrics_served(port: int | None, state: Callable[[], State]) -> AsyncIterator[int | None]:
    """Serve the metrics of ``state()`` while the context is open, and return the port; ``None``: serve nothing.

    Port 0 is any free one. Raises ``Failure`` ``metrics.port`` for one that cannot be had.
    """
    if port is None:
        yield None
        return
    from aiohttp import web

    from comfytui.model.openmetrics import CONTENT_TYPE, openmetrics

    async def answer(request: web.Request) -> web.Response:
        if request.host.rsplit(":", 1)[0] not in LOCAL_NAMES:
            raise web.HTTPForbidden(text="Metrics are for this machine.\n")
        told = await anyio.to_thread.run_sync(openmetrics, state())  # a long story has much to tell
        return web.Response(body=told.encode(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.router.add_get("/metrics", answer)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        try:
            await site.start()
        except (OSError, OverflowError) as fault:
            number = getattr(fault, "errno", None)
            why = os.strerror(number).lower() if number else str(fault)
            raise Failure("metrics.port", port=port, why=why) from None
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class MeteredFeed:
    """A feed that is handed on as it is, while its metrics are served on ``port``."""

    def __init__(self, feed: Feed, port: int) -> None:
        self._feed, self._port = feed, port
        self._state = State()

    async def items(self) -> AsyncIterator[FeedItem]:
        """Return the items of the feed. Raises what the feed raises, and ``Failure`` ``metrics.port``."""
        async with metrics_served(self._port, lambda: self._state):
            async for item in self._feed.items():
                if isinstance(item, AnotherRun):
                    self._state = State()
                elif isinstance(item, Envelope):
                    self._state = fold(self._state, item)
                yield item

    async def send(self, command: AnyCommand) -> None:
        """Hand ``command`` on. Raises what the feed raises."""
        await self._feed.send(command)
