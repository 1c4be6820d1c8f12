"""A story by a language model, rendered in one go and checked by suites: the whole pipeline, and its records."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfytui.records.rundir import RunDir, find_run
from tests.e2e.command import comfytui
from tests.e2e.old_consumer import agree, read_summary
from tests.sources.llm_replies import MODELS, as_text, lm_studio, story

STILL = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "__KEYFRAME_IMAGE__"}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "__SCENE_PREFIX__"}},
}
"""A workflow that gives the keyframe back as the one frame."""
PASS, FAIL = "print('fine')", "import sys; print('bad'); sys.exit(3)"


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a language model that is a process of its own."""
    replies = tmp_path_factory.mktemp("llm") / "replies.json"
    chat = lm_studio(f"```json\n{as_text(story(2))}\n```")
    replies.write_text(json.dumps({"models": MODELS["LM Studio"], "chat": chat}), encoding="utf-8")
    command = [sys.executable, str(Path(__file__).with_name("llm_server.py")), str(replies)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1/chat/completions"
        process.kill()


@pytest.fixture(scope="module")
def told(llm: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDir, "subprocess.CompletedProcess[str]"]:
    """Return a finished run of three scenes that were asked for, of which the model wrote two, and what it said."""
    folder = tmp_path_factory.mktemp("told")
    suites = [("Vitest comfyUI", PASS), ("Vitest e2e", FAIL), ("Vitest scripts", PASS), ("lint", PASS)]
    (folder / "still.json").write_text(json.dumps(STILL), encoding="utf-8")
    lines = ['server = "sim"', 'workflow = "still.json"']
    for label, script in suites:
        lines += ["[[suites]]", f'label = "{label}"', f"command = {json.dumps([sys.executable, '-c', script])}"]
    (folder / "comfytui.toml").write_text("\n".join(lines), encoding="utf-8")
    done = comfytui(
        "run", "--story-llm", "--scenes", "3", "--headless", "--frame-floor", "1", cwd=folder,
        COMFYTUI_CONFIG="comfytui.toml", LOCAL_STORY_PROVIDER_URL=llm, LOCAL_LLM_SEED="11",
    )  # fmt: skip
    return find_run(folder / "runs"), done


def metadata(run: RunDir) -> Any:
    return json.loads(run.metadata.read_text(encoding="utf-8"))


def lines(run: RunDir) -> list[str]:
    return [re.sub(r"^\[\d\d:\d\d:\d\d\] ", "", line) for line in run.summary.read_text(encoding="utf-8").splitlines()]


def test_a_failing_suite_is_the_exit_code_and_nothing_else(
    told: tuple[RunDir, "subprocess.CompletedProcess[str]"],
) -> None:
    run, done = told
    assert done.returncode == 1, done.stderr
    assert [scene["Success"] for scene in metadata(run)["Scenes"]] == [True, True]
    assert comfytui("validate", str(run.path), cwd=run.path.parent.parent).stdout.endswith(": PASS\n")


def test_the_suites_are_on_record(told: tuple[RunDir, "subprocess.CompletedProcess[str]"]) -> None:
    run, _ = told
    suites = {suite["Label"]: suite for suite in metadata(run)["Suites"]}
    assert {label: suite["ExitCode"] for label, suite in suites.items()} == {
        "Vitest comfyUI": 0, "Vitest e2e": 3, "Vitest scripts": 0, "lint": 0,
    }  # fmt: skip
    assert (run.path / suites["Vitest e2e"]["LogPath"]).read_text(encoding="utf-8").strip() == "bad"
    assert metadata(run)["VitestLogs"] == {
        "ComfyUI": "logs/vitest-comfyui.log", "E2E": "logs/vitest-e2e.log", "Scripts": "logs/vitest-scripts.log",
    }  # fmt: skip
    said = lines(run)
    for label, code in (("Vitest comfyUI", 0), ("Vitest e2e", 3), ("Vitest scripts", 0), ("lint", 0)):
        assert said.count(f"{label} exitCode={code}") == 1
    assert "Vitest e2e log: logs/vitest-e2e.log" in said


def test_the_model_is_on_record(told: tuple[RunDir, "subprocess.CompletedProcess[str]"], llm: str) -> None:
    run, _ = told
    record, health_url = metadata(run)["Story"], llm.replace("chat/completions", "models")
    assert record["Generator"] == "local-llm:mistralai/mistral-7b-instruct-v0.3"
    assert record["HealthCheck"] | {"Timestamp": ""} == {
        "Status": "success", "Url": health_url, "Override": None, "Models": 2, "Error": None, "Timestamp": "",
        "Skipped": False, "SkipReason": None,
    }  # fmt: skip
    told_by = {name: record["LLM"][name] for name in ("status", "providerUrl", "seed", "scenesRequested")}
    assert told_by == {"status": "success", "providerUrl": llm, "seed": 11, "scenesRequested": 3}
    assert f"[LLM] Health check: success (url={health_url}, models=2, override=default)" in lines(run)
    shortfall = "LLM_SCENE_SHORTFALL: the language model wrote 2 scenes of 3."
    assert shortfall in record["Warnings"]
    assert f"WARNING: {shortfall}" in lines(run)
    assert json.loads((run.story / "story.json").read_text(encoding="utf-8"))["logline"] == record["Logline"]


def test_old_tools_read_it(told: tuple[RunDir, "subprocess.CompletedProcess[str]"], llm: str) -> None:
    run, _ = told
    summary = read_summary(run.summary.read_text(encoding="utf-8"))
    agree(summary, metadata(run))
    assert summary.health == {"url": llm.replace("chat/completions", "models"), "models": "2", "over": "default"}
    assert summary.suites["Vitest e2e"] == 3


def test_the_keyframes_were_drawn(told: tuple[RunDir, "subprocess.CompletedProcess[str]"]) -> None:
    run, _ = told
    drawn = "Without a keyframe: scene-001, scene-002; "
    assert any(warning.startswith(drawn) for warning in metadata(run)["Story"]["Warnings"])
    for scene in metadata(run)["Scenes"]:
        source = Path(scene["KeyframeSource"])
        assert source == run.drawn_keyframes / f"{scene['SceneId']}.png"
        assert source.read_bytes() == (run.path / scene["StoryKeyframe"]).read_bytes()


def test_a_model_that_is_not_there_stops_the_run_before_anything_is_made(tmp_path: Path) -> None:
    done = comfytui("run", "--story-llm", "--headless", "--llm", "127.0.0.1:9", cwd=tmp_path)
    assert done.returncode == 2
    assert "[llm.unhealthy]" in done.stderr
    assert list(tmp_path.iterdir()) == []
