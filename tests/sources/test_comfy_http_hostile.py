"""The HTTP client against a server that may send any bytes: all end in words, in time, and without a secret."""

from __future__ import annotations

import asyncio
import base64
import gzip
import ssl
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from comfytui.errors import Failure
from comfytui.simulator import Simulator
from comfytui.sources.comfy import exchange
from comfytui.sources.comfy.address import ServerAddress
from comfytui.sources.comfy.failures import TransportFailure
from comfytui.sources.comfy.http import ComfyHttp
from comfytui.sources.comfy.wire import OutputFile
from tests.sources.scripted_server import Answer, Scripted, reply, scripted, slowly

TOKEN = "tok-4f1d-secret"
PASSWORD = "pass/word:secret"
KEY = "key-9a2b-secret"
TLS = Path(__file__).parent / "test_comfy_tls"
FILE = OutputFile(node="1", key="images", filename="a.png", subfolder="", type="output")
PROXY_SETTINGS = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_SETTINGS:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def client_of(server: Scripted, timeout: float = 10.0) -> ComfyHttp:
    return ComfyHttp(ServerAddress.parse(server.url), timeout)


async def view(http: ComfyHttp) -> bytes:
    async with http.view(FILE) as viewed:
        return b"".join([chunk async for chunk in viewed.chunks])


ASKED: dict[str, Callable[[ComfyHttp], Awaitable[Any]]] = {
    "system_stats": lambda http: http.system_stats(),
    "queue": lambda http: http.queue(),
    "queue_remaining": lambda http: http.queue_remaining(),
    "history": lambda http: http.history("one"),
    "object_info": lambda http: http.object_info("SaveImage"),
    "node_infos": lambda http: http.node_infos(["SaveImage", "KSampler"]),
    "folder_paths": lambda http: http.folder_paths(),
    "logs_tail": lambda http: http.logs_tail(100),
    "submit": lambda http: http.submit({}, "one", "client"),
    "interrupt": lambda http: http.interrupt("one"),
    "delete_pending": lambda http: http.delete_pending(["one"]),
    "free": lambda http: http.free(),
    "view": view,
}
UNREAD = {"interrupt", "delete_pending", "free", "view"}
"""Questions to which the bytes of a 2xx reply say nothing, or anything."""


def shown(error: BaseException) -> str:
    """Return everything that a log, a crash report with local variables, or a user may come to see of ``error``."""
    frames = error.__traceback__
    while frames and "sources/comfy" not in Path(frames.tb_frame.f_code.co_filename).as_posix():
        frames = frames.tb_next  # the tests' own frames know the secrets
    assert frames
    report = traceback.TracebackException(type(error), error, frames, capture_locals=True, compact=True)
    return "".join([str(error), repr(error), repr(vars(error)), *report.format()])


async def failures_of(url: str, timeout: float = 5.0) -> dict[str, TransportFailure]:
    """Ask everything; return how each failed. Nothing but a TransportFailure may come, and none shows a secret."""
    by_url = ServerAddress.parse(url.replace("://", "://user:pass%2Fword%3Asecret@"), token=None, headers={})
    by_header = ServerAddress.parse(url, token=TOKEN, headers={"X-Api-Key": KEY})
    found: dict[str, TransportFailure] = {}
    for address, secrets in (
        (by_header, (TOKEN, KEY)),
        (by_url, (PASSWORD, base64.b64encode(f"user:{PASSWORD}".encode()).decode())),
    ):
        async with ComfyHttp(address, timeout) as http:
            for name, ask in ASKED.items():
                try:
                    await ask(http)
                except TransportFailure as failure:
                    report = shown(failure)
                    assert not [secret for secret in secrets if secret in report], report
                    assert str(failure).isprintable()
                    found[name] = failure
    return found


DEEP = b"[" * 10_000 + b"]" * 10_000
EVERYTHING = set(ASKED)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (reply(status="302 Found", kind=None, length=0), "server.auth"),
        (reply(b"", "Location: http://evil:99999/x", status="302 Found"), "server.auth"),
        (reply(b"", "Location: http://[::1/x", status="302 Found"), None),
        (reply(b"", "Location: \x1b[2J", status="302 Found"), None),
        (reply(b"", "Location: http://\xff\xfe/", status="302 Found"), "server.auth"),
        (reply(b"", f"Location: /{TOKEN}?k={KEY}", status="307 Temporary Redirect"), "server.auth"),
        (reply(status="304 Not Modified"), "server.reply"),
        (reply(f"{TOKEN} {KEY} {PASSWORD}".encode(), status="401 Unauthorized"), "server.auth"),
        (reply(f"{TOKEN} {KEY} {PASSWORD}".encode(), status="500 Oh no", kind="text/plain"), "server.reply"),
        (reply(f"{TOKEN} {KEY} {PASSWORD}".encode(), status="418 Teapot", kind="text/plain"), "server.reply"),
        (reply(status="999 Beyond"), "server.reply"),
        (reply(b"<html>", kind="text/HTML;charset=x"), "server.not_comfyui"),
        (b"", "server.unreachable"),
        (reply(b"{", length=1000), "server.unreachable"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}", "server.not_comfyui"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}", "server.not_comfyui"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000 + b"\r\n{}", "server.not_comfyui"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            "server.not_comfyui",
        ),
        (b"\x15\x03\x01\x00\x02\x02\x28" * 100 + b"\r\n\r\n", "server.not_comfyui"),
        (reply(b"{}", "Content-Encoding: br"), "server.reply"),
        (reply(b"{}", length=10**12), None),
    ],
)
async def test_every_question_fails_alike(answer: bytes, code: str | None) -> None:
    async with scripted(answer) as server:
        found = await failures_of(server.url)
    assert set(found) == EVERYTHING or (code == "server.reply" and EVERYTHING - set(found) <= UNREAD)
    codes = {failure.code for failure in found.values()}
    if code == "server.reply" and answer.startswith(b"HTTP/1.1 304"):
        assert codes == {"server.reply"}
    assert (
        codes == {code}
        if code
        else codes <= {"server.auth", "server.not_comfyui", "server.reply", "server.unreachable"}
    )
    assert server.requests
    assert all(server.url in failure.what for failure in found.values())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"1e999",
        b"9" * 10_000,
        b'"text"',
        b"[1, 2]",
        DEEP,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"queue_running": [], "queue_pending": ' + DEEP + b"}",
        b'{"one": {"outputs": {}, "prompt": ' + DEEP + b"}}",
        b"\xff\xfe\x00\xd8",
        b'{"system": "\xff"}',
        b'{"error": "no such session"}',
        b'{"system": [], "queue_running": {}, "queue_pending": 7, "exec_info": [], "one": 3, "SaveImage": 3}',
        b'{"system": 1, "queue_running": [[1]], "queue_pending": [], "exec_info": {"queue_remaining": "1"}, "one": {}}',
        gzip.compress(b"{", mtime=0),
    ],
    ids=lambda body: f"{body[:40]!r}",
)
async def test_a_body_that_cannot_be_the_answer_is_never_taken_for_one(body: bytes) -> None:
    packed = ("Content-Encoding: gzip",) if body.startswith(b"\x1f\x8b") else ()
    async with scripted(reply(body, *packed)) as server:
        found = await failures_of(server.url)
    for name in EVERYTHING - UNREAD - {"folder_paths"}:
        assert found[name].code in ("server.reply", "server.not_comfyui"), name
    assert {found[name].code for name in ("queue", "history", "submit")} == {"server.reply"}
    assert found["submit"].may_have_arrived


@pytest.mark.parametrize("body", [b"<html>Bad Request</html>", b'{"error": {"type": [], "message": {}}}', b""])
async def test_a_refusal_that_comfyui_did_not_write_is_no_rejection(body: bytes) -> None:
    """A proxy refuses with 400 as well; what it refused has certainly not arrived."""
    async with scripted(reply(body, status="400 Bad Request")) as server, client_of(server) as http:
        with pytest.raises(TransportFailure) as failure:
            await http.submit({}, "one", "client")
    assert (failure.value.code, failure.value.may_have_arrived) == ("server.reply", False)


async def test_a_gzip_bomb_ends_at_the_limit() -> None:
    bomb = gzip.compress(bytes(300 * 1024 * 1024))
    assert len(bomb) < 400_000
    async with scripted(reply(bomb, "Content-Encoding: gzip")) as server, client_of(server) as http:
        for ask, limit in ((http.history("one"), "64 MiB"), (http.queue(), "256 MiB")):
            with pytest.raises(TransportFailure, match=f"larger than {limit}"):
                await ask


async def test_an_empty_reply_may_call_itself_compressed() -> None:
    async with scripted(reply(b"", "Content-Encoding: gzip", kind=None)) as server, client_of(server) as http:
        await http.interrupt("one")
        await http.free()
        assert len(server.requests) == 2


@pytest.mark.parametrize("told", ["", "nonsense", "Sun, 99 Nov 99999 09:57:40 GMT", "Sun, 22 Nov 0001 00:00:00 +2359"])
async def test_an_odd_modification_time_hinders_nothing(told: str) -> None:
    answer = reply(b"PNG", f"Last-Modified: {told}", kind="image/png")
    async with scripted(answer) as server, client_of(server) as http, http.view(FILE) as viewed:
        assert viewed.size == 3
        assert viewed.mtime is None or viewed.mtime.tzinfo is not None
        assert b"".join([chunk async for chunk in viewed.chunks]) == b"PNG"


# --- time -------------------------------------------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("name", ["history", "view", "submit"])
@pytest.mark.parametrize(
    "answer",
    [
        slowly(b"", b"", 60),
        slowly(b"", b"X", 0.05),
        slowly(HEAD + b"\r\n", b" ", 0.05),
        slowly(HEAD + b"Content-Length: 1000000\r\n\r\n", b"12345", 0.05),
    ],
    ids=["silence", "a status line that never ends", "blanks for ever", "a large body byte by byte"],
)
async def test_no_server_can_hold_us(answer: Answer, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "PATIENCE", 1.5)
    async with scripted(answer) as server, client_of(server, timeout=0.5) as http:
        with anyio.fail_after(20), pytest.raises(TransportFailure) as failure:
            await ASKED[name](http)
        assert failure.value.code == "server.timeout"
        assert failure.value.may_have_arrived
        with anyio.fail_after(5):
            await server.hung_up.wait()  # and the connection does not stay behind


@pytest.mark.parametrize("name", ["history", "view"])
async def test_who_is_cancelled_hangs_up(name: str) -> None:
    async with scripted(slowly(HEAD + b"\r\n", b" ", 0.01)) as server, client_of(server) as http:

        async def ask() -> None:
            await ASKED[name](http)

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            with anyio.fail_after(5):
                await server.asked.wait()
            group.cancel_scope.cancel()
        with anyio.fail_after(5):
            await server.hung_up.wait()


# --- TLS and proxies --------------------------------------------------------------------------------------------------


def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
    return context


STATS = reply(b'{"system": {"comfyui_version": "0.8.0"}, "devices": []}')


async def version_at(url: str) -> str | None:
    async with ComfyHttp(ServerAddress.parse(url, token=TOKEN), timeout=5.0) as http:
        return (await http.system_stats()).version


async def test_https_with_a_certificate_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    async with scripted(STATS, tls=tls()) as server:
        with pytest.raises(TransportFailure, match="certificate is not trusted") as failure:
            await version_at(server.url)
        assert (failure.value.code, failure.value.may_have_arrived) == ("server.unreachable", False)
        assert server.requests == []  # the login was not sent
        monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "certificate.pem"))
        assert await version_at(server.url) == "0.8.0"
        assert f"Bearer {TOKEN}" in server.requests[0]


async def test_https_where_there_is_none(tmp_path: Path) -> None:
    async with Simulator(output_dir=tmp_path).serve() as server:
        with pytest.raises(TransportFailure) as failure:
            await version_at(server.url.replace("http:", "https:"))
    assert failure.value.code == "server.unreachable"
    assert "TLS" in failure.value.what


async def test_http_where_https_is_spoken() -> None:
    async with scripted(STATS, tls=tls()) as server:
        with pytest.raises(TransportFailure) as failure:
            await version_at(server.url.replace("https:", "http:"))
    assert failure.value.code in ("server.unreachable", "server.not_comfyui")


async def test_unreadable_certificates_are_said_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    with pytest.raises(Failure, match="SSL_CERT_FILE") as failure:
        await version_at("https://127.0.0.1:1")
    assert failure.value.code == "server.unreachable"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "localhost.", "127.1", "[::ffff:127.0.0.1]"])
async def test_no_proxy_ever_stands_before_this_machine(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    async with scripted(STATS) as server, scripted(reply(status="502 Proxy")) as proxy:
        for name in ("HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        address = server.url.replace("127.0.0.1", host)
        try:
            assert await version_at(address) == "0.8.0"
        except TransportFailure as failure:  # a resolver that does not take this spelling, or no IPv6
            assert "502" not in failure.what
        assert proxy.requests == []


async def test_a_proxy_stands_before_other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted(STATS) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        assert await version_at("http://gpu-box.example:8188/comfy") == "0.8.0"
    assert proxy.requests[0].startswith("GET http://gpu-box.example:8188/comfy/system_stats HTTP/1.1\r\n")


async def test_a_proxy_that_is_down_keeps_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted(b"") as gone:
        proxy = gone.url.replace("://", f"://user:{KEY}@")
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(TransportFailure) as failure:
        await version_at("http://gpu-box.example:8188")
    assert (failure.value.code, failure.value.may_have_arrived) == ("server.unreachable", False)
    assert KEY not in shown(failure.value)


async def test_our_own_headers_win_over_those_we_send_anyway() -> None:
    async with scripted(STATS) as server:
        headers = {"user-agent": "mine", "accept-encoding": "br", "X-Api-Key": KEY}
        async with ComfyHttp(ServerAddress.parse(server.url, token=None, headers=headers)) as http:
            await http.system_stats()
    sent = server.requests[0].lower().split("\r\n")
    assert [line for line in sent if line.startswith("user-agent")] == ["user-agent: mine"]
    assert [line for line in sent if line.startswith("accept-encoding")] == ["accept-encoding: gzip"]
    assert f"x-api-key: {KEY}" in sent


async def test_the_server_may_die_between_two_questions() -> None:
    """A kept connection that the server has closed meanwhile is not taken for a failure of the next question."""
    kept = STATS.replace(b"Connection: close\r\n", b"")

    closed = asyncio.Event()

    async def answer_and_close(writer: asyncio.StreamWriter) -> None:
        writer.write(kept)
        writer.close()
        await writer.wait_closed()
        closed.set()

    async with scripted(answer_and_close) as server, client_of(server) as http:
        for _ in range(3):
            assert (await http.system_stats()).version == "0.8.0"
            with anyio.fail_after(5):
                await closed.wait()
            closed.clear()
        assert len(server.requests) == 3
