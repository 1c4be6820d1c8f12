"""The socket against servers that no simulator is: silent, hostile, older, huge; and its patience, by the clock."""

import asyncio
import itertools
import json

import anyio
import pytest
from aiohttp import WSMsgType, web

from comfytui.simulator import Simulator
from comfytui.simulator import faults as f
from comfytui.sources.comfy import mailbox as mailboxes
from comfytui.sources.comfy import messages as m
from comfytui.sources.comfy import session as sessions
from comfytui.sources.comfy.socket import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    SETTLE,
    STEADY,
    SocketClosed,
    SocketOpened,
    SocketRefused,
    pause_before,
)
from tests.sources.driven_clock import DrivenClock
from tests.sources.socket_ear import CLIENT, PATIENCE, Mouth, listening, serving, speaking, until

NOBODY = "http://127.0.0.1:9"
MIB = 1024 * 1024


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def talk(mouth: Mouth) -> None:
    """Behave as ComfyUI does."""
    await mouth.answer()
    await mouth.read()


async def waits(clock: DrivenClock, *wanted: float) -> None:
    """Wait until exactly these waits are under way, shortest first."""
    await until(lambda: clock.waits() == pytest.approx(sorted(wanted)))


# --- what the server is told ------------------------------------------------------------------------------------------


async def test_the_first_message_is_the_feature_flags() -> None:
    async with speaking(talk) as (url, mouths), listening(url) as ear:
        await ear.hears_an_answer()
        assert mouths[0].received == [{"type": "feature_flags", "data": {"supports_preview_metadata": True}}]
        assert mouths[0].request.query["clientId"] == CLIENT


async def test_it_logs_in_as_the_http_client_does() -> None:
    async with speaking(talk) as (url, mouths), listening(url, token="hush", headers={"X-Door": "7"}) as ear:
        await ear.hears_an_answer()
        assert mouths[0].request.headers["Authorization"] == "Bearer hush"
        assert mouths[0].request.headers["X-Door"] == "7"


async def test_it_keeps_the_path_prefix() -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=418)

    async with serving({"/behind/a/proxy/ws": refuse}) as url, listening(f"{url}/behind/a/proxy/") as ear:
        assert (await ear.hears(SocketRefused)).why == "HTTP 418"


async def test_the_old_connection_is_closed_before_the_new_one_is_made() -> None:
    closed: list[tuple[int | None, float]] = []
    opened: list[float] = []

    async def watch(mouth: Mouth) -> None:
        opened.append(asyncio.get_running_loop().time())
        await mouth.answer()
        if mouth.number == 1:
            await anyio.sleep(0.4)  # a server that is busy: it sees the goodbye late
        closed.append((await mouth.read(), asyncio.get_running_loop().time()))

    async with speaking(watch) as (url, _), listening(url) as ear:
        for _ in range(5):
            await ear.hears_an_answer()
            ear.socket.reconnect()
            ear.socket.reconnect()  # twice is once
        await ear.hears_an_answer()
        gaps = [new - old for (_, old), new in zip(closed, opened[1:], strict=True)]
        assert [code for code, _ in closed] == [1000] * 5
        assert min(gaps) >= SETTLE * 0.9, gaps
        assert ear.turns == ["SocketOpened", *["SocketClosed", "SocketOpened"] * 5]
    assert len(opened) == 6


# --- patience ---------------------------------------------------------------------------------------------------------


def test_pauses_grow_within_bounds() -> None:
    for tries, jitter in itertools.product(range(1, 2000), (0.0, 0.3, 0.999)):
        assert FIRST_PAUSE <= pause_before(tries, jitter) <= LONGEST_PAUSE
    shortest = [pause_before(tries, 0.0) for tries in range(1, 10)]
    assert shortest == sorted(shortest)
    assert pause_before(1, 0.5) != pause_before(1, 0.6)
    assert pause_before(0, 0.9) == SETTLE


async def test_it_waits_longer_and_longer_for_a_server_that_is_away() -> None:
    clock = DrivenClock()
    async with listening(NOBODY, clock) as ear:
        for pause in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0):
            await ear.hears(SocketRefused)
            await waits(clock, SETTLE)
            clock.advance(SETTLE)
            await waits(clock, pause - SETTLE)
            clock.advance(pause - SETTLE)


async def test_a_connection_that_held_starts_the_pauses_anew() -> None:
    async def hold_the_third(mouth: Mouth) -> None:
        await mouth.answer()
        if mouth.number == 3:
            await mouth.read()

    clock = DrivenClock()
    async with speaking(hold_the_third) as (url, mouths), listening(url, clock) as ear:
        for pause in (0.1, 0.2):
            await ear.hears(SocketClosed)
            await waits(clock, SETTLE)
            clock.advance(SETTLE)
            await waits(clock, pause - SETTLE)
            clock.advance(pause - SETTLE)
        await ear.hears_an_answer()
        clock.advance(STEADY)
        await mouths[2].socket.close()
        await ear.hears(SocketClosed)
        await waits(clock, SETTLE)
        clock.advance(SETTLE)
        await waits(clock, 0.1 - SETTLE)


async def test_reconnect_and_probe_cut_a_pause_short() -> None:
    clock = DrivenClock()
    async with listening(NOBODY, clock, jitter=lambda: 1.0) as ear:
        for shortly_after in (False, True):
            await ear.hears(SocketRefused)
            await waits(clock, SETTLE)
            if shortly_after:
                ear.socket.reconnect()
                clock.advance(SETTLE)
            else:
                clock.advance(SETTLE)
                await waits(clock, 0.2 - SETTLE)
                ear.socket.reconnect()
        await ear.hears(SocketRefused)
        assert clock.monotonic() == pytest.approx(2 * SETTLE)
        await waits(clock, SETTLE)
        clock.advance(SETTLE)
        await waits(clock, 0.8 - SETTLE)  # one call cuts one pause short


async def test_a_server_that_never_greets_is_deaf() -> None:
    async def say_nothing_first(mouth: Mouth) -> None:
        if mouth.number > 1:
            await mouth.answer()
        await mouth.read()

    clock = DrivenClock()
    async with speaking(say_nothing_first) as (url, _), listening(url, clock) as ear:
        await waits(clock, sessions.FIRST_WORD, sessions.PING)
        clock.advance(sessions.FIRST_WORD)
        assert (await ear.hears(SocketClosed)).why == "it is deaf: not even a greeting came"
        assert not ear.of_kind(SocketOpened)
        while not ear.of_kind(SocketOpened):
            await clock.tick()


async def test_a_server_that_answered_before_and_does_not_now_is_deaf() -> None:
    async def greet_only_the_second(mouth: Mouth) -> None:
        if mouth.number == 2:
            await mouth.greet()
        else:
            await mouth.answer()
        if mouth.number > 1:
            await mouth.read()

    clock = DrivenClock()
    async with speaking(greet_only_the_second) as (url, mouths), listening(url, clock) as ear:
        await ear.hears_an_answer()
        await ear.hears(SocketClosed)
        with anyio.fail_after(PATIENCE):
            while len(mouths) < 3:
                await clock.tick()
                await anyio.sleep(0.005)
        assert (await ear.hears(SocketClosed)).why == "it is deaf: the server does not answer"
        await ear.hears_an_answer()
        assert clock.monotonic() >= sessions.ANSWER


async def test_an_older_server_that_never_answers_is_kept() -> None:
    async def greet(mouth: Mouth) -> None:
        await mouth.greet()
        await mouth.read()

    clock = DrivenClock()
    async with speaking(greet) as (url, mouths), listening(url, clock) as ear:
        await ear.hears(m.Status)
        for _ in range(5):
            await waits(clock, sessions.PING)
            clock.advance(sessions.PING)
        await waits(clock, sessions.PING)
        await mouths[0].say("executing", node="1", prompt_id="p")
        await ear.hears(m.Executing)
        assert ear.turns == ["SocketOpened"]


async def test_a_probe_of_an_older_server_takes_its_greeting_for_an_answer() -> None:
    async def greet(mouth: Mouth) -> None:
        await mouth.greet()
        await mouth.read()

    async with speaking(greet) as (url, mouths), listening(url) as ear:
        await ear.hears(m.Status)
        assert await ear.socket.probe()
        assert len(mouths) == 2
        assert not ear.of_kind(SocketClosed)


async def test_a_server_that_is_gone_without_a_word_is_found_out(tmp_path: object) -> None:
    clock = DrivenClock()
    async with Simulator(output_dir=tmp_path / "output").serve() as server:  # type: ignore[operator]
        server.faults.add(f.SocketHalfOpen(after_messages=2, nth=1))
        async with listening(server.url, clock) as ear:
            await ear.hears_an_answer()
            await waits(clock, sessions.PING)
            clock.advance(sessions.PING)
            await waits(clock, sessions.PONG)
            clock.advance(sessions.PONG)
            assert (await ear.hears(SocketClosed)).why == "no answer to a ping for 15 s"
            while len(ear.of_kind(SocketOpened)) < 2:
                await clock.tick()
                await anyio.sleep(0.005)


async def test_pings_go_on_while_they_are_answered() -> None:
    pings = 0

    async def answer_pings(mouth: Mouth) -> None:
        nonlocal pings
        await mouth.answer()
        async for message in mouth.socket:
            if message.type is WSMsgType.PING:
                pings += 1
                await mouth.socket.pong(message.data)

    clock = DrivenClock()
    async with speaking(answer_pings, autoping=False) as (url, _), listening(url, clock) as ear:
        await ear.hears_an_answer()
        for count in range(1, 6):
            await waits(clock, sessions.PING)
            clock.advance(sessions.PING)
            await until(lambda: pings >= count)  # noqa: B023 - awaited at once
        assert ear.turns == ["SocketOpened"]


# --- what comes -------------------------------------------------------------------------------------------------------


async def test_messages_of_twenty_mebibytes_arrive() -> None:
    image = bytes(range(256)) * 4096 * 20
    words = "räksmörgås " * (2 * MIB)

    async def say_much(mouth: Mouth) -> None:
        await mouth.answer()
        await mouth.socket.send_bytes((1).to_bytes(4) + (2).to_bytes(4) + image)
        await mouth.socket.send_str(json.dumps({"type": "chatter", "data": words}, ensure_ascii=False))
        await mouth.say("executing", node=None, prompt_id="p")
        await mouth.read()

    async with speaking(say_much) as (url, _), listening(url) as ear:
        assert (await ear.hears(m.Preview)).size == len(image)
        assert (await ear.hears(m.Unknown)).kind == "chatter"
        await ear.hears(m.Executing)
        assert ear.turns == ["SocketOpened"]


async def test_a_message_without_end_is_not_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_MESSAGE", MIB)

    async def say_too_much(mouth: Mouth) -> None:
        await mouth.answer()
        if mouth.number == 1:
            await mouth.socket.send_bytes(bytes(2 * MIB))
        await mouth.read()

    async with speaking(say_too_much) as (url, _), listening(url) as ear:
        assert (await ear.hears(SocketClosed)).why == "it was given up: a message is larger than 1 MiB"
        await ear.hears_an_answer()


async def test_noise_is_not_a_websocket() -> None:
    async def make_noise(mouth: Mouth) -> None:
        await mouth.answer()
        if mouth.number == 1:
            assert mouth.request.transport is not None
            mouth.request.transport.write(b"\xff\xfe noise \x1b[31m" * 20)
        await mouth.read()

    async with speaking(make_noise) as (url, _), listening(url) as ear:
        assert (await ear.hears(SocketClosed)).why == "it was closed with code 1002 (Invalid opcode 0xf)"
        await ear.hears_an_answer()


async def test_messages_that_cannot_be_read_change_nothing() -> None:
    async def babble(mouth: Mouth) -> None:
        await mouth.answer()
        await mouth.socket.send_str("{")
        await mouth.socket.send_str("[1]")
        await mouth.socket.send_bytes(b"")
        await mouth.socket.send_bytes(b"\x00\x00\x00\x63????")
        await mouth.socket.pong(b"that nobody asked for")
        await mouth.say("custom.node", anything=1)
        await mouth.say("executing", node="1", prompt_id="p")
        await mouth.read()

    async with speaking(babble) as (url, _), listening(url) as ear:
        await ear.hears(m.Executing)
        assert ear.of_kind(m.Malformed)
        assert ear.of_kind(m.Unknown)
        assert ear.turns == ["SocketOpened"]


async def test_the_words_of_a_goodbye_are_cleaned() -> None:
    async def insult(mouth: Mouth) -> None:
        await mouth.answer()
        await mouth.socket.close(code=1001, message=b"\x1b[31mgo\naway\x07")

    async with speaking(insult) as (url, _), listening(url) as ear:
        assert (await ear.hears(SocketClosed)).why == "it was closed with code 1001 (go away)"


async def test_a_reader_that_is_too_far_behind_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailboxes, "MAX_WAITING", 50)

    async def flood(mouth: Mouth) -> None:
        await mouth.answer()
        if mouth.number == 1:
            for number in range(200):
                await mouth.say("executed", node=str(number), prompt_id="p", output={})
        await mouth.read()

    async with speaking(flood) as (url, mouths), listening(url) as ear:
        ear.gate = anyio.Event()
        await until(lambda: len(mouths) == 2)
        ear.gate.set()
        assert (await ear.hears(SocketClosed)).why == "its messages were not read for too long"
        await ear.hears_an_answer()
        assert len(ear.of_kind(m.Executed)) < 50
