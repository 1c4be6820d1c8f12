"""The HTTP client against servers that are slow, wrong, hostile, somebody else's or gone: every fault in words."""

import gzip
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web
from anyio.abc import SocketStream

from comfytui.simulator import Faults, Simulator
from comfytui.simulator.faults import Answered, BrokenJson, ConnectionReset, Slow, WrongTypes
from comfytui.sources.comfy import exchange
from comfytui.sources.comfy.address import ServerAddress
from comfytui.sources.comfy.failures import TransportFailure
from comfytui.sources.comfy.http import ComfyHttp
from tests.conformance.virtual_time import VirtualTimeLoop
from tests.engine.conftest import worker_threads_hold_the_clock
from tests.sources.odd_servers import GRAPH, SECRET, Answer, failure_of, history, raw_server, saying, served, submit

DEEP = b"[" * 10_000 + b"]" * 10_000

__all__ = ["worker_threads_hold_the_clock"]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Waiting takes no time."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


# --- somebody else's server -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (saying("<html>Sign in</html>", kind="text/html"), "server.not_comfyui"),
        (saying("<html>", kind="text/html; charset=utf-8", status=404), "server.not_comfyui"),
        (saying("hello", kind="text/plain"), "server.not_comfyui"),
        (saying("{}"), "server.not_comfyui"),
        (saying("[]"), "server.not_comfyui"),
        (saying('{"system": "x"}'), "server.not_comfyui"),
        (saying("", status=401), "server.auth"),
        (saying("", status=403), "server.auth"),
        (saying("", status=302, headers={"Location": "/login?next=x"}), "server.auth"),
        (saying("", status=302, headers={"Location": "https://sso.example/auth?state=abc"}), "server.auth"),
        (saying("", status=302), "server.auth"),
        (saying("", status=307, headers={"Location": "http://[broken"}), "server.auth"),
        (saying("", status=502, kind="text/html"), "server.unreachable"),
        (saying("", status=504), "server.unreachable"),
        (saying("Boom: it broke", status=500, kind="text/plain"), "server.reply"),
        (saying("", status=418), "server.reply"),
        (saying("{", kind="application/json"), "server.reply"),
        (saying(DEEP), "server.reply"),
        (saying('{"system": ' + "[" * 10_000 + "]" * 10_000 + "}"), "server.reply"),
    ],
)
async def test_what_answers_is_told_apart(answer: Answer, code: str) -> None:
    async with served(answer) as address:
        failure = await failure_of(address)
    assert failure.code == code, str(failure)


async def test_a_redirect_to_the_same_place_elsewhere_tells_the_right_address() -> None:
    headers = {"Location": "https://gpu.example/comfy/system_stats"}
    async with served(saying("", status=301, headers=headers), prefix="/comfy") as address:
        failure = await failure_of(address)
    assert failure.code == "server.not_comfyui"
    assert "https://gpu.example/comfy:" in failure.what


async def test_a_login_redirect_shows_neither_its_query_nor_our_secret() -> None:
    headers = {"Location": f"https://sso.example/{SECRET}?code=abc"}
    async with served(saying("", status=302, headers=headers)) as address:
        failure = await failure_of(address)
    assert "sso.example" in failure.what
    assert "abc" not in str(failure)


async def test_a_server_that_echoes_the_login_does_not_make_us_show_it() -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(text=f"bad: {request.headers['Authorization']} \x1b[2J", status=500)

    async with served(echo) as address:
        failure = await failure_of(address)
    assert "bad: " in failure.what
    assert "\x1b" not in str(failure)


async def test_no_redirect_is_followed() -> None:
    asked = []

    async def on_to_itself(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async with served(on_to_itself) as address:
        await failure_of(address, submit)
    assert asked == ["/prompt"]


async def test_a_port_that_speaks_no_http() -> None:
    async def mail(stream: SocketStream) -> None:
        async with stream:
            await stream.send(b"220 mail.example ready\r\n\r\n")
            await stream.receive()

    async with raw_server(mail) as address:
        assert (await failure_of(address)).code == "server.not_comfyui"


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["{", "", DEEP, "3", "[]", '{"p": 1}', '{"p": {"outputs": 3}}', b"\xff\xfe"])
async def test_an_unusable_history_is_no_missing_one(body: str | bytes) -> None:
    async with served(saying(body)) as address:
        failure = await failure_of(address, history)
    assert failure.code == "server.reply"
    assert "GET /history/p" in failure.what


async def test_a_gzip_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(bytes(50 * 1024 * 1024))
    assert len(bomb) < 100_000
    async with served(saying(bomb, headers={"Content-Encoding": "gzip"})) as address:
        async with ComfyHttp(address) as http:  # within the limit it is only no JSON
            with pytest.raises(TransportFailure, match="not valid JSON"):
                await http.history("p")
        monkeypatch.setattr(exchange.Exchange.ask, "__kwdefaults__", {**_defaults(), "limit": 1024 * 1024})
        failure = await failure_of(address, history)
    assert failure.code == "server.reply"
    assert "larger than 1 MiB" in failure.what


def _defaults() -> dict[str, Any]:
    return dict(exchange.Exchange.ask.__kwdefaults__ or {})


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(b"{}", mtime=0)[:-4], "gzip"),
        (b"no gzip at all", "gzip"),
        (b"{}", "br"),
        (b"{}", "zstd, gzip"),
    ],
)
async def test_broken_and_unknown_compression(body: bytes, encoding: str) -> None:
    async with served(saying(body, headers={"Content-Encoding": encoding})) as address:
        assert (await failure_of(address, history)).code == "server.reply"


async def test_a_compressed_reply_is_read() -> None:
    body = gzip.compress(b'{"exec_info": {"queue_remaining": 3}}')
    async with (
        served(saying(body, headers={"Content-Encoding": "gzip"})) as address,
        ComfyHttp(address) as http,
    ):
        assert await http.queue_remaining() == 3


@pytest.mark.parametrize("told", [True, False])
async def test_a_huge_body_is_given_up_early(monkeypatch: pytest.MonkeyPatch, told: bool) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        if told:
            response.content_length = 100 * 1024 * 1024
        await response.prepare(request)
        try:
            while sent < 100 * 1024 * 1024:
                await response.write(bytes(64 * 1024))
                sent += 64 * 1024
        except ConnectionError:
            pass
        return response

    monkeypatch.setattr(exchange.Exchange.ask, "__kwdefaults__", {**_defaults(), "limit": 1024 * 1024})
    async with served(endless) as address:
        failure = await failure_of(address, history)
    assert failure.code == "server.reply"
    assert "larger than" in failure.what
    assert sent < 20 * 1024 * 1024


async def test_nan_and_infinity_are_read() -> None:
    body = '{"A": {"input": {"required": {"x": ["FLOAT", {"max": Infinity, "default": NaN}]}}}}'
    async with served(saying(body)) as address, ComfyHttp(address) as http:
        found = await http.object_info("A")
    assert found is not None
    assert found["input"]["required"]["x"][1] == {"max": None, "default": None}


# --- time and connections ---------------------------------------------------------------------------------------------


async def test_nobody_there() -> None:
    async with served(saying("{}")) as address:
        pass
    failure = await failure_of(address, submit)
    assert (failure.code, failure.may_have_arrived) == ("server.unreachable", False)
    assert "connection refused" in failure.what or "connection failed" in failure.what


async def test_a_host_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = await failure_of(ServerAddress.parse("http://nowhere.invalid:8188"), submit)
    assert (failure.code, failure.may_have_arrived) == ("server.unreachable", False)


async def test_a_server_that_never_answers_times_out(tmp_path: Path) -> None:
    async with Simulator(output_dir=tmp_path, faults=Faults(Slow(path="/prompt", seconds=60))).serve() as sim:
        failure = await failure_of(ServerAddress.parse(sim.url), submit)
    assert (failure.code, failure.may_have_arrived) == ("server.timeout", True)
    assert "POST /prompt within 5 s" in failure.what


async def test_a_freeze_of_half_a_second_is_no_failure(tmp_path: Path) -> None:
    faults = Faults(Slow(seconds=0.5))
    async with (
        Simulator(output_dir=tmp_path, faults=faults).serve() as sim,
        ComfyHttp(ServerAddress.parse(sim.url)) as http,
    ):
        assert (await http.system_stats()).version == "0.8.0"


async def test_a_trickle_is_given_up() -> None:
    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        try:
            while True:
                await response.write(b" ")
                await anyio.sleep(4.0)
        except ConnectionError:
            return response

    async with served(trickle) as address:
        failure = await failure_of(address, history)
    assert failure.code == "server.timeout"


@pytest.mark.parametrize(
    ("fault", "code", "may_have_arrived", "queued"),
    [
        (ConnectionReset(after=False), "server.unreachable", True, 0),
        (ConnectionReset(after=True), "server.unreachable", True, 1),
        (Answered(path="/prompt", status=500), "server.reply", True, 0),
        (Answered(path="/prompt", status=502), "server.unreachable", True, 0),
        (Answered(path="/prompt", status=401), "server.auth", False, 0),
        (Answered(path="/prompt", status=413), "server.reply", False, 0),
        (Answered.redirect(path="/prompt"), "server.auth", False, 0),
        (Answered.login_page(path="/prompt"), "server.auth", True, 0),
        (BrokenJson(path="/prompt"), "server.reply", True, 1),
        (WrongTypes(path="/prompt"), "server.reply", True, 1),
    ],
)
async def test_whether_a_prompt_may_have_arrived(
    tmp_path: Path, fault: Any, code: str, may_have_arrived: bool, queued: int
) -> None:
    async with Simulator(output_dir=tmp_path, faults=Faults(fault)).serve() as sim:
        address = ServerAddress.parse(sim.url)
        failure = await failure_of(address, lambda http: http.submit(GRAPH, "p", "c"))
        assert (failure.code, failure.may_have_arrived) == (code, may_have_arrived), str(failure)
        sim.faults.clear()
        async with ComfyHttp(address) as http:
            where = (await http.queue()).where("p")
            assert bool(where or await http.history("p")) == bool(queued)


async def test_what_is_sent_when_a_server_dies_in_the_middle() -> None:
    async def half(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")

    async with raw_server(half) as address:
        failure = await failure_of(address, submit)
    assert (failure.code, failure.may_have_arrived) == ("server.unreachable", True)


async def test_cancellation_leaves_nothing_open(tmp_path: Path) -> None:
    async with Simulator(output_dir=tmp_path, faults=Faults(Slow(seconds=60))).serve() as sim:
        with anyio.move_on_after(1) as scope:
            async with ComfyHttp(ServerAddress.parse(sim.url)) as http:
                await http.system_stats()
        assert scope.cancelled_caught
