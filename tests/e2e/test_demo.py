"""The main job, end to end: the bundled story on the simulator, and its run held to the contract."""

import json
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from comfytui.model.envelope import Envelope, decode
from comfytui.records.rundir import RunDir, find_run
from tests.e2e.command import comfytui, story
from tests.e2e.contract_names import (
    GPU_NAMES,
    METADATA_NAMES,
    QUEUE_NAMES,
    SCENE_NAMES,
    STORY_NAMES,
    SUMMARY_LINES,
    TELEMETRY_NAMES,
)
from tests.e2e.old_consumer import agree, read_summary

Done = tuple[Path, "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Return the folder in which the demo was rendered, and what it said."""
    folder = tmp_path_factory.mktemp("demo")
    return folder, comfytui("demo", "--headless", cwd=folder)


def run_in(folder: Path) -> RunDir:
    return find_run(folder / "runs")


def metadata_of(run: RunDir) -> Any:
    return json.loads(run.metadata.read_text(encoding="utf-8"))


# --- the demo ------------------------------------------------------------------------------------------------------


def test_the_demo_renders_three_scenes(finished: Done) -> None:
    folder, done = finished
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-1].endswith(f"Run folder: {run_in(folder).path}")
    assert "3/3 scenes succeeded" in lines[-2]
    assert "75 frames" in lines[-2]


def test_its_run_validates(finished: Done) -> None:
    folder, _ = finished
    done = comfytui("validate", run_in(folder).run_id, cwd=folder)
    assert (done.returncode, done.stdout) == (0, "run-summary validation: PASS\n")


def test_a_frame_that_changed_does_not_validate(finished: Done, tmp_path: Path) -> None:
    folder, _ = finished
    with zipfile.ZipFile(run_in(folder).archive) as archive:
        archive.extractall(tmp_path)
    (copy,) = (path.parent for path in tmp_path.rglob("artifact-metadata.json"))
    frame = next(iter(sorted(copy.rglob("*.png"))))
    frame.write_bytes(frame.read_bytes()[:-1] + b"x")
    done = comfytui("validate", str(copy), str(run_in(folder).path), cwd=folder)
    assert done.returncode == 1
    assert "ERROR: " in done.stdout
    assert "run-summary validation: FAIL\n" in done.stdout
    assert done.stdout.endswith("run-summary validation: PASS\n")


def test_every_name_of_the_contract_is_there(finished: Done) -> None:
    metadata = metadata_of(run_in(finished[0]))
    assert not METADATA_NAMES - set(metadata)
    assert not STORY_NAMES - set(metadata["Story"])
    assert not QUEUE_NAMES - set(metadata["QueueConfig"])
    assert [scene["SceneId"] for scene in metadata["Scenes"]] == ["scene-001", "scene-002", "scene-003"]
    for scene in metadata["Scenes"]:
        assert not SCENE_NAMES - set(scene)
        assert not TELEMETRY_NAMES - set(scene["Telemetry"])
        assert not GPU_NAMES - set(scene["Telemetry"]["GPU"])
        assert not {"Before", "After", "FallbackNotes"} - set(scene["Telemetry"]["System"])
        assert scene["Success"]
        assert scene["MeetsFrameFloor"]
        assert scene["FrameCount"] == 25


def test_every_line_of_the_summary_is_there(finished: Done) -> None:
    summary = run_in(finished[0]).summary.read_text(encoding="utf-8").splitlines()
    for wanted in SUMMARY_LINES:
        assert any(wanted in line for line in summary), wanted


def test_old_tools_read_it(finished: Done) -> None:
    run = run_in(finished[0])
    summary = read_summary(run.summary.read_text(encoding="utf-8"))
    agree(summary, metadata_of(run))
    assert summary.verdict == "passed"
    assert not (summary.floors or summary.errors or summary.requeues)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", metadata_of(run)["Timestamp"])


def test_the_schema_validates_every_telemetry(finished: Done) -> None:
    folder, _ = finished
    done = comfytui("contract", "--schema", cwd=folder)
    assert done.returncode == 0
    schema = json.loads(done.stdout)
    run = run_in(folder)
    found = [scene["Telemetry"] for scene in metadata_of(run)["Scenes"]]
    found += [
        json.loads(line)["event"]["telemetry"]
        for line in run.journal.read_text(encoding="utf-8").splitlines()
        if json.loads(line)["event"]["type"] == "attempt_ended"
    ]
    assert len(found) == 6
    for telemetry in found:
        jsonschema.validate(telemetry, telemetry_schema(schema), cls=jsonschema.Draft202012Validator)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**found[0], "HistoryAttempts": -1}, telemetry_schema(schema))


def telemetry_schema(schema: Any) -> Any:
    """Return the schema of a Telemetry, which the whole schema may hold among its definitions."""
    if "Telemetry" in schema.get("$defs", {}) and schema.get("title") != "Telemetry":
        return {**schema, "$ref": "#/$defs/Telemetry"}
    return schema


def test_the_contract_is_printed_for_people_too(tmp_path: Path) -> None:
    done = comfytui("contract", cwd=tmp_path)
    assert done.returncode == 0
    assert all(name in done.stdout for name in TELEMETRY_NAMES | SCENE_NAMES)


def test_a_run_that_is_over_is_told_again(finished: Done) -> None:
    folder, done = finished
    again = comfytui("attach", "--headless", cwd=folder)
    assert again.returncode == 0
    told = done.stdout.splitlines()
    assert again.stdout.splitlines()[:-2] == told[:-2], "the same facts, in the same words, at the same times"


def test_json_is_decodable_line_by_line(tmp_path: Path) -> None:
    done = comfytui("run", str(story(tmp_path)), "--server", "sim", "--workflow", "smoke", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(line["v"] == 1 for line in lines)
    facts = [envelope for line in done.stdout.splitlines() if (envelope := _fact(line))]
    assert [fact.seq for fact in facts] == list(range(1, len(facts) + 1))
    assert lines[-1]["summary"]["exit_code"] == 0
    assert lines[-1]["summary"]["frames"] == 6
    again = comfytui("attach", run_in(tmp_path).run_id, "--json", cwd=tmp_path)
    assert [fact for line in again.stdout.splitlines() if (fact := _fact(line))] == facts


def _fact(line: str) -> Envelope | None:
    if "event" not in json.loads(line):
        return None
    envelope = decode(line.encode())
    return envelope if envelope.is_fact else None


def test_a_floor_that_is_missed_exits_1(tmp_path: Path) -> None:
    arguments = ["run", str(story(tmp_path)), "--server", "sim", "--workflow", "smoke", "--frame-floor", "9"]
    done = comfytui(*arguments, "--retry-budget", "0", "--headless", cwd=tmp_path)
    assert done.returncode == 1
    assert "below its floor" in done.stdout


def test_a_server_that_is_not_there_exits_2(tmp_path: Path) -> None:
    arguments = ["run", str(story(tmp_path)), "--server", "http://127.0.0.1:9", "--headless"]
    done = comfytui(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "server.unreachable" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
