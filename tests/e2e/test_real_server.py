"""The main job on a real ComfyUI, named by COMFYTUI_TEST_SERVER and running on this machine; no model is needed.

What only slow, failing or cached prompts show needs the server's test nodes (SlowProgress, SlowFrameWriter); without
them these tests are skipped. Nothing on the server is cleared, and no prompt of others is touched.
"""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from comfytui.cli.planning import make_plan, order_story
from comfytui.clock import system_clock
from comfytui.engine.frames.shelves import HttpShelf
from comfytui.engine.prompt.ending import of_history
from comfytui.engine.runner import Runner
from comfytui.engine.server import connection
from comfytui.engine.server.credentials import Credentials
from comfytui.records.rundir import RunDir, create_run, find_run, write_plan
from comfytui.settings.merged import load
from comfytui.sources.comfy.address import ServerAddress
from comfytui.sources.comfy.http import ComfyHttp
from tests.e2e.command import comfytui, started, story

Json = dict[str, Any]

SERVER = os.environ.get("COMFYTUI_TEST_SERVER", "").rstrip("/")
PATIENCE = 40.0
FRAMES = 5
NO_FRAMES = "artifact-metadata.json: no frame of any scene is proven whole"
"""What the contract finds amiss in a run that could not render anything."""

pytestmark = [
    pytest.mark.real_server,
    pytest.mark.skipif(not SERVER, reason="needs a real ComfyUI at COMFYTUI_TEST_SERVER"),
]


# --- the server, asked by other means than ours --------------------------------------------------------------------


def ask(path: str, body: Json | None = None) -> Any:
    """Return the JSON that the server answers to GET, or to POST with ``body``; ``None`` for an empty answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{SERVER}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def view(image: Json) -> bytes:
    """Return the bytes of an output as the server has them."""
    with urllib.request.urlopen(f"{SERVER}/view?{urllib.parse.urlencode(image)}", timeout=30) as answer:
        content: bytes = answer.read()
    return content


def history(prompt_id: str) -> Json | None:
    entry: Json | None = ask(f"/history/{prompt_id}").get(prompt_id)
    return entry


def queued() -> list[str]:
    """Return the ids of the prompts that run or wait."""
    queue = ask("/queue")
    return [item[1] for item in (*queue["queue_running"], *queue["queue_pending"])]


def eventually(true: Callable[[], object]) -> None:
    """Return once ``true()`` holds; the server is another process, so there is nothing but to look again."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


def somebody_elses(seconds: float) -> str:
    """Queue a prompt of somebody else that runs for ``seconds`` (no time at all without test nodes); return its id."""
    pace = {"steps": 10, "seconds_per_step": seconds / 10, "fail_at_step": -1, "preview": False}
    size = {"width": 64, "height": 64, "batch_size": 1, "color": uuid.uuid4().int % 0xFFFFFF}
    graph: Json = {"1": {"class_type": "EmptyImage", "inputs": size}}
    if has_node("SlowProgress"):
        graph["2"] = {"class_type": "SlowProgress", "inputs": {"image": ["1", 0], **pace}}
    graph["3"] = {"class_type": "PreviewImage", "inputs": {"images": [max(graph), 0]}}
    prompt_id: str = ask("/prompt", {"prompt": graph, "client_id": uuid.uuid4().hex})["prompt_id"]
    return prompt_id


def has_node(name: str) -> bool:
    return name in ask(f"/object_info/{name}")


@pytest.fixture
def with_test_nodes() -> None:
    """Skip where the server lacks the test nodes."""
    missing = [name for name in ("SlowProgress", "SlowFrameWriter") if not has_node(name)]
    if missing:
        pytest.skip(f"the server has no {' and no '.join(missing)}")


# --- runs ----------------------------------------------------------------------------------------------------------


def run(folder: Path, *more: str, scenes: int = 1, workflow: str = "smoke") -> "subprocess.CompletedProcess[str]":
    """Render a story with the real command."""
    return comfytui(*arguments(folder, scenes, workflow), *more, cwd=folder)


def arguments(folder: Path, scenes: int, workflow: str) -> list[str]:
    written = story(folder, scenes=scenes, frames=FRAMES)
    return [
        "run", str(written), "--server", SERVER, "--workflow", workflow, "--headless", "--runs-dir",
        str(folder / "runs"), "--frame-floor", str(FRAMES),
    ]  # fmt: skip


def workflow_file(folder: Path, graph: Json) -> str:
    path = folder / "workflow.json"
    path.write_text(json.dumps(graph), encoding="utf-8")
    return str(path)


def slow(steps: int = 600, fail_at: int = -1) -> Json:
    """Return a workflow that takes a tenth of a second a step, and fails at step ``fail_at``."""
    pace = {"steps": steps, "seconds_per_step": 0.1, "fail_at_step": fail_at, "preview": False, "seed": "__SEED__"}
    size = {"width": 64, "height": 64, "batch_size": "__FRAME_COUNT__", "color": 0}
    return {
        "1": {"class_type": "EmptyImage", "inputs": size},
        "2": {"class_type": "SlowProgress", "inputs": {"image": ["1", 0], **pace}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "__SCENE_PREFIX__"}},
    }


def writer(**more: Any) -> Json:
    """Return a workflow whose frames come slowly, each in two halves."""
    size = {"width": 64, "height": 64, "batch_size": 1, "color": "__SEED__"}
    pace = {"frames": "__FRAME_COUNT__", "delay": 0.05, "half_write": True, "half_pause": 0.3, "report_ui": True}
    inputs = {"images": ["1", 0], "filename_prefix": "__SCENE_PREFIX__", "done_marker": False, **pace, **more}
    return {
        "1": {"class_type": "EmptyImage", "inputs": size},
        "2": {"class_type": "SlowFrameWriter", "inputs": inputs},
    }


def scenes_of(record: RunDir, *findings: str) -> list[Json]:
    """Return the scenes of a finished run, once its metadata keeps to the schema and it validates but for ``findings``.

    The telemetry of every attempt is held to the schema too, not only that of the best.
    """
    validated = comfytui("validate", str(record.path), cwd=record.path.parent)
    told = [line.partition(": ")[2] for line in validated.stdout.splitlines() if line.startswith("ERROR: ")]
    assert (validated.returncode, told) == (1 if findings else 0, list(findings))
    schema = json.loads(comfytui("contract", "--schema", cwd=record.path.parent).stdout)
    metadata = json.loads(record.metadata.read_text(encoding="utf-8"))
    jsonschema.validate(metadata, schema)
    facts = [json.loads(line)["event"] for line in record.journal.read_text(encoding="utf-8").splitlines()]
    attempts = [fact["telemetry"] for fact in facts if fact["type"] == "attempt_ended"]
    assert attempts
    for telemetry in attempts:
        jsonschema.validate(telemetry, {"$ref": "#/$defs/Telemetry", "$defs": schema["$defs"]})
    scenes: list[Json] = metadata["Scenes"]
    return scenes


def holds_the_servers_frames(record: RunDir, scene: Json, count: int = FRAMES) -> None:
    """Assert that the scene's frames are the very bytes of what the server reports for its prompt."""
    entry = history(scene["PromptId"])
    assert entry is not None
    images = [image for output in entry["outputs"].values() for image in output.get("images", [])]
    folder = record.path / scene["GeneratedFramesDir"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(image["filename"] for image in images)
    assert len(images) == count
    listed = {frame["Name"]: frame for frame in scene["Frames"]}
    for image in images:
        content = view(image)
        assert (folder / image["filename"]).read_bytes() == content
        frame = listed[image["filename"]]
        assert (frame["Bytes"], frame["Sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert frame["Verified"]


# --- the main job --------------------------------------------------------------------------------------------------


def test_three_scenes_render_while_somebody_elses_prompts_go_on(tmp_path: Path) -> None:
    foreign = [somebody_elses(1.5), somebody_elses(0.5)]
    done = run(tmp_path, scenes=3)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "3/3 scenes succeeded" in done.stdout
    record = find_run(tmp_path / "runs")
    scenes = scenes_of(record)
    assert [scene["SceneId"] for scene in scenes] == ["scene-001", "scene-002", "scene-003"]
    for scene in scenes:
        telemetry = scene["Telemetry"]
        assert (scene["Success"], scene["MeetsFrameFloor"], scene["FrameCount"]) == (True, True, FRAMES)
        assert (telemetry["HistoryExitReason"], telemetry["ExecutionStatus"]) == ("success", "success")
        assert scene["AttemptsRun"] == 1
        assert telemetry["ExecutionSuccessDetected"]
        assert telemetry["GPU"]["Source"] == "system_stats"
        assert telemetry["GPU"]["VramFreeBefore"] > 0
        assert telemetry["GPU"]["VramFreeAfter"] > 0
        assert telemetry["System"]["Before"]["comfyui_version"]
        assert telemetry["System"]["FallbackNotes"] == []
        assert not telemetry["ForcedCopyTriggered"]
        holds_the_servers_frames(record, scene)
    eventually(lambda: all(history(prompt_id) for prompt_id in foreign))
    for prompt_id in foreign:
        entry = history(prompt_id)
        assert entry is not None
        assert entry["status"]["status_str"] == "success"


def test_scenes_execute_in_the_storys_order(tmp_path: Path) -> None:
    assert run(tmp_path, scenes=6).returncode == 0
    scenes = scenes_of(find_run(tmp_path / "runs"))
    begun = []
    for scene in scenes:
        entry = history(scene["PromptId"])
        assert entry is not None
        begun.append(dict(entry["status"]["messages"])["execution_start"]["timestamp"])
    assert begun == sorted(begun)


async def test_frames_come_by_view_from_a_server_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server on this machine is told from one elsewhere by its folder: taken for one elsewhere, it serves as one."""
    monkeypatch.setattr(connection, "shelf_for", lambda server, facts, http, clock: HttpShelf(http))
    flags = {"server": SERVER, "workflow": "smoke", "runs_dir": str(tmp_path / "runs")}
    settings, clock = load(flags, {}, tmp_path), system_clock()
    order = order_story(story(tmp_path, scenes=2, frames=FRAMES), settings)
    record = create_run(settings.runs_dir, clock)
    plan = make_plan(order, settings, run_id=record.run_id, created_at=clock.now(), simulator_speed="instant")
    write_plan(record, plan, order.story_file)
    with Runner(record, plan, clock, Credentials()) as runner:
        assert await runner.drive() == 0
    frames = [frame for scene in runner.hub.state.scenes for frame in scene.attempts[-1].frames]
    assert [frame.via for frame in frames] == ["http"] * 2 * FRAMES
    for scene in scenes_of(record):
        holds_the_servers_frames(record, scene)


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio, in real time."""
    return "asyncio"


# --- what goes otherwise -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("with_test_nodes")
def test_frames_that_come_in_halves_are_taken_whole(tmp_path: Path) -> None:
    done = run(tmp_path, workflow=workflow_file(tmp_path, writer()))
    assert done.returncode == 0, done.stdout
    record = find_run(tmp_path / "runs")
    (scene,) = scenes_of(record)
    assert scene["Telemetry"]["ExecutionStatus"] == "success"
    holds_the_servers_frames(record, scene)


@pytest.mark.usefixtures("with_test_nodes")
def test_frames_that_nobody_reports_are_found_by_their_prefix(tmp_path: Path) -> None:
    done = run(tmp_path, "--done-marker", workflow=workflow_file(tmp_path, writer(report_ui=False, done_marker=True)))
    assert done.returncode == 0, done.stdout
    (scene,) = scenes_of(find_run(tmp_path / "runs"))
    assert scene["FrameCount"] == FRAMES
    assert scene["Telemetry"]["HistoryExitReason"] == "success"
    assert scene["Telemetry"]["DoneMarkerDetected"]


@pytest.mark.usefixtures("with_test_nodes")
def test_an_error_of_a_node_is_told_and_tried_again_within_the_budget(tmp_path: Path) -> None:
    done = run(tmp_path, "--retry-budget", "1", workflow=workflow_file(tmp_path, slow(steps=10, fail_at=3)))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (scene,) = scenes_of(find_run(tmp_path / "runs"), NO_FRAMES)
    telemetry, error = scene["Telemetry"], scene["Telemetry"]["ExecutionError"]
    assert (scene["Success"], scene["AttemptsRun"], scene["Requeued"]) == (False, 2, True)
    assert (telemetry["ExecutionStatus"], telemetry["HistoryExitReason"]) == ("error", "unknown")
    assert not telemetry["ExecutionSuccessDetected"]
    assert (error["NodeId"], error["NodeType"], error["ExceptionType"]) == ("2", "SlowProgress", "RuntimeError")
    assert "failed on purpose at step 3" in error["Message"]
    assert error["Code"] == "prompt.failed"


@pytest.mark.usefixtures("with_test_nodes")
def test_what_a_person_interrupts_on_the_server_is_not_tried_again(tmp_path: Path) -> None:
    with under_way(tmp_path, scenes=1) as process:
        prompt_id = executing(process)
        eventually(lambda: interrupted(prompt_id))
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    (scene,) = scenes_of(find_run(tmp_path / "runs"), NO_FRAMES)
    assert scene["AttemptsRun"] == 1
    assert scene["Telemetry"]["ExecutionStatus"] == "interrupted"
    assert scene["Telemetry"]["HistoryExitReason"] == "unknown"
    assert scene["Telemetry"]["ExecutionError"]["Code"] == "prompt.interrupted"


@contextlib.contextmanager
def under_way(folder: Path, scenes: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Render slow scenes; whatever becomes of the test, the process is over when it is."""
    with started(*arguments(folder, scenes, workflow_file(folder, slow())), "--json", cwd=folder) as process:
        try:
            yield process
        finally:
            process.kill()


def interrupted(prompt_id: str) -> bool:
    """Interrupt the prompt, by its id (one request may be lost); tell whether it is over."""
    ask("/interrupt", {"prompt_id": prompt_id})
    return history(prompt_id) is not None


@pytest.mark.usefixtures("with_test_nodes")
@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT reaches no process of another group there")
def test_a_run_that_is_stopped_takes_its_prompts_with_it_and_nobody_elses(tmp_path: Path) -> None:
    with under_way(tmp_path, scenes=3) as process:
        executing(process)
        foreign = somebody_elses(0.3)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert b"Traceback" not in told
    scenes = scenes_of(find_run(tmp_path / "runs"), NO_FRAMES)
    assert [scene["Telemetry"]["ExecutionStatus"] for scene in scenes] == ["interrupted"] * 3
    assert not {scene["PromptId"] for scene in scenes} & set(queued())
    eventually(lambda: history(foreign))
    entry = history(foreign)
    assert entry is not None
    assert entry["status"]["status_str"] == "success"


def executing(process: "subprocess.Popen[bytes]") -> str:
    """Return the prompt id of the scene that is the first to execute, once it does."""
    assert process.stdout is not None
    planned = {}
    for line in process.stdout:
        event = json.loads(line).get("event", {})
        if event.get("type") == "attempt_planned":
            planned[event["scene"]] = event["prompt_id"]
        if event.get("type") == "execution_started":
            return str(planned[event["scene"]])
    raise AssertionError("no scene executed")


async def test_a_resubmission_that_is_all_cached_is_told_as_such() -> None:
    """No attempt of ours repeats a prompt; what a person's repetition leaves in history must still be read right."""
    size = {"width": 64, "height": 64, "batch_size": 2, "color": uuid.uuid4().int % 0xFFFFFF}
    save = {"images": ["1", 0], "filename_prefix": f"comfytui-test/{uuid.uuid4().hex}"}
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": size},
        "2": {"class_type": "SaveImage", "inputs": save},
    }
    clock, told = system_clock(), []
    async with ComfyHttp(ServerAddress.parse(SERVER)) as http:
        for _ in range(2):
            prompt_id = str(uuid.uuid4())
            await http.submit(graph, prompt_id, uuid.uuid4().hex)
            deadline = clock.monotonic() + PATIENCE
            while (entry := await http.history(prompt_id)) is None:
                assert clock.monotonic() < deadline
                await clock.sleep(0.05)
            told.append(of_history(entry, clock.now(), partial=False))
    first, second = told
    assert (first.status, second.status) == ("success", "cached")
    assert second.success_at is not None
    assert [file.filename for file in second.files] == [file.filename for file in first.files]
    assert len(second.files) == 2


def test_a_node_that_the_server_lacks_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    graph = slow()
    graph["2"]["class_type"] = "NoSuchNode"
    done = run(tmp_path, workflow=workflow_file(tmp_path, graph))
    assert done.returncode == 2
    assert "NoSuchNode" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
