"""The HTTP client as it is used: what is sent for prompts and files, and what comes of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from anyio.abc import SocketStream

from comfytui.errors import Failure
from comfytui.simulator import Simulator
from comfytui.simulator.faults import Answered
from comfytui.sources.comfy import http as client_module
from comfytui.sources.comfy.address import ServerAddress
from comfytui.sources.comfy.failures import TransportFailure
from comfytui.sources.comfy.http import ComfyHttp
from comfytui.sources.comfy.wire import OutputFile, PromptRejection, PromptReply
from tests.conformance.virtual_time import VirtualTimeLoop
from tests.engine.conftest import worker_threads_hold_the_clock
from tests.sources.odd_servers import GRAPH, raw_server, saying, served

__all__ = ["worker_threads_hold_the_clock"]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Waiting takes no time."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


# --- prompts ----------------------------------------------------------------------------------------------------------


async def test_what_is_sent_for_a_prompt() -> None:
    bodies = []

    async def take(request: web.Request) -> web.Response:
        bodies.append((request.path, await request.json()))
        return web.json_response({"prompt_id": "p", "number": 4})

    async with served(take, prefix="/comfy") as address, ComfyHttp(address) as http:
        reply = await http.submit(GRAPH, "p", "c", {"run": "r"})
    assert reply == PromptReply(prompt_id="p", number=4)
    sent = {"prompt": GRAPH, "prompt_id": "p", "client_id": "c", "extra_data": {"run": "r"}}
    assert bodies == [("/comfy/prompt", sent)]


async def test_a_rejection_is_an_answer(tmp_path: Path) -> None:
    async with Simulator(output_dir=tmp_path).serve() as sim, ComfyHttp(ServerAddress.parse(sim.url)) as http:
        reply = await http.submit({"1": {"class_type": "NoSuchNode", "inputs": {}}}, "p", "c")
    assert isinstance(reply, PromptRejection)
    assert reply.node_type == "NoSuchNode"


async def test_an_empty_id_is_never_sent(tmp_path: Path) -> None:
    async with Simulator(output_dir=tmp_path).serve() as sim, ComfyHttp(ServerAddress.parse(sim.url)) as http:
        for ask in (
            lambda: http.interrupt(""),
            lambda: http.interrupt("  "),
            lambda: http.history(""),
            lambda: http.delete_pending(["a", ""]),
            lambda: http.submit({}, "", "c"),
            lambda: http.submit({}, "p", ""),
            lambda: http.history(".."),
        ):
            with pytest.raises(ValueError, match="blank"):
                await ask()
        await http.delete_pending([])
        assert await http.object_info("..") is None
        infos = await http.node_infos(["", ".."])  # a workflow may say so; both would ask for all of them
        assert infos == {"": None, "..": None}
        assert sim.requests == []


async def test_interrupt_delete_and_free_carry_what_they_mean(tmp_path: Path) -> None:
    async with Simulator(output_dir=tmp_path).serve() as sim, ComfyHttp(ServerAddress.parse(sim.url)) as http:
        await http.interrupt("p")
        await http.delete_pending(iter(["a", "b"]))
        await http.free()
        assert [(one.path, one.body) for one in sim.requests] == [
            ("/interrupt", {"prompt_id": "p"}),
            ("/queue", {"delete": ["a", "b"]}),
            ("/free", {"unload_models": True, "free_memory": True}),
        ]


async def test_history_is_read_by_id_alone(tmp_path: Path) -> None:
    async with Simulator(output_dir=tmp_path).serve() as sim, ComfyHttp(ServerAddress.parse(sim.url)) as http:
        assert await http.history("a/b?c#d") is None
        assert [one.path for one in sim.requests] == ["/history/a/b?c#d"]


async def test_node_infos_ask_for_each_class_and_never_for_all(tmp_path: Path) -> None:
    async with Simulator(output_dir=tmp_path).serve() as sim, ComfyHttp(ServerAddress.parse(sim.url)) as http:
        infos = await http.node_infos(["SaveImage", "Zed", "EmptyImage", "Amiss", "SaveImage"])
        assert [(name, info is None) for name, info in infos.items()] == [
            ("Amiss", True), ("EmptyImage", False), ("SaveImage", False), ("Zed", True),
        ]  # fmt: skip
        assert await http.node_infos([]) == {}
        assert {one.path for one in sim.requests} == {
            f"/object_info/{name}" for name in ("SaveImage", "Zed", "EmptyImage", "Amiss")
        }
        sim.faults.add(Answered(path="/object_info/*", status=500))
        with pytest.raises(TransportFailure):
            await http.node_infos(["SaveImage", "Zed"])


# --- files ------------------------------------------------------------------------------------------------------------


def frame(name: str, subfolder: str = "") -> OutputFile:
    return OutputFile(node="2", key="images", filename=name, subfolder=subfolder, type="output")


async def test_a_file_is_viewed_whole(tmp_path: Path) -> None:
    content = bytes(range(256)) * 20_000
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a b+é.png").write_bytes(content)
    async with Simulator(output_dir=tmp_path).serve() as sim, ComfyHttp(ServerAddress.parse(sim.url)) as http:
        async with http.view(frame("a b+é.png", "sub")) as viewed:
            got = b"".join([chunk async for chunk in viewed.chunks])
        assert (viewed.size, got) == (len(content), content)
        assert viewed.mtime is not None
        assert viewed.mtime.tzinfo is not None


async def test_a_file_that_is_not_there_has_status_404(tmp_path: Path) -> None:
    async with Simulator(output_dir=tmp_path).serve() as sim, ComfyHttp(ServerAddress.parse(sim.url)) as http:
        with pytest.raises(TransportFailure) as found:
            async with http.view(frame("none.png")):
                pass
        assert (found.value.code, found.value.status) == ("server.reply", 404)


async def test_a_file_that_breaks_off_is_no_file() -> None:
    async def half(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 100\r\n\r\nPNG")

    async with raw_server(half) as address, ComfyHttp(address) as http:
        with pytest.raises(TransportFailure):
            async with http.view(frame("a.png")) as viewed:
                async for _ in viewed.chunks:
                    pass


async def test_a_file_beyond_the_limit_and_a_login_page_instead_of_one() -> None:
    async with served(saying(bytes(5000), kind="image/png")) as address, ComfyHttp(address) as http:
        with pytest.raises(TransportFailure, match="larger than 100 bytes"):
            async with http.view(frame("a.png"), limit=100) as viewed:
                async for _ in viewed.chunks:
                    pass
    async with served(saying("<html>", kind="text/html")) as address, ComfyHttp(address) as http:
        with pytest.raises(TransportFailure) as found:
            async with http.view(frame("a.png")):
                pass
    assert found.value.code == "server.not_comfyui"


async def test_an_error_of_the_reader_passes_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x" * 100_000)
    async with Simulator(output_dir=tmp_path).serve() as sim, ComfyHttp(ServerAddress.parse(sim.url)) as http:
        with pytest.raises(LookupError, match="mine"):
            async with http.view(frame("a.png")):
                raise LookupError("mine")


async def test_an_upload_tells_the_name_for_load_image(tmp_path: Path) -> None:
    keyframe = tmp_path / "key.png"
    keyframe.write_bytes(b"\x89PNG one")
    async with (
        Simulator(output_dir=tmp_path / "out", input_dir=tmp_path / "in").serve() as sim,
        ComfyHttp(ServerAddress.parse(sim.url)) as http,
    ):
        assert await http.upload_image(keyframe, "run-key.png", "stories") == "stories/run-key.png"
        keyframe.write_bytes(b"\x89PNG two")
        assert await http.upload_image(keyframe, "run-key.png", "stories") == "stories/run-key (1).png"
        assert (tmp_path / "in" / "stories" / "run-key (1).png").read_bytes() == b"\x89PNG two"


async def test_an_upload_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Simulator(output_dir=tmp_path).serve() as sim, ComfyHttp(ServerAddress.parse(sim.url)) as http:
        with pytest.raises(Failure) as found:
            await http.upload_image(tmp_path / "none.png", "a.png")
        assert found.value.code == "story.keyframe_unreadable"
        (tmp_path / "big.png").write_bytes(bytes(1000))
        monkeypatch.setattr(client_module, "MAX_UPLOAD", 999)
        with pytest.raises(Failure, match="larger than"):
            await http.upload_image(tmp_path / "big.png", "a.png")
        assert sim.requests == []


async def test_the_log_is_bounded_and_plain() -> None:
    entries = [{"t": "x", "m": f"line {n} \x1b[31mred\n"} for n in range(1000)]
    async with served(saying(json.dumps({"entries": entries}))) as address, ComfyHttp(address) as http:
        tail = await http.logs_tail(100)
    assert tail is not None
    assert tail[-1] == "line 999 red"
    assert len("\n".join(tail).encode()) <= 100
    async with served(saying("", status=404)) as address, ComfyHttp(address) as http:
        assert await http.logs_tail() is None
        assert await http.folder_paths() is None


async def test_outside_of_its_block_it_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await ComfyHttp(ServerAddress.parse("http://127.0.0.1:1")).queue()
