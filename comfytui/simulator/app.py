"""The web application of one life: its routes, also under /api, and what every request passes on its way."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import web

from comfytui.simulator.answers import nothing_here
from comfytui.simulator.faults import (
    Answered,
    BrokenJson,
    ConnectionReset,
    RequestFault,
    Slow,
    SocketRefused,
    StatsWithoutVram,
    WrongTypes,
    kind_of,
)
from comfytui.simulator.life import Life
from comfytui.simulator.routes import files, info, jobs, prompts
from comfytui.simulator.state import LIFE, SIMULATOR

if TYPE_CHECKING:
    from comfytui.simulator.simulator import Simulator

Json = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_UPLOAD = 100 * 1024 * 1024
LINGER = "hh" if sys.platform == "win32" else "ii"
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def make_app(simulator: Simulator, life: Life) -> web.Application:
    """Return the application of this life."""
    app = web.Application(client_max_size=MAX_UPLOAD, middlewares=[pass_faults, wait_for_thaw, same_origin_only])
    app[LIFE] = life
    app[SIMULATOR] = simulator
    for table in (prompts.routes, files.routes, info.routes):
        app.add_routes(table)
        for route in table:
            if isinstance(route, web.RouteDef) and route.path != "/":
                app.router.add_route(route.method, f"/api{route.path}", route.handler, **route.kwargs)
    app.add_routes(info.internal)
    if life.version != "0.3.64":
        app.add_routes(jobs.routes)
    app.router.add_get("/ws", open_socket)
    app.router.add_get("/api/ws", open_socket)
    app.router.add_route("*", "/{path:.*}", no_such_route)
    return app


async def no_such_route(request: web.Request) -> web.Response:
    """Answer 404."""
    return nothing_here()


async def open_socket(request: web.Request) -> web.StreamResponse:
    """Serve a WebSocket, as the faults of its connection allow."""
    life, simulator = request.app[LIFE], request.app[SIMULATOR]
    found = life.faults.for_socket(simulator.next_connection(), request.query.get("clientId", ""))
    refused = kind_of(found, SocketRefused)
    if refused is not None:
        return web.Response(status=refused.status)
    return await life.sockets.serve(request, found)


@web.middleware
async def pass_faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Note the request, and let its faults spoil it or its answer."""
    simulator = request.app[SIMULATOR]
    await simulator.note(request)
    path = request.path.removeprefix("/api") or "/"
    faults = simulator.faults.for_request(request.method, path)
    slow, reset, answered = (kind_of(faults, kind) for kind in (Slow, ConnectionReset, Answered))
    if isinstance(slow, Slow):
        await asyncio.sleep(slow.seconds)
    if isinstance(reset, ConnectionReset) and not reset.after:
        return reset_connection(request)
    if isinstance(answered, Answered):
        headers = {"Location": answered.location} if answered.location else None
        return web.Response(
            status=answered.status, text=answered.text, content_type=answered.content_type, headers=headers
        )
    response = await handler(request)
    if isinstance(reset, ConnectionReset):
        return reset_connection(request)
    if isinstance(response, web.Response) and response.content_type == "application/json":
        response.text = spoiled(response.text or "", faults)
    return response


def reset_connection(request: web.Request) -> web.Response:
    """Reset the TCP connection of a request (RST); the answer returned goes nowhere."""
    transport = request.transport
    if transport is not None:
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(LINGER, 1, 0))
        transport.abort()
    return web.Response()


def spoiled(text: str, faults: tuple[RequestFault, ...]) -> str:
    """Return a JSON body as the faults leave it."""
    stats = kind_of(faults, StatsWithoutVram)
    if stats is not None:
        body = json.loads(text)
        devices = body["devices"] if stats.devices else []
        body["devices"] = [{k: v for k, v in device.items() if "vram" not in k} for device in devices]
        text = json.dumps(body)
    if kind_of(faults, WrongTypes) is not None:
        text = json.dumps(_warped(json.loads(text), 2))
    if kind_of(faults, BrokenJson) is not None:
        text = text[: max(1, len(text) // 2)]
    return text


def _warped(value: Any, depth: int) -> Any:
    """Return a value of another type; of an object the first `depth` levels keep their shape."""
    if isinstance(value, dict):
        return {key: _warped(one, depth - 1) for key, one in value.items()} if depth > 0 else list(value)
    if isinstance(value, list):
        return {str(index): one for index, one in enumerate(value)}
    return 12345 if isinstance(value, str) else "unexpected"


@web.middleware
async def wait_for_thaw(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer nothing while the server is stalled."""
    await request.app[LIFE].freeze.over()
    return await handler(request)


@web.middleware
async def same_origin_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what a page of another site asks for (403), as ComfyUI does when it listens on loopback."""
    origin = request.headers.get("Origin")
    if origin:
        asked, own = urlsplit(origin), urlsplit(f"//{request.host}")
        ports_differ = asked.port is not None and own.port is not None and asked.port != own.port
        if own.hostname in LOOPBACK and (asked.hostname != own.hostname or ports_differ):
            return web.Response(status=403)
    return await handler(request)
