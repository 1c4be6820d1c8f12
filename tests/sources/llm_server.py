"""A small server with OpenAI's API on loopback, which answers as a test says."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.sources.llm_replies import MODELS, as_text, lm_studio, story

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def saying(told: Any, status: int = 200, kind: str = "application/json", **headers: str) -> Answer:
    """Return an answer: JSON of ``told``, or its bytes or text as they are."""

    async def answer(request: web.Request) -> web.StreamResponse:
        body = told if isinstance(told, bytes) else (told if isinstance(told, str) else as_text(told)).encode()
        return web.Response(body=body, status=status, headers={"Content-Type": kind, **headers})

    return answer


def writing(content: Any) -> Answer:
    """Return the answer in which a model has written ``content``."""
    return saying(lm_studio(content if isinstance(content, str) else as_text(content)))


@dataclass
class LlmServer:
    """The running server: ``url`` is its base, ``bodies`` what was posted; ``chat`` and ``models`` answer."""

    url: str = ""
    chat: list[Answer] = field(default_factory=lambda: [writing(story())])
    """The answers in turn; the last one stays."""
    models: Answer = field(default_factory=lambda: saying(MODELS["LM Studio"]))
    bodies: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if request.method == "GET":
            return await self.models(request)
        self.bodies.append(await request.json())
        return await (self.chat.pop(0) if len(self.chat) > 1 else self.chat[0])(request)


@asynccontextmanager
async def llm_server() -> AsyncIterator[LlmServer]:
    """Serve; what is not told otherwise is what LM Studio says, and three scenes."""
    server = LlmServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
