"""Where a server is and how to log in to it: the one holder of secrets, which never shows them."""

import base64
import ipaddress
import re
import socket
import ssl
from collections.abc import Mapping
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

import httpx

from comfytui.errors import Failure
from comfytui.untrusted import plain

_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e\t]*")
_HOST = re.compile(r"[\w.-]+|[0-9a-f:.]+(%[\w.-]+)?")
_SLASHES_MISSING = re.compile(r"(https?|wss?):/?[^/\d]")
_LOCAL_NAMES = {"localhost", "localhost.localdomain", "localhost6", "ip6-localhost", "ip6-loopback"}
_UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # what servers print that listen everywhere


class ServerAddress:
    """The base URL of a ComfyUI server with the headers that log in to it; make one with :meth:`parse`.

    ``repr``, ``str`` and :attr:`url` hold no secret; :meth:`secret_headers` does.
    """

    __slots__ = ("_headers", "is_loopback", "url")

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url = url
        """The URL without credentials and trailing slash: safe to print."""
        self._headers = dict(headers)
        self.is_loopback = _is_loopback(urlsplit(url).hostname or "")
        """Whether the host is this machine (which may still be a tunnel to another)."""

    @classmethod
    def parse(cls, url: str, *, token: str | None = None, headers: Mapping[str, str] | None = None) -> "ServerAddress":
        """Return the address in ``url``, such as ``http://127.0.0.1:8188``, ``gpu-box:8188``, ``https://u:p@host/comfy``.

        An ``Authorization`` in ``headers`` wins over ``token`` (sent as a bearer token), which wins over user and
        password in the URL. Raises Failure ``config.value``, with no secret in it.
        """
        parts = _split(url)
        secret = _checked_headers(headers or {})
        token = (token or "").strip()
        if not any(name.lower() == "authorization" for name in secret):
            login = _bearer(token) if token else _basic(parts)
            secret |= {"Authorization": login} if login else {}
        host = (parts.hostname or "").lower()
        host = _UNSPECIFIED.get(host, host)
        port = f":{parts.port}" if parts.port else ""
        path = quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
        return cls(f"{_SCHEMES[parts.scheme]}://{f'[{host}]' if ':' in host else host}{port}{path}", secret)

    def http_url(self, path: str) -> str:
        """Return the URL of ``path`` (which begins with a slash), below the path prefix."""
        return self.url + path

    def ws_url(self, client_id: str) -> str:
        """Return the URL of the socket of ``client_id``; its scheme is http or https, as httpx-ws wants it."""
        return f"{self.url}/ws?{urlencode({'clientId': client_id})}"

    def secret_headers(self) -> dict[str, str]:
        """Return the headers that log in: never print, log or write them."""
        return dict(self._headers)

    def hide(self, text: str) -> str:
        """Return ``text``, which may be the server's own words, with every secret of this address covered."""
        for value in self._headers.values():
            for secret in sorted({value, value.removeprefix("Bearer "), *_login_in(value)}, key=len, reverse=True):
                text = text.replace(secret, "***") if len(secret) >= 4 else text
        return text

    def __repr__(self) -> str:
        return f"ServerAddress({self.url!r})"

    def __str__(self) -> str:
        return self.url

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ServerAddress) and (self.url, self._headers) == (other.url, other._headers)

    def __hash__(self) -> int:
        return hash(self.url)


def new_client(
    address: ServerAddress, *, timeout: float, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """Return an HTTP client for ``address``; ``timeout`` bounds each connect, read and write, in seconds.

    Redirects are not followed: they would take the secrets along. The proxies of the environment (and of the system
    settings on macOS and Windows) are used, but never for a server on this machine. Raises Failure
    ``server.unreachable`` when such a proxy setting, or that of the trusted certificates, is unusable.
    """
    plain_loopback = address.is_loopback and address.url.startswith("http:")
    headers = httpx.Headers({"User-Agent": "comfytui"})
    headers.update(address.secret_headers())
    headers["Accept-Encoding"] = "gzip"  # all that is unpacked here
    try:
        return httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(timeout),
            follow_redirects=False,
            trust_env=not address.is_loopback,
            # Reading the trusted certificates takes 30 ms, and plain HTTP to this machine never needs them.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain_loopback else httpx.create_ssl_context(),
            limits=httpx.Limits(max_connections=20, max_keepalive_connections=10),
            transport=transport,
        )
    except OSError:
        why = "the certificates of SSL_CERT_FILE or SSL_CERT_DIR cannot be read"
        raise Failure("server.unreachable", server=address.url, why=why) from None
    except (ImportError, ValueError, httpx.InvalidURL):  # their texts may hold the proxy's password
        why = "a proxy setting of the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) cannot be used"
        raise Failure("server.unreachable", server=address.url, why=why) from None


def _split(url: str) -> SplitResult:
    """Return the checked parts of ``url``; raises Failure, which repeats nothing of it."""
    text = url.strip()
    if not text or plain(text) != text or " " in text:
        raise _unusable("it is empty or has blanks or control characters in it")
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port_is_none = parts.port == 0  # and reading it raises for one that is no number
        httpx.URL(scheme="http", host=parts.hostname or "")
    except (ValueError, httpx.InvalidURL):
        raise _unusable("host or port is none") from None
    if parts.scheme not in _SCHEMES or _SLASHES_MISSING.match(text.lower()):
        raise _unusable("it begins with neither http:// nor https://")
    if not parts.hostname:
        raise _unusable("it names no host")
    if port_is_none or not _HOST.fullmatch(parts.hostname):
        raise _unusable("host or port is none")
    if re.search("[^/]@", parts.path):  # what stands before it may be half of a password
        raise _unusable("it has an @ in its path; in a password, write / as %2F")
    if parts.query:
        raise _unusable("it has a query (?...); secrets belong into COMFYTUI_TOKEN or COMFYTUI_HEADERS")
    return parts


def _unusable(why: str) -> Failure:
    return Failure("config.value", place="The server address", why=why)


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise Failure("config.value", place="An extra header", why="its name is no header name")
        if not _HEADER_VALUE.fullmatch(value):
            raise Failure("config.value", place=f"The header {name}", why="its value has characters beyond plain ASCII")
    return {name: value.strip() for name, value in headers.items()}


def _bearer(token: str) -> str:
    if not _HEADER_VALUE.fullmatch(token):
        raise Failure("config.value", place="The token", why="it has characters beyond plain ASCII")
    return f"Bearer {token}"


def _basic(parts: SplitResult) -> str | None:
    if not parts.username and not parts.password:
        return None
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _login_in(header: str) -> set[str]:
    """Return what is secret in a ``Basic`` login: the coded pair, user and password together, and the password."""
    scheme, _, coded = header.partition(" ")
    if scheme.lower() != "basic":
        return set()
    try:
        pair = base64.b64decode(coded, validate=True).decode()
    except ValueError:
        return {coded}
    return {coded, pair, pair.partition(":")[2]}


def _is_loopback(host: str) -> bool:
    name = host.rstrip(".")
    if name in _LOCAL_NAMES or name.endswith(".localhost"):
        return True
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return _is_short_loopback(host)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


def _is_short_loopback(host: str) -> bool:
    """Tell whether ``host`` is one of the old ways to write 127.0.0.1 that resolvers take: 127.1, 0x7f.0.0.1, ..."""
    try:
        return host[:1].isdigit() and ipaddress.ip_address(socket.inet_aton(host)).is_loopback
    except (OSError, ValueError):
        return False
