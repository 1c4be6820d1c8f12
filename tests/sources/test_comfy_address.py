"""The address of a server: what people type, what proxies need, and that no secret ever shows."""

import base64
import traceback

import httpx
import pytest

from comfytui.errors import Failure
from comfytui.sources.comfy.address import ServerAddress, new_client

SECRET = "hunter2-very-secret"


@pytest.mark.parametrize(
    ("typed", "url", "loopback"),
    [
        ("http://127.0.0.1:8188", "http://127.0.0.1:8188", True),
        ("127.0.0.1:8188", "http://127.0.0.1:8188", True),
        ("localhost:8188/", "http://localhost:8188", True),
        ("gpu-box", "http://gpu-box", False),
        ("https://host.example/comfy/", "https://host.example/comfy", False),
        ("HTTP://Host.Example:80/A", "http://host.example:80/A", False),
        ("http://[::1]:8188", "http://[::1]:8188", True),
        ("http://0.0.0.0:8188", "http://127.0.0.1:8188", True),
        ("ws://10.0.0.5:8188", "http://10.0.0.5:8188", False),
        ("wss://host/x", "https://host/x", False),
        ("  http://box:1  ", "http://box:1", False),
        ("http://127.0.0.1:8188/#workflow", "http://127.0.0.1:8188", True),
        ("http://comfy.localhost", "http://comfy.localhost", True),
        ("http://127.0.0.1.evil.example", "http://127.0.0.1.evil.example", False),
        ("http://localhost.evil.example", "http://localhost.evil.example", False),
        ("http://LOCALHOST.:8188", "http://localhost.:8188", True),
        ("http://127.1:8188", "http://127.1:8188", True),
        ("http://[::ffff:127.0.0.1]:1", "http://[::ffff:127.0.0.1]:1", True),
        ("http://[::ffff:10.0.0.1]:1", "http://[::ffff:10.0.0.1]:1", False),
        ("http://[fe80::1%eth0]:8188", "http://[fe80::1%eth0]:8188", False),
        ("http://_gpu_box:8188", "http://_gpu_box:8188", False),
        ("https://coder.example/@me/box/apps/comfy", "https://coder.example/@me/box/apps/comfy", False),
    ],
)
def test_what_people_type(typed: str, url: str, loopback: bool) -> None:
    address = ServerAddress.parse(typed)
    assert (address.url, address.is_loopback) == (url, loopback)
    assert address.secret_headers() == {}


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "   ",
        "ftp://host",
        "http://",
        "http://host:99999",
        "http://host:x",
        "http://a b",
        "http://h\x1b[2J",
        "http://h?a=1",
        "http://host:0",
        "http:/host",
        "https:host",
        "http://ho\\st",
        "http://*:8188",
        "http://%31",
    ],
)
def test_nonsense_is_refused_in_words(typed: str) -> None:
    with pytest.raises(Failure) as found:
        ServerAddress.parse(typed)
    assert found.value.code == "config.value"


def test_paths_go_below_the_prefix_and_the_client_id_is_encoded() -> None:
    address = ServerAddress.parse("https://host/comfy/")
    assert address.http_url("/queue") == "https://host/comfy/queue"
    assert address.ws_url("a b&c") == "https://host/comfy/ws?clientId=a+b%26c"


def test_logins_become_headers() -> None:
    by_url = ServerAddress.parse(f"https://me:{SECRET}@host")
    pair = base64.b64encode(f"me:{SECRET}".encode()).decode()
    assert by_url.secret_headers() == {"Authorization": f"Basic {pair}"}
    by_token = ServerAddress.parse("https://me:x@host", token=f" {SECRET}\n")
    assert by_token.secret_headers() == {"Authorization": f"Bearer {SECRET}"}
    by_header = ServerAddress.parse("https://host", token="t", headers={"authorization": "Mine", "X-Key": SECRET})
    assert by_header.secret_headers() == {"authorization": "Mine", "X-Key": SECRET}
    escaped = ServerAddress.parse("https://a%40b:p%2Fq@host")
    assert escaped.secret_headers()["Authorization"] == "Basic " + base64.b64encode(b"a@b:p/q").decode()


def test_no_secret_is_shown() -> None:
    for address in (
        ServerAddress.parse(f"https://me:{SECRET}@host"),
        ServerAddress.parse("https://host", token=SECRET),
        ServerAddress.parse("https://host", headers={"X-Api-Key": SECRET}),
    ):
        secrets = {SECRET, *address.secret_headers().values()}
        for shown in (repr(address), str(address), address.url, f"{address}"):
            assert not any(secret in shown for secret in secrets)
        for secret in secrets:
            assert secret not in address.hide(f"you sent {secret}, which is wrong")


@pytest.mark.parametrize(
    ("url", "token", "headers"),
    [
        (f"http://me:{SECRET}@host:port", None, {}),
        (f"ftp://me:{SECRET}@host", None, {}),
        (f"http://host?token={SECRET}", None, {}),
        (f"http://me:{SECRET}@", None, {}),
        (f"http://me:8/{SECRET}@host", None, {}),
        ("http://host", f"{SECRET}\u00e9", {}),
        ("http://host", f"{SECRET}\nX-Evil: 1", {}),
        ("http://host", None, {"X-Key": f"{SECRET}\r\nX-Evil: 1"}),
        ("http://host", None, {f"{SECRET}: x": "v"}),
    ],
)
def test_no_error_shows_a_secret(url: str, token: str | None, headers: dict[str, str]) -> None:
    with pytest.raises(Failure) as found:
        ServerAddress.parse(url, token=token, headers=headers)
    assert found.value.code == "config.value"
    assert SECRET not in str(found.value) + repr(found.value.words) + repr(found.value)
    assert SECRET not in "".join(traceback.format_exception(found.value, limit=0))


async def test_a_proxy_is_used_for_other_machines_but_never_for_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    async def mounts(url: str) -> int:
        async with new_client(ServerAddress.parse(url), timeout=5) as client:
            assert not client.follow_redirects
            return len(client._mounts)

    assert await mounts("http://127.0.0.1:8188") == 0
    assert await mounts("https://localhost:8188") == 0
    assert await mounts("http://gpu-box:8188") > 0


@pytest.mark.parametrize("proxy", [f"socks9://me:{SECRET}@proxy", f"http://me:{SECRET}@proxy:port"])
def test_an_unusable_proxy_is_said_so_without_its_password(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    with pytest.raises(Failure) as found:
        new_client(ServerAddress.parse("http://gpu-box:8188"), timeout=5)
    assert found.value.code == "server.unreachable"
    assert "proxy" in found.value.what
    assert SECRET not in str(found.value)


async def test_the_login_is_sent() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    address = ServerAddress.parse("http://me:pw@host", headers={"X-Key": "k"})
    async with new_client(address, timeout=5, transport=httpx.MockTransport(answer)) as client:
        await client.get(address.http_url("/queue"))
    assert seen[0].headers["authorization"].startswith("Basic ")
    assert (seen[0].headers["x-key"], str(seen[0].url)) == ("k", "http://host/queue")
