"""Who may come in: a one-time token in a link, which the first browser changes for a session cookie.

A page of somebody else that a person has open must not reach the dashboard through that person's browser: requests
that call this host by a name which is not its own, and WebSockets from another origin, are refused.
"""

import hmac
import secrets
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler

COOKIE = "comfytui_session"

LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""On every answer: nothing is kept, nothing is fetched from elsewhere, no other page may frame it."""


class Door:
    """Guards a web application; ``on_token`` is told each token that is good now, once the one before was used."""

    def __init__(self, on_token: Callable[[str], object], hosts: tuple[str, ...] = LOCAL_HOSTS) -> None:
        self._on_token, self._hosts = on_token, hosts
        self._token = ""
        self._sessions: set[str] = set()

    def open(self) -> None:
        """Make a token and tell it."""
        self._token = secrets.token_urlsafe(32)
        self._on_token(self._token)

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request through, or answer it with 403 and a word on why."""
        if not self._is_ours(request.host):
            raise refused("This address is not one that the dashboard is served at.")
        if "token" in request.query:
            return self._admitted(request.query["token"])
        if not any(_same(request.cookies.get(COOKIE, ""), session) for session in self._sessions):
            raise refused("Open the link that `comfytui serve` printed last.")
        if request.path == "/ws" and request.headers.get("Origin") != f"{request.scheme}://{request.host}":
            raise refused("The dashboard talks to its own page only.")
        return await handler(request)

    def _is_ours(self, host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        return not self._hosts or name.lower() in self._hosts

    def _admitted(self, token: str) -> web.Response:
        """Change ``token`` for a session: once, and then it is void."""
        if not self._token or not _same(token, self._token):
            raise refused("This link was used before, or is not one of this server. Open the one it printed last.")
        session = secrets.token_urlsafe(32)
        self._sessions.add(session)
        self.open()
        response = web.Response(status=303, headers={"Location": "/"})
        response.set_cookie(COOKIE, session, httponly=True, samesite="Strict", path="/")
        return response


def _same(given: str, secret: str) -> bool:
    """Compare in a time that tells nothing; what was ``given`` may be any text, surrogates too."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


async def dress(_request: web.Request, response: web.StreamResponse) -> None:
    """Put :data:`HEADERS` on an answer."""
    response.headers.update(HEADERS)


def refused(why: str) -> web.HTTPForbidden:
    """Return the answer to whoever may not come in: plain text."""
    return web.HTTPForbidden(text=f"403: {why}\n")
