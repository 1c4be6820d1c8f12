"""The web server: textual-serve's, behind a door, with a page that fetches nothing from elsewhere."""

import importlib.resources
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp_jinja2
from aiohttp import web
from textual_serve.server import Server, to_int

from comfytui.errors import Failure
from comfytui.faces.web.door import LOCAL_HOSTS, Door, dress
from comfytui.faces.web.session import Session

LARGEST_MESSAGE = 1024 * 1024
"""Bytes of one message from a browser: a large paste."""


class DashboardServer(Server):
    """Serves the dashboard that ``command`` starts, one process a tab."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], title: str, door: Door) -> None:
        templates = Path(str(importlib.resources.files("comfytui").joinpath("bundled", "web")))
        super().__init__(command[0], title=title, templates_path=templates)
        self._words, self._environment, self._door = command, environment, door
        self._sessions: set[Session] = set()

    async def application(self) -> web.Application:
        """Return the guarded web application."""
        app = await self._make_app()
        app.middlewares.append(self._door.guard)
        app.on_response_prepare.append(dress)
        app.router.add_static("/page", self.templates_path)
        return app

    async def on_startup(self, app: web.Application) -> None:
        """Print nothing: whoever serves tells the link."""

    async def on_shutdown(self, app: web.Application) -> None:
        """End the dashboards whose tabs are still open."""
        for session in tuple(self._sessions):
            await session.stop()

    @aiohttp_jinja2.template("index.html")
    async def handle_index(self, request: web.Request) -> dict[str, Any]:
        """Return what the page is filled with."""
        scheme = "wss" if request.scheme == "https" else "ws"
        return {
            "title": self.title,
            "socket": f"{scheme}://{request.host}/ws",
            "font_size": min(64, max(6, to_int(request.query.get("fontsize", ""), 16))),
        }

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Carry one dashboard for one tab, until either ends."""
        socket = web.WebSocketResponse(heartbeat=15, max_msg_size=LARGEST_MESSAGE)
        await socket.prepare(request)
        size = [min(1000, max(1, to_int(request.query.get(name, ""), given)))
                for name, given in (("width", 80), ("height", 24))]  # fmt: skip
        session = Session(self._words, self._environment, socket, self.download_manager)
        self._sessions.add(session)
        try:
            await session.start(*size)
            async for message in socket:
                if message.type == web.WSMsgType.TEXT:
                    await _hear(message.data, socket, session)
        finally:
            self._sessions.discard(session)
            await session.stop()
        return socket


async def _hear(text: str, socket: web.WebSocketResponse, session: Session) -> None:
    """Do what a browser says; what makes no sense is left alone."""
    try:
        kind, *rest = json.loads(text)
        told = rest[0] if rest else None
        match kind, told:
            case "stdin", str():
                await session.send_bytes(told.encode("utf-8", "replace"))
            case "resize", {"width": int(width), "height": int(height)}:
                await session.set_terminal_size(min(1000, max(1, width)), min(1000, max(1, height)))
            case "ping", _:
                await socket.send_json(["pong", told])
            case "blur", _:
                await session.blur()
            case "focus", _:
                await session.focus()
    except (ValueError, TypeError, RecursionError):
        return


@asynccontextmanager
async def served(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    host: str,
    port: int,
    title: str,
    on_link: Callable[[str], object],
) -> AsyncIterator[None]:
    """Serve the dashboard that ``command`` starts while the context is open; port 0 is any free one.

    ``on_link`` is told the link that lets the next browser in: at once, and again whenever one was used. Raises
    ``Failure`` ``serve.port`` for an address that cannot be had.
    """
    place = f"[{host}]" if ":" in host else host
    bound: list[int] = []
    door = Door(
        lambda token: on_link(f"http://{place}:{bound[0]}/?token={token}"), LOCAL_HOSTS if is_local(host) else ()
    )
    server = DashboardServer(command, environment, title, door)
    runner = web.AppRunner(
        await server.application(), access_log=None, handle_signals=False, shutdown_timeout=0.5
    )  # fmt: skip
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except (OSError, OverflowError) as fault:
            why = getattr(fault, "strerror", None) or str(fault)
            raise Failure("serve.port", host=host, port=port, why=why) from None
        bound.append(runner.addresses[0][1])
        door.open()
        yield
    finally:
        await runner.cleanup()


def is_local(host: str) -> bool:
    """Tell whether ``host`` is this machine's loopback."""
    return host in ("127.0.0.1", "localhost", "::1")
