"""An output folder that others use too, that goes away for a while, or whose files may not be read."""

import errno
import os
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace
from PIL import Image

from comfytui.engine.runner import Runner
from comfytui.engine.server.credentials import Credentials
from comfytui.model import events as e
from comfytui.model.workflow import load_workflow
from comfytui.records import journal
from comfytui.records.atomic import is_temporary
from comfytui.simulator import Simulator
from comfytui.simulator import faults as f
from comfytui.simulator.speed import Speed
from comfytui.sources.frames import verify
from tests.engine.stage import LONGEST, Outcome, Stage, brief
from tests.faults.test_disk import at, drive, fact, proven
from tests.faults.test_frames_and_history import settled

AT_ONCE = Speed(sampling_step=0.05, save_frame=0.0)
SLOW = Speed(sampling_step=0.05, save_frame=2.0)


def marked_runner(stage: Stage, simulator: Simulator, mark: str, prompt: str) -> Runner:
    """Return a runner as the command line makes them: its run has a mark."""
    opened = stage.open(simulator, brief(1, prompt=prompt), brief(2, prompt=f"{prompt}, again"))
    return Runner(opened.run_dir, replace(opened.plan, mark=mark), stage.clock, Credentials())


def everything(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return inode, mtime and content of each file below ``folder``."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in files
    }


def foreign_files(output: Path, run_id: str, mark: str) -> dict[str, tuple[int, int, bytes]]:
    """Put files of other people into and around the folder of a run, and return what is there."""
    ours = f"comfytui/{run_id}-{mark}"
    for name in (
        "ComfyUI_00001_.png", "comfytui/scene-001-a1_00001_.png", f"comfytui/{run_id}/scene-001-a1_00001_.png",
        f"{ours}/scene-001-a10_00001_.png", f"{ours}/scene-001-a1-copy_00001_.png", f"{ours}/scene-003-a1_00001_.png",
        f"{ours}/notes.txt", f"{ours}/.frame.1-1.tmp", f"{ours}/scene-001-a1.png.tmp",
    ):  # fmt: skip
        path = output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"not ours: {name}".encode())
    return everything(output)


async def test_two_runs_of_one_id_on_one_server_do_not_mix_their_frames(stage: Stage, tmp_path: Path) -> None:
    """Two machines, of which each opened its run in the same second, render on one server into one folder."""
    (tmp_path / "elsewhere").mkdir()
    other = Stage(tmp_path / "elsewhere")
    codes: dict[str, Outcome] = {}
    async with stage.simulator(speed=SLOW) as simulator:
        first = marked_runner(stage, simulator, "0a0a0a0a", "a lighthouse")
        second = marked_runner(other, simulator, "0b0b0b0b", "an orchard")
        assert first.run_dir.run_id == second.run_dir.run_id
        foreign = foreign_files(stage.output, first.run_dir.run_id, "0a0a0a0a")

        async def play(name: str, runner: Runner) -> None:
            with runner:
                codes[name] = await drive(runner, simulator)

        with anyio.fail_after(LONGEST):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(play, "first", first)
                tasks.start_soon(play, "second", second)
        left = everything(stage.output)
    hashes = []
    for outcome in codes.values():
        settled(outcome)
        assert outcome.exit_code == 0
        assert [len(scene.attempts) for scene in outcome.state.scenes] == [1, 1]
        assert [len(attempt.frames) for scene in outcome.state.scenes for attempt in scene.attempts] == [5, 5]
        for scene in outcome.state.scenes:
            attempt = scene.attempts[0]
            sources = [content for name, (_, _, content) in left.items() if name.startswith(f"{attempt.prefix}_")]
            taken = [path.read_bytes() for path in outcome.run_dir.frames(scene.brief.folder, 1).iterdir()]
            assert sorted(taken) == sorted(sources), "exactly the frames of its own prompt"
            hashes += [frame.sha256 for frame in attempt.frames]
    assert len(set(hashes)) == 20
    assert {name: left[name] for name in foreign} == foreign, "nobody else's file was touched"
    assert len(left) == len(foreign) + 20, "no frame was moved or removed, and nothing was added"


async def test_keyframes_of_two_runs_of_one_id_do_not_replace_each_other(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    stage.workflow = load_workflow("svd")
    runners = []
    async with stage.simulator(speed=AT_ONCE) as simulator:
        for place, colour, mark in (stage, "red", "0a0a0a0a"), (Stage(tmp_path / "elsewhere"), "blue", "0b0b0b0b"):
            place.workflow = stage.workflow
            picture = tmp_path / f"{colour}.png"
            Image.new("RGB", (64, 48), colour).save(picture)
            opened = place.open(simulator, brief(1, frames=2, keyframe=str(picture)))
            runners.append(Runner(opened.run_dir, replace(opened.plan, mark=mark), place.clock, Credentials()))
        for runner in runners:
            with runner:
                outcome = await drive(runner, simulator)
            settled(outcome)
        prompts = [body["prompt"] for body in outcome.posts()]
    loaded = {node["inputs"]["image"] for prompt in prompts for node in prompt.values() if "LoadImage" in str(node)}
    assert loaded == {f"comfytui/{runner.run_dir.run_id}-{mark}-scene-001.png" for mark in ("0a0a0a0a", "0b0b0b0b")}


async def test_a_run_that_fails_retries_and_is_taken_up_leaves_the_files_of_others(stage: Stage) -> None:
    stage.policy = replace(stage.policy, post_execution_timeout_seconds=3)
    faults = (f.TruncatedFrame(frame=2, nth=1), f.HostileNames(nth=2), f.NodeError(at="SaveImage", step=2, nth=3))
    async with stage.simulator(*faults, speed=SLOW) as simulator:
        with marked_runner(stage, simulator, "0c0c0c0c", "a bell") as runner:
            foreign = foreign_files(stage.output, runner.run_dir.run_id, "0c0c0c0c")
            outcome = await drive(runner, simulator)
        settled(outcome)
        left = everything(stage.output)
    assert sum(len(scene.attempts) for scene in outcome.state.scenes) > 2
    assert {name: left[name] for name in foreign} == foreign
    ours = [name for name in left if name not in foreign]
    assert not [name for name in ours if is_temporary(name.rpartition("/")[2])]


# --- it goes away --------------------------------------------------------------------------------------------------


async def test_an_output_folder_that_is_away_after_the_prompt_is_awaited(stage: Stage) -> None:
    away = stage.output.with_name("away")

    async def bring_back() -> None:
        await stage.clock.sleep(10)
        away.rename(stage.output)

    async with stage.simulator(speed=AT_ONCE) as simulator, anyio.create_task_group() as tasks:
        with stage.open(simulator) as runner:

            def take_away() -> None:
                stage.output.rename(away)
                tasks.start_soon(bring_back)

            at(runner, fact(e.ExecutionEnded), take_away)
            outcome = await drive(runner, simulator)
    settled(outcome)
    assert outcome.exit_code == 0
    assert (outcome.attempt().status, outcome.attempt().proven) == ("success", 5)
    assert len(outcome.scene().attempts) == 1
    telemetry = outcome.attempt().telemetry
    assert telemetry is not None
    assert telemetry.duration_seconds >= 10


async def test_frames_are_watched_again_when_the_output_folder_returns(stage: Stage) -> None:
    away = stage.output.with_name("away")

    async def go_and_return() -> None:
        await stage.clock.sleep(1)  # the server has begun the next frame, and goes on with it at half of its time
        stage.output.rename(away)
        await stage.clock.sleep(3)
        away.rename(stage.output)

    async with stage.simulator(speed=Speed(save_frame=10.0)) as simulator, anyio.create_task_group() as tasks:
        with stage.open(simulator) as runner:
            at(runner, proven(2), lambda: tasks.start_soon(go_and_return))
            outcome = await drive(runner, simulator)
    settled(outcome)
    assert outcome.exit_code == 0
    assert [(attempt.status, attempt.proven) for attempt in outcome.scene().attempts] == [("success", 5)]
    facts = [envelope.event for envelope in journal.read(outcome.run_dir.journal)]
    ended = next(place for place, event in enumerate(facts) if isinstance(event, e.ExecutionEnded))
    assert sum(isinstance(event, e.FrameProven) for event in facts[:ended]) >= 4, "they are taken as they land"


async def test_an_output_folder_that_stays_away_costs_the_frames_not_the_run(stage: Stage) -> None:
    stage.policy = replace(stage.policy, scene_retry_budget=0)
    async with stage.simulator(speed=AT_ONCE) as simulator:
        with stage.open(simulator) as runner:
            at(runner, fact(e.ExecutionEnded), lambda: stage.output.rename(stage.output.with_name("away")))
            outcome = await drive(runner, simulator)
    assert outcome.exit_code == 1
    assert {refusal.state for refusal in outcome.attempt().refused} <= {"missing"}
    assert outcome.attempt().exit_reason == "postExecution"


# --- it may not be read --------------------------------------------------------------------------------------------


@pytest.fixture
def unreadable_frames(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files of the output folder be opened by nobody: root may read whatever ``chmod`` says."""
    opened = verify.open_source

    def open_source(path: Path, *more: Any) -> Any:
        if path.is_relative_to(stage.output):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opened(path, *more)

    monkeypatch.setattr("comfytui.sources.frames.collect.open_source", open_source)


@pytest.mark.usefixtures("unreadable_frames")
async def test_frames_that_may_not_be_read_are_fetched(stage: Stage) -> None:
    outcome = await stage.play()
    settled(outcome)
    assert outcome.exit_code == 0
    assert (outcome.attempt().status, outcome.attempt().proven) == ("success", 5)


@pytest.mark.usefixtures("unreadable_frames")
async def test_frames_that_nobody_may_give_are_refused_with_the_reason(stage: Stage) -> None:
    stage.policy = replace(stage.policy, scene_retry_budget=0, post_execution_timeout_seconds=3)
    outcome = await stage.play(f.UnreportedFrames())
    settled(outcome, frameless=True)
    assert outcome.exit_code == 1
    assert len(outcome.attempt().refused) == 5
    assert {refusal.why for refusal in outcome.attempt().refused} == {os.strerror(errno.EACCES)}


async def test_a_frame_that_becomes_readable_in_time_is_taken(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, tries = verify.open_source, [0]

    def open_source(path: Path, *more: Any) -> Any:
        if path.name == "scene-001-a1_00003_.png" and path.is_relative_to(stage.output):
            tries[0] += 1
            if tries[0] < 4:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opened(path, *more)

    monkeypatch.setattr("comfytui.sources.frames.collect.open_source", open_source)
    outcome = await stage.play(f.UnreportedFrames())
    settled(outcome)
    assert outcome.exit_code == 0
    assert (tries[0], outcome.attempt().proven) == (4, 5)
