"""Starting runner processes: free of this terminal on every platform, and told of when they do not come up."""

import io
import os
import sys
from pathlib import Path

import pytest

from comfytui.clock import system_clock
from comfytui.errors import Failure
from comfytui.link import launch
from comfytui.link.launch import (
    answering,
    child_environment,
    command_line,
    detached_options,
    launch_runner,
    start_detached,
    start_runner,
)
from comfytui.records.lock import RunLock
from comfytui.records.rundir import RunDir


def test_a_process_is_set_free_on_every_platform() -> None:
    assert detached_options("linux") == detached_options("darwin") == [{"start_new_session": True}]
    best, modest = detached_options("win32")
    assert best["creationflags"] == 0x00000200 | 0x08000000 | 0x01000000
    assert modest["creationflags"] == 0x00000200 | 0x08000000
    assert not best["creationflags"] & 0x00000008, "DETACHED_PROCESS would make every child flash up a window"


def test_the_working_folder_cannot_pose_as_comfytui() -> None:
    assert command_line(["runner", "x"]) == [sys.executable, "-P", "-m", "comfytui", "runner", "x"]


def test_a_child_finds_the_package_that_started_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    assert child_environment({"A": "b"}, source) == {"A": "b", "PYTHONPATH": str(source)}
    before = {"PYTHONPATH": os.pathsep.join(["other", str(source)])}
    assert child_environment(before, source) == {"PYTHONPATH": os.pathsep.join([str(source), "other"])}
    installed = tmp_path / "lib" / "site-packages"
    assert child_environment({"A": "b"}, installed) == {"A": "b"}, "it must not stand before the standard library"


async def test_a_runner_that_dies_is_told_with_its_last_words(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    run.logs.mkdir()
    (run.logs / "runner.log").write_text("words of an earlier runner\n")
    with pytest.raises(Failure) as caught:
        await launch_runner(run, system_clock(), "run")
    assert caught.value.code == "run.no_runner"
    assert "its process ended at once with 2: There is no run at" in caught.value.what
    assert "earlier" not in caught.value.what


async def test_a_runner_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "START_SECONDS", 0.1)
    monkeypatch.setattr(launch, "command_line", lambda _: [sys.executable, "-c", "import time; time.sleep(20)"])
    launched = start_runner(RunDir(tmp_path), "run")
    try:
        with pytest.raises(Failure, match="did not answer within"):
            await answering(launched, system_clock())
    finally:
        launched.process.kill()
        launched.process.wait()


async def test_one_that_was_quicker_than_we_looked_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "import pathlib, sys; pathlib.Path(sys.argv[1], 'events.jsonl').write_text('recorded')"
    monkeypatch.setattr(launch, "command_line", lambda arguments: [sys.executable, "-c", script, arguments[1]])
    await launch_runner(RunDir(tmp_path), system_clock(), "run")


async def test_of_two_started_in_the_same_moment_one_drives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, asked = RunDir(tmp_path), 0

    async def answers(folder: Path) -> bool:
        nonlocal asked
        asked += 1
        return asked > 5

    monkeypatch.setattr(launch, "command_line", lambda _: [sys.executable, "-c", "raise SystemExit(2)"])
    monkeypatch.setattr(launch, "answers", answers)
    with RunLock.acquire(run):  # the other one has the run, and does not answer yet
        launched = start_runner(run, "rerun")
        launched.process.wait()
        await answering(launched, system_clock())
    assert asked > 5


def test_a_job_that_forbids_leaving_it_gets_a_modest_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[dict[str, object]] = []

    def popen(command: list[str], **options: object) -> object:
        tried.append(options)
        if len(tried) == 1:
            raise PermissionError("access is denied")
        return Finished()

    class Finished:
        def poll(self) -> int:
            return 0

    monkeypatch.setattr(launch, "detached_options", lambda _: [{"creationflags": 3}, {"creationflags": 1}])
    monkeypatch.setattr("subprocess.Popen", popen)
    start_detached(["runner"], tmp_path, io.BytesIO())
    assert [options["creationflags"] for options in tried] == [3, 1]
    launch.reap()


def test_a_run_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(Failure) as caught:
        start_runner(RunDir(tmp_path), "run")
    assert caught.value.code == "run.unwritable"
