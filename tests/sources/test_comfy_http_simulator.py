"""The HTTP client through whole prompts on the simulator: what it asks for, and what it understands of the end."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from comfytui.simulator import Faults, Simulator
from comfytui.simulator.faults import (
    Answered,
    Hang,
    HostileNames,
    NodeError,
    OutOfMemory,
    PartlyAccepted,
    Rejected,
    StatsWithoutVram,
    TruncatedFrame,
    WrongTypes,
)
from comfytui.sources.comfy import http as client_module
from comfytui.sources.comfy.address import ServerAddress
from comfytui.sources.comfy.connect import check_server
from comfytui.sources.comfy.failures import TransportFailure
from comfytui.sources.comfy.http import ComfyHttp
from comfytui.sources.comfy.wire import HistoryEntry, OutputFile, PromptRejection, PromptReply, is_out_of_memory
from comfytui.untrusted import inside
from tests.conformance.asking import graph, slow_graph

CLIENT = "the-client"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def served(folder: Path, *faults: Any, prefix: str = "") -> AsyncIterator[tuple[Simulator, ComfyHttp]]:
    simulator = Simulator(output_dir=folder / "output", faults=Faults(*faults))
    async with simulator.serve(), ComfyHttp(ServerAddress.parse(simulator.url + prefix)) as http:
        yield simulator, http


async def ended(http: ComfyHttp, prompt_id: str) -> HistoryEntry:
    """Return the entry of a prompt as soon as there is one."""
    with anyio.fail_after(20):
        while (entry := await http.history(prompt_id)) is None:
            await anyio.sleep(0.01)
    return entry


async def running(http: ComfyHttp, prompt_id: str) -> None:
    """Return when the prompt runs."""
    with anyio.fail_after(20):
        while (await http.queue()).where(prompt_id) != "running":
            await anyio.sleep(0.01)


async def submitted(http: ComfyHttp, prompt_id: str = "one", prefix: str = "frames") -> HistoryEntry:
    """Run a workflow of three frames to its end."""
    reply = await http.submit(graph(prefix), prompt_id, CLIENT)
    assert isinstance(reply, PromptReply)
    return await ended(http, prompt_id)


async def read(http: ComfyHttp, file: OutputFile) -> bytes:
    async with http.view(file) as viewed:
        return b"".join([chunk async for chunk in viewed.chunks])


async def test_a_prompt_from_submit_to_its_frames(tmp_path: Path) -> None:
    async with served(tmp_path) as (simulator, http):
        before = datetime.now(UTC)
        assert await http.submit(graph("run/scene"), "my-id", CLIENT) == PromptReply(prompt_id="my-id", number=0)
        entry = await ended(http, "my-id")
        assert (entry.outcome, entry.error) == ("success", None)
        assert entry.started_at is not None
        assert entry.success_at is not None
        assert before <= entry.success_at.replace(microsecond=999_999) <= datetime.now(UTC).replace(microsecond=999_999)
        assert entry.started_at <= entry.success_at
        told = [(one.node, one.key, one.subfolder, one.type) for one in entry.outputs]
        assert told == [("2", "images", "run", "output")] * 3
        for one in entry.outputs:
            path = inside(tmp_path / "output", one.subfolder, one.filename)
            assert path is not None
            async with http.view(one) as viewed:
                assert viewed.size == path.stat().st_size
                assert viewed.mtime is not None
                assert abs(viewed.mtime.timestamp() - path.stat().st_mtime) <= 1  # HTTP dates are whole seconds
                assert b"".join([chunk async for chunk in viewed.chunks]) == path.read_bytes()
        assert [one.body["client_id"] for one in simulator.requests if one.path == "/prompt"] == [CLIENT]


async def test_the_second_of_two_same_prompts_is_cached(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, http):
        first, second = await submitted(http, "first"), await submitted(http, "second")
    assert (first.cached_nodes, set(second.cached_nodes)) == ((), {"1", "2"})
    assert first.outputs == second.outputs


async def test_delete_and_interrupt_touch_only_what_is_named(tmp_path: Path) -> None:
    async with served(tmp_path, Hang(nth=1)) as (_, http):
        for name in ("runs", "waits", "goes"):
            await http.submit(slow_graph(name, seed=len(name)), name, CLIENT)
        await running(http, "runs")
        queue = await http.queue()
        assert [one.prompt_id for one in queue.pending] == ["waits", "goes"]
        assert {one.client_id for one in (*queue.running, *queue.pending)} == {CLIENT}
        assert await http.queue_remaining() == 3
        await http.delete_pending(["goes", "runs", "unknown"])
        await http.interrupt("waits")
        queue = await http.queue()
        assert (queue.where("runs"), queue.where("waits"), queue.where("goes")) == ("running", "pending", None)
        await http.interrupt("runs")
        entry = await ended(http, "runs")
        assert (entry.outcome, entry.error, entry.success_at) == ("interrupted", None, None)
        assert await http.history("goes") is None


@pytest.mark.parametrize("name", ["", " \t", ".", ".."])
async def test_no_name_leads_to_another_endpoint(tmp_path: Path, name: str) -> None:
    async with served(tmp_path) as (simulator, http):
        for ask in (
            lambda: http.interrupt(name),
            lambda: http.history(name),
            lambda: http.submit(graph(), name, CLIENT),
            lambda: http.delete_pending(["fine", name]),
        ):
            with pytest.raises(ValueError, match="blank"):
                await ask()
        assert await http.node_infos([name]) == {name: None}
        assert simulator.requests == []
        for name_with_slashes in ("../queue", "a/b", "ä?x=1#y", "...", "%2e%2e"):
            assert await http.history(name_with_slashes) is None
            assert await http.object_info(name_with_slashes) is None
        assert len(simulator.requests) == 10
        assert all(one.path.startswith(("/history/", "/object_info/")) for one in simulator.requests)
        assert {one.query for one in simulator.requests} == {""}


async def test_only_small_questions_are_asked(tmp_path: Path) -> None:
    async with served(tmp_path) as (simulator, http):
        await submitted(http)
        await check_server(http)
        await http.node_infos(["SaveImage"])
        await http.free()
        await http.logs_tail(100)
        paths = {one.path for one in simulator.requests}
    assert paths >= {"/history/one", "/object_info/SaveImage"}
    assert paths.isdisjoint({"/history", "/object_info", "/api/history", "/api/jobs"})


async def test_node_classes_are_asked_for_a_few_at_a_time() -> None:
    under_way, most = 0, 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await anyio.sleep(0.001)
        under_way -= 1
        return httpx.Response(200, stream=httpx.ByteStream(b"{}"), headers={"Content-Type": "application/json"})

    address = ServerAddress.parse("http://127.0.0.1:1")
    async with ComfyHttp(address, transport=httpx.MockTransport(answer)) as http:
        classes = [f"Node{number}" for number in range(40)]
        assert await http.node_infos(classes) == dict.fromkeys(classes)
    assert most == client_module.AT_ONCE


async def test_what_the_server_tells_about_itself(tmp_path: Path) -> None:
    async with served(tmp_path) as (simulator, http):
        facts = await check_server(http)
        assert (facts.stats.version, facts.notes) == ("0.8.0", ())
        assert facts.output_dir == str((tmp_path / "output").resolve())
        assert [device.type for device in facts.stats.devices] == ["cuda"]
        assert [one.path for one in simulator.requests] == ["/system_stats"]  # its command line told the folder
        assert "checkpoints" in (await http.folder_paths() or {})


async def test_an_unknown_output_folder_is_a_note(tmp_path: Path) -> None:
    bare = '{"system": {"argv": ["main.py"]}, "devices": []}'
    stats = Answered(path="/system_stats", status=200, text=bare, content_type="application/json")
    async with served(tmp_path, stats, Answered(path="/internal/*", status=500)) as (_, http):
        facts = await check_server(http)
    assert facts.output_dir is None
    assert len(facts.notes) == 1
    assert "output folder" in facts.notes[0]


@pytest.mark.parametrize(
    "fault", [StatsWithoutVram(), StatsWithoutVram(devices=False), WrongTypes(path="/system_stats")], ids=str
)
async def test_figures_that_are_not_told_are_none(tmp_path: Path, fault: StatsWithoutVram | WrongTypes) -> None:
    async with served(tmp_path, fault) as (simulator, http):
        stats = await http.system_stats()
        assert simulator.faults.used(fault) == 1
    assert all((device.vram_total, device.vram_free) == (None, None) for device in stats.devices)


async def test_below_a_path_prefix(tmp_path: Path) -> None:
    async with served(tmp_path, prefix="/api/") as (simulator, http):
        entry = await submitted(http)
        assert len(await read(http, entry.outputs[0])) > 50
        assert (await http.system_stats()).version == "0.8.0"
        assert await http.folder_paths() is None  # this server has it without the prefix alone
        assert all(one.path.startswith("/api/") for one in simulator.requests)


async def test_a_restarted_server_is_met_again_by_the_same_client(tmp_path: Path) -> None:
    async with served(tmp_path) as (simulator, http):
        await submitted(http)
        await simulator.kill()
        with pytest.raises(TransportFailure) as failure:
            await http.submit(graph(), "two", CLIENT)
        assert (failure.value.code, failure.value.may_have_arrived) == ("server.unreachable", False)
        await simulator.restart()
        assert await http.history("one") is None
        assert await http.queue_remaining() == 0


async def test_rejections_and_warnings_name_the_node(tmp_path: Path) -> None:
    async with served(tmp_path, Rejected(nth=1), PartlyAccepted(nth=2)) as (_, http):
        rejected, warned = [await http.submit(graph(), name, CLIENT) for name in ("one", "two")]
    assert isinstance(rejected, PromptRejection)
    assert (rejected.kind, rejected.node_id, rejected.node_type) == ("invalid_prompt", "1", "NotInstalled")
    assert isinstance(warned, PromptReply)
    assert warned.warnings == ("node 999 (SaveImage): Required input is missing: images",)


@pytest.mark.parametrize(
    ("fault", "memory"),
    [(NodeError(message="no such sampler"), False), (OutOfMemory(), True), (OutOfMemory(older_torch=True), True)],
)
async def test_failed_prompts_name_the_node(tmp_path: Path, fault: NodeError | OutOfMemory, memory: bool) -> None:
    async with served(tmp_path, fault) as (_, http):
        entry = await submitted(http)
    assert (entry.outcome, entry.success_at, entry.outputs) == ("error", None, ())
    assert entry.error is not None
    assert (entry.error.node_id, entry.error.node_type) == ("1", "EmptyImage")
    assert fault.message in entry.error.message
    assert is_out_of_memory(entry.error.exception_type) is memory


async def test_hostile_names_come_unchanged_and_are_refused_at_the_disk(tmp_path: Path) -> None:
    fault = HostileNames(replace=True)
    async with served(tmp_path, fault) as (_, http):
        entry = await submitted(http)
        assert [one.filename for one in entry.outputs] == list(fault.names)
        for one in entry.outputs:
            assert inside(tmp_path, one.subfolder, one.filename) is None
            assert one.shown.isprintable()
            assert len(one.shown) <= 300
            with pytest.raises(TransportFailure) as failure:  # and if it is asked for all the same
                await read(http, one)
            assert failure.value.code in ("server.reply", "server.auth")
            assert str(failure.value).isprintable()


async def test_a_truncated_file_is_given_as_it_is(tmp_path: Path) -> None:
    async with served(tmp_path, TruncatedFrame(frame=1)) as (_, http):
        entry = await submitted(http)
        cut, whole = [len(await read(http, entry.outputs[n])) for n in (0, 1)]
    assert 0 < cut < whole


async def test_a_file_that_is_read_in_part_leaves_the_client_usable(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, http):
        entry = await submitted(http)
        for _ in range(30):  # more than there are connections
            async with http.view(entry.outputs[0]) as viewed:
                async for _chunk in viewed.chunks:
                    break
        assert await read(http, entry.outputs[0])


async def test_names_of_uploads_in_any_script(tmp_path: Path) -> None:
    image = tmp_path / "one.png"
    image.write_bytes(b"\x89PNG one")
    async with served(tmp_path) as (_, http):
        for name in ("key.png", "schlüssel \u9375.png"):
            stored = await http.upload_image(image, name, "run/scene")
            assert stored == f"run/scene/{name}"
            file = OutputFile(node="", key="", filename=name, subfolder="run/scene", type="input")
            assert await read(http, file) == b"\x89PNG one"


def test_patience_outlasts_a_frozen_server() -> None:
    """A garbage collection freezes a server for 0.45 s; swapping and slow disks for longer."""
    assert inspect.signature(ComfyHttp.__init__).parameters["timeout"].default >= 5
