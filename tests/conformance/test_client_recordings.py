"""The client against everything that was recorded of real servers: each message and each reply is understood."""

import json
import re
from collections import Counter
from typing import Any

import httpx
import pytest

from comfytui.sources.comfy import wire
from comfytui.sources.comfy.address import ServerAddress
from comfytui.sources.comfy.connect import check_server, output_folder
from comfytui.sources.comfy.failures import TransportFailure
from comfytui.sources.comfy.http import ComfyHttp
from tests.conformance.recording import VERSIONS, Exchange, Message, load, scenarios

KINDS: dict[str, type[wire.Message]] = {
    "status": wire.Status,
    "execution_start": wire.ExecutionStart,
    "execution_cached": wire.ExecutionCached,
    "executing": wire.Executing,
    "progress": wire.Progress,
    "progress_state": wire.ProgressState,
    "executed": wire.Executed,
    "execution_success": wire.ExecutionSuccess,
    "execution_error": wire.ExecutionError,
    "execution_interrupted": wire.ExecutionInterrupted,
    "feature_flags": wire.FeatureFlags,
    "logs": wire.Logs,
    "binary1": wire.Preview,
    "binary3": wire.TextProgress,
    "binary4": wire.Preview,
}
HEARD = {
    "0.3.64": {
        "status": 276, "execution_start": 53, "execution_cached": 53, "executing": 164, "progress": 219,
        "progress_state": 489, "executed": 39, "execution_success": 39, "execution_error": 3,
        "execution_interrupted": 8, "feature_flags": 2, "logs": 2, "binary1": 2, "binary3": 2, "binary4": 1,
    },
    "0.8.0": {
        "status": 281, "execution_start": 54, "execution_cached": 54, "executing": 166, "progress": 216,
        "progress_state": 484, "executed": 38, "execution_success": 38, "execution_error": 3,
        "execution_interrupted": 10, "feature_flags": 2, "logs": 2, "binary1": 2, "binary3": 2, "binary4": 1,
    },
}  # fmt: skip
"""Messages recorded by type; of the binary ones only those whose bytes were kept."""


def recorded_messages(version: str) -> list[Message]:
    found = [one for scenario in scenarios(version) for one in load(version, scenario).messages()]
    return [one for one in found if not one.type.startswith("binary") or one.raw is not None]


def recorded_exchanges(version: str, method: str, path: str) -> list[Exchange]:
    found = [one for scenario in scenarios(version) for one in load(version, scenario).exchanges()]
    return [one for one in found if one.method == method and re.fullmatch(path, one.path) and not one.truncated]


def decoded(message: Message) -> wire.Message:
    if message.raw is not None:
        return wire.decode_binary(message.raw)
    return wire.decode_text(json.dumps({"type": message.type, "data": message.data}))


def replaying(exchange: Exchange) -> ComfyHttp:
    """Return a client of a server that gives the recorded answer to the recorded request and to no other."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.raw_path.decode()) == (exchange.method, exchange.path)
        body = exchange.body
        text = body["text"] if isinstance(body, dict) and list(body) == ["text"] else json.dumps(body)
        headers = {"Content-Type": exchange.content_type} if exchange.content_type else {}
        return httpx.Response(exchange.status or 0, stream=httpx.ByteStream(text.encode()), headers=headers)

    return ComfyHttp(ServerAddress.parse("http://127.0.0.1:8188"), transport=httpx.MockTransport(answer))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_message_is_known_by_its_type(version: str) -> None:
    counted: Counter[str] = Counter()
    for message in recorded_messages(version):
        found = decoded(message)
        assert type(found) is KINDS[message.type], (message, found)
        counted[message.type] += 1
    assert dict(counted) == HEARD[version]


@pytest.mark.parametrize("version", VERSIONS)
def test_messages_keep_what_the_engine_goes_by(version: str) -> None:
    ends = unnamed = files = 0
    for message in recorded_messages(version):
        found, data = decoded(message), message.data
        if not isinstance(found, (wire.Status, wire.Preview, wire.TextProgress, wire.FeatureFlags, wire.Logs)):
            assert getattr(found, "prompt_id") == data.get("prompt_id")  # noqa: B009 - all others have one
        match found:
            case wire.Status(remaining=remaining):
                assert remaining == data["status"]["exec_info"]["queue_remaining"]
            case wire.Executing(node=node, prompt_id=prompt_id):
                assert node == data["node"]
                ends += node is None
                unnamed += prompt_id is None
            case wire.Progress():
                assert (found.node, found.value, found.maximum) == (data["node"], data["value"], data["max"])
            case wire.ProgressState():
                states = Counter(node["state"] for node in data["nodes"].values())
                assert (found.finished, len(found.running)) == (states["finished"], states["running"])
            case wire.Executed():
                assert [one.filename for one in found.files] == [one["filename"] for one in data["output"]["images"]]
                files += len(found.files)
            case wire.ExecutionSuccess(at=at) | wire.ExecutionStart(at=at):
                assert at is not None
                assert at.timestamp() * 1000 == pytest.approx(data["timestamp"])
            case wire.ExecutionError(error=error):
                assert (error.node_id, error.exception_type) == (data["node_id"], data["exception_type"])
                assert error.message
    assert (ends, unnamed) == ({"0.3.64": 46, "0.8.0": 48}[version], 3)
    assert files > 100


@pytest.mark.parametrize("version", VERSIONS)
def test_previews_name_their_node_only_with_metadata(version: str) -> None:
    binaries = [one for one in recorded_messages(version) if one.raw is not None]
    previews = {one.type: found for one in binaries if isinstance(found := decoded(one), wire.Preview)}
    assert previews["binary1"].node is None
    assert previews["binary4"].node == "2"
    assert previews["binary4"].prompt_id is not None
    for found in previews.values():
        assert found.format == "jpeg"
        assert len(found.image) == found.size > 1000
        assert found.image.startswith(b"\xff\xd8")
    texts = [found for one in binaries if isinstance(found := decoded(one), wire.TextProgress)]
    assert {(one.node, one.text) for one in texts} >= {("4", "plain text")}


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_history_entry_is_read(version: str) -> None:
    outcomes: Counter[str | None] = Counter()
    for exchange in recorded_exchanges(version, "GET", "/history/[^?]+"):
        prompt_id = exchange.path.rsplit("/", 1)[1]
        async with replaying(exchange) as http:
            entry = await http.history(prompt_id)
        if not exchange.body:
            assert entry is None
            outcomes["none"] += 1
            continue
        assert entry is not None
        body = exchange.body[prompt_id]
        last = body["status"]["messages"][-1][0]
        assert entry.outcome == last.removeprefix("execution_")
        assert (entry.success_at is not None) == (entry.outcome == "success")
        assert (entry.error is not None) == (entry.outcome == "error")
        assert entry.started_at is not None
        assert json.loads(entry.raw) == exchange.body
        named = [one["filename"] for output in body["outputs"].values() for one in output.get("images", [])]
        assert [one.filename for one in entry.outputs] == named
        outcomes[entry.outcome] += 1
    assert outcomes == {
        "0.3.64": {"none": 7, "success": 24, "error": 4, "interrupted": 3},
        "0.8.0": {"none": 8, "success": 24, "error": 4, "interrupted": 3},
    }[version]  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
async def test_errors_and_out_of_memory_are_told_from_history(version: str) -> None:
    errors = {}
    for scenario in ("e_execution_error", "e2_execution_error_after_one_output_done", "e3_oom"):
        found = [one for one in load(version, scenario).exchanges() if re.fullmatch("/history/[^?]+", one.path)]
        exchange = next(one for one in found if one.body)
        async with replaying(exchange) as http:
            entry = await http.history(exchange.path.rsplit("/", 1)[1])
        assert entry is not None
        assert entry.error is not None
        errors[scenario] = entry.error
        assert entry.error.node_type == "SlowProgress"
        assert len(entry.outputs) == (2 if scenario.startswith("e2") else 0)
    assert "on purpose" in errors["e_execution_error"].message
    assert not wire.is_out_of_memory(errors["e_execution_error"].exception_type)
    assert wire.is_out_of_memory(errors["e3_oom"].exception_type)


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_queue_is_read_in_the_order_of_its_numbers(version: str) -> None:
    running = pending = 0
    for exchange in recorded_exchanges(version, "GET", "/queue"):
        if exchange.status is None:
            continue
        async with replaying(exchange) as http:
            queue = await http.queue()
        waiting = sorted(exchange.body["queue_pending"], key=lambda item: item[0])
        assert [(one.number, one.prompt_id) for one in queue.pending] == [(item[0], item[1]) for item in waiting]
        assert [one.client_id for one in queue.pending] == [item[3].get("client_id") for item in waiting]
        runs = {one.prompt_id for one in queue.running}
        for one in (*queue.running, *queue.pending):  # the recorder queued one id twice, on purpose
            assert queue.where(one.prompt_id) == ("running" if one.prompt_id in runs else "pending")
        assert queue.where("not there") is None
        running, pending = running + len(queue.running), pending + len(queue.pending)
    assert (running, pending) == (7, 21)


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_prompt_is_answered_or_rejected(version: str) -> None:
    counted: Counter[str] = Counter()
    for exchange in recorded_exchanges(version, "POST", "/prompt"):
        async with replaying(exchange) as http:
            try:
                reply = await http.submit({}, "ours", "client")
            except TransportFailure as failure:
                counted[f"{failure.code} {failure.status}"] += 1
                continue
        if isinstance(reply, wire.PromptReply):
            assert (reply.prompt_id, reply.number) == (exchange.body["prompt_id"], exchange.body["number"])
            assert bool(reply.warnings) == bool(exchange.body["node_errors"])
            counted["warned" if reply.warnings else "queued"] += 1
        else:
            assert reply.kind == exchange.body["error"]["type"]
            assert reply.message == exchange.body["error"]["message"]
            named = exchange.body["node_errors"] or "#" in exchange.body["error"]["details"]
            assert (reply.node_id is not None) == bool(named)
            counted[reply.kind] += 1
    rejected = {"invalid_prompt": 3, "prompt_outputs_failed_validation": 8, "prompt_no_outputs": 2, "no_prompt": 1}
    failed = {"server.reply 500": 3 if version == "0.3.64" else 2, "server.auth 403": 1}
    assert counted == {"queued": 106 if version == "0.3.64" else 107, "warned": 1} | rejected | failed


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_rejection_names_node_and_input(version: str) -> None:
    found = recorded_exchanges(version, "POST", "/prompt")
    rejections: list[wire.PromptRejection] = []
    for exchange in found:
        if exchange.status == 400:
            async with replaying(exchange) as http:
                reply = await http.submit({}, "ours", "client")
            assert isinstance(reply, wire.PromptRejection)
            rejections.append(reply)
    said = [sentence for one in rejections for sentence in one.sentences]
    assert "node 2 (SaveImage): Required input is missing: images" in said
    assert "node 1 (EmptyImage): Value 0 smaller than min of 1: width" in said
    missing = next(one for one in rejections if "NoSuchNode" in one.message)
    assert (missing.node_id, missing.node_type) == ("1", "NoSuchNode")
    assert missing.why == "Cannot execute because node NoSuchNode does not exist (Node ID '#1')"


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_server_tells_about_itself(version: str) -> None:
    (exchange,) = recorded_exchanges(version, "GET", "/system_stats")
    async with replaying(exchange) as http:
        facts = await check_server(http)
    assert facts.stats.system == exchange.body["system"]
    assert facts.stats.version == version
    assert facts.stats.argv[0] == "main.py"
    (device,) = facts.stats.devices
    assert (device.name, device.type, device.index) == ("cpu", "cpu", None)
    assert device.vram_total == exchange.body["devices"][0]["vram_total"]
    assert facts.output_dir == "/srv/comfyui/output"


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_output_folder_is_found_among_the_model_folders_too(version: str) -> None:
    (exchange,) = recorded_exchanges(version, "GET", "/internal/folder_paths")
    async with replaying(exchange) as http:
        paths = await http.folder_paths()
    nothing_said = wire.SystemStats(system={"argv": ["main.py"]}, devices=())
    assert output_folder(nothing_said, paths) == "/srv/comfyui/output"


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_small_endpoints(version: str) -> None:
    async def answers(method: str, path: str, ask: Any) -> list[Any]:
        found = []
        for exchange in recorded_exchanges(version, method, path):
            async with replaying(exchange) as http:
                found.append(await ask(http))
        return found

    assert [bool(one) for one in await answers("GET", "/object_info/SaveImage", lambda h: h.object_info("SaveImage"))]
    assert await answers("GET", "/object_info/NoSuch", lambda http: http.object_info("NoSuch")) == [None]
    assert await answers("GET", "/object_info/NoSuch", lambda http: http.node_infos(["NoSuch"])) == [{"NoSuch": None}]
    assert len(await answers("GET", "/prompt", lambda http: http.queue_remaining())) == 3
    (log,) = await answers("GET", "/internal/logs/raw", lambda http: http.logs_tail(200))
    assert 0 < len("\n".join(log).encode()) <= 200
    assert len(await answers("POST", "/interrupt", lambda http: http.interrupt("some-id"))) == 10
    assert len(await answers("POST", "/queue", lambda http: http.delete_pending(["some-id"]))) == 5
