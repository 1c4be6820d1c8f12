"""The summary: every line of the contract; the same bytes as it grows and from the journal, also after reruns."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.model.envelope import Envelope
from comfytui.model.fold import fold
from comfytui.model.policy import QueuePolicy
from comfytui.model.state import State
from comfytui.model.telemetry import ExecutionFailure
from comfytui.records.summary import SummaryWriter, lines, rebuilt, telemetry_text
from tests.records.scripted import T0, Script, brief
from tests.unit.made_up import EVENTS

Make = Callable[..., Script]


def from_journal(script: Script) -> bytes:
    return b"".join(rebuilt(script.run.journal))


def starting(script: Script, mark: str) -> list[str]:
    """Return the lines whose text begins with ``mark``, without their times."""
    return [line[11:] for line in script.lines if line[11:].startswith(mark)]


def test_the_whole_summary_of_a_run(good_run: Script) -> None:
    good_run.publish(e.RunValidated(passed=True))
    good_run.publish(e.RunArchived(path="x.zip", bytes=1))
    good_run.publish(e.RunEnded(outcome="finished", exit_code=0))
    run = good_run.run
    telemetry = (
        "DurationSeconds={}s | MaxWaitSeconds=600s | PollIntervalSeconds=2s | HistoryAttempts={} | "
        "pollLimit=unbounded | SceneRetryBudget=1 | PostExecutionTimeoutSeconds=30s | ExecutionSuccessDetected=true | "
        "ExecutionSuccessAt={} | HistoryExitReason=success | GPU=NVIDIA H100 | VRAMBeforeMB=40960.0MB | "
        "VRAMAfterMB=38923.8MB | VRAMDeltaMB=-2036.2MB | DoneMarkerWaitSeconds=0.0s | DoneMarkerDetected=false | "
        "ForcedCopyTriggered=false"
    )
    note = "fallback=/system_stats unavailable after execution; used nvml fallback"
    error = "server.timeout: no answer"
    assert good_run.lines == [
        f"[10:20:00] E2E Story-to-Video Run: {run.run_id}",
        "[10:20:00] Story ready: tale (scenes=2)",
        "[10:20:00] Director's vision: Slow and wide",
        "[10:20:00] Story logline: A line",
        "[10:20:00] Queue policy: sceneRetries=1, historyMaxWait=600s, historyPollInterval=2s, "
        "historyMaxAttempts=unbounded, postExecutionTimeout=30s",
        "[10:20:00] Workflow: smoke",
        "[10:20:01] Runner started: process 4711 on box (run)",
        "[10:20:01] ComfyUI 0.8.0 at http://127.0.0.1:8188; frames: /out",
        "[10:20:02] [Attempt scene-001 1] Prompt id-scene-001-1 seed=7",
        "[10:20:06] [Scene scene-001][Attempt 1] Frames=3 Duration=4.3s Prefix=run/scene-001-a1",
        f"[10:20:06] [Attempt scene-001 1] Telemetry: {telemetry.format('4.3', 2, '10:20:04')}",
        "[10:20:06] [Scene scene-001] History saved: scene-001/history.json",
        f"[10:20:06] [Scene scene-001] Telemetry: {telemetry.format('4.3', 2, '10:20:04')}",
        "[10:20:07] [Attempt scene-002 1] Prompt id-scene-002-1 seed=7",
        "[10:20:11] [Scene scene-002][Attempt 1] Frames=1 Duration=4.2s Prefix=run/scene-002-a1",
        f"[10:20:11] [Attempt scene-002 1] Telemetry: {telemetry.format('4.2', 2, '10:20:09')}",
        "[10:20:11] [Attempt scene-002 1] WARNING: Frames copied before they were proven whole: 1",
        "[10:20:11] [Attempt scene-002 1] WARNING: Frame count below floor (1/3)",
        "[10:20:12] [Scene scene-002] Requeue requested (next attempt 2/2) reason: frame count below floor (1/3)",
        "[10:20:12] [Attempt scene-002 2] Prompt id-scene-002-2 seed=7",
        "[10:20:17] [Scene scene-002][Attempt 2] Frames=3 Duration=4.8s Prefix=run/scene-002-a2",
        f"[10:20:17] [Attempt scene-002 2] Telemetry: {telemetry.format('4.8', 3, '10:20:15')} | {note}",
        "[10:20:17] [Scene scene-002] History saved: scene-002/history.json",
        f"[10:20:17] [Scene scene-002] HISTORY WARNING: read after failures (1, the last: {error}) (attempts=3)",
        f"[10:20:17] [Scene scene-002] Telemetry: {telemetry.format('4.8', 3, '10:20:15')} | {note}",
        "[10:20:18] Scene summary: 2/2 succeeded | total frames=6 | requeues=1",
        "## Artifact Index",
        "Story folder: story",
        "Scenes captured: 2",
        "Total frames copied: 6",
        f"Archive: {run.path.parent / 'archives' / f'comfyui-e2e-{run.run_id}.zip'}",
        "[10:20:18] [Validation] run-summary validation passed",
    ]
    assert run.summary.read_bytes() == from_journal(good_run)


def test_a_failed_scene_says_why(script: Make) -> None:
    run = script(policy=QueuePolicy(scene_retry_budget=0, history_max_attempts=9))
    failure = ExecutionFailure(
        node_id="3",
        node_type="KSampler",
        exception_type="RuntimeError",
        message="boom\nat line 3",
        code="prompt.failed",
    )
    run.attempt("scene-001", frames=0, status="error", error=failure, reads=("error", "error"), before=None, after=None)
    run.end("scene-001")
    run.settle()
    assert starting(run, "[Scene scene-001]") == [
        "[Scene scene-001][Attempt 1] Frames=0 Duration=4.0s Prefix=run/scene-001-a1",
        "[Scene scene-001] HISTORY WARNING: server.timeout: no answer (attempts=2)",
        "[Scene scene-001] WARNING: Frame count below floor (0/3)",
        "[Scene scene-001] ERROR: boom at line 3 [prompt.failed]",
        starting(run, "[Scene scene-001] Telemetry:")[0],
    ]
    told = starting(run, "[Scene scene-001] Telemetry:")[0]
    for part in (
        "pollLimit=9 |",
        "SceneRetryBudget=unbounded |",
        "ExecutionSuccessDetected=false | ExecutionSuccessAt=n/a | HistoryExitReason=unknown |",
        "VRAMBeforeMB=n/a | VRAMAfterMB=n/a | VRAMDeltaMB=n/a |",
    ):
        assert part in told
    assert "fallback" not in told
    assert "historyMaxAttempts=9," in starting(run, "Queue policy:")[0]
    assert starting(run, "Scene summary:") == ["Scene summary: 0/1 succeeded | total frames=0 | requeues=0"]


def test_success_without_a_whole_frame_is_an_error(script: Make) -> None:
    run = script()
    run.attempt("scene-001", frames=0, reads=())
    run.end("scene-001")
    assert "[Scene scene-001] ERROR: no frame is proven whole" in starting(run, "[Scene")
    assert "[Scene scene-001] HISTORY WARNING: history was never read (attempts=0)" in starting(run, "[Scene")


def test_a_scene_that_ended_without_an_attempt_is_an_error(script: Make) -> None:
    run = script()
    run.publish(e.SceneEnded(scene="scene-001", best=0, success=False, meets_floor=False, frames=0, cancelled=True))
    assert starting(run, "[Scene") == ["[Scene scene-001] ERROR: ended before any attempt was made"]


def test_scene_lines_come_from_the_best_attempt_even_when_it_was_not_the_last(script: Make) -> None:
    run = script()
    run.attempt("scene-001", frames=2)
    run.requeue("scene-001", 2)
    run.attempt("scene-001", 2, frames=1, notes=("a note of the second",))
    run.end("scene-001")
    first = starting(run, "[Attempt scene-001 1] Telemetry:")[0].partition("Telemetry:")[2]
    assert starting(run, "[Scene scene-001] Telemetry:")[0].partition("Telemetry:")[2] == first
    assert "[Scene scene-001] WARNING: Frame count below floor (2/3)" in starting(run, "[Scene")


def test_hostile_text_stays_on_its_line(script: Make) -> None:
    run = script()
    evil = "\x1b[31mred\x1b[0m\n[10:00:00] [Scene scene-001] Telemetry: forged | x"
    run.attempt("scene-001", notes=(f"{evil}|y",))
    run.end("scene-001")
    text = run.run.summary.read_text("utf-8")
    assert "\x1b" not in text
    assert len(starting(run, "[Scene scene-001] Telemetry:")) == 1
    told = starting(run, "[Scene scene-001] Telemetry:")[0]
    assert told.endswith("fallback=red [10:00:00] [Scene scene-001] Telemetry: forged / x/y")


def test_a_story_text_of_any_length_stands_whole(script: Make) -> None:
    run = script()
    opened = run.envelopes[0]
    assert isinstance(opened.event, e.RunOpened)
    from msgspec.structs import replace

    event = replace(opened.event, story=replace(opened.event.story, directors_vision="wide " * 9000))
    told = lines(replace(opened, event=event), replace(run.state, run=replace(run.state.run, story=event.story)))  # type: ignore[type-var]
    assert len(told[2]) > 44_000


@given(events=st.lists(EVENTS, max_size=8))
def test_whatever_happens_a_line_is_a_line(events: list[e.AnyEvent]) -> None:
    state = State()
    opened = e.RunOpened(
        run_id="r", run_dir="/runs/r", story=e.StoryBrief(id="x"), scenes=(brief(1), brief(2)), workflow="w",
        server="s", policy=QueuePolicy(), version="0",
    )  # fmt: skip
    for seq, event in enumerate([opened, *events], 1):
        envelope = Envelope(seq=seq, at=T0, run="r", event=event)
        state = fold(state, envelope)
        if envelope.is_fact:
            for line in lines(envelope, state):
                assert len(line.splitlines()) == 1
                assert line.isprintable() or not any(ord(char) < 32 for char in line)


def test_suites_are_told_and_indexed(script: Make) -> None:
    from comfytui.model.artifact import SuiteRecord

    run = script()
    run.attempt("scene-001")
    run.end("scene-001")
    suite = SuiteRecord(
        label="Vitest e2e", command="x", exit_code=3, duration_ms=5, log_path="logs/vitest-e2e.log", started_at=run.at
    )
    run.publish(e.SuiteRan(suite=suite))
    run.settle()
    assert [line for line in run.lines if "Vitest" in line] == [
        f"[{run.envelopes[-2].at:%H:%M:%S}] Vitest e2e exitCode=3",
        "Vitest e2e log: logs/vitest-e2e.log",
    ]


# --- the same bytes, however it came to be -----------------------------------------------------------------------


def test_while_it_goes_on_the_file_is_what_the_journal_tells(script: Make) -> None:
    run = script(2)

    def same() -> bool:
        return run.run.summary.read_bytes() == from_journal(run)

    assert same()
    run.attempt("scene-001", frames=1)
    assert same()
    run.requeue("scene-001", 2)
    run.attempt("scene-001", 2)
    run.end("scene-001")
    assert same()
    run.publish(e.Pulse(latency=0.5))
    run.settle()
    run.publish(e.RunValidated(passed=False, findings=("x", "y")))
    assert same()
    assert starting(run, "[Validation]") == ["[Validation] run-summary validation failed (2 findings)"]


def test_the_cost_of_a_scene_does_not_grow(script: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the end of a rerun reads the journal or replaces the file."""
    run = script(3)
    monkeypatch.setattr(SummaryWriter, "rebuild", lambda self: pytest.fail("rebuilt"))
    for number in (1, 2, 3):
        run.attempt(f"scene-00{number}")
        run.end(f"scene-00{number}")
    run.settle()


def test_after_a_rerun_every_scene_has_one_telemetry_line_from_its_best_attempt(good_run: Script) -> None:
    run = good_run
    run.publish(e.RunValidated(passed=False, findings=("old",)))
    run.publish(e.RunEnded(outcome="finished", exit_code=1))
    run.start("rerun")
    run.publish(e.SceneReopened(scene="scene-001", reason="by hand"))
    run.attempt("scene-001", 2, frames=5)
    run.end("scene-001")
    assert len(starting(run, "[Scene scene-001] Telemetry:")) == 2  # it is a log while it goes on
    run.settle()
    told = starting(run, "[Scene scene-001] Telemetry:")
    assert len(told) == 1
    attempt = starting(run, "[Attempt scene-001 2] Telemetry:")[0]
    assert told[0].partition("Telemetry:")[2] == attempt.partition("Telemetry:")[2]
    assert len(starting(run, "[Scene scene-002] Telemetry:")) == 1
    assert starting(run, "Scene summary:") == ["Scene summary: 2/2 succeeded | total frames=8 | requeues=2"]
    assert run.lines.count("## Artifact Index") == 1
    assert starting(run, "[Validation]") == []
    run.publish(e.RunValidated(passed=True))
    assert starting(run, "[Validation]") == ["[Validation] run-summary validation passed"]
    assert run.run.summary.read_bytes() == from_journal(run)


def test_a_worse_rerun_leaves_the_better_attempt_in_place(good_run: Script) -> None:
    before = starting(good_run, "[Scene scene-001] Telemetry:")
    good_run.start("rerun")
    good_run.publish(e.SceneReopened(scene="scene-001", reason="by hand"))
    good_run.attempt("scene-001", 2, frames=1)
    good_run.end("scene-001")
    good_run.settle()
    assert starting(good_run, "[Scene scene-001] Telemetry:") == before


def test_a_runner_that_died_between_journal_and_summary_loses_no_line(script: Make) -> None:
    run = script()
    run.attempt("scene-001")
    whole = run.run.summary.read_bytes()
    run.run.summary.write_bytes(whole[:-150])  # the last lines never came, one came in part
    run.reopen()
    assert run.run.summary.read_bytes() == whole
    run.run.summary.unlink()
    run.reopen()
    assert run.run.summary.read_bytes() == whole
    run.end("scene-001")
    run.settle()
    assert run.run.summary.read_bytes() == from_journal(run)


def test_a_resumed_run_knows_what_it_supersedes(good_run: Script) -> None:
    good_run.reopen()
    good_run.start("resume")
    good_run.settle()
    assert good_run.lines.count("## Artifact Index") == 1
    assert good_run.run.summary.read_bytes() == from_journal(good_run)


def test_a_disk_that_was_full_for_a_while_leaves_no_half_line(script: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    run = script()
    run.attempt("scene-001")
    real = Path.open

    def full(path: Path, mode: str = "r", *args: object, **more: object) -> object:
        if path == run.run.summary and mode == "ab":
            with real(path, "ab") as file:
                file.write(b"[10:2")
            raise OSError(28, "No space left on device")
        return real(path, mode, *args, **more)  # type: ignore[call-overload]

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(Failure, match="No space left"):
            run.end("scene-001")
    run.settle()
    assert run.run.summary.read_bytes() == from_journal(run)


def test_repeated_facts_say_nothing_twice(good_run: Script) -> None:
    before = from_journal(good_run)
    for envelope in good_run.envelopes:
        good_run.journal.append(envelope)
    assert from_journal(good_run) == before


def test_times_are_utc_whatever_zone_they_came_in(script: Make) -> None:
    from datetime import timedelta, timezone

    from msgspec.structs import replace

    run = script()
    run.attempt("scene-001")
    scene = run.state.scene("scene-001")
    assert scene is not None and scene.latest is not None and scene.latest.telemetry is not None
    telemetry = scene.latest.telemetry
    assert telemetry.execution_success_at is not None
    elsewhere = telemetry.execution_success_at.astimezone(timezone(timedelta(hours=5)))
    assert telemetry_text(replace(telemetry, execution_success_at=elsewhere)) == telemetry_text(telemetry)
