"""Runs whose terminal, reader or runner goes away, that are interrupted, joined from elsewhere, and taken up again."""

import contextlib
import functools
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from comfytui.clock import system_clock
from comfytui.errors import Failure
from comfytui.link.client import answers
from comfytui.link.endpoint import read_pointer
from comfytui.link.feeds import RunFeed
from comfytui.link.launch import answering, companion, launch_runner, reap
from comfytui.model import events as e
from comfytui.model.commands import Rerun, Stop
from comfytui.model.envelope import Envelope
from comfytui.records.lock import holder_of
from comfytui.records.rundir import find_run
from tests.e2e.command import COMMAND, comfytui, environment, started, story

# --- interruptions -------------------------------------------------------------------------------------------------


Starting = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Starting]:
    """Starts commands that are ended with the test, whatever becomes of it."""
    with contextlib.ExitStack() as stack:

        def starting(*arguments: str, cwd: Path, **more: str) -> "subprocess.Popen[bytes]":
            process = started(*arguments, cwd=cwd, **more)
            stack.callback(end, process)
            return process

        yield starting


def end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


@pytest.fixture
def slow_server(tmp_path: Path, start: Starting) -> str:
    """Return the address of a simulator that takes seconds for a scene."""
    process = start("sim", "--port", "0", "--speed", "demo", "--output-dir", str(tmp_path / "out"), cwd=tmp_path)
    assert process.stdout is not None
    return process.stdout.readline().decode().split()[-1]


@pytest.fixture
def long_run(tmp_path: Path, start: Starting, slow_server: str) -> Callable[..., "subprocess.Popen[bytes]"]:
    """Starts runs on the slow server, and returns once one executes."""
    return functools.partial(a_long_run, tmp_path, start, slow_server)


def a_long_run(tmp_path: Path, start: Starting, server: str, *more: str, scenes: int = 1) -> "subprocess.Popen[bytes]":
    arguments = ["run", str(story(tmp_path, scenes=scenes, frames=3)), "--server", server, "--workflow", "txt2img"]
    process = start(*arguments, *more, cwd=tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if b"Attempt 1 executing" in line or b'"execution_started"' in line:
            return process
    raise AssertionError(process.stderr.read().decode() if process.stderr else "")


def test_an_interruption_stops_the_run_in_good_order(tmp_path: Path, long_run: Starting) -> None:
    process = long_run("--headless", scenes=3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Stopping the run" in err.decode()
    assert "Traceback" not in err.decode()
    assert b"Run interrupted, exit 130" in out
    run = find_run(tmp_path / "runs")
    assert run.archive.exists()
    assert holder_of(run) is None
    assert comfytui("attach", "--headless", cwd=tmp_path).returncode == 130


def test_a_second_interruption_leaves_at_once(tmp_path: Path, long_run: Starting) -> None:
    process = long_run("--headless", scenes=3)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert process.stderr.readline().startswith(b"Stopping the run")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, b"")
    assert holder_of(find_run(tmp_path / "runs")) is None


def test_a_reader_that_pauses_holds_up_neither_the_run_nor_the_way_out(tmp_path: Path, start: Starting) -> None:
    arguments = ["run", str(story(tmp_path, scenes=20, frames=1)), "--server", "sim", "--workflow", "smoke", "--json"]
    process = start(*arguments, cwd=tmp_path)
    run_ended = functools.partial(journal_says, tmp_path, '"run_ended"')
    eventually(run_ended)
    assert process.poll() is None, "it waits for its reader"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    assert comfytui("attach", "--headless", cwd=tmp_path).returncode == 0


def journal_says(folder: Path, word: str) -> bool:
    return any(word in path.read_text(encoding="utf-8") for path in folder.glob("runs/*/events.jsonl"))


def eventually(true: Callable[[], bool], seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process whose console closes")
def test_a_terminal_that_hangs_up_ends_the_lines_and_not_the_run(tmp_path: Path, long_run: Starting) -> None:
    process = long_run("--headless", "--fast-iteration")
    process.send_signal(signal.SIGHUP)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=50) == 0
    assert comfytui("validate", str(find_run(tmp_path / "runs").path), cwd=tmp_path).returncode == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""


def test_a_reader_that_goes_away_does_not_end_the_run(tmp_path: Path, long_run: Starting) -> None:
    process = long_run("--json")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=50) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert comfytui("attach", "--headless", cwd=tmp_path).returncode == 0


def test_a_run_in_the_foreground_is_joined_and_stopped_from_elsewhere(
    tmp_path: Path, start: Starting, long_run: Starting
) -> None:
    process = long_run("--headless")
    joined = start("attach", "--headless", cwd=tmp_path)
    run = find_run(tmp_path / "runs")
    feed = RunFeed(run.path, system_clock(), journal=run.journal)
    anyio.run(feed.send, Stop(id="1"))
    out, _ = process.communicate(timeout=30)
    heard, _ = joined.communicate(timeout=30)
    assert (process.returncode, joined.returncode) == (130, 130)
    assert b"stop: accepted" in out
    assert b"stop: accepted" in heard
    assert comfytui("attach", "--headless", cwd=tmp_path).stdout.encode().splitlines()[:-2] == heard.splitlines()[:-2]


def test_two_runs_at_once_get_two_folders(tmp_path: Path, start: Starting) -> None:
    arguments = ["run", str(story(tmp_path)), "--server", "sim", "--workflow", "smoke", "--headless"]
    both = [start(*arguments, cwd=tmp_path) for _ in range(2)]
    assert [(process.communicate(timeout=50)[1], process.returncode) for process in both] == [(b"", 0)] * 2
    assert len(list((tmp_path / "runs").glob("2*"))) == 2


# --- runners of their own ------------------------------------------------------------------------------------------


async def test_a_rerun_of_a_run_that_is_over_starts_a_runner(tmp_path: Path) -> None:
    arguments = ["run", str(story(tmp_path)), "--server", "sim", "--workflow", "smoke", "--headless"]
    assert comfytui(*arguments, cwd=tmp_path).returncode == 0
    run, clock = find_run(tmp_path / "runs"), system_clock()

    async def launch() -> int:
        return await launch_runner(run, clock, "rerun")

    feed = RunFeed(run.path, clock, journal=run.journal, launch=launch)
    ends, attempts = 0, list[e.AttemptPlanned]()
    with anyio.fail_after(50):
        async for item in feed.items():
            event = item.event if isinstance(item, Envelope) else None
            if isinstance(event, e.AttemptPlanned):
                attempts.append(event)
            if isinstance(event, e.RunEnded):
                ends += 1
                if ends == 2:
                    break
                await feed.send(Rerun(id="again", scenes=("scene-002",)))
        while holder_of(run) is not None:
            await anyio.sleep(0.05)
    reap()
    assert [(each.scene, each.attempt) for each in attempts] == [("scene-001", 1), ("scene-002", 1), ("scene-002", 2)]
    assert not await answers(run.path)
    assert read_pointer(run.path) is None
    assert comfytui("validate", str(run.path), cwd=tmp_path).returncode == 0
    assert (run.logs / "runner.log").read_bytes() == b""


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_a_runner_that_is_killed_leaves_a_run_that_can_be_looked_at(tmp_path: Path, long_run: Starting) -> None:
    process = long_run("--headless")
    process.kill()
    process.wait()
    run = find_run(tmp_path / "runs")
    assert read_pointer(run.path) is not None, "it could not clean up"
    done = comfytui("attach", "--headless", cwd=tmp_path)
    assert done.returncode == 1
    assert "no end on record" in done.stdout


# --- a server without a run ----------------------------------------------------------------------------------------


def test_a_server_is_watched_in_lines_until_interrupted(tmp_path: Path, start: Starting, slow_server: str) -> None:
    process = start("--server", slow_server, "--headless", cwd=tmp_path)
    assert process.stdout is not None
    told = b""
    while b"Socket open" not in told:
        told += process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, b"")
    assert f"ComfyUI 0.8.0 at {slow_server}".encode() in told
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="a folder with an open log cannot be removed there")
def test_an_observer_whose_dashboard_was_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    command = [*COMMAND, "observer", "--server", "http://127.0.0.1:9", str(place)]
    with (place / "companion.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=log, stderr=log)
    eventually((place / "run.link").exists)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=20) == 0
    assert not place.exists()


def test_a_simulator_that_is_killed_gently_leaves_nothing_behind(tmp_path: Path, start: Starting) -> None:
    process = start("sim", "--port", "0", cwd=tmp_path, TMPDIR=str(tmp_path))
    assert process.stdout is not None
    assert b"ready" in process.stdout.readline()
    assert list(tmp_path.iterdir())
    process.terminate()
    assert process.wait(timeout=20) == 130
    assert list(tmp_path.iterdir()) == []


async def test_an_observer_answers_its_dashboard_and_leaves_with_it(slow_server: str) -> None:
    with companion(["observer", "--server", slow_server]) as launched:
        await answering(launched, system_clock())
        feed = RunFeed(launched.folder, system_clock(), journal=None)
        with anyio.fail_after(20):
            async for item in feed.items():
                if isinstance(item, Envelope) and isinstance(item.event, e.ServerReached):
                    break
        with pytest.raises(Failure, match="No runner answers"):
            await RunFeed(launched.folder / "elsewhere", system_clock(), journal=None).send(Stop(id="1"))
    assert launched.process.returncode == 0
    assert not launched.folder.exists()


async def test_a_companion_that_cannot_start_is_told_with_its_last_words() -> None:
    with companion(["observer", "--server", "ftp://nowhere"]) as launched, pytest.raises(Failure) as caught:
        await answering(launched, system_clock())
    assert caught.value.code == "run.no_runner"
    assert "begins with neither http:// nor https://" in caught.value.what
