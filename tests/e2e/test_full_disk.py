"""A real runner on a disk that fills up: what it says, what it leaves, and that ``comfytui resume`` goes on."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from comfytui.records.lock import holder_of
from comfytui.records.rundir import find_run, read_plan
from comfytui.records.validate import validate_run
from tests.e2e.command import comfytui, started, story
from tests.faults.disks import fill, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 24) as place:
        yield place


def test_a_full_disk_is_told_in_words_and_resume_goes_on(tmp_path: Path, disk: Path) -> None:
    with contextlib.ExitStack() as processes:
        output = tmp_path / "out"
        server = processes.enter_context(
            started("sim", "--port", "0", "--speed", "demo", "--output-dir", str(output), cwd=tmp_path)
        )
        processes.callback(server.terminate)
        assert server.stdout is not None
        url = server.stdout.readline().decode().split()[-1]
        runs = ["--runs-dir", str(disk / "runs")]
        process = started(
            "run", str(story(tmp_path)), "--server", url, "--workflow", "txt2img", "--headless", *runs, cwd=tmp_path
        )
        assert process.stdout is not None
        assert any(b"executing" in line for line in process.stdout)
        ballast = fill(disk)
        _, err = process.communicate(timeout=40)
        run = find_run(disk / "runs")
        said = err.decode()
        assert process.returncode == 1
        assert "The run is paused, and can be resumed" in said
        assert "No space left on device" in said
        assert f"comfytui resume {run.path}" in said
        assert "Traceback" not in said
        assert holder_of(run) is None
        assert re.fullmatch("[0-9a-f]{8}", read_plan(run).mark)
        full = comfytui("resume", str(run.path), "--headless", *runs, cwd=tmp_path)
        assert (full.returncode, "Traceback" in full.stderr, "[run.unwritable]" in full.stderr) == (2, False, True)
        ballast.unlink()
        resumed = comfytui("resume", str(run.path), "--headless", *runs, cwd=tmp_path)
        assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        assert [finding for finding in validate_run(run.path) if finding.level == "error"] == []
        scenes = msgspec.json.decode(run.metadata.read_bytes())["Scenes"]
        assert (scenes[0]["Success"], scenes[0]["AttemptsRun"]) == (True, 1)
        assert all(scene["FrameCount"] == 3 for scene in scenes)
