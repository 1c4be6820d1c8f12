"""The socket through TLS: trusted as the HTTP client trusts, and no login is sent to a server that is not."""

import ssl
from pathlib import Path

import pytest

from comfytui.sources.comfy import messages as m
from comfytui.sources.comfy.socket import SocketClosed, SocketRefused
from tests.sources.socket_ear import Mouth, listening, speaking

TLS = Path(__file__).parent / "test_comfy_tls"
IMAGE = bytes(range(256)) * 20_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def tls(monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
    return context


async def talk(mouth: Mouth) -> None:
    await mouth.answer()
    await mouth.socket.send_bytes((1).to_bytes(4) + (2).to_bytes(4) + IMAGE)
    await mouth.read()


async def test_a_trusted_server_is_heard_and_closed_properly(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "certificate.pem"))
    async with speaking(talk, tls=tls) as (url, mouths), listening(url, token="hush") as ear:
        await ear.hears_an_answer()
        assert (await ear.hears(m.Preview)).size == len(IMAGE)
        assert mouths[0].request.headers["Authorization"] == "Bearer hush"
        ear.socket.reconnect()
        await ear.hears(SocketClosed)
        await ear.hears_an_answer()
        assert mouths[0].socket.close_code == 1000


async def test_a_server_that_is_not_trusted_is_told_nothing(tls: ssl.SSLContext) -> None:
    async with speaking(talk, tls=tls) as (url, mouths), listening(url, token="hush") as ear:
        refused = await ear.hears(SocketRefused)
        assert "certificate is not trusted" in refused.why
        assert refused.code == "server.unreachable"
        assert mouths == []


async def test_tls_is_spoken_where_none_is_expected(tls: ssl.SSLContext) -> None:
    async with speaking(talk, tls=tls) as (url, mouths), listening(url.replace("https:", "http:")) as ear:
        await ear.hears(SocketRefused)
        assert mouths == []
