"""Set-ups that are broken, each in one way: the doctor finds it under the right check, with the remedy for it."""

import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from click.testing import CliRunner
from msgspec import UNSET
from msgspec.structs import replace

from comfytui.cli.commands import comfytui
from comfytui.cli.examining import last_line, without_server, would_fail
from comfytui.clock import system_clock
from comfytui.engine.doctor import places, smoke
from comfytui.engine.doctor.examination import Patient, examine
from comfytui.engine.doctor.finding import Finding, Verdict
from comfytui.engine.doctor.llm import judged
from comfytui.engine.server.credentials import Credentials
from comfytui.model.plan import ServerPlan
from comfytui.model.workflow import Workflow, decode_workflow, load_workflow
from comfytui.simulator import Fault, Faults, Simulator
from comfytui.simulator.faults import (
    Answered,
    Hang,
    NodeError,
    QueueFilled,
    Rejected,
    SocketRefused,
    StatsWithoutVram,
)
from comfytui.sources.llm.endpoint import provider_at
from comfytui.sources.llm.health import Health, unchecked
from tests.engine.stage import Stage, brief

CLOSED = "http://127.0.0.1:9"
"""An address at which nothing listens: the port of the discard service."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Ward:
    """A server and a patient, both well unless told otherwise; what came of it is in ``findings``."""

    def __init__(self, folder: Path) -> None:
        self.output, self.folder = folder / "output", folder
        self.output.mkdir()
        self.faults = Faults()
        self.options: dict[str, Any] = {}
        self.patient = Patient(
            server=ServerPlan(url=""), workflow=load_workflow("smoke"), scenes=(brief(1),), runs_dir=folder / "runs"
        )
        self.findings: list[Finding] = []
        self.before: Callable[[Simulator], Any] | None = None
        self.simulator: Simulator

    def sick(self, *faults: Fault, **changes: Any) -> None:
        """Let the server have ``faults``, and the patient ``changes``."""
        self.faults.add(*faults)
        self.patient = replace(self.patient, **changes)

    def server(self, **changes: Any) -> None:
        """Change where the patient's server is said to be."""
        self.patient = replace(self.patient, server=replace(self.patient.server, **changes))

    async def examine(self) -> None:
        async with self._served() as self.simulator:
            if not self.patient.server.url:
                self.server(url=self.simulator.url)
            if self.before is not None:
                await self.before(self.simulator)
            await examine(self.patient, system_clock(), Credentials(), self.findings.append)

    @contextlib.asynccontextmanager
    async def _served(self) -> AsyncIterator[Simulator]:
        async with Simulator(output_dir=self.output, faults=self.faults, **self.options).serve() as simulator:
            yield simulator

    def posts(self) -> list[str]:
        return [one.path for one in self.simulator.requests if one.method == "POST"]

    def of(self, check: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.check == check]


def changed(node: str, **changes: Any) -> Workflow:
    """The smoke workflow with one node that is different."""
    graph = msgspec.json.decode(msgspec.json.encode(load_workflow("txt2img").graph))
    graph[node] |= changes
    return decode_workflow(msgspec.json.encode(graph), "mine", "mine.json")


def told(stats: dict[str, Any]) -> Answered:
    return Answered(path="/system_stats", status=200, text=json.dumps(stats), content_type="application/json")


STATS = {"system": {"comfyui_version": "0.3.64", "argv": []}, "devices": [{"name": "cuda:0 X", "type": "cuda"}]}
OLD = {**STATS, "system": {"comfyui_version": "0.2.3"}}
UNTOLD = {**STATS, "system": {"os": "posix"}}


async def keep_busy(simulator: Simulator) -> None:
    """Somebody else's prompt runs."""
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 1}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "theirs/a"}},
    }
    async with httpx.AsyncClient() as client:
        (await client.post(f"{simulator.url}/prompt", json={"prompt": graph})).raise_for_status()


def busy(ward: Ward) -> None:
    ward.sick(Hang(prefix="theirs/*"))
    ward.before = keep_busy


def wrong_output(ward: Ward) -> None:
    (ward.folder / "elsewhere").mkdir()
    ward.server(output_dir=str(ward.folder / "elsewhere"))


def occupied(ward: Ward) -> None:
    (ward.folder / "file").touch()
    ward.sick(runs_dir=ward.folder / "file" / "runs")


def unreachable_folder(ward: Ward) -> None:
    ward.sick(runs_dir=ward.folder / ("d" * 300) / "runs")


def skewed(ward: Ward) -> None:
    ward.options["now"] = lambda: time.time() - 90


Break = Callable[[Ward], object]
CASES: dict[str, tuple[Break, str, str, str]] = {
    "wrong port": (lambda w: w.server(url=CLOSED), "server", "fail", "correct --server"),
    "start command that is not there": (
        lambda w: w.server(url=CLOSED, command=("no-such-program", "main.py"), cwd="."),
        "server", "fail", "[server] command",
    ),
    "login wanted": (lambda w: w.sick(Answered(status=401)), "login", "fail", "COMFYTUI_TOKEN"),
    "login page": (lambda w: w.sick(Answered.login_page()), "login", "fail", "COMFYTUI_TOKEN"),
    "no ComfyUI": (
        lambda w: w.sick(Answered(status=200, text="<h1>printer</h1>", content_type="text/html")),
        "server", "fail", "Check the address and port",
    ),
    "moved": (
        lambda w: w.sick(Answered.redirect("http://elsewhere.test/system_stats")),
        "server", "fail", "Check the address",
    ),
    "old version": (lambda w: w.sick(told(OLD)), "server", "warn", "Update ComfyUI"),
    "version untold": (lambda w: w.sick(told(UNTOLD)), "server", "unknown", "Update ComfyUI"),
    "missing node": (lambda w: w.sick(workflow=changed("7", class_type="NoSuchSaver")), "nodes", "fail", "the node p"),
    "missing model": (
        lambda w: w.sick(workflow=changed("1", inputs={"ckpt_name": "v1-5-pruned-emaonly.safetensors"})),
        "models", "fail", "models folder",
    ),
    "missing choice": (
        lambda w: w.sick(workflow=with_input("5", "sampler_name", "oiler")),
        "choices", "warn", "that the server offers",
    ),
    "missing choice of a node in the newer schema": (
        lambda w: w.sick(workflow=animated(method="best")), "choices", "warn", "that the server offers",
    ),
    "binding to an input the node does not have": (
        lambda w: w.sick(workflow=with_input("7", "title", "__SCENE_PROMPT__")), "bindings", "warn", "[bindings]",
    ),
    "nothing is an output": (lambda w: w.sick(workflow=no_output()), "outputs", "fail", "SaveImage"),
    "busy queue": (busy, "queue", "warn", "queue is empty"),
    "socket refused": (lambda w: w.sick(SocketRefused(status=403)), "socket", "warn", "WebSocket upgrades"),
    "no GPU": (lambda w: w.options.update(device="cpu"), "gpu", "warn", "without --cpu"),
    "device untold": (lambda w: w.sick(StatsWithoutVram(devices=False)), "gpu", "unknown", "server's log"),
    "VRAM untold": (lambda w: w.sick(StatsWithoutVram()), "vram", "warn", "Telemetry"),
    "output folder that is not there": (
        lambda w: w.server(output_dir=str(w.folder / "none")), "output folder", "fail", "Correct that setting",
    ),
    "wrong output folder": (wrong_output, "output folder", "fail", "Name the server's own output folder"),
    "server's disk is full": (
        lambda w: w.sick(NodeError(at="SaveImage", message="[Errno 28] No space left on device")),
        "smoke prompt", "fail", "space and permissions",
    ),
    "server that executes nothing": (
        lambda w: w.sick(Hang(prefix="comfytui-doctor-*"), smoke_wait=0.3), "smoke prompt", "fail", "queue and its log",
    ),
    "server that refuses": (lambda w: w.sick(Rejected()), "smoke prompt", "fail", "mend the server"),
    "clocks apart": (skewed, "clock", "warn", "NTP"),
    "language model down": (lambda w: w.sick(llm=provider_at(CLOSED)), "language model", "warn", "Start it"),
    "runs folder that cannot be written": (occupied, "runs folder", "fail", "another --runs-dir"),
    "runs folder that cannot be looked for": (unreachable_folder, "runs folder", "fail", "another --runs-dir"),
    "output folder that cannot be looked for": (
        lambda w: w.server(output_dir=str(w.folder / ("d" * 300))), "output folder", "fail", "Correct that setting",
    ),
}  # fmt: skip


def with_input(node: str, name: str, value: str) -> Workflow:
    inputs = load_workflow("txt2img").graph[node]["inputs"]
    return changed(node, inputs={**inputs, name: value})


def animated(**inputs: Any) -> Workflow:
    made = {"fps": 6.0, "lossless": True, "quality": 80, "method": "default", "filename_prefix": "__SCENE_PREFIX__"}
    images = load_workflow("txt2img").graph["7"]["inputs"]["images"]
    return changed("7", class_type="SaveAnimatedWEBP", inputs={"images": images, **made, **inputs})


def no_output() -> Workflow:
    """A node of which only the server knows that it is no output."""
    graph = {
        "1": {"class_type": "RepeatImageBatch", "inputs": {"image": ["2", 0], "amount": 1}},
        "2": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 1}},
    }
    return decode_workflow(msgspec.json.encode(graph), "mine", "mine.json")


@pytest.fixture
def ward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ward:
    monkeypatch.setattr(smoke, "SHARE_WAIT", 0.3)
    monkeypatch.setattr(smoke, "LOOK_EVERY", 0.02)
    return Ward(tmp_path)


@pytest.mark.parametrize("name", CASES)
async def test_each_broken_set_up_is_found_with_its_remedy(ward: Ward, name: str) -> None:
    broken, check, verdict, remedy = CASES[name]
    broken(ward)
    await ward.examine()
    assert any(found.verdict == verdict and remedy in found.remedy for found in ward.of(check)), ward.findings
    others = [found for found in ward.findings if found.verdict == "fail" and found.check != check]
    assert others == [], "one thing is broken, and one is said to be"


async def test_a_set_up_that_is_well_is_said_to_be_and_nothing_of_the_smoke_prompt_is_left(ward: Ward) -> None:
    await ward.examine()
    assert {found.verdict for found in ward.findings if found.check not in ("bindings", "gpu drivers")} == {"ok"}
    for check in ("server", "nodes", "models", "socket", "gpu", "smoke prompt", "output folder", "clock", "vram"):
        assert ward.of(check), check
    assert list(ward.output.iterdir()) == []
    assert not (ward.folder / "runs").exists()
    assert ward.posts() == ["/prompt", "/queue", "/history"]


async def test_other_peoples_prompts_are_neither_held_up_nor_ended(ward: Ward) -> None:
    busy(ward)
    await ward.examine()
    assert ward.posts() == ["/prompt"], "theirs alone"
    assert [found.verdict for found in ward.of("smoke prompt")] == ["unknown"]
    assert [found.verdict for found in ward.of("output folder")] == ["unknown"]


async def test_a_smoke_prompt_that_does_not_end_is_not_interrupted(ward: Ward) -> None:
    ward.sick(Hang(prefix="comfytui-doctor-*"), smoke_wait=0.3)
    await ward.examine()
    assert "/interrupt" not in ward.posts()


async def test_a_prompt_that_comes_first_all_the_same_is_not_waited_for(ward: Ward) -> None:
    ward.sick(QueueFilled(prefix="comfytui-doctor-*", count=1, seconds=5.0), smoke_wait=0.3)
    await ward.examine()
    assert [found.verdict for found in ward.of("smoke prompt")] == ["unknown"]
    assert ward.posts() == ["/prompt", "/queue", "/history"]


async def test_a_picture_that_may_not_be_read_is_no_wrong_folder(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    unreadable = smoke.prove(ward.folder)
    assert unreadable.kind == "unreadable"
    monkeypatch.setattr(smoke, "prove", lambda _: unreadable)
    await ward.examine()
    (found,) = ward.of("output folder")
    assert (found.verdict, "may not be read" in found.what) == ("warn", True)


async def test_without_the_smoke_prompt_nothing_is_queued(ward: Ward) -> None:
    ward.sick(smoke=False)
    await ward.examine()
    assert ward.posts() == []


async def test_a_folder_here_that_only_looks_like_the_servers_is_doubted(ward: Ward) -> None:
    """As behind an SSH tunnel: the path is there, and it is another machine's."""
    (ward.folder / "mine").mkdir()
    stats = {**STATS, "system": {**STATS["system"], "argv": ["--output-directory", str(ward.folder / "mine")]}}  # type: ignore[dict-item]
    ward.sick(told(stats))
    await ward.examine()
    assert [(found.verdict, "come over HTTP" in found.what) for found in ward.of("output folder")] == [("warn", True)]


async def test_a_server_elsewhere_is_proven_over_http_and_what_stays_there_is_told(ward: Ward) -> None:
    ward.sick(told(STATS), Answered(path="/internal/folder_paths", status=404))
    await ward.examine()
    (output,), (left,) = ward.of("output folder"), ward.of("cleaning up")
    assert (output.verdict, "came over HTTP, whole" in output.what) == ("ok", True)
    (folder,) = ward.output.iterdir()
    assert left.what.startswith(f"{folder.name}/smoke_00001_.png stays")


async def test_a_failure_of_one_check_keeps_no_other_from_being_made(ward: Ward) -> None:
    ward.sick(Answered(path="/prompt", method="GET"), Answered(path="/object_info/*"))
    await ward.examine()
    assert {found.check for found in ward.findings if found.verdict == "fail"} == {"nodes", "queue"}
    assert [found.verdict for found in ward.of("smoke prompt")] == ["unknown"], "a queue that nobody knows is not used"
    assert ward.of("disk space")


@pytest.mark.parametrize(("free", "verdict"), [(1 << 20, "fail"), (16 << 20, "warn"), (None, "warn"), (1 << 40, "ok")])
async def test_a_full_disk(ward: Ward, monkeypatch: pytest.MonkeyPatch, free: int | None, verdict: str) -> None:
    monkeypatch.setattr(places, "free_bytes", lambda _: free)
    await ward.examine()
    assert {found.verdict for found in ward.of("disk space")} == {verdict}
    if verdict != "ok":
        assert all("--runs-dir" in found.remedy for found in ward.of("disk space"))


async def test_a_model_that_is_missing_stops_a_run_before_it_begins(stage: Stage) -> None:
    stage.workflow = changed("1", inputs={"ckpt_name": "v1-5-pruned-emaonly.safetensors"})
    outcome = await stage.play()
    assert outcome.exit_code == 2
    assert outcome.posts() == []
    (note,) = [note for note in outcome.state.notes if note.level == "error"]
    assert "v1-5-pruned-emaonly-fp16.safetensors" in note.text, "the most similar one is named"


@pytest.mark.parametrize(
    ("model", "listed", "verdict"),
    [(None, ("llama3",), "ok"), ("llama3", ("llama3:latest",), "ok"), ("qwen", ("llama3",), "warn"),
     (None, ("nomic-embed-text",), "warn"), (None, (), "warn")],
)  # fmt: skip
def test_what_a_language_model_lists(model: str | None, listed: tuple[str, ...], verdict: str) -> None:
    provider = provider_at("http://llm.test", model=model)
    check = replace(unchecked(provider, system_clock()), status="success", models=len(listed))
    found = judged(provider, Health(check=check, models=listed))
    assert found.verdict == verdict
    assert (found.remedy != "") is (verdict == "warn")


def test_a_language_model_that_answers_without_a_list_is_well() -> None:
    provider = provider_at("http://llm.test", health_url="http://llm.test/health", model="qwen")
    check = replace(unchecked(provider, system_clock()), status="success", models=None)
    assert judged(provider, Health(check=check)).what == "http://llm.test/health answers"


async def test_a_language_model_whose_check_is_skipped_is_left_alone(ward: Ward) -> None:
    ward.sick(llm=provider_at(CLOSED), llm_skip=True)
    await ward.examine()
    assert [found.verdict for found in ward.of("language model")] == ["unknown"]


# --- what is wrong before any server is asked ------------------------------------------------------------------------

GUI = {"nodes": [], "links": [], "version": 0.4}
FILES = {
    "GUI workflow": (GUI, {}, "workflow", "Export (API)"),
    "workflow that is no JSON": ("{", {}, "workflow", "Mend the file"),
    "binding to nothing": (None, {"bindings": {"seed": "99.seed"}}, "bindings", "NODE.INPUT"),
    "setting that is none": (None, {"queue": {"max_wait": "soon"}}, "settings", "Correct that setting"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_broken_are_found_with_their_remedy(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow, settings, check, remedy = FILES[name]
    path = tmp_path / "workflow.json"
    graph = load_workflow("smoke").graph if workflow is None else workflow
    path.write_text(graph if isinstance(graph, str) else json.dumps(graph), encoding="utf-8")
    found = doctor(tmp_path, monkeypatch, settings, "--workflow", str(path))
    assert any(one["check"] == check and one["verdict"] == "fail" and remedy in one["remedy"] for one in found), found


def test_a_story_whose_keyframe_is_missing_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story = tmp_path / "story.toml"
    story.write_text('[[scenes]]\nprompt = "fog"\nkeyframePath = "none.png"\n', encoding="utf-8")
    found = doctor(tmp_path, monkeypatch, {}, str(story), "--workflow", "smoke")
    assert [one["verdict"] for one in found if one["check"] == "story"] == ["fail"]


def doctor(folder: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], *arguments: str) -> list[Any]:
    """Run the command where no server is, and return its findings; it says that a run would fail."""
    monkeypatch.chdir(folder)
    lines = [
        f"[{table}]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in of.items()) for table, of in settings.items()
    ]
    (folder / "comfytui.toml").write_text("".join(lines), encoding="utf-8")
    monkeypatch.setenv("COMFYTUI_CONFIG", str(folder / "comfytui.toml"))
    command = ["doctor", *arguments, "--server", CLOSED, "--json"]
    done = CliRunner().invoke(comfytui, command, standalone_mode=False)
    assert done.exception is None
    assert done.return_value == 2
    body = json.loads(done.output)["doctor"]
    assert body["passed"] is False
    findings: list[Any] = body["findings"]
    return findings


def test_the_table_names_each_remedy_below_its_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMFYTUI_CONFIG", "")
    done = CliRunner().invoke(comfytui, ["doctor", "--server", CLOSED, "--workflow", "smoke"], standalone_mode=False)
    assert done.return_value == 2
    lines = done.output.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("fail    server"))
    assert lines[place + 1].strip().startswith("-> Start ComfyUI there")
    assert lines[-1].endswith("a run would fail")


@pytest.mark.parametrize(
    ("address", "verdict", "words"),
    [("", "ok", "none is set"), ("127.0.0.1:9", "warn", "is not well: no connection")],
)
def test_a_language_model_that_is_set_is_asked(
    address: str, verdict: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_STORY_PROVIDER_URL", address)
    (found,) = [one for one in doctor(tmp_path, monkeypatch, {}) if one["check"] == "language model"]
    assert found["verdict"] == verdict
    assert words in found["what"]


def test_a_story_that_wants_keyframes_is_told_that_they_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = tmp_path / "story.toml"
    story.write_text('[[scenes]]\nprompt = "fog"\n', encoding="utf-8")
    (told,) = (
        one for one in doctor(tmp_path, monkeypatch, {}, str(story), "--workflow", "svd") if one["check"] == "story"
    )
    assert told["verdict"] == "warn"
    assert told["what"].startswith("Without a keyframe: scene-001; it is drawn")


def of(server: str, verdict: Verdict) -> Finding:
    return Finding(check="x", verdict=verdict, what="w", remedy="r", server=server or UNSET)


@pytest.mark.parametrize(
    ("findings", "fails", "words"),
    [
        ([of("a", "ok"), of("b", "warn")], False, "nothing stops a run"),
        ([of("a", "ok"), of("b", "fail")], False, "a run would do without b"),
        ([of("a", "fail"), of("b", "fail")], True, "a run would fail"),
        ([of("", "fail"), of("a", "ok"), of("b", "ok")], True, "a run would fail"),
    ],
)
def test_one_server_that_will_not_do_stops_no_run(findings: list[Finding], fails: bool, words: str) -> None:
    assert would_fail(findings) is fails
    lines = last_line(findings).splitlines()
    assert lines[-1].endswith(words)
    assert [line.partition(":")[0] for line in lines[1:-1]] == ["a", "b"]


def test_a_scene_whose_only_server_will_not_do_stops_a_run() -> None:
    servers = (ServerPlan(url="http://a", name="a", tags=("24gb",)), ServerPlan(url="http://b", name="b"))
    wants = replace(brief(1), server_tags=("24gb",))
    assert without_server([wants], servers, [of("b", "fail")]) is None
    lacking = without_server([brief(1), wants], servers, [of("a", "fail")])
    assert lacking is not None and lacking.verdict == "fail" and "24gb" in lacking.what


async def test_each_of_several_servers_is_examined(ward: Ward) -> None:
    ward.server(name="here")
    ward.sick(more_servers=(ServerPlan(url=CLOSED, name="gone"),), smoke=False)
    await ward.examine()
    assert {finding.server for finding in ward.of("server")} == {"here", "gone"}
    assert [(finding.server, finding.verdict) for finding in ward.of("server")] == [("here", "ok"), ("gone", "fail")]
    assert [finding.server for finding in ward.of("disk space")] == [UNSET] * len(ward.of("disk space"))
    assert ward.of("nodes")[0].server == "here" and not would_fail(ward.findings)
