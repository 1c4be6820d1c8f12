"""What went wrong between us and the server, as failures that a user can read: one place decides which."""

import re
import ssl
from urllib.parse import urlsplit

import httpx

from comfytui.errors import Failure
from comfytui.sources.comfy.address import ServerAddress
from comfytui.untrusted import plain

LOGIN_STATUSES = frozenset({401, 403, 407, 511})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
GATEWAY_STATUSES = frozenset({502, 503, 504})
_LOGIN_PAGE = re.compile(r"""<input\b[^>]*\btype\s*=\s*["']?password\b""", re.I)
REFUSED_BEFORE_ACTING = frozenset(range(300, 500))


class TransportFailure(Failure):
    """A request to the server that failed.

    ``may_have_arrived``: the server may have acted on it (a prompt may be queued all the same); ``False`` is certain.
    ``status`` is the HTTP status of the answer, if there was one.
    """

    def __init__(
        self, code: str, *, may_have_arrived: bool = False, status: int | None = None, **words: object
    ) -> None:
        super().__init__(code, **words)
        self.may_have_arrived = may_have_arrived
        self.status = status


class NoAnswer(Exception):
    """The body of an answer is of no use; ``why`` in a few words."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def of_exception(address: ServerAddress, request: str, error: Exception, seconds: float) -> TransportFailure:
    """Return the failure for what httpx raised during ``request`` ("GET /queue"); ``seconds`` was the time limit."""
    server = address.url
    if isinstance(error, (httpx.ConnectTimeout, httpx.PoolTimeout)):
        return TransportFailure("server.unreachable", server=server, why=f"no connection within {seconds:g} s")
    if isinstance(error, httpx.ConnectError):
        return TransportFailure("server.unreachable", server=server, why=_why_no_connection(error))
    if isinstance(error, httpx.ProxyError):
        return TransportFailure("server.unreachable", server=server, why="the proxy of the environment refused")
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.LocalProtocolError, UnicodeError)):
        return TransportFailure("server.unreachable", server=server, why="the request could not be put into HTTP")
    if isinstance(error, (httpx.TimeoutException, TimeoutError)):
        return TransportFailure(
            "server.timeout", server=server, request=request, seconds=f"{seconds:g}", may_have_arrived=True
        )
    said = str(error).lower()
    if isinstance(error, httpx.RemoteProtocolError) and "disconnected" not in said and "closed" not in said:
        why = "it does not speak HTTP (is it https, or the port of something else?)"
        return TransportFailure("server.not_comfyui", server=server, why=why, may_have_arrived=True)
    why = f"the connection broke during {request}"
    return TransportFailure("server.unreachable", server=server, why=why, may_have_arrived=True)


def _why_no_connection(error: httpx.ConnectError) -> str:
    """Return why there is no connection, in words; the chain of causes tells more than the outermost text."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({plain(cause.verify_message, 200)}); see SSL_CERT_FILE"
        if isinstance(cause, ssl.SSLError):
            return "it does not speak TLS (https) there"
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        cause = cause.__cause__ or cause.__context__
    said = str(error).lower()
    if "ssl" in said or "tls" in said:
        return "TLS (https) could not be agreed upon"
    if "name" in said or "getaddrinfo" in said or "nodename" in said:
        return "the host name is not known"
    return "the connection failed" if "all connection attempts failed" in said else plain(str(error), 200)


def of_answer(address: ServerAddress, request: str, answer: httpx.Response, text: str = "") -> TransportFailure | None:
    """Return the failure that status and headers of ``answer`` tell; ``None`` for a 2xx that is no web page.

    ``text`` is the beginning of the body, which the failure quotes where that helps; a web page that asks for a
    password is told apart by it.
    """
    status, server = answer.status_code, address.url
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if 200 <= status < 300:
        if kind != "text/html":
            return None
        if _LOGIN_PAGE.search(text):
            why = f"it answered {request} with a login page"
            return TransportFailure("server.auth", server=server, why=why, status=status, may_have_arrived=True)
        why = f"it answered {request} with a web page"
        return TransportFailure("server.not_comfyui", server=server, why=why, status=status, may_have_arrived=True)
    arrived = status not in REFUSED_BEFORE_ACTING
    if status in REDIRECTS:
        return _redirect(address, answer)
    if status in LOGIN_STATUSES:
        return TransportFailure("server.auth", server=server, why=f"HTTP {status}", status=status)
    if status in GATEWAY_STATUSES:
        why = f"a gateway before it says HTTP {status}"
        return TransportFailure("server.unreachable", server=server, why=why, status=status, may_have_arrived=arrived)
    said = "" if kind == "text/html" else plain(address.hide(text), 300).strip()
    why = f"HTTP {status}{': ' if said else ''}{said}"
    return TransportFailure(
        "server.reply", server=server, request=request, why=why, status=status, may_have_arrived=arrived
    )


def _redirect(address: ServerAddress, answer: httpx.Response) -> TransportFailure:
    """Return the failure for a redirect: to the same path elsewhere it tells the right address, else it is a login."""
    status = answer.status_code
    here = urlsplit(str(answer.request.url))
    try:
        there = urlsplit(str(answer.request.url.join(answer.headers["location"])))
        port = _port(there.port)
    except (httpx.InvalidURL, ValueError, KeyError):
        return TransportFailure("server.auth", server=address.url, why=f"HTTP {status} to nowhere", status=status)
    target = plain(address.hide(f"{there.scheme}://{there.hostname or ''}{port}{there.path}"), 200)
    elsewhere = (there.scheme, there.hostname, there.port) != (here.scheme, here.hostname, here.port)
    if elsewhere and there.path.rstrip("/") == here.path.rstrip("/"):
        base = target.rstrip("/").removesuffix(here.path.removeprefix(urlsplit(address.url).path).rstrip("/"))
        why = f"it sends everybody on to {base}: give that as the server"
        return TransportFailure("server.not_comfyui", server=address.url, why=why, status=status)
    return TransportFailure("server.auth", server=address.url, why=f"HTTP {status} to {target}", status=status)


def _port(port: int | None) -> str:
    return f":{port}" if port else ""
