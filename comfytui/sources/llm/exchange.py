"""One request to a language model, one reply: bounded in bytes and in time, however the server behaves."""

import ipaddress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import httpx
import msgspec

from comfytui.untrusted import plain

MAX_REPLY: Final = 4 * 1024 * 1024
"""Bytes of a reply; a story of a hundred scenes has about 100 kB."""
SAYING: Final = 300
"""Characters of a refusal that are quoted."""


class NoReply(Exception):
    """Why there is no usable reply, in words that follow "the language model: "; ``status`` is that of HTTP, if any."""

    def __init__(self, why: str, status: int | None = None) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True)
class Reply:
    """A reply of any status that was read to its end."""

    status: int
    body: bytes
    is_page: bool
    """It is a web page."""

    @property
    def refusal(self) -> str | None:
        """What is wrong with it by its status alone; ``None`` for 2xx."""
        if 200 <= self.status < 300:
            return None
        if 300 <= self.status < 400:
            return f"it answers {self.status}, which leads elsewhere; give the address that it leads to"
        said = "a web page" if self.is_page else _saying(self.body)
        return f"it answers {self.status}" + (f": {said}" if said else "")


async def ask(method: str, url: str, *, timeout: float, json: Any = None, limit: int = MAX_REPLY) -> Reply:
    """Send one request and return its whole reply; redirects are not followed. Raises :class:`NoReply`.

    ``timeout`` is in seconds, from the connect to the last byte: a reply that trickles on has no longer than one that
    never begins. No secret of ours goes along.
    """
    content = None if json is None else msgspec.json.encode(json)
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    try:
        with anyio.fail_after(timeout):
            async with (
                # Reading the trusted certificates takes 30 ms, and plain HTTP has no use for them.
                httpx.AsyncClient(
                    timeout=None, follow_redirects=False, trust_env=not _is_here(url), verify=url.startswith("https:")
                ) as client,
                client.stream(method, url, headers=headers, content=content) as answer,
            ):
                body = await _body(answer, limit)
                page = "html" in answer.headers.get("content-type", "").lower()
                return Reply(answer.status_code, body, page)
    except TimeoutError:
        raise NoReply(f"it did not answer within {timeout:g} s") from None
    except httpx.ConnectError as error:
        raise NoReply(f"no connection: {_reason(error)}") from None
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, OSError, ValueError) as error:
        raise NoReply(f"the connection broke: {_reason(error)}") from None


def decoded(body: bytes) -> Any:
    """Return the plain values of a JSON reply. Raises :class:`NoReply`."""
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        raise NoReply("its reply is no JSON") from None


async def _body(answer: httpx.Response, limit: int) -> bytes:
    if answer.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise NoReply("its reply is compressed, which was not asked for", answer.status_code)
    body = bytearray()
    async for piece in answer.aiter_raw():
        body += piece
        if len(body) > limit:
            raise NoReply(f"its reply is larger than {limit / 1048576:g} MiB", answer.status_code)
    return bytes(body)


def _saying(body: bytes) -> str:
    """Return what an error reply says: ``{"error": {"message": ...}}`` (OpenAI, llama.cpp), ``{"error": "..."}``."""
    text = body[:65536].decode("utf-8", "replace")
    try:
        told = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        told = None
    if isinstance(told, dict):
        error = told.get("error", told.get("message"))
        error = error.get("message") if isinstance(error, dict) else error
        text = error if isinstance(error, str) else text
    return plain(text, SAYING).strip()


def _reason(error: Exception) -> str:
    return plain(str(error), SAYING).strip() or type(error).__name__


def _is_here(url: str) -> bool:
    """Tell whether ``url`` is on this machine: then no proxy of the environment is asked."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
