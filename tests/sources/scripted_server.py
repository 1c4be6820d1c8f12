"""A server on loopback that answers every request with given bytes, however wrong they are as HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Scripted:
    """The running server: its ``url``, and the heads of the requests that came, in order."""

    url: str
    requests: list[str] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set as soon as a request has come."""
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    """Set as soon as a client has gone before it was answered in full."""


def reply(
    body: bytes = b"", *headers: str, status: str = "200 OK", kind: str | None = "application/json", length: int = -1
) -> bytes:
    """Return an HTTP reply; ``length``: what Content-Length says, if not the truth."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body) if length < 0 else length}"]
    lines += [f"Content-Type: {kind}"] if kind else []
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body


def slowly(head: bytes, piece: bytes, every: float) -> Answer:
    """Return an answer that sends ``head``, then ``piece`` again and again, ``every`` so many seconds."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            await writer.drain()
            await asyncio.sleep(every)
            writer.write(piece)

    return answer


@asynccontextmanager
async def scripted(answer: bytes | Answer, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    """Serve ``answer`` to every connection; with no bytes the connection is closed without a word."""
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            try:
                await answer_one(reader, writer)
            except BaseException:
                writer.transport.abort()  # what nobody reads would keep the connection open beyond the test
                raise
            finally:
                writer.close()
        serving.discard(task)

    async def answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        server.requests.append(head.decode("latin-1"))
        server.asked.set()
        gone = asyncio.ensure_future(_until_gone(reader, server.hung_up))
        try:
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)
        finally:
            gone.cancel()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    scheme, port = ("https" if tls else "http"), listening.sockets[0].getsockname()[1]
    server = Scripted(f"{scheme}://127.0.0.1:{port}")
    try:
        yield server
    finally:
        listening.close()
        for task in list(serving):
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def _until_gone(reader: asyncio.StreamReader, hung_up: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(65536):
            pass
    hung_up.set()
