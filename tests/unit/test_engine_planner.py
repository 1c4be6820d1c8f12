"""What a run does next, decided from its State alone: what to submit, whether to try again, when a scene is over."""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from msgspec.structs import replace

from comfytui.engine.planner import (
    Settle,
    Submission,
    TryAgain,
    after_attempt,
    allowed,
    fulfilled,
    shortfall,
    submissions,
)
from comfytui.engine.standing import Standing
from comfytui.model.events import Frame, SceneBrief, StoryBrief
from comfytui.model.failure_classes import FREE_RETRIES, TABLE, class_of
from comfytui.model.paged import Paged
from comfytui.model.policy import QueuePolicy
from comfytui.model.state import Attempt, Run, Scene, State
from comfytui.model.telemetry import ExecutionFailure, ExecutionStatus
from tests.records.scripted import telemetry

T0 = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
POLICY = QueuePolicy()


def attempt(number: int = 1, status: ExecutionStatus = "success", frames: int = 5, **changes: Any) -> Attempt:
    """Return an attempt that has ended so, with that many frames proven whole."""
    success_at = T0 if status in ("success", "cached", "partial") else None
    fields: dict[str, Any] = {
        "number": number,
        "prompt_id": f"p{number}",
        "prefix": f"run/scene-a{number}",
        "seed": number,
        "planned_at": T0,
        "phase": "ended",
        "status": status,
        "success_at": success_at,
        "frames": tuple(Frame(name=f"f{n}.png", bytes=1, sha256="0" * 64) for n in range(frames)),
        "telemetry": telemetry(T0, T0 + timedelta(seconds=4), success_at=success_at, status=status),
    }
    return Attempt(**(fields | changes))


def failed(code: str, message: str = "why") -> ExecutionFailure:
    return ExecutionFailure(node_id=None, node_type=None, exception_type=None, message=message, code=code)


def scene(*attempts: Attempt, number: int = 1, floor: int = 5, **changes: Any) -> Scene:
    name = f"scene-{number:03}"
    brief = SceneBrief(id=name, folder=name, floor=floor, prompt="p", expected_frames=floor)
    return Scene(brief=brief, attempts=attempts, **changes)


def state(*phases: str, held: bool = False, **of_scene: Scene) -> State:
    """Return a run whose scenes are in these phases; ``s2=...`` gives the second one as it is."""
    scenes = tuple(
        of_scene.get(f"s{number}") or scene(number=number, phase=phase) for number, phase in enumerate(phases, 1)
    )
    run = Run(
        id="r", dir="/r", story=StoryBrief(id="s"), workflow="smoke", policy=POLICY, version="0", opened_at=T0,
        held=held,
    )  # fmt: skip
    return State(run=run, scenes=Paged(scenes), index={s.id: place for place, s in enumerate(scenes)})


def due(now: State, policy: QueuePolicy = POLICY) -> list[str]:
    return [submission.scene for submission in submissions(now, 1 + policy.lookahead)]


# --- what to submit ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lookahead", "phases", "submitted"),
    [
        (1, ("waiting", "waiting", "waiting"), ["scene-001"]),
        (1, ("queued", "waiting", "waiting"), ["scene-002"]),
        (1, ("executing", "waiting", "waiting"), ["scene-002"]),
        (1, ("executing", "queued", "waiting"), []),
        (1, ("collecting", "executing", "waiting"), ["scene-003"]),  # its prompt has left the server
        (1, ("done", "failed", "cancelled", "waiting"), ["scene-004"]),
        (1, ("done", "done"), []),
        (0, ("waiting", "waiting"), ["scene-001"]),
        (0, ("executing", "waiting"), []),
        (0, ("collecting", "waiting"), ["scene-002"]),
        (3, ("executing", "queued", "queued", "waiting", "waiting"), ["scene-004"]),
        (3, ("executing", "queued", "queued", "queued", "waiting"), []),
        # One at a time: two POSTs that are under way may arrive in either order.
        (3, ("planned", "waiting"), []),
        (3, ("executing", "planned", "waiting"), []),
    ],
)
def test_one_prompt_executes_and_a_few_wait_behind_it(
    lookahead: int, phases: tuple[str, ...], submitted: list[str]
) -> None:
    assert due(state(*phases), QueuePolicy(lookahead=lookahead)) == submitted


def test_retries_go_before_scenes_that_were_never_tried() -> None:
    again = scene(attempt(frames=3), number=3, phase="waiting", next_reason="frame count below floor (3/5)")
    now = state("waiting", "waiting", "waiting", s3=again)
    assert submissions(now, 1 + POLICY.lookahead) == [
        Submission(scene="scene-003", attempt=2, reason="frame count below floor (3/5)")
    ]


def test_the_first_attempt_has_no_reason() -> None:
    fresh = scene(number=1, phase="waiting", next_reason="left over")
    assert submissions(state("waiting", s1=fresh), 1 + POLICY.lookahead) == [
        Submission(scene="scene-001", attempt=1, reason="")
    ]


def test_a_held_queue_and_a_run_that_is_not_open_submit_nothing() -> None:
    assert due(state("waiting", held=True)) == []
    assert due(State()) == []


# --- what follows an attempt -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", get_args(ExecutionStatus))
def test_every_status_has_its_rule(status: ExecutionStatus) -> None:
    """One attempt that ended with no frame, a budget of one."""
    step = after_attempt(scene(attempt(status=status, frames=0)), POLICY)
    if TABLE[class_of(attempt(status=status))].rule == "never":
        assert isinstance(step, Settle)
        assert (step.best, step.success, step.meets_floor, step.frames) == (1, False, False, 0)
    else:
        assert isinstance(step, TryAgain)
        assert step.next_attempt == 2
        assert step.attempts == (3 if TABLE[class_of(attempt(status=status))].rule == "free" else 2)
        assert step.reason


@pytest.mark.parametrize("status", get_args(ExecutionStatus))
def test_without_a_budget_only_a_prompt_that_nobody_failed_is_tried_again(status: ExecutionStatus) -> None:
    step = after_attempt(scene(attempt(status=status, frames=0)), QueuePolicy(scene_retry_budget=0))
    assert isinstance(step, TryAgain) == (TABLE[class_of(attempt(status=status))].rule == "free")


@pytest.mark.parametrize("status", ["success", "cached", "partial"])
def test_a_scene_with_enough_proven_frames_is_done_whatever_the_shade_of_success(status: ExecutionStatus) -> None:
    assert after_attempt(scene(attempt(status=status)), POLICY) == Settle(
        best=1, success=True, meets_floor=True, frames=5, cancelled=False
    )


@pytest.mark.parametrize(
    ("given", "floor", "reason"),
    [
        (attempt(frames=5), 5, ""),
        (attempt(frames=7), 5, ""),
        (attempt(frames=3), 5, "frame count below floor (3/5)"),
        (attempt(frames=0), 5, "no frame is proven whole"),
        (attempt(frames=0), 1, "no frame is proven whole"),
        (attempt(status="partial", frames=4), 5, "frame count below floor (4/5)"),
        (attempt(status="error", frames=5, error=failed("prompt.failed", "no such file")), 5, "error: no such file"),
        (attempt(status="timeout", frames=5), 5, "timeout"),
        (attempt(status="lost", frames=0, error=failed("prompt.lost", "")), 5, "lost"),
        (attempt(frames=0, success_at=None), 5, "success"),
        (attempt(frames=0, success_at=None, status=None), 5, "no verdict"),  # type: ignore[arg-type]
    ],
)
def test_what_an_attempt_lacks_is_said_in_words(given: Attempt, floor: int, reason: str) -> None:
    assert shortfall(given, floor) == reason


def test_frames_that_are_not_proven_do_not_count() -> None:
    unproven = Frame(name="x.png", bytes=1, sha256="0" * 64, verified=False)
    given = attempt(frames=3)
    assert shortfall(replace(given, frames=(*given.frames, unproven, unproven)), 5) == "frame count below floor (3/5)"


@pytest.mark.parametrize("budget", [0, 1, 2, 5])
def test_the_budget_is_kept_exactly(budget: int) -> None:
    policy = QueuePolicy(scene_retry_budget=budget)
    attempts: list[Attempt] = []
    step: TryAgain | Settle = TryAgain(next_attempt=1, attempts=1 + budget, reason="")
    while isinstance(step, TryAgain):
        assert step.next_attempt == len(attempts) + 1 <= step.attempts == 1 + budget
        attempts.append(attempt(len(attempts) + 1, frames=2))
        step = after_attempt(scene(*attempts), policy)
    assert len(attempts) == 1 + budget


def test_a_server_that_forgets_every_prompt_is_given_up_in_the_end() -> None:
    attempts: list[Attempt] = []
    step: TryAgain | Settle | None = None
    while not isinstance(step, Settle):
        attempts.append(attempt(len(attempts) + 1, status="lost", frames=0, error=failed("prompt.lost")))
        step = after_attempt(scene(*attempts), POLICY)
    assert len(attempts) == 1 + POLICY.scene_retry_budget + FREE_RETRIES


def test_lost_attempts_do_not_cost_the_budget() -> None:
    lost = [attempt(n, status="lost", frames=0) for n in (1, 2)]
    below = attempt(3, frames=2)
    assert isinstance(after_attempt(scene(*lost, below), POLICY), TryAgain)
    assert isinstance(after_attempt(scene(*lost, below, attempt(4, frames=2)), POLICY), Settle)


def test_a_server_that_stayed_away_for_all_its_time_is_not_waited_for_once_more() -> None:
    away = attempt(status="lost", frames=0, error=failed("server.lost"))
    assert isinstance(after_attempt(scene(away), POLICY), Settle)


def test_a_rerun_gets_an_attempt_beyond_the_budget() -> None:
    spent = (attempt(1, frames=2), attempt(2, frames=3))
    assert isinstance(after_attempt(scene(*spent), POLICY), Settle)
    reopened = scene(*spent, extra_attempts=1)
    assert allowed(reopened, POLICY) == 3
    assert after_attempt(reopened, POLICY) == TryAgain(
        next_attempt=3, attempts=3, reason="frame count below floor (3/5)"
    )


def test_a_cancelled_scene_is_not_tried_again_and_keeps_its_best() -> None:
    step = after_attempt(scene(attempt(1, frames=3), attempt(2, frames=1)), QueuePolicy(scene_retry_budget=9),
                         stopped=True)  # fmt: skip
    assert step == Settle(best=1, success=True, meets_floor=False, frames=3, cancelled=True)


def test_what_a_person_interrupted_on_the_server_is_cancelled() -> None:
    step = after_attempt(scene(attempt(status="interrupted", frames=2)), POLICY)
    assert step == Settle(best=1, success=False, meets_floor=False, frames=2, cancelled=True)


@pytest.mark.parametrize(
    ("attempts", "best"),
    [
        ((attempt(1, frames=3), attempt(2, frames=4)), 2),  # the most frames
        ((attempt(1, frames=4), attempt(2, frames=3)), 1),
        ((attempt(1, "error", frames=3), attempt(2, frames=3)), 2),  # then success
        ((attempt(1, frames=3), attempt(2, frames=3)), 1),  # then the earliest
        ((attempt(1, "error", frames=4), attempt(2, frames=3)), 1),
    ],
)
def test_the_best_attempt_is_the_record_of_the_scene(attempts: tuple[Attempt, ...], best: int) -> None:
    step = after_attempt(scene(*attempts), POLICY)
    assert isinstance(step, Settle)
    assert step.best == best
    assert step.frames == attempts[best - 1].proven


# --- the end -----------------------------------------------------------------------------------------------------


def test_a_run_is_finished_when_every_scene_is_over_and_fulfilled_when_all_are_well() -> None:
    well = scene(phase="done", success=True, meets_floor=True)
    assert not Standing(state("done", "waiting").scenes).finished
    assert Standing(state("done", "failed", "cancelled").scenes).finished
    assert fulfilled(state("done", "done", s1=well, s2=well))
    assert not fulfilled(state("done", "done", s1=well, s2=replace(well, meets_floor=False)))
    assert not fulfilled(state("done", "done", s1=well, s2=replace(well, success=False)))
