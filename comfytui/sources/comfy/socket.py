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
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self

import anyio
import httpx
from anyio.abc import TaskGroup
from msgspec import Struct

from comfytui.clock import Clock, wait_for
from comfytui.sources.comfy.address import ServerAddress, new_client
from comfytui.sources.comfy.failures import of_answer, of_exception
from comfytui.sources.comfy.mailbox import Mailbox
from comfytui.sources.comfy.messages import FeatureFlags, Message

if TYPE_CHECKING:
    from comfytui.sources.comfy.session import NotOpened, Session

TIMEOUT: Final = 10.0
"""Seconds for each step of the upgrade."""
SETTLE: Final = 0.05
"""Seconds before the same client id is used again, so that the server has forgotten the old connection."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
"""Seconds before a new try, the shortest and the longest."""
STEADY: Final = 5.0
"""Seconds after which a connection counts as one that held."""


class SocketOpened(Struct, frozen=True):
    """A new connection hears. Messages may have been missed: look at the server's state now."""


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
        return SETTLE
    return min(LONGEST_PAUSE / 2, FIRST_PAUSE * 2.0 ** min(tries - 1, 20)) * (1 + jitter)


class ComfySocket:
    """A socket for ``client_id`` that connects again for ever; an async context manager that owns its one task.

    Read it with :meth:`messages`, from one task. ``jitter`` gives numbers from 0 to 1. Entering raises ``Failure``
    ``server.unreachable`` for proxy settings that cannot be used; what the block raises passes as it is.
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
        self._session: Session | None = None
        self._hears = anyio.Event()
        self._hurry = anyio.Event()
        self._left: Literal["", "told", "quietly"] = ""
        self._answers = False

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
    ) -> bool | None:
        if self._group is not None:
            self._group.cancel_scope.cancel()
        try:
            if isinstance(error, Exception):  # the block's own: the task group would wrap it
                kind = error = trace = None
            return await self._resources.__aexit__(kind, error, trace)
        finally:
            self._mailbox.close()

    def messages(self) -> AsyncIterator[SocketEvent]:
        """Return what comes, in order, until the context ends; superseded progress, previews and status are left out.

        A reader that falls 10,000 messages behind is told so by a :class:`SocketClosed`, and loses them.
        """
        return self._mailbox

    def reconnect(self) -> None:
        """Close the present connection properly and make a new one; while waiting to try again, try now."""
        self._renew("told")

    async def probe(self, within: float = 5.0) -> bool:
        """Return whether the socket hears, in at most ``within`` seconds. This makes a new connection.

        For when the socket is silent though HTTP tells that there was something to hear. On ``True`` there is a new
        connection that the server was seen to answer on, and a :class:`SocketOpened` to follow up (no
        :class:`SocketClosed`: nothing is wrong); on ``False`` the socket goes on trying.
        """
        self._hears = anyio.Event()
        self._renew("quietly")
        return await wait_for(self._hears, within, self._clock)

    def _renew(self, how: Literal["told", "quietly"]) -> None:
        if self._session is not None and self._session.leave("a new connection is made"):
            self._left = how
        self._hurry.set()

    # --- connecting ---------------------------------------------------------------------------------------------

    async def _stay_connected(self, client: httpx.AsyncClient) -> None:
        tries = 0
        while True:
            began = self._clock.monotonic()
            ended = await self._connection(client)
            held = isinstance(ended, SocketClosed) and self._clock.monotonic() - began >= STEADY
            tries = 0 if self._left else 1 if held else tries + 1
            if self._left != "quietly":
                self._mailbox.put(ended)
            self._left = ""
            await self._pause(pause_before(tries, self._jitter()))

    async def _pause(self, seconds: float) -> None:
        """Wait; :meth:`reconnect` cuts it short, but never below SETTLE."""
        self._hurry = anyio.Event()
        await self._clock.sleep(SETTLE)
        if seconds > SETTLE:
            await wait_for(self._hurry, seconds - SETTLE, self._clock)

    async def _connection(self, client: httpx.AsyncClient) -> SocketClosed | SocketRefused:
        """Connect and listen until the connection ends; return how it ended."""
        from comfytui.sources.comfy.session import NotOpened, Session

        session = Session(self._clock, self._take, self._opened)
        self._session = session
        try:
            url = self._address.ws_url(self._client_id)
            return SocketClosed(await session.run(client, url, must_answer=self._answers))
        except NotOpened as failure:
            return self._refusal(failure)
        finally:
            self._session = None

    def _opened(self) -> None:
        self._mailbox.put(SocketOpened())
        if not self._answers:  # a server that never answered is from before feature flags: its greeting is all there is
            self._hears.set()

    def _take(self, message: Message) -> bool:
        if isinstance(message, FeatureFlags):
            self._answers = True
            self._hears.set()
        if self._mailbox.put(message):
            return True
        self._mailbox.clear()
        return False

    def _refusal(self, failure: "NotOpened") -> SocketRefused:
        request = "GET /ws"
        if failure.answer is not None:
            found = of_answer(self._address, request, failure.answer)
            return SocketRefused(f"HTTP {failure.answer.status_code}", found.code if found else "server.not_comfyui")
        broken = of_exception(self._address, request, failure.error, TIMEOUT)
        return SocketRefused(str(broken.words.get("why", f"no answer within {TIMEOUT:g} s")), broken.code)
