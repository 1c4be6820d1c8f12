"""What people ask of a run that goes on: cancel, hold, release, stop. Each is done, or refused in words; never more."""

from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from comfytui.model import commands as c
from comfytui.model import events as e
from comfytui.simulator import faults as f
from comfytui.simulator.speed import Speed
from tests.engine.playing import Play, facts, of_kind, phase_is, playing
from tests.engine.stage import Outcome, Stage, brief
from tests.faults.test_frames_and_history import settled

SLOW = Speed(save_frame=2.0)
FOUR = tuple(brief(number) for number in range(1, 5))


def touched(outcome: Outcome) -> set[str]:
    """Return the prompts that were interrupted or deleted; fails where one of both was meant for all."""
    ids: set[str] = set()
    for body in outcome.posts("/interrupt"):
        assert body and set(body) == {"prompt_id"}, "an interrupt without an id would end anyone's prompt"
        ids.add(body["prompt_id"])
    for body in outcome.posts("/queue"):
        assert set(body) == {"delete"}
        ids |= set(body["delete"])
    return ids


def prompt_of(play: Play, scene: int) -> str:
    attempt = play.state.scenes[scene - 1].latest
    assert attempt is not None
    return attempt.prompt_id


# --- cancel ------------------------------------------------------------------------------------------------------


async def test_a_scene_that_executes_is_interrupted_by_its_id_and_keeps_its_frames(stage: Stage) -> None:
    stage.policy = replace(stage.policy, scene_retry_budget=3)
    async with stage.simulator(speed=SLOW) as simulator:
        with stage.open(simulator, *FOUR[:2]) as runner:
            async with playing(runner, simulator) as play:
                await play.until(lambda state: state.scenes[0].frames >= 2)
                assert play.ask(c.Cancel, scenes=("scene-001",)).accepted
            outcome = play.outcome
    settled(outcome)
    cancelled = outcome.attempt()
    # SaveImage cannot be interrupted: the prompt may even succeed. It is cancelled, and nothing of it is lost.
    assert outcome.scene(1).phase == "cancelled"
    assert len(outcome.scene(1).attempts) == 1, "what a person gave up is not tried again"
    assert outcome.posts("/interrupt")[0] == {"prompt_id": cancelled.prompt_id}
    assert cancelled.proven >= 2
    assert (outcome.scene(2).phase, outcome.scene(2).frames) == ("done", 5)
    assert touched(outcome) == {cancelled.prompt_id}


async def test_a_node_that_hangs_is_interrupted(stage: Stage) -> None:
    async with stage.simulator(f.Hang(nth=1), speed=SLOW) as simulator:
        with stage.open(simulator, *FOUR[:2]) as runner:
            async with playing(runner, simulator) as play:
                await play.until(phase_is(1, "executing"))
                assert play.ask(c.Cancel, scenes=("scene-001",)).accepted
            outcome = play.outcome
    settled(outcome)
    assert (outcome.attempt().status, outcome.attempt().exit_reason) == ("interrupted", "unknown")
    assert outcome.scene(1).phase == "cancelled"
    assert outcome.exit_code == 1
    assert outcome.scene(2).phase == "done"


async def test_a_prompt_that_may_have_arrived_and_cannot_be_looked_for_is_told_with_the_reason(stage: Stage) -> None:
    deaf = f.Answered(path="/queue", status=500, text="the disk is on fire")
    async with stage.simulator(f.ConnectionReset(after=True, times=1), deaf, speed=SLOW) as simulator:
        with stage.open(simulator, FOUR[0]) as runner:
            async with playing(runner, simulator) as play:
                await play.until(lambda _: simulator.faults.used(deaf))
                assert play.ask(c.Cancel, scenes=("scene-001",)).accepted
            outcome = play.outcome
    assert outcome.scene().phase == "cancelled"
    (told,) = [warning for warning in outcome.attempt().warnings if "may still run there" in warning]
    assert "HTTP 500: the disk is on fire" in told


async def test_a_scene_that_waits_on_the_server_is_deleted_from_its_queue(stage: Stage) -> None:
    async with stage.simulator(speed=SLOW) as simulator:
        with stage.open(simulator, *FOUR[:3]) as runner:
            async with playing(runner, simulator) as play:
                await play.until(lambda state: state.scenes[0].frames >= 1 and state.scenes[1].phase == "queued")
                assert play.ask(c.Cancel, scenes=("scene-002",)).accepted
            outcome = play.outcome
    settled(outcome)
    waited = outcome.attempt(2)
    assert outcome.posts("/queue") == [{"delete": [waited.prompt_id]}]
    assert outcome.posts("/interrupt") == []
    assert (waited.status, waited.executing_at, outcome.scene(2).phase) == ("interrupted", None, "cancelled")
    assert waited.prompt_id not in outcome.simulator.prompts_executed
    assert [outcome.scene(number).phase for number in (1, 3)] == ["done", "done"]


async def test_a_scene_that_was_never_sent_has_its_record_all_the_same(stage: Stage) -> None:
    async with stage.simulator(speed=SLOW) as simulator:
        with stage.open(simulator, *FOUR) as runner:
            async with playing(runner, simulator) as play:
                await play.until(phase_is(1, "executing"))
                assert play.ask(c.Cancel, scenes=("scene-004", "scene-003")).accepted
                await play.until(phase_is(4, "cancelled"))
                assert phase_is(1, "executing")(play.state), "it is cancelled at once"
            outcome = play.outcome
    settled(outcome)
    assert len(outcome.posts()) == 2
    for number in (3, 4):
        attempt = outcome.attempt(number)
        assert (attempt.status, attempt.queued_at, outcome.scene(number).phase) == ("interrupted", None, "cancelled")
        assert attempt.errors == ("stopped before its prompt was sent",)


async def test_a_scene_that_waits_for_its_retry_ends_with_its_best(stage: Stage) -> None:
    stage.policy = replace(stage.policy, post_execution_timeout_seconds=3)
    async with stage.simulator(f.FewerFrames(keep=2, nth=1), speed=SLOW) as simulator:
        with stage.open(simulator, *FOUR[:3]) as runner:
            async with playing(runner, simulator) as play:
                await play.until(phase_is(1, "executing"))
                play.ask(c.Hold)
                await play.until(lambda state: phase_is(1, "waiting")(state) and state.scenes[0].attempts)
                assert play.ask(c.Cancel, scenes=("scene-001",)).accepted
                await play.until(phase_is(1, "cancelled"))
                play.ask(c.Release)
            outcome = play.outcome
    settled(outcome)
    assert (len(outcome.scene(1).attempts), outcome.scene(1).best, outcome.scene(1).frames) == (1, 1, 2)
    assert [outcome.scene(number).phase for number in (2, 3)] == ["done", "done"]


# --- hold and release --------------------------------------------------------------------------------------------


async def test_a_held_queue_submits_nothing_until_it_is_released(stage: Stage) -> None:
    async with stage.simulator(speed=SLOW) as simulator:
        with stage.open(simulator, *FOUR) as runner:
            async with playing(runner, simulator) as play:
                await play.until(lambda state: state.scenes[1].phase == "queued")
                assert play.ask(c.Hold).accepted
                await play.until(lambda state: all(scene.over for scene in state.scenes[:2]))
                await stage.clock.sleep(300)
                assert [scene.phase for scene in play.state.scenes] == ["done", "done", "waiting", "waiting"]
                assert play.ask(c.Release).accepted
            outcome = play.outcome
    settled(outcome)
    assert outcome.exit_code == 0
    assert [event.held for event in of_kind(facts(outcome.run_dir), e.QueueHeld)] == [True, False]


# --- stop --------------------------------------------------------------------------------------------------------


async def test_stop_leaves_a_record_of_every_scene_and_touches_nothing_of_others(stage: Stage) -> None:
    async with stage.simulator(speed=SLOW) as simulator:
        with stage.open(simulator, *FOUR) as runner:
            async with playing(runner, simulator) as play:
                await play.until(lambda state: state.scenes[0].frames >= 2 and state.scenes[1].phase == "queued")
                foreign = simulator.queue_foreign(2, seconds=1.0)
                ours = {prompt_of(play, 1), prompt_of(play, 2)}
                assert play.ask(c.Stop).accepted
            outcome = play.outcome
            with anyio.fail_after(100):
                while not set(foreign) <= set(simulator.prompts_executed):
                    await stage.clock.sleep(1.0)
    settled(outcome)
    assert outcome.exit_code == 130
    assert outcome.state.run is not None
    assert (outcome.state.run.outcome, outcome.state.run.exit_code) == ("interrupted", 130)
    assert touched(outcome) == ours
    assert len(outcome.posts()) == 2, "nothing more is submitted"
    assert [scene.phase for scene in outcome.state.scenes] == ["cancelled"] * 4
    assert outcome.attempt(1).proven >= 2
    assert [len(scene.attempts) for scene in outcome.state.scenes] == [1, 1, 1, 1]


async def test_stop_before_the_first_prompt_is_sent_sends_none(stage: Stage) -> None:
    async with stage.simulator(f.Slow(path="/object_info/*", seconds=2.0), speed=SLOW) as simulator:
        with stage.open(simulator, *FOUR[:2]) as runner:
            async with playing(runner, simulator) as play:
                await play.until(lambda state: state.run)
                assert play.ask(c.Stop).accepted
            outcome = play.outcome
    settled(outcome, frameless=True)
    assert outcome.exit_code == 130
    assert outcome.posts() == []


async def test_stop_while_a_prompt_is_planned_does_not_send_it(stage: Stage) -> None:
    async with stage.simulator(speed=SLOW) as simulator:
        with stage.open(simulator, *FOUR[:2]) as runner:
            async with playing(runner, simulator) as play:
                await play.until(phase_is(1, "planned"))
                assert play.ask(c.Stop).accepted
            outcome = play.outcome
    settled(outcome, frameless=True)
    assert outcome.exit_code == 130
    assert outcome.posts() == []


async def test_stop_does_not_wait_for_a_server_that_is_away(stage: Stage) -> None:
    stage.policy = replace(stage.policy, server_wait_seconds=3600, lookahead=0)
    async with stage.simulator(speed=SLOW) as simulator:
        with stage.open(simulator, *FOUR[:3]) as runner:
            async with playing(runner, simulator) as play:
                await play.until(phase_is(1, "collecting"))
                await simulator.kill()
                await play.until(phase_is(2, "planned"))
                await stage.clock.sleep(30)
                asked = stage.clock.monotonic()
                assert play.ask(c.Stop).accepted
            took = stage.clock.monotonic() - asked
            outcome = play.outcome
    settled(outcome)
    assert outcome.exit_code == 130
    assert took <= 60
    assert outcome.scene(1).frames == 5


async def test_stop_while_the_queue_is_held_ends_the_run(stage: Stage) -> None:
    async with stage.simulator(speed=SLOW) as simulator:
        with stage.open(simulator, *FOUR[:3]) as runner:
            async with playing(runner, simulator) as play:
                await play.until(phase_is(1, "executing"))
                play.ask(c.Hold)
                play.ask(c.Stop)
            outcome = play.outcome
    settled(outcome, frameless=not any(scene.frames for scene in outcome.state.scenes))
    assert outcome.exit_code == 130


@pytest.mark.parametrize("command", [c.Stop, c.Cancel])
@pytest.mark.parametrize("awaited", ["frames", "marker"])
async def test_what_is_given_up_does_not_wait_long_for_what_is_missing(
    stage: Stage, command: type[c.AnyCommand], awaited: str
) -> None:
    stage.policy = replace(stage.policy, post_execution_timeout_seconds=600, done_marker_timeout_seconds=600)
    stage.policy = replace(stage.policy, done_marker=awaited == "marker")
    missing = [f.FewerFrames(keep=3, reported=True)] if awaited == "frames" else []
    async with stage.simulator(*missing) as simulator:
        with stage.open(simulator, FOUR[0]) as runner:
            async with playing(runner, simulator) as play:
                await play.until(phase_is(1, "collecting"))
                await stage.clock.sleep(5)
                asked = stage.clock.monotonic()
                assert play.ask(command, **({} if command is c.Stop else {"scenes": ("scene-001",)})).accepted
            took = stage.clock.monotonic() - asked
            outcome = play.outcome
    settled(outcome)
    assert took < 10
    assert outcome.attempt().proven == (3 if awaited == "frames" else 5)
    assert outcome.scene().phase == "cancelled"


# --- what is refused, and what is asked twice --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "fields", "why"),
    [
        (c.Rerun, {"scenes": ("scene-001",)}, "scene-001 is not over yet"),
        (c.Rerun, {"scenes": ("scene-009",)}, "there is no scene scene-009"),
        (c.Rerun, {"scenes": ()}, "no scene is named"),
        (c.Cancel, {"scenes": ("scene-001", "nobody")}, "there is no scene nobody"),
        (c.Release, {}, "it is not held"),
    ],
)
async def test_what_cannot_be_done_is_refused_in_words_and_changes_nothing(
    stage: Stage, command: type[c.AnyCommand], fields: dict[str, Any], why: str
) -> None:
    async with stage.simulator(speed=SLOW) as simulator:
        with stage.open(simulator, *FOUR[:2]) as runner:
            async with playing(runner, simulator) as play:
                await play.until(phase_is(1, "executing"))
                before = play.state.scenes
                answer = play.ask(command, **fields)
                assert (answer.accepted, answer.why) == (False, why)
                assert play.state.scenes is before
            outcome = play.outcome
    assert outcome.exit_code == 0


async def test_every_command_is_answered_also_when_it_is_sent_twice(stage: Stage) -> None:
    async with stage.simulator(f.Hang(nth=1), speed=SLOW) as simulator:
        with stage.open(simulator, *FOUR) as runner:
            async with playing(runner, simulator) as play:
                await play.until(phase_is(1, "executing"))
                assert play.ask(c.Hold).accepted
                assert play.ask(c.Hold).why == "it is held already"
                assert play.ask(c.Release).accepted
                for _ in range(2):
                    assert play.ask(c.Cancel, scenes=("scene-001",)).accepted
                await play.until(phase_is(1, "cancelled"))
                assert play.ask(c.Cancel, scenes=("scene-001",)).why == "scene-001 is over"
                for _ in range(2):
                    assert play.ask(c.Stop).accepted
                for late in (c.Hold, c.Release):
                    assert play.ask(late).why == "the run is stopping"
                assert play.ask(c.Rerun, scenes=("scene-001",)).why == "the run is stopping"
            outcome = play.outcome
    settled(outcome, frameless=not any(scene.frames for scene in outcome.state.scenes))
    assert outcome.exit_code == 130
    ended = [event.scene for event in of_kind(facts(outcome.run_dir), e.SceneEnded)]
    assert sorted(ended) == [scene.id for scene in outcome.state.scenes], "each scene ends once"
