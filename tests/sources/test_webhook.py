"""The webhook: what is posted, and how each way of failing is told in words that hold nothing of its address."""

import asyncio
import json
import traceback

import pytest

from comfytui.sources.webhook import Untold, Webhook
from tests.sources.scripted_server import Answer, reply, scripted, slowly

SECRET = "hooks-T0001-sEcReT"
BODY = json.dumps({"text": "comfytui: done"}).encode()


async def hang(_writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def told_to(answer: bytes | Answer, patience: float = 5.0) -> tuple[list[str], Untold | None]:
    """Post to a server that answers so, and return the heads of its requests and why it was not told."""
    async with scripted(answer) as server:
        try:
            await Webhook(f"{server.url}/{SECRET}", patience).post(BODY)
        except Untold as untold:
            return server.requests, hushed(untold)
        return server.requests, None


def hushed(untold: Untold) -> Untold:
    """Return ``untold`` once it is proven to give nothing away."""
    words = "".join(traceback.format_exception(untold)) + repr(untold) + untold.why
    assert SECRET not in words
    assert "127.0.0.1" not in words
    return untold


async def test_it_posts_json_once() -> None:
    requests, untold = await told_to(reply(b"ok"))
    assert untold is None
    assert len(requests) == 1
    assert requests[0].startswith(f"POST /{SECRET} HTTP/1.1")
    assert "content-type: application/json" in requests[0].lower()


@pytest.mark.parametrize(
    ("status", "why", "again"),
    [
        ("500 Internal Server Error", "it answers 500", True),
        ("503 Service Unavailable", "it answers 503", True),
        ("429 Too Many Requests", "it answers 429", True),
        ("404 Not Found", "it answers 404", False),
        ("401 Unauthorized", "it answers 401", False),
    ],
)
async def test_a_refusal_is_told_with_its_status(status: str, why: str, again: bool) -> None:
    _, untold = await told_to(reply(b"no", status=status))
    assert untold is not None
    assert (untold.why, untold.again) == (why, again)


async def test_a_redirect_is_not_followed() -> None:
    requests, untold = await told_to(reply(b"", "Location: http://127.0.0.1:9/elsewhere", status="302 Found"))
    assert untold is not None
    assert not untold.again
    assert "redirects elsewhere (302)" in untold.why
    assert len(requests) == 1


async def test_a_webhook_that_hangs_is_given_up() -> None:
    _, untold = await told_to(hang, patience=0.2)
    assert untold is not None
    assert (untold.why, untold.again) == ("no answer within 0.2 s", True)


async def test_an_answer_that_only_trickles_is_given_up() -> None:
    _, untold = await told_to(slowly(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a", 0.02), patience=0.3)
    assert untold is not None
    assert untold.why == "no answer within 0.3 s"


async def test_an_answer_without_end_is_not_read() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"
    _, untold = await told_to(slowly(head, b"x" * 65536, 0.001))
    assert untold is None


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 banana\r\n\r\n"])
async def test_what_is_no_http_server_is_told_as_a_broken_connection(answer: bytes) -> None:
    _, untold = await told_to(answer)
    assert untold is not None
    assert untold.again
    assert untold.why.startswith("the connection broke")


@pytest.mark.parametrize("url", [f"https://{SECRET}.invalid/x", f"http://127.0.0.1:9/{SECRET}"])
async def test_a_name_that_is_not_known_and_a_port_where_nobody_is(url: str) -> None:
    with pytest.raises(Untold) as found:
        await Webhook(url).post(BODY)
    assert hushed(found.value).again
    assert found.value.why.startswith("no connection")


def test_the_address_shows_nowhere() -> None:
    assert SECRET not in repr(Webhook(f"https://example.com/{SECRET}"))
