"""One connection of the socket, from the upgrade to the goodbye. The one module that knows httpx-ws.

httpx-ws 0.9 as it really is: ``max_message_size_bytes`` is how much is read at a time, and no limit; ``queue_size``
is not heeded; what goes wrong comes as an ExceptionGroup; ``close`` does not wait for the other side; a pong that
answers no ping of its own is a KeyError.
"""

from collections.abc import Callable, Generator
from typing import Any, Final

import anyio
import httpcore
import httpx
import wsproto.connection
import wsproto.events
from httpx_ws import AsyncWebSocketSession, HTTPXWSException, WebSocketDisconnect, WebSocketUpgradeError, aconnect_ws
from wsproto.utilities import ProtocolError, RemoteProtocolError

from comfytui.clock import Clock, wait_for
from comfytui.sources.comfy.messages import FeatureFlags, Message, decode_binary, decode_text
from comfytui.untrusted import plain

HELLO: Final = '{"type":"feature_flags","data":{"supports_preview_metadata":true}}'
MAX_MESSAGE: Final = 64 * 1024 * 1024
"""Bytes of one message; SaveImageWebsocket sends whole frames, 1.25 MB and more."""
READ_SIZE: Final = 256 * 1024
"""Bytes of one read: big previews cost half as much CPU as with the library's 64 KiB."""
FIRST_WORD: Final = 10.0
"""Seconds to wait for the first message, which every server sends at once."""
ANSWER: Final = 30.0
"""Seconds to wait for the answer to HELLO from a server that is known to answer; longer than a frozen server needs."""
PING, PONG = 20.0, 15.0
"""Seconds between two pings, and to wait for the answer to one."""
GOODBYE: Final = 1.0
"""Seconds to wait for the server's answer to our close."""

_BROKEN: Final = (
    HTTPXWSException,
    ProtocolError,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    OSError,
)


class NotOpened(Exception):
    """The upgrade failed: ``error`` says how; ``answer`` is the server's, when it gave another one than 101."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error
        self.answer = error.response if isinstance(error, WebSocketUpgradeError) else None


class Session:
    """One connection: made by :meth:`run`, ended by the server, by the network or by :meth:`leave`.

    ``hear`` gets each message and returns whether it wants more; ``opened`` is called before the first one.
    """

    def __init__(self, clock: Clock, hear: Callable[[Message], bool], opened: Callable[[], None]) -> None:
        self._clock, self._hear, self._opened = clock, hear, opened
        self._listening: anyio.CancelScope | None = None
        self._why = ""
        self._began = anyio.Event()
        self._answered = anyio.Event()

    def leave(self, why: str) -> bool:
        """Close it properly, as soon as possible; return whether there is anything to close."""
        if self._listening is None:
            return False
        self._why = self._why or why
        self._listening.cancel()
        return True

    async def run(self, client: httpx.AsyncClient, url: str, *, must_answer: bool) -> str:
        """Connect to ``url`` and listen; return why it ended. Raises :class:`NotOpened`.

        ``must_answer``: this server is known to answer HELLO, so a connection without an answer is deaf.
        """
        connecting = aconnect_ws(
            url,
            client,
            max_message_size_bytes=READ_SIZE,
            keepalive_ping_interval_seconds=None,
            session_class=_TolerantSession,
        )
        connected = False
        try:
            async with connecting as session:
                connected = True
                await self._listen(session, must_answer)
        except* (*_BROKEN, httpx.HTTPError, httpx.InvalidURL) as group:
            error = _first(group)
            if not connected:
                raise NotOpened(error) from None
            self._why = self._why or _in_words(error)
        return self._why

    async def _listen(self, session: AsyncWebSocketSession, must_answer: bool) -> None:
        try:
            async with anyio.create_task_group() as group:
                self._listening = group.cancel_scope
                await session.send_text(HELLO)
                group.start_soon(self._expect, self._began, FIRST_WORD, "it is deaf: not even a greeting came")
                if must_answer:
                    group.start_soon(self._expect, self._answered, ANSWER, "it is deaf: the server does not answer")
                group.start_soon(self._ping, session)
                await self._receive(session)
        finally:
            self._listening = None
        if self._why:
            await _say_goodbye(session)

    async def _receive(self, session: AsyncWebSocketSession) -> None:
        while True:
            received = await session.receive()
            if isinstance(received, wsproto.events.TextMessage):
                message = decode_text(received.data)
            elif isinstance(received, wsproto.events.BytesMessage):
                message = decode_binary(bytes(received.data))
            else:
                continue
            if not self._began.is_set():
                self._began.set()
                self._opened()
            if isinstance(message, FeatureFlags):
                self._answered.set()
            if not self._hear(message):
                self.leave("its messages were not read for too long")
                await anyio.lowlevel.checkpoint()

    async def _expect(self, event: anyio.Event, seconds: float, why_else: str) -> None:
        if not await wait_for(event, seconds, self._clock):
            self.leave(why_else)

    async def _ping(self, session: AsyncWebSocketSession) -> None:
        """Find out that the other side is gone without a word, and keep proxies from forgetting the connection."""
        while True:
            await self._clock.sleep(PING)
            pong = await session.ping()
            await self._expect(pong, PONG, f"no answer to a ping for {PONG:g} s")


async def _say_goodbye(session: AsyncWebSocketSession) -> None:
    """Close properly and wait for the server's answer: only then has it begun to forget this connection."""
    with anyio.move_on_after(GOODBYE):
        try:
            await session.send(wsproto.events.CloseConnection(1000))
            while True:
                await session.receive()
        except _BROKEN:
            return


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    """Return the first error in a group, however deep."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)
    return error


def _in_words(error: Exception) -> str:
    if isinstance(error, WebSocketDisconnect):
        reason = plain(error.reason, 100).strip() if error.reason else ""
        return f"it was closed with code {error.code}{f' ({reason})' if reason else ''}"
    if isinstance(error, RemoteProtocolError):
        return f"it was given up: {plain(str(error), 100)}"
    return "the connection broke"


class _TolerantConnection(wsproto.connection.Connection):
    """What httpx-ws lacks: a limit to the size of a message, and patience with pongs that answer no ping of ours."""

    def __init__(self) -> None:
        super().__init__(wsproto.ConnectionType.CLIENT)
        self._size = 0
        self._pinged: set[bytes] = set()

    def send(self, event: wsproto.events.Event) -> bytes:
        if isinstance(event, wsproto.events.Ping):
            self._pinged.add(bytes(event.payload))
        return super().send(event)

    def events(self) -> Generator[wsproto.events.Event, None, None]:
        for event in super().events():
            if isinstance(event, wsproto.events.Message):
                self._size += len(event.data)
                if self._size > MAX_MESSAGE:
                    raise RemoteProtocolError(f"a message is larger than {MAX_MESSAGE >> 20} MiB")
                if event.message_finished:
                    self._size = 0
            if isinstance(event, wsproto.events.Pong):
                if bytes(event.payload) not in self._pinged:
                    continue
                self._pinged.discard(bytes(event.payload))
            yield event


class _TolerantSession(AsyncWebSocketSession):
    """A session over a :class:`_TolerantConnection`."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.connection = _TolerantConnection()
