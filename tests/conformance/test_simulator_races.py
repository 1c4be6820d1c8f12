"""What the recordings show of races: not one outcome, but what holds in all of them."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from comfytui.simulator import Faults, Speed
from comfytui.simulator.faults import InterruptLost, SocketLingers
from tests.conformance.asking import CLIENT, Asker, Json, asking, graph, is_end, slow_graph
from tests.conformance.recording import FOLDER, VERSIONS, load
from tests.conformance.replay import noise

versions = pytest.mark.parametrize("version", list(VERSIONS))


@versions
async def test_history_is_there_from_status_on(version: str, tmp_path: Path, epoch: Callable[[], float]) -> None:
    """a_race: missing at `executed` and `execution_success` in some runs, never at status(0) or executing null."""
    recorded = load(version, "a_race").summary["history_missing_when_GET_sent_on"]
    assert recorded["status0"] == recorded["executing_null"] == "0/100"
    lag = Speed(history_lag=0.002)
    async with asking(tmp_path, version=version, now=epoch, speed=lag) as asker, asker.listening() as heard:
        for run in range(5):
            seen: dict[str, bool] = {}
            prompt_id = await asker.submit(graph(colour=run))
            for moment, is_moment in MOMENTS.items():
                await heard.until(is_moment)
                seen[moment] = await asker.entry(prompt_id) is not None
            assert seen == {"executed": False, "success": False, "status0": True, "null": True}
            heard.messages.clear()


MOMENTS: dict[str, Callable[[Json], bool]] = {
    "executed": lambda message: message["type"] == "executed",
    "success": lambda message: message["type"] == "execution_success",
    "status0": lambda m: m["type"] == "status" and m["data"]["status"]["exec_info"]["queue_remaining"] == 0
    and "sid" not in m["data"],
    "null": is_end,
}  # fmt: skip


@versions
async def test_interrupt_while_idle_does_nothing(version: str, tmp_path: Path, epoch: Callable[[], float]) -> None:
    assert load(version, "f3_interrupt_idle_then_submit").summary["idle interrupt affects next prompt"] is False
    async with asking(tmp_path, version=version, now=epoch) as asker:
        assert await asker.post("/interrupt") == (200, "")
        assert (await asker.done(slow_graph()))["status"]["status_str"] == "success"


@pytest.mark.parametrize("targeted", [True, False])
@versions
async def test_interrupt_right_after_a_submit(
    version: str, targeted: bool, tmp_path: Path, epoch: Callable[[], float]
) -> None:
    """f3: either it takes effect, and the last message says so, or it is lost and the prompt succeeds."""
    outcomes = Counter[str]()
    async with asking(tmp_path, version=version, now=epoch) as asker:
        for run in range(6):
            if run == 5:
                asker.simulator.faults.add(InterruptLost())
            prompt_id = await asker.submit(slow_graph(seed=run))
            body = {"prompt_id": prompt_id} if targeted else None
            assert await asker.post("/interrupt", body) == (200, "")
            status = (await asker.ended(prompt_id))["status"]
            outcomes[status["status_str"]] += 1
            last = {"success": "execution_success", "error": "execution_interrupted"}[status["status_str"]]
            assert status["messages"][-1][0] == last
    assert outcomes == {"error": 5, "success": 1}
    for kind in ("targeted", "global"):
        recorded = load(version, "f3_interrupt_idle_then_submit").summary
        assert set(recorded[f"{kind} interrupt immediately after submit: outcome"]) <= {"success", "error"}


async def alive(asker: Asker, client_id: str = CLIENT) -> bool:
    """Return whether a new connection hears anything: it says what it can do and waits for the answer."""
    async with asker.listening(client_id, flags=True) as heard:
        await asyncio.sleep(0.2)
        return "feature_flags" in heard.types


@versions
async def test_reconnect_after_a_close_is_alive(version: str, tmp_path: Path, epoch: Callable[[], float]) -> None:
    recorded = load(version, "h5_reconnect_same_id_timing").summary
    assert all(text.startswith("new socket alive in 10/10") for name, text in recorded.items() if "close" in name)
    async with asking(tmp_path, version=version, now=epoch) as asker:
        for _ in range(3):
            assert await alive(asker)


@versions
async def test_reconnect_while_the_old_one_is_registered_turns_deaf(
    version: str, tmp_path: Path, epoch: Callable[[], float]
) -> None:
    """h3, h4, h5b: the cleanup of the old connection unregisters the new one, which stays open and hears nothing."""
    assert "run in progress abort delay 0 ms alive 1 /6" in h5b(version)
    faults = Faults(SocketLingers(nth=1, seconds=5.0))
    async with asking(tmp_path, version=version, now=epoch, faults=faults) as asker:
        async with asker.listening() as old:
            await asyncio.sleep(0)
        assert old.socket.closed
        async with asker.listening() as new:
            await asyncio.sleep(10)
            assert new.types == ["status"]
            assert (await asker.done())["status"]["completed"]
            assert new.types == ["status"]
            await new.send_flags()
            await asyncio.sleep(10)
            assert new.types == ["status"]
            assert not new.socket.closed
        assert await alive(asker)


def h5b(version: str) -> str:
    return (FOLDER / VERSIONS[version] / "h5b_reconnect_probe.txt").read_text(encoding="utf-8")


@versions
async def test_stalled_client_blocks_others(version: str, tmp_path: Path, epoch: Callable[[], float]) -> None:
    recorded = load(version, "h6_stalled_client_blocks_others").summary
    assert recorded["A's own prompt: messages in 5 s"] == 0
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "noise.png").write_bytes(noise(size=(576, 1024)))
    big: Json = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "noise.png"}},
        "2": {"class_type": "RepeatImageBatch", "inputs": {"image": ["1", 0], "amount": 12}},
        "3": {"class_type": "SaveImageWebsocket", "inputs": {"images": ["2", 0]}},
    }
    async with asking(tmp_path, version=version, now=epoch) as asker, asker.listening() as heard:
        stalled = stalled_client(asker.simulator.port)
        await asyncio.sleep(1)
        status, body = await asker.post("/prompt", {"prompt": big})
        assert status == 200
        await asker.ended(body["prompt_id"])
        prompt_id = await asker.submit()
        assert (await asker.ended(prompt_id))["status"]["completed"]
        await asyncio.sleep(5)
        assert not any(message["data"].get("prompt_id") == prompt_id for message in heard.messages)
        stalled.close()
        await heard.until(is_end)
        assert heard.types.count("binary1") == 12


def stalled_client(port: int) -> socket.socket:
    """Open a WebSocket that never reads."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    key = base64.b64encode(b"0123456789abcdef").decode()
    client.sendall(
        f"GET /ws?clientId=stalled HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    return client


@versions
async def test_many_prompts(version: str, tmp_path: Path, epoch: Callable[[], float]) -> None:
    """m: what 500 prompts make of queue, history and messages, here with 60."""
    recorded = load(version, "m_many_prompts").summary["500 trivial 2-node prompts"]["ws messages"]
    prompts = recorded["execution_start"]
    assert recorded["status"] == 3 * prompts + 1
    assert recorded["executing"] == 3 * prompts
    count = 60
    async with asking(tmp_path, version=version, now=epoch) as asker, asker.listening() as heard:
        first = await asker.submit(slow_graph(steps=100))
        ids = [first]
        for number in range(1, count):
            small = graph(colour=number, count=1, size=(16, 16))
            small["2"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
            ids.append(await asker.submit(small))
        queue = await asker.get("/queue")
        assert len(queue["queue_running"]) == 1
        assert len(queue["queue_pending"]) == count - 1
        await asker.post("/interrupt", {"prompt_id": first})
        await asker.ended(ids[-1])
        await heard.until(lambda message: is_end(message) and message["data"]["prompt_id"] == ids[-1])
        newest = await asker.get("/history?max_items=10")
        assert list(newest) == ids[-10:]
        assert len(await asker.get("/history")) == count
    types = Counter(heard.types)
    assert types["status"] == 3 * count + 1
    assert types["execution_start"] == types["execution_cached"] == count
    assert types["executing"] == 3 * count
    assert types["execution_interrupted"] == recorded["execution_interrupted"] == 1
