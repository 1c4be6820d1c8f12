"""Rendering scenes of a run once more: a runner is started for it, and the records stay one whole."""

import anyio
import pytest

from comfytui.engine.runner import COMMAND_WAIT, Reason, Runner
from comfytui.engine.server.credentials import Credentials
from comfytui.model import commands as c
from comfytui.model import events as e
from comfytui.simulator import Simulator
from comfytui.simulator import faults as f
from tests.engine.playing import facts, of_kind, phase_is, playing
from tests.engine.stage import Outcome, Stage, brief
from tests.faults.test_frames_and_history import settled

SCENES = (brief(1, 2, seed=11), brief(2, 2), brief(3, 2))


def again(stage: Stage, before: Runner, reason: Reason = "rerun") -> Runner:
    """Return another runner for the run that ``before`` drove."""
    return Runner(before.run_dir, before.plan, stage.clock, Credentials(), reason)


async def rendered(stage: Stage, simulator: Simulator) -> tuple[Runner, Outcome]:
    """Play a run of three scenes to its end."""
    with stage.open(simulator, *SCENES) as runner:
        async with playing(runner, simulator) as play:
            pass
    assert play.code == 0
    return runner, play.outcome


def kinds_after(outcome: Outcome, seq: int) -> list[e.AnyEvent]:
    return facts(outcome.run_dir)[seq:]


async def test_a_scene_of_a_finished_run_is_rendered_once_more(stage: Stage) -> None:
    async with stage.simulator() as simulator:
        runner, first = await rendered(stage, simulator)
        untouched = {p: p.read_bytes() for n in (1, 3) for p in first.run_dir.scene(f"scene-00{n}").rglob("*.*")}
        with again(stage, runner) as rerunner:
            async with playing(rerunner, simulator) as play:
                assert play.ask(c.Rerun, scenes=("scene-002",)).accepted
            second = play.outcome
    settled(second)
    assert second.exit_code == 0
    before, after = second.attempt(2, 1), second.attempt(2, 2)
    assert (after.status, after.proven, after.reason) == ("success", 2, "rerun by a person")
    assert before.prefix != after.prefix
    assert before.seed != after.seed
    assert second.scene(2).best == 1, "as many frames: the earlier one stays the record"
    assert [scene.attempts for n, scene in enumerate(second.state.scenes) if n != 1] == [
        scene.attempts for n, scene in enumerate(first.state.scenes) if n != 1
    ]
    assert {p: p.read_bytes() for p in untouched} == untouched
    assert len(simulator.prompts_executed) == 4
    assert [scene.attempts_run for scene in second.metadata.scenes] == [1, 2, 1]
    assert [event.reason for event in of_kind(facts(second.run_dir), e.RunnerStarted)] == ["run", "rerun"]
    assert second.run_dir.summary.read_text().count("Scene summary:") == 1


async def test_a_rerun_may_have_a_seed_and_a_prompt_of_its_own(stage: Stage) -> None:
    async with stage.simulator() as simulator:
        runner, _ = await rendered(stage, simulator)
        with again(stage, runner) as rerunner:
            async with playing(rerunner, simulator) as play:
                assert play.ask(c.Rerun, scenes=("scene-001",), seed=4711, prompt="a storm").accepted
            outcome = play.outcome
    settled(outcome)
    assert (outcome.attempt(1, 2).seed, outcome.attempt(1, 2).prompt) == (4711, "a storm")
    assert outcome.posts()[-1]["prompt"]["1"]["inputs"]["color"] == 4711
    assert (outcome.attempt(1, 1).seed, outcome.attempt(1, 1).prompt) == (11, None)


async def test_a_rerun_with_more_frames_becomes_the_record(stage: Stage) -> None:
    async with stage.simulator(f.FewerFrames(keep=1, prefix="*scene-002-a[12]")) as simulator:
        with stage.open(simulator, *SCENES) as runner:
            async with playing(runner, simulator) as play:
                pass
        assert (play.code, play.outcome.scene(2).frames) == (1, 1)
        with again(stage, runner) as rerunner:
            async with playing(rerunner, simulator) as play:
                assert play.ask(c.Rerun, scenes=("scene-002",)).accepted
            outcome = play.outcome
    settled(outcome)
    assert outcome.exit_code == 0
    assert (outcome.scene(2).best, outcome.scene(2).frames, len(outcome.scene(2).attempts)) == (3, 2, 3)
    assert outcome.metadata.scenes[1].prompt_id == outcome.attempt(2, 3).prompt_id


async def test_scenes_are_rendered_once_more_while_the_run_goes_on(stage: Stage) -> None:
    async with stage.simulator() as simulator:
        with stage.open(simulator, *SCENES) as runner:
            async with playing(runner, simulator) as play:
                await play.until(phase_is(1, "done"))
                assert play.ask(c.Rerun, scenes=("scene-001", "scene-001")).accepted
            outcome = play.outcome
    settled(outcome)
    assert outcome.exit_code == 0
    assert [len(scene.attempts) for scene in outcome.state.scenes] == [2, 1, 1]
    assert outcome.scene(1).extra_attempts == 1, "named twice, it is opened once"


async def test_a_rerun_that_falls_short_is_not_repeated_beyond_its_budget(stage: Stage) -> None:
    async with stage.simulator(f.FewerFrames(keep=1, prefix="*scene-002*")) as simulator:
        with stage.open(simulator, *SCENES) as runner:
            async with playing(runner, simulator) as play:
                pass
        with again(stage, runner) as rerunner:
            async with playing(rerunner, simulator) as play:
                assert play.ask(c.Rerun, scenes=("scene-002",)).accepted
            outcome = play.outcome
    settled(outcome)
    assert outcome.exit_code == 1
    assert len(outcome.scene(2).attempts) == 3


async def test_a_rerun_of_several_scenes_is_told_and_ends_once_each(stage: Stage) -> None:
    async with stage.simulator() as simulator:
        runner, first = await rendered(stage, simulator)
        with again(stage, runner) as rerunner:
            async with playing(rerunner, simulator) as play:
                assert play.ask(c.Rerun, scenes=("scene-003", "scene-001")).accepted
            outcome = play.outcome
    settled(outcome)
    told = kinds_after(outcome, first.state.seq)
    assert [event.scene for event in of_kind(told, e.SceneReopened)] == ["scene-003", "scene-001"]
    assert sorted(event.scene for event in of_kind(told, e.SceneEnded)) == ["scene-001", "scene-003"]
    assert [len(of_kind(told, kind)) for kind in (e.RunSettled, e.RunValidated, e.RunArchived, e.RunEnded)] == [1] * 4


async def test_a_runner_to_which_no_command_comes_ends_by_itself(stage: Stage) -> None:
    async with stage.simulator() as simulator:
        runner, first = await rendered(stage, simulator)
        with again(stage, runner) as rerunner:
            began = stage.clock.monotonic()
            async with playing(rerunner, simulator) as play:
                pass
            took = stage.clock.monotonic() - began
            outcome = play.outcome
    settled(outcome)
    assert outcome.exit_code == 0
    assert COMMAND_WAIT <= took <= COMMAND_WAIT + 5
    assert outcome.state.scenes == first.state.scenes


async def test_a_refused_rerun_leaves_the_run_as_it_was(stage: Stage) -> None:
    async with stage.simulator() as simulator:
        runner, first = await rendered(stage, simulator)
        with again(stage, runner) as rerunner:
            async with playing(rerunner, simulator) as play:
                assert play.ask(c.Rerun, scenes=("scene-004",)).why == "there is no scene scene-004"
            outcome = play.outcome
    settled(outcome)
    assert (outcome.exit_code, outcome.state.scenes) == (0, first.state.scenes)


async def test_a_scene_that_could_not_be_rerun_waits_for_the_next_runner(stage: Stage) -> None:
    """The server is gone: the rerun fails, the scene keeps what it had, and a resume renders it."""
    async with stage.simulator() as simulator:
        runner, _ = await rendered(stage, simulator)
        await simulator.kill()
        with again(stage, runner) as rerunner:
            async with playing(rerunner, simulator) as play:
                assert play.ask(c.Rerun, scenes=("scene-002",)).accepted
            assert play.code == 2
            assert phase_is(2, "waiting")(play.state)
        await simulator.restart()
        with again(stage, runner, "resume") as resumer:
            async with playing(resumer, simulator) as play:
                pass
            outcome = play.outcome
    settled(outcome)
    assert outcome.exit_code == 0
    assert [len(scene.attempts) for scene in outcome.state.scenes] == [1, 2, 1]


@pytest.mark.parametrize("end", ["stop", "finish"])
async def test_a_run_that_was_held_when_it_ended_renders_what_is_asked(stage: Stage, end: str) -> None:
    async with stage.simulator() as simulator:
        with stage.open(simulator, *SCENES) as runner:
            async with playing(runner, simulator) as play:
                await play.until(phase_is(3, "executing"))
                assert play.ask(c.Hold).accepted
                if end == "stop":
                    assert play.ask(c.Stop).accepted
        with again(stage, runner) as rerunner:
            async with playing(rerunner, simulator) as play:
                assert play.ask(c.Rerun, scenes=("scene-003",)).accepted
                with anyio.fail_after(300):
                    await play.until(lambda state: len(state.scenes[2].attempts) == 2 and state.scenes[2].over)
            outcome = play.outcome
    settled(outcome)
    assert outcome.exit_code == 0
