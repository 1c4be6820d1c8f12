"""Somebody who listens to a ComfySocket, and a server that says on its socket whatever a test wants."""

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
from aiohttp import WSMsgType, web

from comfytui.clock import Clock, system_clock
from comfytui.sources.comfy.address import ServerAddress
from comfytui.sources.comfy.messages import FeatureFlags
from comfytui.sources.comfy.socket import ComfySocket, SocketClosed, SocketEvent, SocketOpened, SocketRefused

PATIENCE = 20.0
"""Real seconds after which something that does not come is a failed test."""
CLIENT = "an-ear"

Kind = TypeVar("Kind")


async def until(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` holds, within a bound."""
    with anyio.fail_after(PATIENCE):
        while True:
            if condition():
                return
            await anyio.sleep(0.005)


class Ear:
    """Everything that a socket has said, in order."""

    def __init__(self, socket: ComfySocket) -> None:
        self.socket = socket
        self.heard: list[SocketEvent] = []
        self._read = 0
        self._news = anyio.Event()
        self.gate: anyio.Event | None = None
        """Nothing more is read until it is set."""

    async def listen(self) -> None:
        async for item in self.socket.messages():
            if self.gate is not None:
                await self.gate.wait()
            self.heard.append(item)
            self._news.set()
            self._news = anyio.Event()

    async def hears(self, kind: type[Kind], wanted: Callable[[Kind], bool] = lambda _: True) -> Kind:
        """Wait for the next item of that kind; what came before it counts as read."""
        with anyio.fail_after(PATIENCE):
            while True:
                while self._read < len(self.heard):
                    item = self.heard[self._read]
                    self._read += 1
                    if isinstance(item, kind) and wanted(item):
                        return item
                await self._news.wait()

    async def hears_an_answer(self) -> None:
        """Wait until the next connection is open and the server has answered on it."""
        await self.hears(SocketOpened)
        await self.hears(FeatureFlags)

    def of_kind(self, *kinds: type[Any]) -> list[Any]:
        return [item for item in self.heard if isinstance(item, kinds)]

    @property
    def turns(self) -> list[str]:
        """The ups and downs of the connection, by name."""
        return [type(item).__name__ for item in self.of_kind(SocketOpened, SocketClosed, SocketRefused)]


@asynccontextmanager
async def listening(url: str, clock: Clock | None = None, **options: Any) -> AsyncIterator[Ear]:
    """Open a socket to the server at ``url`` and listen to it."""
    address = ServerAddress.parse(url, token=options.pop("token", None), headers=options.pop("headers", {}))
    jitter = options.pop("jitter", lambda: 0.0)
    async with ComfySocket(address, CLIENT, clock or system_clock(), jitter) as socket:
        ear = Ear(socket)
        async with anyio.create_task_group() as group:
            group.start_soon(ear.listen)
            yield ear
            group.cancel_scope.cancel()


class Mouth:
    """One connection, as the server of a test sees it."""

    def __init__(self, number: int, request: web.Request, socket: web.WebSocketResponse) -> None:
        self.number, self.request, self.socket = number, request, socket
        self.received: list[Any] = []

    async def say(self, kind: str, **data: Any) -> None:
        await self.socket.send_str(json.dumps({"type": kind, "data": data}))

    async def greet(self) -> None:
        await self.say("status", status={"exec_info": {"queue_remaining": 0}}, sid=CLIENT)

    async def answer(self) -> None:
        """Read the first message and answer it, as ComfyUI does."""
        await self.greet()
        self.received.append(json.loads((await self.socket.receive()).data))
        await self.say("feature_flags", supports_preview_metadata=True)

    async def read(self) -> int | None:
        """Read to the end; return the code with which the client closed it."""
        async for message in self.socket:
            if message.type is WSMsgType.TEXT:
                self.received.append(json.loads(message.data))
        return self.socket.close_code


Script = Callable[[Mouth], Awaitable[None]]


@asynccontextmanager
async def speaking(
    script: Script, *, tls: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[tuple[str, list[Mouth]]]:
    """Serve a socket whose every connection goes by ``script``; yield the URL and the connections."""
    mouths: list[Mouth] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(**options)
        await socket.prepare(request)
        mouth = Mouth(len(mouths) + 1, request, socket)
        mouths.append(mouth)
        await script(mouth)
        return socket

    async with serving({"/ws": serve}, tls) as url:
        yield url, mouths


@asynccontextmanager
async def serving(
    routes: Mapping[str, Callable[[web.Request], Awaitable[web.StreamResponse]]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    app = web.Application()
    for path, handler in routes.items():
        app.router.add_get(path, handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
