"""What becomes of a scene when its run is taken up again: every line of the plan, and when there is nothing to do."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from comfytui.engine.recovery import (
    SceneRecovery,
    Whereabouts,
    nothing_to_do,
    open_attempts,
    recovery_plan,
)
from comfytui.engine.taking_up import MOST_LINES, journal_notes
from comfytui.model import events as e
from comfytui.model.best import best_attempt
from comfytui.model.envelope import Envelope
from comfytui.model.fold import fold
from comfytui.model.paged import Paged
from comfytui.model.policy import QueuePolicy
from comfytui.model.state import Attempt, Run, Scene, State
from comfytui.model.telemetry import ExecutionStatus
from comfytui.records.journal import JournalReading, Problem
from tests.records.scripted import brief, telemetry

T0 = datetime(2026, 3, 1, 2, 3, 4, tzinfo=UTC)
PROMPT = "p-1"


def attempt(number: int = 1, **fields: Any) -> Attempt:
    return Attempt(number=number, prompt_id=f"p-{number}", prefix=f"x/{number}", seed=1, planned_at=T0, **fields)


def ended(status: ExecutionStatus, **fields: Any) -> Attempt:
    return attempt(phase="ended", status=status, ended_at=T0, telemetry=telemetry(), **fields)


def scene(*attempts: Attempt, **fields: Any) -> Scene:
    return Scene(brief=brief(1), attempts=attempts, **fields)


def planned(one: Scene, found: Whereabouts | None = None, damage: str = "") -> SceneRecovery:
    state = State(scenes=Paged((one,)), index={one.id: 0})
    (recovery,) = recovery_plan(state, {PROMPT: found} if found else {}, {one.id: damage} if damage else {})
    assert recovery.scene == one.id
    return recovery


SENT = attempt(phase="queued", queued_at=T0)
UNSENT = attempt()
COLLECTED = attempt(phase="collecting", queued_at=T0, executing_at=T0, execution_ended_at=T0, status="success")
DONE: dict[str, Any] = {"phase": "done", "best": 1, "success": True, "meets_floor": True, "frames": 3}


@pytest.mark.parametrize(
    ("one", "found", "damage", "action", "why"),
    [
        (scene(ended("success"), **DONE), None, "", "skip", "done, its 3 frames are as they were"),
        (scene(ended("success"), **DONE), None, "frame f.png is missing", "run", "but frame f.png is missing"),
        (scene(ended("success"), **{**DONE, "meets_floor": False}), None, "", "skip", "below its floor (3/"),
        (scene(ended("success"), **{**DONE, "meets_floor": False}), None, "frame f.png is no", "run", "f.png"),
        (scene(phase="waiting"), None, "", "run", "not sent yet"),
        (scene(ended("error"), phase="waiting", next_reason="error: no"), None, "", "run", "due (error: no)"),
        (scene(SENT, phase="queued"), Whereabouts(place="running"), "", "adopt", "is running on the server"),
        (scene(SENT, phase="queued"), Whereabouts(place="pending"), "", "adopt", "is pending on the server"),
        (scene(SENT, phase="queued"), Whereabouts(place="history"), "", "harvest", "ended on the server"),
        (scene(SENT, phase="queued"), Whereabouts(place="nowhere"), "", "run", "lost with the server; a new"),
        (scene(SENT, phase="queued"), None, "", "adopt", "which does not answer now"),
        (scene(UNSENT, phase="planned"), Whereabouts(place="running"), "", "adopt", "running"),
        (scene(UNSENT, phase="planned"), Whereabouts(place="history"), "", "harvest", "ended on the server"),
        (scene(UNSENT, phase="planned"), Whereabouts(place="nowhere"), "", "run", "attempt 1 never arrived"),
        (scene(UNSENT, phase="planned"), Whereabouts(place="nowhere", files=1), "", "run", "left 1 file; a"),
        (scene(UNSENT, phase="planned"), Whereabouts(place="nowhere", files=2), "", "run", "left 2 files; a"),
        (scene(UNSENT, phase="planned"), None, "", "run", "the server is asked before"),
        (scene(COLLECTED, phase="collecting"), Whereabouts(place="nowhere"), "", "harvest", "being collected"),
        (scene(ended("success"), phase="collecting"), None, "", "harvest", "what follows from it is due"),
        (scene(ended("interrupted"), phase="cancelled", stopped=True), None, "", "run", "was stopped before"),
        (scene(ended("interrupted"), phase="cancelled"), None, "", "skip", "a person cancelled it"),
        (scene(ended("interrupted"), phase="skipped"), None, "", "skip", "a person skipped it"),
        (scene(phase="waiting", given_up="skipped"), None, "", "skip", "a person let it be skipped"),
        (scene(SENT, phase="queued", given_up="cancelled"), None, "", "harvest", "taken off the server"),
        (scene(ended("success"), **{**DONE, "phase": "cancelled"}, stopped=True), None, "", "skip", "done"),
        (scene(ended("error"), phase="failed", best=1), None, "", "skip", "after 1 attempt; `r` in the"),
        (scene(ended("error"), ended("error"), phase="failed"), None, "", "skip", "after 2 attempts; `r`"),
        (scene(ended("lost"), phase="failed", best=1), None, "", "run", "lost with the server"),
    ],
)
def test_every_line_of_the_plan(one: Scene, found: Whereabouts | None, damage: str, action: str, why: str) -> None:
    recovery = planned(one, found, damage)
    assert recovery.action == action
    assert recovery.reopens == (one.over and action == "run")
    assert why in recovery.why


def test_the_order_is_that_of_the_story() -> None:
    scenes = tuple(Scene(brief=brief(number)) for number in (3, 1, 2))
    plan = recovery_plan(State(scenes=Paged(scenes)), {}, {})
    assert [each.scene for each in plan] == [each.id for each in scenes]


def test_prompts_are_looked_for_whose_attempts_are_open() -> None:
    over = scene(SENT, phase="cancelled")
    scenes = [scene(phase="waiting"), scene(SENT, phase="queued"), scene(ended("error"), phase="waiting"), over]
    assert open_attempts(scenes) == [SENT]


# --- nothing to do -------------------------------------------------------------------------------------------------

RUN = Run(
    id="r", dir="/r", story=e.StoryBrief(id="s"), workflow="w", policy=QueuePolicy(), version="0", opened_at=T0,
    settled_at=T0, ended_at=T0, exit_code=0, archive="/a.zip",
)  # fmt: skip
COMPLETE = State(run=RUN, scenes=Paged((scene(ended("success"), **DONE),)))


def is_complete(state: State) -> bool:
    return nothing_to_do(state, recovery_plan(state, {}, {}))


def test_a_run_at_rest_whose_scenes_stay_as_they_are_is_complete() -> None:
    assert is_complete(COMPLETE)


@pytest.mark.parametrize(
    "state",
    [
        State(),
        State(run=RUN),
        replace(COMPLETE, run=replace(RUN, settled_at=None)),
        replace(COMPLETE, run=replace(RUN, ended_at=None)),
        replace(COMPLETE, scenes=(*COMPLETE.scenes, Scene(brief=brief(2)))),
    ],
)
def test_any_other_run_has_something_to_do(state: State) -> None:
    assert not is_complete(state)


# --- what is lost --------------------------------------------------------------------------------------------------


def test_a_lost_frame_counts_no_longer_until_it_is_proven_again() -> None:
    frames = tuple(e.Frame(name=name, bytes=1, sha256="a" * 64) for name in ("a", "b"))
    first = ended("success", success_at=T0, frames=frames)
    state = State(scenes=Paged((scene(first, replace(first, number=2), **DONE),)), index={brief(1).id: 0})
    assert best_attempt(state.scenes[0].attempts).number == 1
    of_first = {"scene": brief(1).id, "attempt": 1}
    lost = e.FrameLost(**of_first, name="a", why="it is missing now")  # type: ignore[arg-type]
    state = fold(state, Envelope(seq=1, at=T0, run="r", event=lost))
    spoiled = state.scenes[0].attempts[0]
    assert (spoiled.proven, [(each.name, each.state) for each in spoiled.refused]) == (1, [("a", "missing")])
    assert best_attempt(state.scenes[0].attempts).number == 2
    assert state.frames[0].state == "missing"
    again = e.FrameProven(**of_first, frame=frames[0])  # type: ignore[arg-type]
    state = fold(state, Envelope(seq=2, at=T0, run="r", event=again))
    assert (state.scenes[0].attempts[0].proven, state.scenes[0].attempts[0].refused) == (2, ())


# --- a damaged journal ---------------------------------------------------------------------------------------------


def reading(tmp: Any, *lines: int) -> JournalReading:
    made = JournalReading(tmp / "events.jsonl")
    made.problems = [Problem(line, "JSON is malformed") for line in lines]
    made.corrupt = len(lines)
    return made


def test_each_unreadable_line_is_told_once_with_its_number(tmp_path: Any) -> None:
    (note,) = journal_notes(reading(tmp_path, 17), ())
    assert (note.level, note.text) == (
        "warning",
        "Line 17 of the journal cannot be read: JSON is malformed; it is left where it is",
    )
    (other,) = journal_notes(reading(tmp_path, 17, 170), ["something else", note.text])
    assert "Line 170 " in other.text
    assert journal_notes(reading(tmp_path, 17), [note.text]) == []


def test_of_very_many_unreadable_lines_the_number_is_told(tmp_path: Any) -> None:
    notes = journal_notes(reading(tmp_path, *range(1, 101)), ())
    assert len(notes) == MOST_LINES + 1
    assert "100 lines" in notes[-1].text
