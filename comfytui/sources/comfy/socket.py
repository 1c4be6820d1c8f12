"""The WebSocket of the ComfyUI client (``/ws``, 0.3.64 and 0.8.0): it hears what it can, and never gives up.

The socket is a hint, HTTP is the truth. Messages that are missed are never sent again, so whoever reads it looks at
the server's state (``/queue`` first, then ``/history/<id>``) after every :class:`SocketOpened`.

* It is drained at once, whatever its reader does: a client that does not read stalls every other one on the server.
* ``feature_flags`` is only heard as the FIRST message of a connection, so a connection can prove but once, at its
  beginning, that it hears. To probe it later is to open a new one.
* A new connection under the same client id, made while the server still holds the old one, is unregistered by the
  cleanup of the old one: it stays open and hears nothing. So the old one is closed properly first, and then a little
  time passes. Half-open connections can still do that: hence :meth:`ComfySocket.probe`.
"""

import random
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self

import anyio
import httpx
import wsproto.connection
import wsproto.events
from anyio.abc import TaskGroup
from httpx_ws import (
    AsyncWebSocketSession,
    HTTPXWSException,
    WebSocketDisconnect,
    WebSocketNetworkError,
    WebSocketUpgradeError,
    aconnect_ws,
)
from msgspec import Struct
from wsproto.utilities import ProtocolError

from comfytui.clock import Clock
from comfytui.sources.comfy.address import ServerAddress, new_client
from comfytui.sources.comfy.failures import of_answer, of_exception
from comfytui.sources.comfy.mailbox import Mailbox
from comfytui.sources.comfy.messages import Message, decode_binary, decode_text
from comfytui.untrusted import plain

HELLO: Final = '{"type":"feature_flags","data":{"supports_preview_metadata":true}}'
MAX_MESSAGE: Final = 64 * 1024 * 1024
"""Bytes of one message; SaveImageWebsocket sends whole frames, 1.25 MB and more."""
READ_SIZE: Final = 256 * 1024
"""Bytes of one read: big previews cost half as much CPU as with the library's 64 KiB."""
TIMEOUT: Final = 10.0
"""Seconds for the upgrade, and then for the first message, which every server sends at once."""
PING: Final = 20.0
"""Seconds between two pings, and to wait for the answer to one."""
GOODBYE: Final = 1.0
"""Seconds to wait for the server's answer to our close."""
SHORTEST_PAUSE: Final = 0.05
"""Seconds before the same client id is used again, so that the server has forgotten the old connection."""
FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 15.0
STEADY: Final = 5.0
"""Seconds after which a connection counts as one that held."""


class SocketOpened(Struct, frozen=True):
    """The socket is connected and hears. Messages may have been missed: look at the server's state now."""


class SocketClosed(Struct, frozen=True):
    """The connection ended; a new one is being made. ``why`` in a few words."""

    why: str


class SocketRefused(Struct, frozen=True):
    """A connection could not be made; it will be tried again. ``code`` of the error registry."""

    why: str
    code: str = "server.unreachable"


SocketEvent = Message | SocketOpened | SocketClosed | SocketRefused


def pause_before(tries: int, jitter: float) -> float:
    """Return the seconds to wait before the next connection, after ``tries`` in a row that did not hold.

    0: the last one was closed on purpose. ``jitter``, from 0 to 1, spreads the clients of a server that comes back.
    """
    if tries == 0:
        return SHORTEST_PAUSE
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(tries - 1, 20))
    return max(SHORTEST_PAUSE, longest * (0.5 + 0.5 * jitter))


class ComfySocket:
    """A socket for ``client_id`` that connects again for ever; an async context manager that owns its one task.

    Read it with :meth:`messages`, from one task. ``jitter`` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        address: ServerAddress,
        client_id: str,
        clock: Clock,
        jitter: Callable[[], float] = random.random,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._address = address
        self._client_id = client_id
        self._clock = clock
        self._jitter = jitter
        self._transport = transport
        self._mailbox: Mailbox[SocketOpened | SocketClosed | SocketRefused] = Mailbox()
        self._resources = AsyncExitStack()
        self._group: TaskGroup | None = None
        self._listening: anyio.CancelScope | None = None
        self._pausing: anyio.CancelScope | None = None
        self._opened = anyio.Event()
        self._on_purpose = False

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            client = new_client(self._address, timeout=TIMEOUT, transport=self._transport)
            client = await stack.enter_async_context(client)
            self._group = await stack.enter_async_context(anyio.create_task_group())
            self._group.start_soon(self._stay_connected, client, name="socket")
            self._resources = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._group is not None
        self._group.cancel_scope.cancel()
        if kind is not None and issubclass(kind, anyio.get_cancelled_exc_class()):
            await self._resources.__aexit__(kind, error, trace)
        else:  # the error of the block is its own: the task group would wrap it into a group
            await self._resources.aclose()

    async def messages(self) -> AsyncIterator[SocketEvent]:
        """Yield what comes, in order and without end; superseded progress, previews and status are left out."""
        while True:
            yield await self._mailbox.get()

    def reconnect(self) -> None:
        """Close the present connection properly and make a new one; while waiting to try again, try now."""
        if self._listening is not None:
            self._on_purpose = True
            self._listening.cancel()
        elif self._pausing is not None:
            self._pausing.cancel()

    async def probe(self, within: float = 5.0) -> bool:
        """Return whether the socket hears, in at most ``within`` seconds. This makes a new connection.

        For when the socket is silent though HTTP tells that there was something to hear. On ``True`` there is a new
        connection that hears, and a :class:`SocketOpened` to follow up; on ``False`` it goes on trying.
        """
        opened = self._opened
        self.reconnect()
        with anyio.move_on_after(within):
            await opened.wait()
        return opened.is_set()

    # --- connecting ---------------------------------------------------------------------------------------------

    async def _stay_connected(self, client: httpx.AsyncClient) -> None:
        tries = 0
        while True:
            began = self._clock.monotonic()
            event = await self._connection(client)
            held = isinstance(event, SocketClosed) and self._clock.monotonic() - began >= STEADY
            tries = 0 if self._on_purpose else 1 if held else tries + 1
            self._on_purpose = False
            self._mailbox.put(event)
            with anyio.CancelScope() as self._pausing:
                await self._clock.sleep(pause_before(tries, self._jitter()))
            self._pausing = None

    async def _connection(self, client: httpx.AsyncClient) -> SocketClosed | SocketRefused:
        """Connect and listen until the connection ends; return how it ended."""
        ended: SocketClosed | SocketRefused = SocketRefused("it ended before it began")
        connecting = aconnect_ws(
            self._address.ws_url(self._client_id),
            client,
            max_message_size_bytes=READ_SIZE,  # the name misleads: it is how much is read at a time
            keepalive_ping_interval_seconds=PING,
            keepalive_ping_timeout_seconds=PING,
            session_class=_BoundedSession,
        )
        opened = False
        try:
            async with connecting as session:
                opened = True
                with anyio.CancelScope() as self._listening:
                    ended = SocketClosed(await self._listen(session))
                if self._listening.cancelled_caught:
                    ended = SocketClosed("a new connection is made")
                    await _say_goodbye(session)
                self._listening = None
        except* WebSocketUpgradeError as group:
            ended = self._refusal(_first(group))
        except* (HTTPXWSException, httpx.HTTPError, httpx.InvalidURL, ProtocolError, OSError, KeyError) as group:
            # KeyError: httpx-ws stumbles over the answer to a ping that it did not send
            ended = SocketClosed("the connection broke") if opened else self._refusal(_first(group))
        self._listening = None
        return ended

    def _refusal(self, error: BaseException) -> SocketRefused:
        request = "GET /ws"
        if isinstance(error, WebSocketUpgradeError):
            failure = of_answer(self._address, request, error.response)
            status = error.response.status_code
            return SocketRefused(f"HTTP {status}", failure.code if failure else "server.not_comfyui")
        if isinstance(error, Exception):
            failure = of_exception(self._address, request, error, TIMEOUT)
            return SocketRefused(str(failure.words.get("why", "no answer in time")), failure.code)
        return SocketRefused("no connection")

    async def _listen(self, session: AsyncWebSocketSession) -> str:
        """Put everything that comes into the mailbox until the connection ends; return why it ended."""
        try:
            await session.send_text(HELLO)
            received = await session.receive(TIMEOUT)
            self._mailbox.put(SocketOpened())
            self._opened.set()
            self._opened = anyio.Event()
            while self._keep(received):
                received = await session.receive()
            self._mailbox.clear()
            return "the messages were not read for too long"
        except TimeoutError:
            return f"it is deaf: nothing came within {TIMEOUT:g} s"
        except WebSocketDisconnect as goodbye:
            reason = f" ({plain(goodbye.reason, 100)})" if goodbye.reason else ""
            return f"the server closed it with code {goodbye.code}{reason}"
        except WebSocketNetworkError:
            return "the connection broke"

    def _keep(self, received: wsproto.events.Event) -> bool:
        if isinstance(received, wsproto.events.TextMessage):
            return self._mailbox.put(decode_text(received.data))
        if isinstance(received, wsproto.events.BytesMessage):
            return self._mailbox.put(decode_binary(bytes(received.data)))
        return True


async def _say_goodbye(session: AsyncWebSocketSession) -> None:
    """Close properly and wait for the server's answer: only then has it begun to forget this connection."""
    with anyio.move_on_after(GOODBYE):
        try:
            await session.send(wsproto.events.CloseConnection(1000))
            while True:
                await session.receive()
        except (HTTPXWSException, ProtocolError):
            return


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error in a group, however deep."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class _BoundedConnection(wsproto.connection.Connection):
    """Closes the connection when a message grows beyond MAX_MESSAGE: httpx-ws collects fragments without a limit."""

    _size = 0

    def events(self) -> Generator[wsproto.events.Event, None, None]:
        for event in super().events():
            if isinstance(event, wsproto.events.Message):
                self._size += len(event.data)
                if self._size > MAX_MESSAGE:
                    yield wsproto.events.CloseConnection(1009, "message too large")
                    return
                if event.message_finished:
                    self._size = 0
            yield event


class _BoundedSession(AsyncWebSocketSession):
    """A session over a :class:`_BoundedConnection`."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.connection = _BoundedConnection(wsproto.ConnectionType.CLIENT)
