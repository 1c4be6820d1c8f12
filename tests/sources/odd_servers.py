"""Servers that are odd, hostile or no HTTP servers at all, for tests of the HTTP client; how a request fails there."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from aiohttp import web
from anyio.abc import SocketStream

from comfytui.sources.comfy.address import ServerAddress
from comfytui.sources.comfy.failures import TransportFailure
from comfytui.sources.comfy.http import ComfyHttp

SECRET = "hunter2-very-secret"
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

GRAPH: dict[str, Any] = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 2, "color": 7}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "story/a"}},
}


@asynccontextmanager
async def served(answer: Answer, *, prefix: str = "") -> AsyncIterator[ServerAddress]:
    """A server that gives one answer to everything."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        port = runner.addresses[0][1]
        yield ServerAddress.parse(f"http://127.0.0.1:{port}{prefix}", token=SECRET)
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_server(handle: Callable[[SocketStream], Awaitable[None]]) -> AsyncIterator[ServerAddress]:
    """A server that is no HTTP server, or a bad one."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, handle)
        try:
            yield ServerAddress.parse(f"http://127.0.0.1:{port}", token=SECRET)
        finally:
            group.cancel_scope.cancel()


def saying(
    body: bytes | str, *, status: int = 200, kind: str = "application/json", headers: dict[str, str] | None = None
) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        sent = body.encode() if isinstance(body, str) else body
        return web.Response(body=sent, status=status, headers={"Content-Type": kind, **(headers or {})})

    return answer


async def failure_of(
    address: ServerAddress, ask: Callable[[ComfyHttp], Awaitable[Any]] | None = None
) -> TransportFailure:
    """Return how a request fails; by default GET /system_stats. It never shows the secret."""
    async with ComfyHttp(address, timeout=5.0) as http:
        with pytest.raises(TransportFailure) as found:
            await (ask(http) if ask else http.system_stats())
    assert SECRET not in str(found.value) + repr(found.value) + repr(found.value.words)
    assert found.value.__suppress_context__ or found.value.__context__ is None
    return found.value


def history(http: ComfyHttp) -> Awaitable[Any]:
    return http.history("p")


def submit(http: ComfyHttp) -> Awaitable[Any]:
    return http.submit({}, "p", "c")
