"""What a server does to frames and history, injected: the verdict is right, the records valid, no frame lost."""

import pytest
from msgspec.structs import replace

from comfytui.simulator import faults as f
from comfytui.simulator.speed import Speed
from tests.engine.stage import Outcome, Stage, brief

NO_FRAMES = "artifact-metadata.json: no frame of any scene is proven whole"


def settled(outcome: Outcome, *, frameless: bool = False) -> None:
    """Every scene has ended with telemetry, and the records hold together; ``frameless``: but there is no frame."""
    assert outcome.findings == ([NO_FRAMES] if frameless else [])
    assert all(scene.over and scene.chosen and scene.chosen.telemetry for scene in outcome.state.scenes)


async def test_history_that_is_missing_at_success_is_read_again(stage: Stage) -> None:
    outcome = await stage.play(f.HistoryMissing(seconds=0.9))
    settled(outcome)
    attempt = outcome.attempt()
    assert outcome.exit_code == 0
    assert (attempt.status, attempt.exit_reason, attempt.proven) == ("success", "success", 5)
    assert [look.status for look in attempt.history][-1] == "success"
    assert 2 <= len(attempt.history) <= 6


async def test_a_truncated_frame_is_refused_and_copied_for_people_to_see(stage: Stage) -> None:
    stage.policy = replace(stage.policy, scene_retry_budget=0, post_execution_timeout_seconds=5)
    outcome = await stage.play(f.TruncatedFrame(frame=3))
    settled(outcome)
    attempt = outcome.attempt()
    telemetry = attempt.telemetry
    assert telemetry is not None
    assert outcome.exit_code == 1
    assert (attempt.status, attempt.exit_reason, attempt.proven) == ("partial", "postExecution", 4)
    assert telemetry.execution_success_detected
    assert telemetry.history_post_execution_timeout_reached
    assert telemetry.forced_copy_triggered
    assert telemetry.forced_copy_debug_path is not None
    assert "scene-001-a1_00003_.png" in (outcome.run_dir.path / telemetry.forced_copy_debug_path).read_text()
    assert [frame.name for frame in attempt.frames if not frame.verified] == ["scene-001-a1_00003_.png"]
    assert outcome.scene().success
    assert not outcome.scene().meets_floor


async def test_a_truncated_frame_earns_another_attempt(stage: Stage) -> None:
    stage.policy = replace(stage.policy, post_execution_timeout_seconds=5)
    outcome = await stage.play(f.TruncatedFrame(frame=3, nth=1))
    settled(outcome)
    assert outcome.exit_code == 0
    assert [a.proven for a in outcome.scene().attempts] == [4, 5]
    assert outcome.scene().attempts[1].reason == "frame count below floor (4/5)"
    assert outcome.scene().best == 2


async def test_a_frame_that_pauses_half_written_is_awaited(stage: Stage) -> None:
    outcome = await stage.play(f.HalfWritten(frame=5, pause=3.0))
    settled(outcome)
    assert outcome.exit_code == 0
    assert outcome.attempt().proven == 5


async def test_zero_frames_on_the_first_attempt(stage: Stage) -> None:
    outcome = await stage.play(f.FewerFrames(keep=0, nth=1))
    settled(outcome)
    first, second = outcome.scene().attempts
    assert outcome.exit_code == 0
    assert (first.status, first.proven) == ("partial", 0)
    assert first.exit_reason == "postExecution"
    assert (second.status, second.proven, second.reason) == ("success", 5, "no frame is proven whole")
    assert first.prefix != second.prefix
    assert first.seed != second.seed


async def test_late_frames_are_awaited(stage: Stage) -> None:
    outcome = await stage.play(f.LateFrame(frame=-1, seconds=12.0))
    settled(outcome)
    attempt = outcome.attempt()
    assert outcome.exit_code == 0
    assert (attempt.status, attempt.exit_reason, attempt.proven) == ("success", "success", 5)
    assert attempt.telemetry is not None
    assert attempt.telemetry.duration_seconds >= 12


async def test_frames_that_come_too_late_are_missing(stage: Stage) -> None:
    stage.policy = replace(stage.policy, scene_retry_budget=0)
    outcome = await stage.play(f.LateFrame(frame=-1, seconds=45.0))
    settled(outcome)
    attempt = outcome.attempt()
    assert (attempt.exit_reason, attempt.proven) == ("postExecution", 4)
    assert [(r.name, r.state) for r in attempt.refused] == [("scene-001-a1_00005_.png", "missing")]
    assert attempt.telemetry is not None
    assert not attempt.telemetry.forced_copy_triggered, "what is not there cannot be copied"


async def test_unreported_frames_are_found_on_the_disk(stage: Stage) -> None:
    outcome = await stage.play(f.UnreportedFrames())
    settled(outcome)
    assert outcome.exit_code == 0
    assert (outcome.attempt().expected, outcome.attempt().proven) == (0, 5)


async def test_frames_of_other_people_stay_where_they_are(stage: Stage) -> None:
    foreign = stage.output / "comfytui" / "scene-001-a1_00001_.png"
    foreign.parent.mkdir()
    foreign.write_bytes(b"not ours")
    outcome = await stage.play()
    settled(outcome)
    assert foreign.read_bytes() == b"not ours"
    assert len(outcome.attempt().frames) == 5


async def test_hostile_names_are_refused_and_the_true_frames_kept(stage: Stage) -> None:
    outcome = await stage.play(f.HostileNames())
    settled(outcome)
    attempt = outcome.attempt()
    assert attempt.proven == 5
    unsafe = [r for r in attempt.refused if r.state == "unsafe"]
    assert unsafe
    assert not any("\x1b" in r.name or "\u202e" in r.name for r in attempt.refused)
    folder = outcome.run_dir.frames("scene-001", 1)
    assert all(path.parent == folder for path in folder.rglob("*"))


@pytest.mark.parametrize("older", [False, True])
async def test_out_of_memory_is_told_apart(stage: Stage, older: bool) -> None:
    outcome = await stage.play(f.OutOfMemory(older_torch=older, nth=1))
    settled(outcome)
    first = outcome.attempt()
    assert first.error is not None
    assert first.error.code == "prompt.out_of_memory"
    assert outcome.scene().attempts[1].status == "success"


async def test_a_prompt_error_is_never_success(stage: Stage) -> None:
    stage.policy = replace(stage.policy, scene_retry_budget=1)
    outcome = await stage.play(f.NodeError(at="SaveImage", step=3, message="disk on fire \x1b[31m"))
    settled(outcome)
    assert outcome.exit_code == 1
    assert len(outcome.scene().attempts) == 2
    for attempt in outcome.scene().attempts:
        assert attempt.telemetry is not None
        assert (attempt.status, attempt.exit_reason) == ("error", "unknown")
        assert not attempt.telemetry.execution_success_detected
        assert attempt.telemetry.execution_success_at is None
        assert attempt.error is not None
        assert (attempt.error.code, attempt.error.node_type) == ("prompt.failed", "SaveImage")
        assert "disk on fire" in (attempt.error.message or "")
        assert "\x1b" not in (attempt.error.message or "")
        assert attempt.proven == 3, "whole frames of a failed prompt are kept"
    assert not outcome.scene().success


async def test_a_rejected_workflow_is_not_tried_again(stage: Stage) -> None:
    outcome = await stage.play(f.Rejected())
    settled(outcome, frameless=True)
    assert outcome.exit_code == 1
    assert len(outcome.scene().attempts) == 1
    attempt = outcome.attempt()
    assert (attempt.status, attempt.exit_reason, attempt.proven) == ("rejected", "unknown", 0)
    assert attempt.error is not None
    assert "NotInstalled" in (attempt.error.message or "")
    assert len(outcome.posts()) == 1


async def test_a_prompt_that_was_accepted_in_part_is_partial(stage: Stage) -> None:
    outcome = await stage.play(f.PartlyAccepted())
    settled(outcome)
    attempt = outcome.attempt()
    assert (attempt.status, attempt.proven) == ("partial", 5)
    assert attempt.warnings


async def test_max_wait_counts_execution_and_the_prompt_is_taken_off(stage: Stage) -> None:
    stage.policy = replace(stage.policy, max_wait_seconds=30, scene_retry_budget=0)
    outcome = await stage.play(f.Hang(nth=1), scenes=(brief(1), brief(2)))
    settled(outcome)
    first, second = outcome.attempt(1), outcome.attempt(2)
    assert (first.status, first.exit_reason) == ("timeout", "maxWait")
    assert second.status == "success", "a scene that waits behind another loses nothing by it"
    assert outcome.posts("/interrupt") == [{"prompt_id": first.prompt_id}]


async def test_total_wait_ends_a_prompt_that_is_never_started(stage: Stage) -> None:
    stage.policy = replace(stage.policy, max_wait_seconds=10, max_total_wait_seconds=60, scene_retry_budget=0)
    outcome = await stage.play(f.QueueFilled(count=1, seconds=500.0))
    settled(outcome, frameless=True)
    attempt = outcome.attempt()
    assert (attempt.status, attempt.exit_reason) == ("timeout", "maxWait")
    assert attempt.executing_at is None
    assert {"delete": [attempt.prompt_id]} in outcome.posts("/queue")
    assert outcome.posts("/interrupt") == [], "what runs there is another person's"


async def test_the_history_limit_ends_the_wait(stage: Stage) -> None:
    stage.policy = replace(stage.policy, history_max_attempts=3, scene_retry_budget=0)
    outcome = await stage.play(f.SocketRefused(), speed=Speed(save_frame=10.0))
    settled(outcome)
    attempt = outcome.attempt()
    assert (attempt.exit_reason, len(attempt.history)) == ("attemptLimit", 3)


async def test_a_lost_interrupt_is_repeated(stage: Stage) -> None:
    stage.policy = replace(stage.policy, max_wait_seconds=20, scene_retry_budget=0)
    outcome = await stage.play(f.Hang(), f.InterruptLost(count=2))
    settled(outcome, frameless=True)
    assert outcome.attempt().status == "timeout"
    assert len(outcome.posts("/interrupt")) >= 3


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (f.Answered(path="/queue", status=500, text="the disk is on fire"), "HTTP 500: the disk is on fire"),
        (f.InterruptLost(), "it does not heed an interrupt"),
    ],
)
async def test_a_prompt_that_cannot_be_taken_off_says_why(stage: Stage, fault: f.Fault, why: str) -> None:
    stage.policy = replace(stage.policy, max_wait_seconds=20, scene_retry_budget=0)
    outcome = await stage.play(f.Hang(), fault)
    settled(outcome, frameless=True)
    attempt = outcome.attempt()
    assert attempt.status == "timeout"
    (told,) = [warning for warning in attempt.warnings if "may still run there" in warning]
    assert why in told


async def test_stats_without_vram_are_noted_word_for_word(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    outcome = await stage.play(f.StatsWithoutVram())
    settled(outcome)
    telemetry = outcome.attempt().telemetry
    assert telemetry is not None
    assert "/system_stats present but missing VRAM before execution" in telemetry.system.fallback_notes
    assert telemetry.gpu.vram_before_mb is None
