"""How frames come into the run folder: from the server's folder, over HTTP, late, rewritten, unprovable, or marked."""

import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from PIL import Image
from watchfiles import _rust_notify

from comfytui.engine.runner import Runner
from comfytui.engine.server.credentials import Credentials
from comfytui.model import events as e
from comfytui.model.plan import ServerPlan
from comfytui.model.state import State
from comfytui.model.workflow import decode_workflow, load_workflow
from comfytui.records.rundir import create_run, write_plan
from comfytui.simulator import Simulator
from comfytui.simulator import faults as f
from comfytui.simulator.routes import info
from comfytui.simulator.speed import Speed
from tests.engine.playing import Play, facts, of_kind, phase_is, playing
from tests.engine.stage import Outcome, Stage, brief
from tests.faults.test_frames_and_history import settled

SLOW = Speed(save_frame=2.0)


def opened(stage: Stage, simulator: Simulator, *scenes: e.SceneBrief, **server: Any) -> Runner:
    """Return a runner for a fresh run whose plan has ``server`` changed."""
    run_dir = create_run(stage.runs, stage.clock)
    plan = stage.plan(run_dir, simulator.url, scenes or (brief(1),))
    plan = replace(plan, server=ServerPlan(**({"url": simulator.url, "watch": "poll"} | server)))
    write_plan(run_dir, plan, b"{}")
    return Runner(run_dir, plan, stage.clock, Credentials())


def picture(color: str, size: int = 64) -> bytes:
    drawn = BytesIO()
    Image.new("RGB", (size, size), color).save(drawn, "PNG")
    return drawn.getvalue()


def taken(outcome: Outcome, scene: int = 1, attempt: int = 1) -> dict[str, bytes]:
    """Return what lies in the attempt's folder of the run."""
    folder = outcome.run_dir.frames(outcome.scene(scene).brief.folder, attempt)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- from another machine ----------------------------------------------------------------------------------------


@pytest.fixture
def secretive(monkeypatch: pytest.MonkeyPatch) -> f.Fault:
    """A server that does not tell where its output folder is."""
    monkeypatch.setattr(info, "_argv", lambda life: ["main.py", "--listen"])
    return f.Answered(path="/internal/folder_paths", status=404, text="not found")


async def test_frames_of_a_server_whose_folder_is_not_here_are_fetched(stage: Stage, secretive: f.Fault) -> None:
    outcome = await stage.play(secretive, scenes=(brief(1), brief(2)))
    settled(outcome)
    assert outcome.exit_code == 0
    assert outcome.state.server.frames_by == "http"
    frames = [frame for number in (1, 2) for frame in outcome.attempt(number).frames]
    assert [frame.via for frame in frames] == ["http"] * 10
    on_server = {path.name: path.read_bytes() for path in stage.output.rglob("*.png")}
    assert taken(outcome, 1) | taken(outcome, 2) == on_server


async def test_a_frame_that_is_missing_there_is_refused_as_missing(stage: Stage, secretive: f.Fault) -> None:
    stage.policy = replace(stage.policy, scene_retry_budget=0, post_execution_timeout_seconds=5)
    outcome = await stage.play(secretive, f.FewerFrames(keep=3, reported=True))
    settled(outcome)
    attempt = outcome.attempt()
    assert (attempt.status, attempt.exit_reason, attempt.proven) == ("partial", "postExecution", 3)
    assert {(r.name, r.state) for r in attempt.refused} == {  # they are asked for together
        ("scene-001-a1_00004_.png", "missing"),
        ("scene-001-a1_00005_.png", "missing"),
    }


async def test_a_frame_that_is_half_written_there_is_fetched_once_it_is_whole(stage: Stage, secretive: f.Fault) -> None:
    outcome = await stage.play(secretive, f.LateFrame(frame=2, seconds=4.0))
    settled(outcome)
    assert outcome.exit_code == 0
    assert outcome.attempt().proven == 5


async def test_a_truncated_frame_is_fetched_for_people_to_see(stage: Stage, secretive: f.Fault) -> None:
    stage.policy = replace(stage.policy, scene_retry_budget=0, post_execution_timeout_seconds=3)
    outcome = await stage.play(secretive, f.TruncatedFrame(frame=4))
    settled(outcome)
    attempt = outcome.attempt()
    assert [(frame.name, frame.via) for frame in attempt.frames if not frame.verified] == [
        ("scene-001-a1_00004_.png", "http")
    ]
    assert attempt.forced_debug_path is not None


async def test_a_folder_that_is_not_the_servers_still_gets_its_frames(stage: Stage, tmp_path: Path) -> None:
    """As behind an SSH tunnel: the path exists on both machines, and they are two folders."""
    other = tmp_path / "other"
    other.mkdir()
    async with stage.simulator() as simulator:
        with opened(stage, simulator, brief(1), output_dir=str(other)) as runner:
            async with playing(runner, simulator) as play:
                pass
            outcome = play.outcome
    settled(outcome)
    assert outcome.exit_code == 0
    assert [frame.via for frame in outcome.attempt().frames] == ["http"] * 5
    assert list(other.iterdir()) == []


async def test_a_named_folder_that_is_not_there_is_said_before_anything_is_sent(stage: Stage, tmp_path: Path) -> None:
    async with stage.simulator() as simulator:
        with opened(stage, simulator, output_dir=str(tmp_path / "nowhere")) as runner:
            async with playing(runner, simulator) as play:
                pass
            outcome = play.outcome
    assert outcome.exit_code == 2
    assert outcome.posts() == []


# --- written once more -------------------------------------------------------------------------------------------


@asynccontextmanager
async def interfering(stage: Stage, *faults: f.Fault, frames: int = 5) -> AsyncIterator[Play]:
    """Play a scene whose frames are written so slowly that the first ones are taken long before the last."""
    async with stage.simulator(*faults, speed=SLOW) as simulator:
        with stage.open(simulator, brief(1, frames)) as runner:
            async with playing(runner, simulator) as play:
                yield play


def has_taken(count: int) -> Callable[[State], bool]:
    return lambda state: state.scenes[0].frames >= count


def on_server(stage: Stage, number: int) -> Path:
    (found,) = stage.output.rglob(f"*_{number:05}_.png")
    return found


async def test_a_frame_that_is_written_once_more_counts_with_its_newer_content(stage: Stage) -> None:
    newer = picture("teal")
    async with interfering(stage) as play:
        await play.until(has_taken(2))
        on_server(stage, 1).write_bytes(newer)
    outcome = play.outcome
    settled(outcome)
    assert outcome.exit_code == 0
    assert taken(outcome)["scene-001-a1_00001_.png"] == newer
    assert outcome.attempt().proven == 5


async def test_a_frame_that_is_left_torn_when_written_once_more_stays_as_it_was(stage: Stage) -> None:
    stage.policy = replace(stage.policy, post_execution_timeout_seconds=3, scene_retry_budget=0)
    async with interfering(stage) as play:
        await play.until(has_taken(2))
        whole = on_server(stage, 1).read_bytes()
        on_server(stage, 1).write_bytes(whole[: len(whole) // 2])
    outcome = play.outcome
    settled(outcome)
    assert taken(outcome)["scene-001-a1_00001_.png"] == whole
    assert outcome.attempt().proven == 5


async def test_a_frame_that_vanishes_after_it_was_taken_is_kept(stage: Stage) -> None:
    async with interfering(stage) as play:
        await play.until(has_taken(2))
        on_server(stage, 1).unlink()
    outcome = play.outcome
    settled(outcome)
    assert outcome.exit_code == 0
    assert outcome.attempt().proven == 5


# --- formats that prove nothing ----------------------------------------------------------------------------------

BITMAP = b"BM" + bytes(range(256)) * 8


def put(path: Path, size: int = len(BITMAP)) -> None:
    path.write_bytes(BITMAP[:size])


async def with_bitmap(stage: Stage, write: Callable[[Path, Play], Any]) -> Outcome:
    """Play a scene that also reports ``extra.bmp``, of which nothing but rest tells that it is finished."""
    async with interfering(stage, f.HostileNames(names=("extra.bmp",)), frames=2) as play:
        await play.until(phase_is(1, "collecting"))
        await write(stage.output / "extra.bmp", play)
    return play.outcome


async def test_a_file_that_proves_nothing_is_taken_after_it_has_rested(stage: Stage) -> None:
    async def write(path: Path, play: Play) -> None:
        for size in (100, 500, len(BITMAP)):
            put(path, size)
            await stage.clock.sleep(1.0)

    outcome = await with_bitmap(stage, write)
    settled(outcome)
    assert outcome.exit_code == 0
    assert taken(outcome)["extra.bmp"] == BITMAP
    (proven,) = [event for event in of_kind(facts(outcome.run_dir), e.FrameProven) if event.frame.name == "extra.bmp"]
    assert proven.frame.verified
    attempt = outcome.attempt()
    assert attempt.ended_at is not None
    assert attempt.execution_ended_at is not None
    assert (attempt.ended_at - attempt.execution_ended_at).total_seconds() >= 2.0 + stage.policy.stability_seconds


async def test_a_file_that_is_written_on_after_it_rested_counts_with_its_newer_content(stage: Stage) -> None:
    async def write(path: Path, play: Play) -> None:
        put(path, 100)
        await play.until(lambda state: any(frame.name == "extra.bmp" for frame in state.scenes[0].attempts[0].frames))
        put(path)

    async with interfering(stage, f.HostileNames(names=("extra.bmp",)), f.LateFrame(seconds=15.0), frames=2) as play:
        await play.until(phase_is(1, "collecting"))
        await write(stage.output / "extra.bmp", play)
    outcome = play.outcome
    settled(outcome)
    assert outcome.exit_code == 0
    assert taken(outcome)["extra.bmp"] == BITMAP


async def test_a_file_that_never_rests_is_not_taken_for_finished(stage: Stage) -> None:
    stage.policy = replace(stage.policy, post_execution_timeout_seconds=10, scene_retry_budget=0)

    async def write(path: Path, play: Play) -> None:
        for size in range(1, 40):
            put(path, size)
            await stage.clock.sleep(0.5)
            if play.code is not None:
                return

    outcome = await with_bitmap(stage, write)
    settled(outcome)
    attempt = outcome.attempt()
    assert (attempt.status, attempt.exit_reason, attempt.proven) == ("partial", "postExecution", 2)
    assert [frame.name for frame in attempt.frames if not frame.verified] == ["extra.bmp"], "for people to look at"


# --- done markers ------------------------------------------------------------------------------------------------


def mark(stage: Stage, play: Play, *, age: float = 0.0, writer: str = "SaveTool") -> Path:
    """Write the producer's marker of the newest attempt, ``age`` seconds ago."""
    attempt = play.state.scenes[0].attempts[-1]
    path = stage.output / f"{attempt.prefix}.done"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{{"FrameCount": 5, "Writer": "{writer}"}}')
    at = stage.clock.now().timestamp() - age
    os.utime(path, (at, at))
    return path


async def test_a_done_marker_is_awaited_and_told(stage: Stage) -> None:
    stage.policy = replace(stage.policy, done_marker=True)
    async with interfering(stage) as play:
        await play.until(phase_is(1, "collecting"))
        await stage.clock.sleep(3.0)
        path = mark(stage, play)
    outcome = play.outcome
    settled(outcome)
    telemetry = outcome.attempt().telemetry
    assert telemetry is not None
    assert (telemetry.done_marker_detected, telemetry.done_marker_path) == (True, str(path))
    assert 2.9 <= telemetry.done_marker_wait_seconds <= 3.4


@pytest.mark.parametrize("kind", ["absent", "stale", "our own"])
async def test_what_is_no_marker_of_this_attempt_does_not_count(stage: Stage, kind: str) -> None:
    stage.policy = replace(stage.policy, done_marker=True)
    async with interfering(stage) as play:
        await play.until(phase_is(1, "executing"))
        if kind == "stale":
            mark(stage, play, age=3600.0)
        elif kind == "our own":
            mark(stage, play, writer="comfytui")
    outcome = play.outcome
    settled(outcome)
    assert outcome.exit_code == 0, "frames that are proven need no marker"
    telemetry = outcome.attempt().telemetry
    assert telemetry is not None
    assert (telemetry.done_marker_detected, telemetry.done_marker_path) == (False, None)
    assert telemetry.done_marker_wait_seconds == stage.policy.done_marker_timeout_seconds


async def test_a_marker_is_not_awaited_for_a_prompt_that_failed(stage: Stage) -> None:
    stage.policy = replace(stage.policy, done_marker=True, done_marker_timeout_seconds=300, scene_retry_budget=0)
    outcome = await stage.play(f.NodeError(at="SaveImage", step=2))
    settled(outcome)
    telemetry = outcome.attempt().telemetry
    assert telemetry is not None
    assert telemetry.done_marker_wait_seconds == 0.0
    assert telemetry.duration_seconds < 30


async def test_markers_of_a_server_elsewhere_are_noted_as_unseen(stage: Stage, secretive: f.Fault) -> None:
    stage.policy = replace(stage.policy, done_marker=True)
    outcome = await stage.play(secretive)
    settled(outcome)
    assert any("Done markers cannot be seen" in note for note in outcome.attempt().notes)


# --- keyframes, the cache, two runs at once ----------------------------------------------------------------------


async def test_a_server_that_is_away_when_a_keyframe_is_uploaded_is_waited_for(stage: Stage, tmp_path: Path) -> None:
    stage.workflow = load_workflow("svd")
    stage.policy = replace(stage.policy, scene_retry_budget=0)
    key = tmp_path / "key.png"
    key.write_bytes(picture("orange"))
    scenes = tuple(brief(number, 3, keyframe=str(key)) for number in (1, 2))
    away = f.ConnectionReset(path="/upload/image", times=3)
    outcome = await stage.play(away, scenes=scenes)
    settled(outcome)
    assert outcome.exit_code == 0
    assert outcome.simulator.faults.used(away) == 3
    assert [len(scene.attempts) for scene in outcome.state.scenes] == [1, 1]


async def test_an_answer_from_the_cache_is_told_as_such_and_its_old_files_count(stage: Stage) -> None:
    """A workflow into which neither prefix nor seed reaches: the second scene is the first one to the server."""
    graph = (
        b'{"1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 3, "color": 7}},'
        b' "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "always"}}}'
    )
    stage.workflow = decode_workflow(graph, "fixed", "fixed.json", {"prefix": "", "seed": "", "frames": ""})
    outcome = await stage.play(scenes=(brief(1, 3), brief(2, 3)))
    settled(outcome)
    assert outcome.exit_code == 0
    first, second = outcome.attempt(1), outcome.attempt(2)
    assert (first.status, second.status) == ("success", "cached")
    assert taken(outcome, 1) == taken(outcome, 2)
    assert len(taken(outcome, 1)) == 3


async def test_two_runs_on_one_server_and_one_folder_do_not_mix_frames(stage: Stage) -> None:
    async with stage.simulator(speed=Speed(save_frame=0.3)) as simulator:
        scenes = [(brief(1, 3, prompt=f"{name} one"), brief(2, 3, prompt=f"{name} two")) for name in ("dawn", "dusk")]
        with stage.open(simulator, *scenes[0]) as first, stage.open(simulator, *scenes[1]) as second:
            async with playing(first, simulator) as one, playing(second, simulator) as other:
                pass
    assert (one.code, other.code) == (0, 0)
    seen: dict[str, int] = {}
    for play in (one, other):
        outcome = play.outcome
        settled(outcome)
        for number in (1, 2):
            assert outcome.attempt(number).proven == 3
            for frame in outcome.attempt(number).frames:
                seen[frame.sha256] = seen.get(frame.sha256, 0) + 1
    assert len(list(stage.output.rglob("*.png"))) == 12
    assert len({a.prefix for play in (one, other) for s in play.state.scenes for a in s.attempts}) == 4
    assert len(seen) >= 4


async def test_a_machine_that_has_no_file_events_left_is_told_of(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_watches(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_rust_notify, "RustNotify", no_watches)
    async with stage.simulator(speed=SLOW) as simulator:
        with opened(stage, simulator, watch="auto") as runner:
            assert await runner.drive() == 0
            notes = [note.text for note in runner.hub.state.notes if note.text.startswith("Frames are looked for")]
    assert notes == ["Frames are looked for once a second: file events cannot be had here (No space left on device)"]
