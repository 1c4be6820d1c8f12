"""The fold: one picture of a run, the same however often and from wherever the facts come."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfytui.model import events as e
from comfytui.model.artifact import SuiteRecord
from comfytui.model.envelope import Envelope
from comfytui.model.fold import fold, fold_all
from comfytui.model.frame_rows import RECENT_FRAMES
from comfytui.model.narrate import narrate
from comfytui.model.policy import QueuePolicy
from comfytui.model.state import GPU_SAMPLES, RECENT_NOTES, Attempt, Scene, State
from tests.records.scripted import brief, telemetry
from tests.unit.made_up import EVENTS

T0 = datetime(2026, 3, 1, 2, 3, 4, tzinfo=UTC)
S1: dict[str, Any] = {"scene": "scene-001", "attempt": 1}
S2: dict[str, Any] = {"scene": "scene-001", "attempt": 2}


def opened(scenes: int = 2) -> e.RunOpened:
    return e.RunOpened(
        run_id="r",
        run_dir="/runs/r",
        story=e.StoryBrief(id="tale"),
        scenes=tuple(brief(n) for n in range(1, scenes + 1)),
        workflow="smoke",
        server="http://x",
        policy=QueuePolicy(),
        version="0",
    )


def sealed(events: Sequence[e.AnyEvent], first: int = 1) -> list[Envelope]:
    """Return ``events`` numbered and timed as the hub does it, a second apart."""
    seq, made = first - 1, []
    for second, event in enumerate(events):
        seq += isinstance(event, e.Fact)
        made.append(Envelope(seq=seq, at=T0 + timedelta(seconds=second), run="r", event=event))
    return made


def after(*events: e.AnyEvent) -> State:
    return fold_all(sealed([opened(), *events]))


def scene(state: State) -> Scene:
    found = state.scene("scene-001")
    assert found is not None
    return found


def latest(state: State) -> Attempt:
    attempt = scene(state).latest
    assert attempt is not None
    return attempt


def planned(attempt: int = 1, **more: Any) -> e.AttemptPlanned:
    return e.AttemptPlanned(scene="scene-001", attempt=attempt, prompt_id=f"id{attempt}", prefix="p", seed=1, **more)


def proven(name: str, attempt: int = 1, *, verified: bool = True) -> e.FrameProven:
    frame = e.Frame(name=name, bytes=10, sha256="a" * 64, verified=verified)
    return e.FrameProven(scene="scene-001", attempt=attempt, frame=frame)


def ended(attempt: int = 1) -> e.AttemptEnded:
    return e.AttemptEnded(
        scene="scene-001", attempt=attempt, telemetry=telemetry(), exit_reason="success", status="success"
    )


def scene_ended(**more: Any) -> e.SceneEnded:
    fields: dict[str, Any] = {"scene": "scene-001", "best": 1, "success": True, "meets_floor": True, "frames": 1}
    return e.SceneEnded(**{**fields, **more})


DONE = e.ExecutionEnded(**S1, status="success", success_at=T0, expected=1)

# --- however often, from wherever --------------------------------------------------------------------------------


@given(events=st.lists(EVENTS, max_size=12))
def test_any_stream_is_folded_and_facts_that_are_told_again_change_nothing(events: list[e.AnyEvent]) -> None:
    envelopes = sealed([opened(), *events])
    state = State()
    for envelope in envelopes:
        state = fold(state, envelope)
        if envelope.is_fact:
            assert fold(state, envelope) is state
            assert (state.seq, state.at) == (envelope.seq, envelope.at)
    facts = [envelope for envelope in envelopes if envelope.is_fact]
    assert fold_all(facts, state) is state
    assert len(state.index) == len({one.id for one in state.scenes})


@given(data=st.data())
def test_joining_late_gives_the_same_picture(data: st.DataObject) -> None:
    """A face folds the journal to some point, then the live stream from an earlier one: the numbers of facts decide."""
    events: list[Any] = [event for event in data.draw(st.lists(EVENTS, max_size=10)) if isinstance(event, e.Fact)]
    envelopes = sealed([opened(), *events])
    cut = data.draw(st.integers(0, len(envelopes)))
    overlap = data.draw(st.integers(0, cut))
    assert fold_all([*envelopes[:cut], *envelopes[overlap:]]) == fold_all(envelopes)


@given(event=EVENTS)
def test_every_event_can_be_told_or_is_silent(event: e.AnyEvent) -> None:
    line = narrate(event)
    if line is not None:
        level, text, _ = line
        assert level in ("info", "warning", "error")
        assert text or (isinstance(event, e.RunNoted) and not event.text)  # its words are its sender's


def test_facts_before_the_run_opened_and_of_unknown_scenes_are_survived() -> None:
    facts: list[e.AnyEvent] = [e.RunSettled(), planned(), e.ExecutionStarted(**S1), scene_ended(), proven("a")]
    state = fold_all(sealed(facts))
    assert (state.run, state.scenes, state.seq) == (None, (), 5)
    nobody = e.ExecutionStarted(scene="nobody", attempt=1)
    assert after(nobody).scenes == after().scenes


def test_what_an_event_does_not_touch_stays_the_same_object() -> None:
    state = after(planned(), e.GpuSampled(source="nvml", devices=()))
    envelope = Envelope(seq=state.seq + 1, at=T0, run="r", event=e.ExecutionStarted(**S1))
    changed = fold(state, envelope)
    assert changed.scenes[1] is state.scenes[1]
    assert changed.scenes[0] is not state.scenes[0]
    assert (changed.server, changed.run) == (state.server, state.run)
    assert changed.server is state.server and changed.run is state.run
    assert changed.gpu is state.gpu and changed.index is state.index and changed.frames is state.frames
    sampled = fold(changed, Envelope(seq=changed.seq, at=T0, run="r", event=e.QueueDepth(ours=1, others=2)))
    assert sampled.scenes is changed.scenes and sampled.frames is changed.frames


# --- a scene's way -----------------------------------------------------------------------------------------------


def test_a_scene_goes_its_way() -> None:
    steps: list[tuple[e.AnyEvent, str]] = [
        (planned(), "planned"),
        (e.PromptQueued(**S1, number=3, warnings=("odd",)), "queued"),
        (e.ExecutionStarted(**S1), "executing"),
        (proven("a"), "executing"),
        (DONE, "collecting"),
        (proven("b"), "collecting"),
        (ended(), "collecting"),
        (scene_ended(frames=2), "done"),
    ]
    told = [event for event, _ in steps]
    for number, (_, phase) in enumerate(steps, 1):
        assert scene(after(*told[:number])).phase == phase
    attempt = latest(after(*told))
    assert (attempt.proven, attempt.status, attempt.warnings, attempt.server) == (2, "success", ("odd",), "http://x")
    assert attempt.succeeded and scene(after(*told)).chosen is not None


@pytest.mark.parametrize(
    ("fact", "phase"),
    [
        (scene_ended(), "done"),
        (scene_ended(success=False), "failed"),
        (scene_ended(cancelled=True), "cancelled"),
        (scene_ended(success=False, skipped=True), "skipped"),
        (e.SceneRequeued(scene="scene-001", next_attempt=2, attempts=2, reason="x"), "waiting"),
    ],
)
@pytest.mark.parametrize(
    "late",
    [proven("late"), e.AttemptNoted(**S1, kind="note", text="x"), e.GpuMeasured(**S1, moment="after",
     measurement=e.Measurement(source="none")), e.ExecutionStarted(**S1), ended()],
)  # fmt: skip
def test_what_is_told_late_does_not_take_a_scene_back(fact: e.AnyEvent, phase: str, late: e.AnyEvent) -> None:
    before = [planned(), e.ExecutionStarted(**S1), DONE, ended(), fact]
    assert scene(after(*before)).phase == phase
    assert scene(after(*before, late)).phase == phase


def test_a_late_frame_of_the_attempt_before_does_not_move_the_next_one() -> None:
    again = e.SceneRequeued(scene="scene-001", next_attempt=2, attempts=2, reason="x")
    state = after(planned(), DONE, ended(), again, planned(2), e.ExecutionStarted(**S2), proven("late"))
    assert (scene(state).phase, scene(state).frames) == ("executing", 0)
    first = scene(state).attempt(1)
    assert first is not None and first.proven == 1


def test_the_socket_may_tell_of_the_execution_before_the_post_is_answered() -> None:
    state = after(planned(), e.ExecutionStarted(**S1), e.PromptQueued(**S1, number=1))
    assert (scene(state).phase, latest(state).phase) == ("executing", "executing")
    assert latest(state).queued_at is not None


def test_a_frame_that_comes_again_replaces_itself_and_its_refusal() -> None:
    refused = e.FrameRefused(**S1, name="a", state="truncated", why="no IEND")
    state = after(planned(), refused, refused)
    assert [refusal.name for refusal in latest(state).refused] == ["a"]
    state = after(planned(), refused, proven("a", verified=False), proven("a"))
    assert (latest(state).refused, latest(state).proven, len(latest(state).frames)) == ((), 1, 1)


def test_a_requeued_scene_remembers_why_and_a_finished_one_forgets() -> None:
    again = e.SceneRequeued(scene="scene-001", next_attempt=2, attempts=2, reason="too few")
    assert scene(after(planned(), ended(), again)).next_reason == "too few"
    assert scene(after(planned(), ended(), again, planned(2), ended(2), scene_ended())).next_reason == ""


def test_a_reopened_scene_waits_again_with_what_replaces_the_story() -> None:
    state = after(planned(), ended(), scene_ended(), e.SceneReopened(scene="scene-001", reason="r", seed=5, prompt="p"))
    found = scene(state)
    assert (found.phase, found.extra_attempts, found.seed, found.prompt, found.best) == ("waiting", 1, 5, "p", 1)
    assert not found.over


def test_success_is_what_the_telemetry_says_once_there_is_one() -> None:
    quiet = e.ExecutionEnded(**S1, status="success")  # the server told no time of it
    assert not latest(after(planned(), quiet, proven("a"))).succeeded
    assert latest(after(planned(), quiet, proven("a"), ended())).succeeded
    assert not latest(after(planned(), quiet, proven("a", verified=False), ended())).succeeded


# --- the run, the server, the samples ----------------------------------------------------------------------------


def test_a_runner_that_takes_the_run_up_again_makes_it_unfinished() -> None:
    over: list[e.AnyEvent] = [
        e.RunnerStarted(pid=1, started=1.0, host="h"), e.RunSettled(), e.RunValidated(passed=False, findings=("x",)),
        e.RunArchived(path="z", bytes=1), e.RunEnded(outcome="finished", exit_code=1),
    ]  # fmt: skip
    run = after(*over).run
    assert run is not None
    assert (run.settled_at, run.validated, run.findings, run.archive) == (T0 + timedelta(seconds=2), False, ("x",), "z")
    assert (run.outcome, run.exit_code, run.ended_at) == ("finished", 1, T0 + timedelta(seconds=5))
    run = after(*over, e.RunnerStarted(pid=2, started=2.0, host="h", reason="rerun")).run
    assert run is not None
    assert (run.settled_at, run.validated, run.findings, run.outcome, run.exit_code) == (None, None, (), None, None)
    assert (run.runner_pid, run.runner_started, run.observing) == (2, 2.0, False)


def test_a_suite_that_runs_again_replaces_itself() -> None:
    def suite(code: int) -> e.SuiteRan:
        record = SuiteRecord(label="L", command="c", exit_code=code, duration_ms=1, log_path="l", started_at=T0)
        return e.SuiteRan(suite=record)

    run = after(suite(1), suite(0)).run
    assert run is not None and [one.exit_code for one in run.suites] == [0]


def test_a_failed_validation_can_be_told_with_and_without_findings() -> None:
    assert narrate(e.RunValidated(passed=False)) == ("error", "Validation failed", None)
    told = narrate(e.RunValidated(passed=False, findings=("a", "b")))
    assert told == ("error", "Validation failed, first of 2: a", None)


def test_a_server_that_answers_again_has_no_trouble_any_more() -> None:
    troubled = e.ServerTroubled(code="server.lost", what="gone", remedy="look")
    server = after(troubled, e.SocketChanged(state="closed", why="1006")).server
    assert (server.trouble, server.trouble_code, server.socket, server.socket_why) == (
        "gone",
        "server.lost",
        "closed",
        "1006",
    )
    server = after(troubled, e.ServerReached(url="http://y", version="0.8.0")).server
    assert (server.trouble, server.url, server.reached, server.version) == ("", "http://y", True, "0.8.0")
    assert after(e.Pulse(latency=None)).server.answering is False
    assert after(e.Pulse(latency=0.1)).server.latency == 0.1


def progress(value: float, attempt: int = 1) -> e.Progress:
    return e.Progress(
        scene="scene-001", attempt=attempt, node="3", title="K", value=value, maximum=20, nodes_done=1, nodes_total=2
    )


def test_progress_is_kept_while_a_scene_executes_and_only_then() -> None:
    assert after(planned(), progress(1)).progress == {}
    running: list[e.AnyEvent] = [planned(), e.ExecutionStarted(**S1), progress(1), progress(2)]
    assert after(*running).progress["scene-001"].value == 2
    for over in (DONE, ended(), planned(2)):
        assert after(*running, over).progress == {}


def writing(name: str, size: int = 5) -> e.FrameWriting:
    return e.FrameWriting(**S1, name=name, bytes=size)


def test_a_growing_frame_keeps_its_place_and_a_judged_one_comes_first() -> None:
    state = after(planned(), writing("a", 1), writing("b"), writing("a", 9))
    assert [(row.name, row.bytes) for row in state.frames] == [("b", 5), ("a", 9)]
    assert state.frames[1].at == T0 + timedelta(seconds=2)  # since it was first seen
    state = after(planned(), writing("a"), writing("b"), proven("a"), writing("a"))
    assert [(row.name, row.state) for row in state.frames] == [("a", "proven"), ("b", "writing")]


def test_a_frame_is_judged_in_its_own_row_however_many_came_since() -> None:
    state = after(planned(), *(writing(f"{n}") for n in range(200)), proven("0"))
    assert sum(row.name == "0" for row in state.frames) == 1


def test_no_frame_is_still_growing_when_its_attempt_is_over() -> None:
    other = e.FrameWriting(scene="scene-002", attempt=1, name="a", bytes=1)
    state = after(planned(), writing("a"), proven("b"), other, ended())
    assert [(row.scene, row.name) for row in state.frames] == [("scene-002", "a"), ("scene-001", "b")]


def test_lists_for_faces_are_bounded() -> None:
    notes = [e.RunNoted(text=str(n)) for n in range(RECENT_NOTES + 50)]
    gpu = [e.GpuSampled(source="nvml", devices=()) for _ in range(GPU_SAMPLES + 50)]
    state = after(planned(), *notes, *gpu, *(writing(str(n)) for n in range(RECENT_FRAMES + 50)))
    assert (len(state.notes), len(state.gpu), len(state.frames)) == (RECENT_NOTES, GPU_SAMPLES, RECENT_FRAMES)
    assert state.notes[-1].text == str(RECENT_NOTES + 49)
    assert state.frames[0].name == str(RECENT_FRAMES + 49)
    assert state.gpu[-1].at > state.gpu[0].at
