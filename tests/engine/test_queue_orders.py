"""What people do to the queue: skip, move, and give up for good, also when the runner dies right after it said yes."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from comfytui.engine.runner import Runner
from comfytui.engine.server.credentials import Credentials
from comfytui.model import commands as c
from comfytui.model import events as e
from comfytui.model.state import State
from comfytui.simulator import Simulator
from comfytui.simulator import faults as f
from comfytui.simulator.speed import Speed
from tests.engine.playing import Play, facts, of_kind, phase_is, playing
from tests.engine.stage import LONGEST, Outcome, Stage, brief
from tests.engine.test_commands import touched
from tests.faults.test_frames_and_history import settled

SLOW = Speed(save_frame=2.0)
FIVE = tuple(brief(number) for number in range(1, 6))


def sent(outcome: Outcome) -> list[str]:
    """Return the scenes in the order in which their prompts were planned for the server."""
    queued = {event.scene for event in of_kind(facts(outcome.run_dir), e.PromptQueued)}
    return [event.scene for event in of_kind(facts(outcome.run_dir), e.AttemptPlanned) if event.scene in queued]


# --- skip --------------------------------------------------------------------------------------------------------


async def test_a_scene_that_is_skipped_is_not_rendered_and_its_record_says_so(stage: Stage) -> None:
    async with stage.simulator(speed=SLOW) as simulator:
        with stage.open(simulator, *FIVE[:4]) as runner:
            async with playing(runner, simulator) as play:
                await play.until(phase_is(1, "executing"))
                assert play.ask(c.Skip, scenes=("scene-003", "scene-003")).accepted
                await play.until(phase_is(3, "skipped"))
                assert play.ask(c.Skip, scenes=("scene-003",)).why == "scene-003 is over"
                assert play.ask(c.Skip, scenes=("scene-001",)).why == (
                    "scene-001 is on the server; cancel ends it there"
                )
            outcome = play.outcome
    settled(outcome)
    assert outcome.exit_code == 1, "0 is for runs in which every scene was rendered"
    assert [scene.phase for scene in outcome.state.scenes] == ["done", "done", "skipped", "done"]
    assert len(outcome.posts()) == 3
    attempt = outcome.attempt(3)
    assert (attempt.status, attempt.queued_at) == ("interrupted", None)
    recorded = outcome.metadata.scenes[2]
    assert recorded.errors == ("skipped by a person: its prompt was never sent",)
    assert (recorded.success, recorded.frame_count, recorded.telemetry.history_attempts) == (False, 0, 0)
    assert "[Scene scene-003] ERROR: skipped by a person" in outcome.run_dir.summary.read_text()
    assert len([x for x in of_kind(facts(outcome.run_dir), e.SceneEnded) if x.skipped and not x.cancelled]) == 1


async def test_a_retry_that_is_skipped_leaves_the_scene_what_it_has(stage: Stage) -> None:
    stage.policy = replace(stage.policy, post_execution_timeout_seconds=3)
    async with stage.simulator(f.FewerFrames(keep=2, nth=1), speed=SLOW) as simulator:
        with stage.open(simulator, *FIVE[:2]) as runner:
            async with playing(runner, simulator) as play:
                await play.until(phase_is(1, "executing"))
                play.ask(c.Hold)
                await play.until(lambda state: phase_is(1, "waiting")(state) and state.scenes[0].attempts)
                assert play.ask(c.Skip, scenes=("scene-001",)).accepted
                await play.until(phase_is(1, "skipped"))
                play.ask(c.Release)
            outcome = play.outcome
    settled(outcome)
    assert (outcome.scene(1).frames, outcome.scene(1).success, len(outcome.scene(1).attempts)) == (2, True, 1)


async def test_a_scene_that_was_skipped_can_be_rendered_after_all(stage: Stage) -> None:
    async with stage.simulator(speed=SLOW) as simulator:
        with stage.open(simulator, *FIVE[:3]) as runner:
            async with playing(runner, simulator) as play:
                await play.until(phase_is(1, "executing"))
                assert play.ask(c.Skip, scenes=("scene-003",)).accepted
                await play.until(phase_is(3, "skipped"))
                assert play.ask(c.Rerun, scenes=("scene-003",)).accepted
            outcome = play.outcome
    settled(outcome)
    assert outcome.exit_code == 0
    assert (outcome.scene(3).phase, outcome.scene(3).best) == ("done", 2)


# --- move --------------------------------------------------------------------------------------------------------


async def test_scenes_are_rendered_in_the_order_that_people_gave_them(stage: Stage) -> None:
    stage.policy = replace(stage.policy, lookahead=0)
    async with stage.simulator() as simulator:
        with stage.open(simulator, *FIVE) as runner:
            async with playing(runner, simulator) as play:
                await play.until(phase_is(1, "queued", "executing"))
                assert play.ask(c.Move, scenes=("scene-005",), by=-2).accepted
                assert play.ask(c.Move, scenes=("scene-005",), by=-1).accepted
                assert play.ask(c.Move, scenes=("scene-005",), by=-1).why == "there is no other place for it that way"
                assert play.ask(c.Move, scenes=("scene-002", "scene-003"), by=99).accepted
                assert play.ask(c.Move, scenes=("scene-001",), by=1).why.startswith("scene-001 is on the server")
            outcome = play.outcome
    settled(outcome)
    assert outcome.exit_code == 0
    assert sent(outcome) == ["scene-001", "scene-005", "scene-004", "scene-002", "scene-003"]
    assert all(scene.turn is None for scene in outcome.state.scenes)


# --- what was accepted survives the runner -------------------------------------------------------------------------


async def answered_and_killed(
    runner: Runner, until: Callable[[State], object], command: type[c.AnyCommand], **more: Any
) -> None:
    """Drive ``runner``, ask it for something once ``until`` holds, and let it die with its answer."""
    with runner, anyio.fail_after(LONGEST), anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.drive)
            while not (runner.hub.state.run and until(runner.hub.state)):
                await runner.hub.changed()
            runner.command(command(id="last", **more))
            last = runner.hub.state.notes[-1].text
            scope.cancel()
    assert last.endswith(": accepted")


async def taken_up(stage: Stage, runner: Runner, simulator: Simulator) -> Play:
    with Runner(runner.run_dir, runner.plan, stage.clock, Credentials(), "resume") as again:
        async with playing(again, simulator) as play:
            pass
    return play


def facts_of(state: State) -> tuple[object, ...]:
    """Return what facts alone make: of samples the journal has only some."""
    return (state.seq, state.run, state.scenes, state.notes)


@pytest.mark.parametrize("phase", ["waiting", "planned", "executing", "collecting"])
async def test_a_cancel_that_was_accepted_is_carried_out_though_the_runner_was_killed(stage: Stage, phase: str) -> None:
    """Whatever the scene was doing: it is taken off the server, ends cancelled, and is not rendered again."""
    number = 5 if phase == "waiting" else 1
    async with stage.simulator(speed=SLOW) as simulator:
        runner = stage.open(simulator, *FIVE)
        await answered_and_killed(runner, phase_is(number, phase), c.Cancel, scenes=(f"scene-{number:03}",))
        play = await taken_up(stage, runner, simulator)
        outcome = play.outcome
    settled(outcome)
    assert outcome.scene(number).phase == "cancelled"
    assert len(outcome.scene(number).attempts) == 1
    assert not outcome.scene(number).stopped, "it was this scene alone, so no resume takes it up again"
    assert all(outcome.scene(n).phase == "done" for n in range(1, 6) if n != number)
    assert touched(outcome) <= {outcome.attempt(number).prompt_id}
    assert outcome.attempt(number).queued_at is None or number == 1
    again = await taken_up(stage, runner, simulator)
    assert facts_of(again.outcome.state) == facts_of(outcome.state), "there is nothing left to do"


async def test_skip_and_order_survive_the_runner(stage: Stage) -> None:
    async with stage.simulator(speed=SLOW) as simulator:
        runner = stage.open(simulator, *FIVE)
        await answered_and_killed(runner, phase_is(2, "queued"), c.Move, scenes=("scene-005",), by=-9)
        with Runner(runner.run_dir, runner.plan, stage.clock, Credentials(), "resume") as second:
            assert second.hub.state.scenes[4].turn is not None
        await answered_and_killed(second, phase_is(2, "queued"), c.Skip, scenes=("scene-003",))
        play = await taken_up(stage, runner, simulator)
    outcome = play.outcome
    settled(outcome)
    assert sent(outcome) == ["scene-001", "scene-002", "scene-005", "scene-004"]
    assert outcome.scene(3).phase == "skipped"


async def test_what_was_given_up_while_it_waited_needs_no_server(stage: Stage) -> None:
    stage.policy = replace(stage.policy, lookahead=0)
    async with stage.simulator() as simulator:
        runner = stage.open(simulator, *FIVE[:2])

        def held(state: State) -> bool:
            if state.scenes[0].phase == "executing" and state.run is not None and not state.run.held:
                runner.command(c.Hold(id="hold"))
            return state.scenes[0].over

        await answered_and_killed(runner, held, c.Skip, scenes=("scene-002",))
        await simulator.kill()
        play = await taken_up(stage, runner, simulator)
    settled(play.outcome)
    assert play.code == 1
    assert play.state.scenes[1].phase == "skipped"
