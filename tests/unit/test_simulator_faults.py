"""Each fault of the simulator strikes where it should, and only there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from comfytui.simulator import Faults, Speed, faults
from comfytui.simulator.faults import (
    Answered,
    BrokenJson,
    ConnectionReset,
    Death,
    Fault,
    FewerFrames,
    HalfWritten,
    Hang,
    HistoryMissing,
    HostileNames,
    IdIgnored,
    InterruptLost,
    LateFrame,
    NodeError,
    OutOfMemory,
    PartlyAccepted,
    QueueFilled,
    Rejected,
    Slow,
    SocketDeaf,
    SocketDropped,
    SocketHalfOpen,
    SocketRefused,
    StatsWithoutVram,
    TruncatedFrame,
    UnreportedFrames,
    VramLeak,
    WrongTypes,
)
from tests.conformance.asking import CLIENT, asking, graph, is_end, slow_graph
from tests.conformance.virtual_time import VirtualTimeLoop

END = b"IEND\xaeB`\x82"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualTimeLoop}


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "output").rglob("*")) if path.is_file()}


def whole(folder: Path) -> list[bool]:
    return [data.endswith(END) for data in files(folder).values()]


async def test_a_fault_strikes_the_prompts_it_picks(tmp_path: Path) -> None:
    second, named, once = FewerFrames(nth=2, keep=1), UnreportedFrames(prefix="odd*"), Rejected(times=1, prefix="no")
    async with asking(tmp_path, faults=Faults(second, named, once)) as asker:
        assert len((await asker.done(graph("a")))["outputs"]["2"]["images"]) == 3
        assert len((await asker.done(graph("b")))["outputs"]["2"]["images"]) == 1
        assert len((await asker.done(graph("c")))["outputs"]["2"]["images"]) == 3
        assert (await asker.done(graph("oddly")))["outputs"] == {}
        assert (await asker.post("/prompt", {"prompt": graph("no")}))[0] == 400
        assert (await asker.post("/prompt", {"prompt": graph("no")}))[0] == 200
        struck = [asker.simulator.faults.used(fault) for fault in (second, named, once)]
        assert struck == [1, 1, 1]


async def test_faults_change_while_the_server_runs(tmp_path: Path) -> None:
    async with asking(tmp_path) as asker:
        fault = Rejected()
        asker.simulator.faults.add(fault)
        assert (await asker.post("/prompt", {"prompt": graph()}))[0] == 400
        asker.simulator.faults.remove(fault)
        assert (await asker.post("/prompt", {"prompt": graph()}))[0] == 200
        asker.simulator.faults.add(fault)
        asker.simulator.faults.clear()
        assert (await asker.post("/prompt", {"prompt": graph()}))[0] == 200


async def test_rejected(tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(Rejected())) as asker:
        status, body = await asker.post("/prompt", {"prompt": graph()})
        assert status == 400
        assert body["error"]["type"] == "invalid_prompt"
        assert body["node_errors"] == {}
        assert await asker.get("/history") == {}


async def test_partly_accepted(tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(PartlyAccepted())) as asker:
        status, body = await asker.post("/prompt", {"prompt": graph()})
        assert status == 200
        assert body["node_errors"]["999"]["dependent_outputs"] == ["999"]
        assert (await asker.ended(body["prompt_id"]))["status"]["completed"]


async def test_an_ignored_id_is_replaced(tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(IdIgnored())) as asker:
        prompt_id = await asker.submit(prompt_id="mine")
        assert prompt_id != "mine"
        assert (await asker.ended(prompt_id))["status"]["completed"]


async def test_queue_filled_by_others(tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(QueueFilled(count=3, seconds=2.0))) as asker:
        prompt_id = await asker.submit()
        begun = asyncio.get_running_loop().time()
        queue = await asker.get("/queue")
        assert len(queue["queue_running"] + queue["queue_pending"]) == 4
        await asker.ended(prompt_id)
        assert asyncio.get_running_loop().time() - begun >= 6.0
        assert list(files(tmp_path)) == ["frames_00001_.png", "frames_00002_.png", "frames_00003_.png"]


@pytest.mark.parametrize(
    ("fault", "node", "kind"),
    [
        (NodeError(), "1", "RuntimeError"),
        (NodeError(at="SaveImage", exception_type="OSError"), "2", "OSError"),
        (NodeError(at="3", step=4), "3", "RuntimeError"),
        (NodeError(after_outputs=1), "2", "RuntimeError"),
        (OutOfMemory(at="SlowProgress"), "3", "torch.OutOfMemoryError"),
        (OutOfMemory(older_torch=True), "1", "torch.cuda.OutOfMemoryError"),
    ],
)
async def test_node_errors(fault: Fault, node: str, kind: str, tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(fault)) as asker, asker.listening() as heard:
        entry = await asker.done(slow_graph())
        told = await heard.until(lambda message: message["type"] == "execution_error")
        await heard.until(is_end)
    assert told["data"]["node_id"] == node
    assert told["data"]["exception_type"] == kind
    assert entry["status"]["status_str"] == "error"
    assert entry["status"]["messages"][-1] == ["execution_error", told["data"]]
    assert bool(entry["outputs"]) == (fault == NodeError(after_outputs=1))
    assert ("CUDA out of memory" in told["data"]["exception_message"]) == isinstance(fault, OutOfMemory)


async def test_hang_ends_by_interrupt_only(tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(Hang(at="SlowProgress", times=1))) as asker:
        prompt_id = await asker.submit(slow_graph())
        await asyncio.sleep(3600)
        assert await asker.entry(prompt_id) is None
        await asker.post("/interrupt", {"prompt_id": prompt_id})
        assert (await asker.ended(prompt_id))["status"]["messages"][-1][0] == "execution_interrupted"


async def test_hang_that_nothing_ends(tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(Hang(interruptible=False))) as asker:
        prompt_id = await asker.submit()
        await asyncio.sleep(1)
        await asker.post("/interrupt", {"prompt_id": prompt_id})
        await asyncio.sleep(3600)
        assert await asker.entry(prompt_id) is None
        assert len((await asker.get("/queue"))["queue_running"]) == 1


async def test_interrupt_lost_once(tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(InterruptLost(count=1))) as asker:
        prompt_id = await asker.submit(slow_graph(steps=100))
        for _ in range(2):
            await asyncio.sleep(2.5)
            running = await asker.get("/queue")
            assert len(running["queue_running"]) == 1
            await asker.post("/interrupt", {"prompt_id": prompt_id})
        assert (await asker.ended(prompt_id))["status"]["status_str"] == "error"


async def test_death_and_return(tmp_path: Path) -> None:
    fault = Death(at="SaveImage", step=2, restart_after=3.0, times=1)
    async with asking(tmp_path, faults=Faults(fault)) as asker, asker.listening() as heard:
        prompt_id = await asker.submit()
        await asyncio.sleep(1)
        assert not asker.simulator.alive
        assert heard.socket.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE
        with pytest.raises(aiohttp.ClientConnectionError):
            await asker.get("/queue")
        await asyncio.sleep(3)
        assert await asker.entry(prompt_id) is None
        assert await asker.get("/queue") == {"queue_running": [], "queue_pending": []}
        assert list(files(tmp_path)) == ["frames_00001_.png", "frames_00002_.png"]
        status, body = await asker.post("/prompt", {"prompt": graph()})
        assert (status, body["number"]) == (200, 0)
        entry = await asker.ended(body["prompt_id"])
        assert entry["outputs"]["2"]["images"][0]["filename"] == "frames_00003_.png"


async def test_history_missing_for_a_while(tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(HistoryMissing(seconds=4.0))) as asker, asker.listening() as heard:
        prompt_id = await asker.submit()
        await heard.until(is_end)
        assert await asker.entry(prompt_id) is None
        assert await asker.get("/history") == {}
        await asyncio.sleep(3.9)
        assert await asker.entry(prompt_id) is None
        await asyncio.sleep(0.2)
        assert await asker.entry(prompt_id) is not None


@pytest.mark.parametrize(("reported", "named"), [(False, 0), (True, 3)])
async def test_no_frames_with_success(reported: bool, named: int, tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(FewerFrames(keep=0, reported=reported))) as asker:
        entry = await asker.done()
    assert entry["status"]["completed"]
    assert len(entry["outputs"].get("2", {"images": []})["images"]) == named
    assert files(tmp_path) == {}


async def test_unreported_frames(tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(UnreportedFrames())) as asker, asker.listening() as heard:
        entry = await asker.done()
        await heard.until(is_end)
    assert entry["outputs"] == {}
    assert "executed" not in heard.types
    assert whole(tmp_path) == [True, True, True]


async def test_truncated_frame(tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(TruncatedFrame(frame=2))) as asker:
        entry = await asker.done()
        await asyncio.sleep(600)
    assert len(entry["outputs"]["2"]["images"]) == 3
    assert whole(tmp_path) == [True, False, True]


async def test_half_written_frame(tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(HalfWritten(frame=1, pause=5.0))) as asker:
        await asker.submit()
        await asyncio.sleep(1)
        assert whole(tmp_path) == [False]
        assert len(files(tmp_path)["frames_00001_.png"]) > 0
        await asyncio.sleep(10)
        assert whole(tmp_path) == [True, True, True]


async def test_late_frame(tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(LateFrame(frame=-1, seconds=5.0))) as asker:
        entry = await asker.done()
        assert len(entry["outputs"]["2"]["images"]) == 3
        assert whole(tmp_path) == [True, True]
        await asyncio.sleep(6)
        assert whole(tmp_path) == [True, True, True]


@pytest.mark.parametrize("replace", [False, True])
async def test_hostile_names(replace: bool, tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(HostileNames(replace=replace))) as asker:
        items = (await asker.done())["outputs"]["2"]["images"]
    names = [item["filename"] for item in items]
    assert names[-len(faults.HOSTILE_NAMES) :] == list(faults.HOSTILE_NAMES)
    assert ("frames_00001_.png" in names) == (not replace)


async def test_vram_sinks_recovers_and_leaks(tmp_path: Path) -> None:
    async def free() -> int:
        return int((await asker.get("/system_stats"))["devices"][0]["vram_free"])

    async with asking(tmp_path) as asker:
        before = await free()
        prompt_id = await asker.submit(slow_graph())
        await asyncio.sleep(5)
        assert await free() < before
        await asker.ended(prompt_id)
        after = await free()
        assert 0 < before - after < 100 << 20
        asker.simulator.faults.add(VramLeak(size=1 << 30, times=2))
        for number in range(3):
            await asker.done(graph(colour=number))
        assert after - await free() == 2 << 30


@pytest.mark.parametrize("status", [500, 403])
async def test_socket_refused(status: int, tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(SocketRefused(nth=1, status=status))) as asker:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await asker.session.ws_connect(f"/ws?clientId={CLIENT}")
        assert refused.value.status == status
        async with asker.listening() as heard:
            await asyncio.sleep(0.1)
            assert heard.types == ["status"]


async def test_socket_deaf_answers_pings_only(tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(SocketDeaf())) as asker, asker.listening(flags=True) as heard:
        await asker.done()
        await asyncio.sleep(60)
        assert heard.types == []
        assert not heard.socket.closed


async def test_socket_half_open_answers_nothing(tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(SocketHalfOpen(after_messages=2))) as asker:
        socket = await asker.session.ws_connect("/ws?clientId=x", autoping=False)
        for _ in range(2):
            if not asker.simulator.prompts_executed:
                await asker.done()
            await socket.receive(timeout=5)
        await socket.ping(b"are you there")
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=60)
        await socket.close()


@pytest.mark.parametrize(
    ("fault", "heard_types"),
    [
        (SocketDropped(), []),
        (SocketDropped(after_messages=3), ["status", "status", "status"]),
        (SocketDropped(after_messages=3, clean=True), ["status", "status", "status"]),
        (SocketDropped(before="execution_start"), ["status", "status", "status"]),
    ],
)
async def test_socket_dropped(fault: SocketDropped, heard_types: list[str], tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(fault)) as asker, asker.listening() as heard:
        await asyncio.sleep(0.1)
        assert (await asker.done())["status"]["completed"]
        await asyncio.sleep(1)
        assert heard.types == heard_types
        assert heard.socket.close_code == (1000 if fault.clean else 1006)


@pytest.mark.parametrize("clean", [False, True])
async def test_sockets_dropped_at_a_moment(clean: bool, tmp_path: Path) -> None:
    async with asking(tmp_path) as asker, asker.listening() as heard, asker.listening("other") as other:
        await asyncio.sleep(0.1)
        await asker.simulator.drop_sockets(clean=clean, client_ids=[CLIENT])
        await asyncio.sleep(0.1)
        assert heard.socket.close_code == (1000 if clean else 1006)
        assert not other.socket.closed


async def test_login_page_and_redirect_for_everything(tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(Answered.login_page(times=3))) as asker:
        for path in ("/system_stats", "/queue", "/ws"):
            async with asker.session.get(path) as response:
                assert (response.status, response.content_type) == (200, "text/html")
        asker.simulator.faults.add(Answered.redirect())
        async with asker.session.get("/queue", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (302, "/login")


async def test_answered_instead(tmp_path: Path) -> None:
    unauthorized = Answered(path="/queue", method="GET", status=401, text="who are you?")
    async with asking(tmp_path, faults=Faults(Answered(path="/system_stats"), unauthorized)) as asker:
        async with asker.session.get("/api/system_stats") as response:
            assert response.status == 500
        async with asker.session.get("/queue") as response:
            assert (response.status, await response.text()) == (401, "who are you?")
        assert (await asker.post("/queue", {}))[0] == 200


async def test_slow_answer(tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(Slow(path="/queue", seconds=30.0))) as asker:
        begun = asyncio.get_running_loop().time()
        await asker.get("/queue")
        assert asyncio.get_running_loop().time() - begun >= 30.0


@pytest.mark.parametrize(("after", "executed"), [(False, 0), (True, 1)])
async def test_connection_reset_on_submit(after: bool, executed: int, tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(ConnectionReset(after=after))) as asker:
        with pytest.raises(aiohttp.ClientConnectionError):
            await asker.submit()
        await asyncio.sleep(5)
        assert len(asker.simulator.prompts_executed) == executed


async def test_broken_json_and_wrong_types(tmp_path: Path) -> None:
    async with asking(tmp_path) as asker:
        prompt_id = await asker.submit()
        right = await asker.ended(prompt_id)
        asker.simulator.faults.add(WrongTypes(times=1), BrokenJson(path="/queue"))
        wrong = await asker.entry(prompt_id)
        assert wrong is not None
        assert all(type(wrong[key]) is not type(right[key]) for key in ("prompt", "outputs", "status"))
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            await asker.get("/queue")


async def test_stats_without_vram(tmp_path: Path) -> None:
    async with asking(tmp_path, faults=Faults(StatsWithoutVram(times=1))) as asker:
        (device,) = (await asker.get("/system_stats"))["devices"]
        assert device == {"name": "cuda:0 Simulated GPU", "type": "cuda", "index": 0}
        asker.simulator.faults.add(StatsWithoutVram(devices=False))
        assert (await asker.get("/system_stats"))["devices"] == []


async def test_kill_forgets_and_restart_begins_anew(tmp_path: Path) -> None:
    async with asking(tmp_path) as asker, asker.listening() as heard:
        await asker.done()
        url = asker.simulator.url
        await asker.simulator.kill()
        await asyncio.sleep(0.1)
        assert heard.socket.close_code == 1006
        with pytest.raises(aiohttp.ClientConnectionError):
            await asker.get("/queue")
        await asker.simulator.restart()
        with pytest.raises(RuntimeError):
            await asker.simulator.restart()
        assert asker.simulator.url == url
        assert await asker.get("/history") == {}


async def test_garbage_collection_stalls_everything(tmp_path: Path) -> None:
    async with asking(tmp_path, speed=Speed(gc_freeze=0.4)) as asker, asker.listening() as heard:
        loop = asyncio.get_running_loop()
        prompt_id = await asker.submit()
        begun = loop.time()
        await heard.until(is_end)
        assert 0.39 < loop.time() - begun < 0.5
        assert await asker.entry(prompt_id) is not None
        begun = loop.time()
        await asker.done(graph(colour=1))
        assert loop.time() - begun < 0.3


def test_every_fault_is_tested() -> None:
    kinds = {
        kind
        for kind in vars(faults).values()
        if isinstance(kind, type) and issubclass(kind, Fault) and kind.__module__ == faults.__name__
    }
    bases = {base for kind in kinds for base in kind.__mro__[1:]}
    tested = {value for value in globals().values() if isinstance(value, type)}
    elsewhere = {faults.SocketLingers}  # tests/conformance/test_simulator_races.py
    assert kinds - bases - tested == elsewhere
