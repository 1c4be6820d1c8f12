"""One request, one reply: what every call of the HTTP client goes through."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import anyio
import httpx
import msgspec
from msgspec import Struct

from comfytui.sources.comfy.address import ServerAddress, new_client
from comfytui.sources.comfy.bodies import MIB, read_body, read_head
from comfytui.sources.comfy.failures import REFUSED_BEFORE_ACTING, NoAnswer, TransportFailure, of_answer, of_exception
from comfytui.sources.comfy.lenient import NotJson, WrongShape, decode_json

MAX_REPLY = 64 * MIB
"""Bytes of an ordinary reply; a history entry has 1 to 46 kB, all of /object_info (never asked for) some MB."""
PATIENCE = 6
"""How many times the time limit a whole reply may take: a slow link is no failure, a trickle is one."""
TRICKLE = 4096
"""Bytes a second that a file must come with on average, once the patience is used up."""

SAYING, PAGE = 2_000, 65_536
"""Bytes of a refusal that are quoted, and of a web page that are searched for a login."""

_Read = TypeVar("_Read")


class Reply(Struct, frozen=True):
    """A reply that was read to its end."""

    status: int
    body: bytes
    is_json: bool


class Exchange:
    """Requests to the server at ``address``; ``timeout`` is in seconds, for each connect, read and write."""

    def __init__(
        self, address: ServerAddress, timeout: float, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._address = address
        self._timeout = timeout
        self._transport = transport
        self._client: httpx.AsyncClient | None = None

    async def open(self) -> None:
        """Make ready; connects to nothing yet."""
        self._client = new_client(self._address, timeout=self._timeout, transport=self._transport)

    async def close(self) -> None:
        """End every connection, also when cancelled: closing is quick, and connections must not leak."""
        client, self._client = self._client, None
        if client is not None:
            with anyio.CancelScope(shield=True):
                await client.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        limit: int = MAX_REPLY,
        accept: tuple[int, ...] = (),
        **content: Any,
    ) -> Reply:
        """Send one request and return its whole reply: 2xx, or a status in ``accept``; raises TransportFailure.

        ``json`` is the body; anything else in ``content`` goes to httpx.
        """
        request = f"{method} {path}"
        try:
            if json is not None:
                content |= {"content": msgspec.json.encode(json), "headers": {"Content-Type": "application/json"}}
            with anyio.fail_after(self._timeout * PATIENCE):
                async with self._opened().stream(method, self._address.http_url(path), **content) as answer:
                    if answer.status_code not in accept and (failure := await self._failure(request, answer)):
                        raise failure
                    body = await read_body(answer, limit)
        except NoAnswer as error:
            raise self.unusable(request, error.why, answer.status_code) from None
        except TimeoutError as error:
            raise of_exception(self._address, request, error, self._timeout * PATIENCE) from None
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, OSError) as error:
            raise of_exception(self._address, request, error, self._timeout) from None
        return Reply(answer.status_code, body, "json" in answer.headers.get("content-type", "").lower())

    async def json(self, method: str, path: str, read: Callable[[Any], _Read]) -> _Read:
        """Send one request and return what ``read`` makes of the decoded reply; raises TransportFailure."""
        reply = await self.ask(method, path)
        return self.read(f"{method} {path}", reply, lambda: read(decode_json(reply.body)))

    def read(self, request: str, reply: Reply, read: Callable[[], _Read]) -> _Read:
        """Return what ``read`` makes of the reply; where it raises NotJson or WrongShape, raise ``server.reply``."""
        try:
            return read()
        except (NotJson, WrongShape) as error:
            raise self.unusable(request, str(error), reply.status) from None

    @asynccontextmanager
    async def stream(self, path: str, query: Mapping[str, str], request: str) -> AsyncIterator[httpx.Response]:
        """GET ``path`` and leave the body to the caller: see chunks; raises TransportFailure unless 2xx."""
        async with AsyncExitStack() as stack:
            try:
                with anyio.fail_after(self._timeout * PATIENCE):
                    answer = await stack.enter_async_context(
                        self._opened().stream(
                            "GET",
                            self._address.http_url(path),
                            params=dict(query),
                            headers={"Accept-Encoding": "identity"},
                        )
                    )
                if failure := of_answer(self._address, request, answer):
                    raise failure
            except TimeoutError as error:
                raise of_exception(self._address, request, error, self._timeout * PATIENCE) from None
            except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, OSError) as error:
                raise of_exception(self._address, request, error, self._timeout) from None
            yield answer

    async def chunks(self, request: str, answer: httpx.Response, limit: int) -> AsyncGenerator[bytes, None]:
        """Yield the body piece by piece; raises TransportFailure, also beyond ``limit`` bytes.

        A slow link may take its time, but what trickles on below TRICKLE is given up (``server.timeout``).
        """
        if answer.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            raise self.unusable(request, "it is compressed in a way that was not asked for", answer.status_code)
        seen, began, patience = 0, anyio.current_time(), self._timeout * PATIENCE
        try:
            async for chunk in answer.aiter_raw():
                seen += len(chunk)
                if seen < (anyio.current_time() - began - patience) * TRICKLE:
                    raise of_exception(self._address, request, TimeoutError(), patience)
                if seen > limit:
                    raise self.unusable(request, f"it is larger than {limit} bytes", answer.status_code)
                yield chunk
        except (httpx.HTTPError, OSError) as error:
            raise of_exception(self._address, request, error, self._timeout) from None

    def unusable(self, request: str, why: str, status: int) -> TransportFailure:
        """Return the failure for a reply of no use."""
        arrived = status not in REFUSED_BEFORE_ACTING
        return TransportFailure(
            "server.reply", server=self._address.url, request=request, why=why, status=status, may_have_arrived=arrived
        )

    def not_comfyui(self, why: str, status: int) -> TransportFailure:
        """Return the failure for an answer that ComfyUI would not give."""
        return TransportFailure("server.not_comfyui", server=self._address.url, why=why, status=status)

    async def _failure(self, request: str, answer: httpx.Response) -> TransportFailure | None:
        page = answer.headers.get("content-type", "").lower().startswith("text/html")
        said = await read_head(answer, PAGE if page else SAYING) if page or not answer.is_success else ""
        return of_answer(self._address, request, answer, said)

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            raise RuntimeError("the HTTP client is used outside of its `async with`")
        return self._client
