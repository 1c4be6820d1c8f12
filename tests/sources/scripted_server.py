"""A server on loopback that answers every request with given bytes, however wrong they are as HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

ROUNDS = 5
"""Rounds of the loop in which a connection that was accepted is told to its server; asyncio needs three."""

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
    serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving[asyncio.ensure_future(serve(reader, writer))] = writer

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
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
        writer.close()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    scheme, port = ("https" if tls else "http"), listening.sockets[0].getsockname()[1]
    server = Scripted(f"{scheme}://127.0.0.1:{port}")
    try:
        yield server
    finally:
        for _ in range(ROUNDS):  # who is accepted while it closes is forgotten by asyncio (3.11), and stays open
            await asyncio.sleep(0)
        listening.close()
        for task, writer in serving.items():
            task.cancel()
            writer.transport.abort()  # also where a task was never begun, or nobody reads what it wrote
        await asyncio.gather(*serving, return_exceptions=True)


async def _until_gone(reader: asyncio.StreamReader, hung_up: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(65536):
            pass
    hung_up.set()
