"""Runs that are told to stop, by real signals to real processes: what is ours goes, what is not ours stays."""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from comfytui.cli.planning import make_plan, order_story
from comfytui.clock import system_clock
from comfytui.model import events as e
from comfytui.model.artifact import ArtifactMetadata
from comfytui.records import journal as journals
from comfytui.records.lock import holder_of
from comfytui.records.rundir import RunDir, create_run, find_run, write_plan
from comfytui.records.validate import validate_run
from comfytui.settings.merged import load
from comfytui.simulator import Faults, Simulator, Speed
from comfytui.simulator import faults as f
from tests.e2e.command import comfytui, started, story
from tests.e2e.test_processes import end, eventually

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals there")

SCENES, FRAMES = 4, 3
ENDING = [signal.SIGINT, signal.SIGTERM]


@dataclass
class Server:
    """A simulator that serves in a thread of the test, on real time, so that the test sees what it is asked."""

    simulator: Simulator
    portal: BlockingPortal

    def foreign(self, count: int, seconds: float, *, first: bool = False) -> list[str]:
        """Queue prompts of somebody else."""
        return self.portal.call(functools.partial(self.simulator.queue_foreign, count, seconds=seconds, first=first))

    @property
    def executed(self) -> list[str]:
        return list(self.simulator.prompts_executed)

    def posted(self, path: str) -> list[Any]:
        return [r.body for r in list(self.simulator.requests) if r.method == "POST" and r.path == path]

    def untouched_are(self, foreign: list[str]) -> None:
        """Hold every interrupt and every deletion to prompts of ours, named one by one."""
        ours = {body["prompt_id"] for body in self.posted("/prompt")}
        assert not ours & set(foreign)
        for body in self.posted("/interrupt"):
            assert isinstance(body, dict)
            assert set(body) == {"prompt_id"}
            assert body["prompt_id"] in ours
        for body in self.posted("/queue"):
            assert set(body) == {"delete"}, "never clear"
            assert set(body["delete"]) <= ours
        assert self.posted("/history") == []
        eventually(lambda: set(foreign) <= set(self.executed))


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts simulators that end with the test."""
    with contextlib.ExitStack() as stack:

        def serving(*faults: f.Fault, save_frame: float = 0.4) -> Server:
            output = tmp_path / "out"
            output.mkdir()
            portal = stack.enter_context(start_blocking_portal())
            simulator = Simulator(output_dir=output, speed=Speed(save_frame=save_frame), faults=Faults(*faults))
            stack.enter_context(portal.wrap_async_context_manager(simulator.serve()))
            return Server(simulator, portal)

        yield serving


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Starts runners, in the foreground with lines or detached, that are gone after the test."""
    with contextlib.ExitStack() as stack:

        def driving(server: Server, detached: bool = False) -> "subprocess.Popen[bytes]":
            flags = {"server": server.simulator.url, "workflow": "smoke", "watch": "poll"}
            if detached:
                process = started("runner", str(prepared(tmp_path, flags).path), cwd=tmp_path)
            else:
                told = [part for name, value in flags.items() for part in (f"--{name}", value)]
                path = str(story(tmp_path, scenes=SCENES, frames=FRAMES))
                process = started("run", path, "--headless", *told, cwd=tmp_path)
            stack.callback(end, process)
            return process

        yield driving


def prepared(folder: Path, flags: dict[str, str]) -> RunDir:
    """Make the run folder that a dashboard would make, for a runner of its own."""
    settings = load(flags, {"COMFYTUI_CONFIG": ""}, folder)
    order, clock = order_story(story(folder, scenes=SCENES, frames=FRAMES), settings), system_clock()
    run = create_run(folder / "runs", clock)
    plan = make_plan(order, settings, run_id=run.run_id, created_at=clock.now(), simulator_speed="instant")
    write_plan(run, plan, order.story_file)
    return run


def facts(folder: Path) -> list[e.AnyEvent]:
    """Return the facts of the latest run so far; none while there is no journal."""
    paths = list(folder.glob("runs/2*/events.jsonl"))
    return [envelope.event for envelope in journals.read(paths[0]) if envelope.is_fact] if paths else []


def has(folder: Path, kind: type[e.Fact], count: int = 1) -> Callable[[], bool]:
    return lambda: sum(isinstance(event, kind) for event in facts(folder)) >= count


def whole(folder: Path, *, exit_code: int = 130) -> RunDir:
    """Hold the run to its records: telemetry for every scene, artifacts, nobody who drives it."""
    run = find_run(folder / "runs")
    assert [str(finding) for finding in validate_run(run.path)] in ([], [NO_FRAMES])
    metadata = msgspec.json.decode(run.metadata.read_bytes(), type=ArtifactMetadata)
    assert len(metadata.scenes) == SCENES
    assert all(scene.telemetry is not None for scene in metadata.scenes)
    assert run.archive.exists()
    assert holder_of(run) is None
    last = facts(folder)[-1]
    assert isinstance(last, e.RunEnded)
    assert last.exit_code == exit_code
    return run


NO_FRAMES = "artifact-metadata.json: no frame of any scene is proven whole"


# --- one signal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
@pytest.mark.parametrize("detached", [False, True], ids=["foreground", "detached"])
def test_a_signal_stops_what_is_ours_and_leaves_what_is_not(
    tmp_path: Path, serve: Callable[..., Server], drive: Callable[..., "subprocess.Popen[bytes]"],
    detached: bool, number: signal.Signals,
) -> None:  # fmt: skip
    server = serve(save_frame=1.2)  # so that the first prompt is sure to be still at work
    process = drive(server, detached)
    eventually(has(tmp_path, e.FrameProven))
    eventually(has(tmp_path, e.PromptQueued, 2))
    foreign = server.foreign(2, seconds=0.2)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    whole(tmp_path)
    prompts = [body["prompt_id"] for body in server.posted("/prompt")]
    assert len(prompts) == 2, "nothing more is submitted"
    assert {body["prompt_id"] for body in server.posted("/interrupt")} <= {prompts[0]}
    assert server.posted("/queue") == [{"delete": [prompts[1]]}]
    server.untouched_are(foreign)
    assert prompts[1] not in server.executed
    proven = {event.frame.name for event in facts(tmp_path) if isinstance(event, e.FrameProven)}
    written = {path.name for path in (tmp_path / "out").rglob("*.png")}
    assert proven == written, "whatever is whole is kept"
    if not detached:
        assert b"Run interrupted, exit 130" in out


def test_a_run_behind_somebody_elses_prompt_interrupts_nobody(
    tmp_path: Path, serve: Callable[..., Server], drive: Callable[..., "subprocess.Popen[bytes]"]
) -> None:
    server = serve()
    foreign = server.foreign(2, seconds=3.0)
    process = drive(server)
    eventually(has(tmp_path, e.PromptQueued, 1))
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    whole(tmp_path)
    assert server.posted("/interrupt") == [], "what runs is not ours"
    server.untouched_are(foreign)
    assert set(server.executed) == set(foreign)


def test_a_signal_while_the_server_is_asked_for_the_first_time(
    tmp_path: Path, serve: Callable[..., Server], drive: Callable[..., "subprocess.Popen[bytes]"]
) -> None:
    server = serve(f.Slow(path="/system_stats", seconds=25.0))
    process = drive(server)
    eventually(has(tmp_path, e.RunnerStarted))
    eventually(lambda: bool(list(server.simulator.requests)))
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert time.monotonic() - began < 10, "it does not wait for a server that it does not need any more"
    whole(tmp_path)
    assert server.posted("/prompt") == []


def test_a_signal_while_a_resumed_run_reaches_its_server_leaves_what_may_be_there_open(
    tmp_path: Path, serve: Callable[..., Server], drive: Callable[..., "subprocess.Popen[bytes]"]
) -> None:
    server = serve()
    process = drive(server)
    eventually(has(tmp_path, e.ExecutionStarted))
    process.kill()
    process.wait()
    slow = f.Slow(path="/system_stats", seconds=25.0)
    server.simulator.faults.add(slow)
    run = find_run(tmp_path / "runs")
    resumed = started("resume", run.run_id, "--headless", cwd=tmp_path)
    eventually(lambda: server.simulator.faults.used(slow) > 0)
    resumed.send_signal(signal.SIGINT)
    out, err = resumed.communicate(timeout=10)
    assert (resumed.returncode, b"Traceback" in err) == (130, False)
    assert b"prompts of this run may still be there" in out
    server.simulator.faults.clear()
    assert comfytui("resume", run.run_id, "--headless", cwd=tmp_path).returncode == 0
    whole(tmp_path, exit_code=0)
    assert len(server.executed) == len(set(server.executed)) == SCENES, "nothing is rendered twice"


# --- two signals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("detached", [False, True], ids=["foreground", "detached"])
def test_a_second_signal_is_immediate_and_what_is_left_can_be_resumed(
    tmp_path: Path, serve: Callable[..., Server], drive: Callable[..., "subprocess.Popen[bytes]"], detached: bool
) -> None:
    server = serve(f.InterruptLost(nth=1), save_frame=1.2)
    process = drive(server, detached)
    eventually(has(tmp_path, e.ExecutionStarted))
    eventually(has(tmp_path, e.PromptQueued, 2))
    foreign = server.foreign(1, seconds=0.2)
    process.send_signal(signal.SIGINT)
    eventually(has(tmp_path, e.CommandAnswered))
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert time.monotonic() - began < 3
    assert b"Traceback" not in err
    run = find_run(tmp_path / "runs")
    assert holder_of(run) is None
    assert not any(isinstance(event, e.RunEnded) for event in facts(tmp_path))
    assert journals.read(run.journal).problems == []
    done = comfytui("resume", run.run_id, "--headless", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    whole(tmp_path, exit_code=0)
    server.untouched_are(foreign)
    assert len(server.executed) == len(set(server.executed)), "nothing is rendered twice"


# --- a terminal that goes away -------------------------------------------------------------------------------------


def test_a_hangup_does_not_end_a_runner_of_its_own(
    tmp_path: Path, serve: Callable[..., Server], drive: Callable[..., "subprocess.Popen[bytes]"]
) -> None:
    server = serve()
    process = drive(server, True)
    eventually(has(tmp_path, e.ExecutionStarted))
    os.kill(process.pid, signal.SIGHUP)
    _, err = process.communicate(timeout=40)
    assert process.returncode == 0, err
    whole(tmp_path, exit_code=0)
    assert server.posted("/interrupt") == []
    assert server.posted("/queue") == []
