"""``comfytui resume``: runs that were cut short, damaged, stopped or complete, in real processes."""

import contextlib
import hashlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from comfytui.model.artifact import ArtifactMetadata, SceneArtifact
from comfytui.records.rundir import RunDir, find_run
from tests.e2e.command import comfytui, started, story


@pytest.fixture
def complete(tmp_path: Path) -> RunDir:
    """A run of two scenes that ended well."""
    done = comfytui("run", str(story(tmp_path)), "--server", "sim", "--workflow", "smoke", "--headless", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return find_run(tmp_path / "runs")


def contents(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def scenes_of(run: RunDir) -> tuple[SceneArtifact, ...]:
    return msgspec.json.decode(run.metadata.read_bytes(), type=ArtifactMetadata).scenes


def plan_of(folder: Path, *arguments: str) -> list[str]:
    """Return the lines of ``resume --plan``, which leaves every file as it is."""
    before = contents(folder / "runs")
    told = comfytui("resume", "--plan", *arguments, cwd=folder)
    assert (told.returncode, told.stderr) == (0, "")
    assert contents(folder / "runs") == before
    return told.stdout.splitlines()


def drop_journal_from(run: RunDir, word: str) -> None:
    """Let the journal end before the first line with ``word``, as if its runner had died there."""
    lines = run.journal.read_bytes().splitlines(keepends=True)
    cut = next(place for place, line in enumerate(lines) if word.encode() in line)
    run.journal.write_bytes(b"".join(lines[:cut]))


# --- nothing to do -------------------------------------------------------------------------------------------------


def test_a_complete_run_is_left_as_it_is_and_its_exit_code_told(tmp_path: Path, complete: RunDir) -> None:
    assert [line.split()[:2] for line in plan_of(tmp_path)] == [["scene-001", "skip"], ["scene-002", "skip"]]
    before = contents(tmp_path / "runs")
    resumed = comfytui("resume", "--headless", cwd=tmp_path)
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert resumed.stdout.splitlines()[-2].endswith("exit 0")
    assert contents(tmp_path / "runs") == before


def test_a_run_that_was_only_not_closed_needs_no_server(tmp_path: Path, complete: RunDir) -> None:
    drop_journal_from(complete, '"run_settled"')
    resumed = comfytui("resume", complete.run_id, "--json", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stdout
    assert '"server_reached"' not in resumed.stdout.split('"resume"')[1]
    assert comfytui("validate", complete.run_id, cwd=tmp_path).returncode == 0


# --- something to do -----------------------------------------------------------------------------------------------


def test_a_run_that_has_not_begun_is_rendered_whole(tmp_path: Path, complete: RunDir) -> None:
    complete.journal.unlink()
    complete.summary.unlink()
    for scene in scenes_of(complete):
        shutil.rmtree(complete.scene(scene.scene_output_dir))
    assert [line.split()[1] for line in plan_of(tmp_path)] == ["run", "run"]
    assert comfytui("resume", "--headless", cwd=tmp_path).returncode == 0
    assert [scene.frame_count for scene in scenes_of(complete)] == [3, 3]


def test_a_scene_whose_frames_are_damaged_is_rendered_anew(tmp_path: Path, complete: RunDir) -> None:
    first, second = (complete.frames(scene.scene_output_dir, 1) for scene in scenes_of(complete))
    frames = sorted(first.iterdir())
    frames[0].unlink()
    frames[1].write_bytes(frames[1].read_bytes()[:-1] + b"?")
    told = plan_of(tmp_path)
    assert told[0].startswith(
        f"scene-001  run      it was done, but frame {frames[0].name} is missing now (and 1 more)"
    )
    assert told[1].startswith("scene-002  skip")
    resumed = comfytui("resume", "--headless", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stdout
    assert f"Frame {frames[0].name} of attempt 1 is lost: it is missing now" in resumed.stdout
    assert f"Frame {frames[1].name} of attempt 1 is lost: it does not have the SHA-256" in resumed.stdout
    assert f"WARNING: Frame {frames[0].name} missing: it is missing now" in complete.summary.read_text("utf-8")
    again, other = scenes_of(complete)
    assert (again.generated_frames_dir, again.attempts_run) == ("scene-001/generated-frames-attempt-2", 2)
    assert (other.generated_frames_dir, other.attempts_run) == ("scene-002/generated-frames-attempt-1", 1)
    assert len(list(second.iterdir())) == 3
    assert comfytui("validate", complete.run_id, cwd=tmp_path).stdout.splitlines() == ["run-summary validation: PASS"]
    assert [line.split()[1] for line in plan_of(tmp_path)] == ["skip", "skip"]


def test_a_damaged_journal_is_reported_by_line_and_never_fatal(tmp_path: Path, complete: RunDir) -> None:
    drop_journal_from(complete, '"run_settled"')
    lines = complete.journal.read_bytes().splitlines(keepends=True)
    sample = next(place for place, line in enumerate(lines) if b'"run_noted"' in line or b'"gpu_measured"' in line)
    lines[sample] = b'{"v": 1, "seq": \x00\xff\n'
    complete.journal.write_bytes(b"".join(lines) + lines[-1][:40])
    torn = len(lines) + 1
    told = plan_of(tmp_path)
    assert told[0].startswith(f"Line {sample + 1} of the journal cannot be read: ")
    assert told[1].startswith(f"Line {torn} of the journal cannot be read: torn off at the end of the journal; ")
    resumed = comfytui("resume", "--headless", cwd=tmp_path)
    assert resumed.stderr == ""
    for line in (sample + 1, torn):
        assert f"WARNING: Line {line} of the journal cannot be read: " in resumed.stdout
        assert f"WARNING: Line {line} of the journal cannot be read: " in complete.summary.read_text(encoding="utf-8")
    assert resumed.returncode == 1, "what a journal with a hole in it tells proves nothing"
    assert "facts" in comfytui("validate", complete.run_id, cwd=tmp_path).stdout
    assert [scene.success for scene in scenes_of(complete)] == [True, True]


def test_a_torn_last_line_alone_costs_the_run_nothing(tmp_path: Path, complete: RunDir) -> None:
    drop_journal_from(complete, '"run_settled"')
    with complete.journal.open("ab") as file:
        file.write(b'{"v":1,"seq":99,"at":"2026')
    resumed = comfytui("resume", "--headless", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stdout
    assert "torn off at the end of the journal" in resumed.stdout
    assert comfytui("validate", complete.run_id, cwd=tmp_path).returncode == 0


# --- a server that takes its time ----------------------------------------------------------------------------------


class Slow:
    """A run of three scenes on a simulator that takes seconds for each."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.server = self._start("sim", "--port", "0", "--speed", "demo", "--output-dir", str(folder / "out"))
        assert self.server.stdout is not None
        self.url = self.server.stdout.readline().decode().split()[-1]
        story_file = str(story(folder, scenes=3))
        self.runner = self._start(
            "run", story_file, "--server", self.url, "--workflow", "txt2img", "--headless", "--server-wait", "5"
        )
        assert self.runner.stdout is not None
        for line in self.runner.stdout:
            if b"Attempt 1 executing" in line:
                break

    def _start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        process = started(*arguments, cwd=self.folder)

        def end() -> None:
            process.kill()
            process.communicate()

        self._stack.callback(end)
        return process

    @property
    def run(self) -> RunDir:
        return find_run(self.folder / "runs")


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Slow]:
    with contextlib.ExitStack() as stack:
        yield Slow(tmp_path, stack)


def test_a_run_that_is_driven_is_refused_with_the_process_that_drives_it(slow: Slow) -> None:
    for more in (["--headless"], ["--plan"], ["--json"]):
        refused = comfytui("resume", *more, cwd=slow.folder)
        assert refused.returncode == 2
        words = refused.stdout + refused.stderr
        assert "run.locked" in words
        assert f"process {slow.runner.pid}" in words


def test_what_is_on_the_server_is_adopted_and_a_silent_server_is_said_to_be(slow: Slow) -> None:
    slow.runner.kill()
    slow.runner.wait()
    told = plan_of(slow.folder)
    assert told[0] == "scene-001  adopt    attempt 1 is running on the server"
    assert told[2] == "scene-003  run      it was not sent yet"
    slow.server.kill()
    slow.server.wait()
    told = plan_of(slow.folder, "--json")
    assert "No ComfyUI answers" in json.loads(told[0])["note"]
    plan = [json.loads(line)["plan"] for line in told[1:]]
    assert [(each["scene"], each["action"]) for each in plan[::2]] == [("scene-001", "adopt"), ("scene-003", "run")]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no interruption for one process")
def test_a_run_that_was_stopped_goes_on_where_it_was_stopped(slow: Slow) -> None:
    slow.runner.send_signal(signal.SIGINT)
    slow.runner.communicate(timeout=30)
    assert slow.runner.returncode == 130
    told = plan_of(slow.folder)
    assert [line.split()[1] for line in told] == ["run", "run", "run"]
    assert all("the run was stopped before it was done" in line for line in told)
    resumed = comfytui("resume", "--headless", cwd=slow.folder)
    assert resumed.returncode == 0, resumed.stdout
    assert [scene.frame_count for scene in scenes_of(slow.run)] == [3, 3, 3]
    assert comfytui("validate", slow.run.run_id, cwd=slow.folder).returncode == 0


def test_there_is_nothing_to_resume_where_there_is_no_run(tmp_path: Path) -> None:
    refused = comfytui("resume", "--headless", cwd=tmp_path)
    assert refused.returncode == 2
    assert "[run.not_found]" in refused.stderr


# --- in a terminal -------------------------------------------------------------------------------------------------


@pytest.fixture
def in_terminal(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    if sys.platform == "win32":
        pytest.skip("needs a pty")
    from tests.e2e.terminal import terminals

    with terminals(tmp_path) as start:
        yield start


def test_the_dashboard_of_a_resumed_run_shows_its_end(complete: RunDir, in_terminal: Callable[..., Any]) -> None:
    drop_journal_from(complete, '"scene":"scene-002"')
    shutil.rmtree(complete.scene("scene-002"))
    terminal = in_terminal("resume")
    terminal.shows("Run finished")
    terminal.press("q")
    assert terminal.process.wait(20) == 0
    assert [scene.success for scene in scenes_of(complete)] == [True, True]
    assert '"reason":"resume"' in complete.journal.read_text(encoding="utf-8")


def test_a_complete_run_opens_no_dashboard(complete: RunDir, in_terminal: Callable[..., Any]) -> None:
    before = contents(complete.path)
    terminal = in_terminal("resume")
    assert terminal.process.wait(20) == 0
    terminal.shows("is complete; there is nothing to resume")
    assert contents(complete.path) == before
