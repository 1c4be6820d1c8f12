"""A runner that dies anywhere, and the next one: nothing is rendered twice, nothing is lost, what is over stays so."""

import socket
from collections import Counter
from collections.abc import Callable

import anyio
import msgspec
import pytest
from msgspec.structs import replace

from comfytui.engine.runner import Runner
from comfytui.engine.server.credentials import Credentials
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.model.envelope import Envelope
from comfytui.model.state import State
from comfytui.records.lock import Holder
from comfytui.simulator import Simulator
from comfytui.simulator import faults as f
from comfytui.simulator.speed import Speed
from tests.engine.playing import facts, of_kind, playing
from tests.engine.stage import Outcome, Stage, brief
from tests.engine.test_frames_taken import picture, taken
from tests.faults.test_frames_and_history import settled

SCENES = tuple(brief(number, 2) for number in (1, 2, 3))
STEADY = Speed(save_frame=1.0)
NOBODY = Holder(pid=2**31 - 1, started=0.0, host=socket.gethostname())


async def killed(runner: Runner, when: Callable[[Envelope], bool], *, before: bool = False) -> State:
    """Drive ``runner`` until ``when`` holds for a fact, then let it die: nothing is closed and nothing is written.

    ``before``: the fact itself is not written any more, though what it tells has happened. Returns what the journal
    tells then.
    """
    runner.__enter__()
    write, dead = runner._journal.append, False
    known = runner.hub.state
    with anyio.CancelScope() as life:

        def append(envelope: Envelope) -> None:
            nonlocal dead, known
            if dead:
                return
            if envelope.is_fact and when(envelope):
                dead = True
                life.cancel()
                if before:
                    known = runner.hub.state
                    return
            write(envelope)

        runner._journal.append = append  # type: ignore[method-assign]
        await runner.drive()
    assert dead, "it came to its end and never to that fact"
    runner._journal._file.close()
    runner.run_dir.lock.write_bytes(msgspec.json.encode(NOBODY))
    return known


def nth(kind: type[e.Fact], number: int = 1) -> Callable[[Envelope], bool]:
    """Return the condition that a fact is the ``number``-th of its kind."""
    seen = 0

    def matches(envelope: Envelope) -> bool:
        nonlocal seen
        seen += isinstance(envelope.event, kind)
        return isinstance(envelope.event, kind) and seen == number

    return matches


def heir(stage: Stage, dead: Runner) -> Runner:
    """Return the runner that takes the run over."""
    return Runner(dead.run_dir, dead.plan, stage.clock, Credentials(), "resume")


async def resumed(stage: Stage, dead: Runner, simulator: Simulator) -> Outcome:
    """Let another runner take the run over, and return what came of it."""
    with heir(stage, dead) as runner:
        async with playing(runner, simulator) as play:
            pass
        return play.outcome


def whole(outcome: Outcome) -> None:
    """Every scene is rendered, recorded and proven; no prompt ran twice, and every frame is of one attempt."""
    settled(outcome)
    assert outcome.exit_code == 0
    assert [(scene.phase, scene.frames) for scene in outcome.state.scenes] == [("done", 2)] * 3
    executed = Counter(outcome.simulator.prompts_executed)
    assert max(executed.values()) == 1, "a prompt ran twice"
    known = {attempt.prompt_id for scene in outcome.state.scenes for attempt in scene.attempts}
    assert set(executed) <= known
    assert not list(outcome.run_dir.path.rglob("*.tmp"))


POINTS: list[tuple[type[e.Fact], int, bool]] = [
    (e.RunOpened, 1, False),
    (e.ServerReached, 1, False),
    (e.AttemptPlanned, 1, False),
    (e.PromptQueued, 1, True),  # it is on the server, and the journal does not know
    (e.PromptQueued, 1, False),
    (e.ExecutionStarted, 1, False),
    (e.FrameProven, 1, True),  # the frame is in the run folder, and the journal does not know
    (e.FrameProven, 1, False),
    (e.PromptQueued, 2, True),
    (e.HistoryRead, 1, True),
    (e.ExecutionEnded, 1, False),
    (e.AttemptEnded, 1, False),
    (e.SceneEnded, 1, False),
    (e.ExecutionStarted, 3, False),
    (e.AttemptEnded, 3, True),
    (e.RunSettled, 1, False),
    (e.RunArchived, 1, True),
]
NAMES = [f"{'before' if before else 'after'} {kind.__name__} {number}" for kind, number, before in POINTS]


@pytest.mark.parametrize(("kind", "number", "before"), POINTS, ids=NAMES)
async def test_whoever_takes_over_renders_nothing_twice_and_loses_nothing(
    stage: Stage, kind: type[e.Fact], number: int, before: bool
) -> None:
    stage.policy = replace(stage.policy, scene_retry_budget=0)
    async with stage.simulator(speed=STEADY) as simulator:
        dead = stage.open(simulator, *SCENES)
        known = await killed(dead, nth(kind, number), before=before)
        over = {scene.id: scene for scene in known.scenes if scene.over}
        await stage.clock.sleep(0.5)
        outcome = await resumed(stage, dead, simulator)
    whole(outcome)
    assert [len(scene.attempts) for scene in outcome.state.scenes] == [1, 1, 1], "the server lived: nothing was lost"
    assert len(outcome.posts()) == 3
    assert touched_nothing(outcome)
    for scene in outcome.state.scenes:
        assert scene.id not in over or scene == over[scene.id], "what was over is as it was"


def touched_nothing(outcome: Outcome) -> bool:
    return outcome.posts("/interrupt") == [] and outcome.posts("/queue") == []


DEADLY = [POINTS[place] for place in (2, 4, 5, 7, 12)]


@pytest.mark.parametrize(("kind", "number", "before"), DEADLY, ids=[NAMES[POINTS.index(one)] for one in DEADLY])
async def test_prompts_that_were_lost_with_the_server_do_not_cost_the_budget(
    stage: Stage, kind: type[e.Fact], number: int, before: bool
) -> None:
    stage.policy = replace(stage.policy, scene_retry_budget=0)
    async with stage.simulator(speed=STEADY) as simulator:
        dead = stage.open(simulator, *SCENES)
        await killed(dead, nth(kind, number), before=before)
        await simulator.kill()
        await stage.clock.sleep(60)
        await simulator.restart()
        outcome = await resumed(stage, dead, simulator)
    whole(outcome)
    for scene in outcome.state.scenes:
        assert [attempt.status for attempt in scene.attempts[:-1]] in ([], ["lost"])


async def test_what_is_finished_meanwhile_is_harvested(stage: Stage) -> None:
    async with stage.simulator(speed=STEADY) as simulator:
        dead = stage.open(simulator, *SCENES)
        await killed(dead, nth(e.ExecutionStarted, 1))
        await stage.clock.sleep(3600)
        executed = list(simulator.prompts_executed)
        outcome = await resumed(stage, dead, simulator)
    whole(outcome)
    first = outcome.attempt(1)
    assert first.prompt_id in executed
    assert first.telemetry is not None
    assert first.telemetry.gpu.vram_before_mb is None or first.telemetry.gpu.vram_after_mb is not None
    assert first.success_at is not None
    assert first.ended_at is not None
    assert first.success_at < first.ended_at
    assert len(of_kind(facts(outcome.run_dir), e.ExecutionStarted)) == 3, "each execution began once"


async def test_a_prompt_that_hangs_is_adopted_and_given_up_in_time(stage: Stage) -> None:
    stage.policy = replace(stage.policy, max_wait_seconds=60, scene_retry_budget=0)
    async with stage.simulator(f.Hang(nth=1), speed=STEADY) as simulator:
        dead = stage.open(simulator, *SCENES)
        await killed(dead, nth(e.ExecutionStarted, 1))
        await stage.clock.sleep(20)
        outcome = await resumed(stage, dead, simulator)
    settled(outcome)
    assert [scene.phase for scene in outcome.state.scenes] == ["failed", "done", "done"]
    hung = outcome.attempt(1)
    assert (hung.status, hung.exit_reason) == ("timeout", "maxWait")
    assert outcome.posts("/interrupt") == [{"prompt_id": hung.prompt_id}]


async def test_a_run_may_be_taken_over_again_and_again(stage: Stage) -> None:
    async with stage.simulator(speed=STEADY) as simulator:
        dead = stage.open(simulator, *SCENES)
        await killed(dead, nth(e.FrameProven, 1))
        for kind, before in ((e.PromptQueued, True), (e.FrameProven, True), (e.SceneEnded, False)):
            dead = heir(stage, dead)
            await killed(dead, nth(kind, 1), before=before)
        outcome = await resumed(stage, dead, simulator)
    whole(outcome)
    assert [event.reason for event in of_kind(facts(outcome.run_dir), e.RunnerStarted)] == ["run"] + ["resume"] * 4
    notes = [note.text for note in outcome.state.notes]
    assert sum("Took the run over" in text for text in notes) == 4


async def test_retries_go_on_counting_where_the_dead_runner_stopped(stage: Stage) -> None:
    stage.policy = replace(stage.policy, post_execution_timeout_seconds=2, scene_retry_budget=1)
    async with stage.simulator(f.FewerFrames(keep=1, prefix="*scene-001*"), speed=STEADY) as simulator:
        dead = stage.open(simulator, *SCENES)
        await killed(dead, nth(e.SceneRequeued, 1))
        outcome = await resumed(stage, dead, simulator)
    settled(outcome)
    assert [len(scene.attempts) for scene in outcome.state.scenes] == [2, 1, 1]
    assert outcome.attempt(1, 2).reason == "frame count below floor (1/2)"
    assert outcome.exit_code == 1


async def test_a_second_runner_on_a_run_that_is_driven_is_refused(stage: Stage) -> None:
    async with stage.simulator(speed=STEADY) as simulator:
        with stage.open(simulator, *SCENES) as runner:
            async with playing(runner, simulator) as play:
                with pytest.raises(Failure) as refused:
                    heir(stage, runner).__enter__()
                assert refused.value.code == "run.locked"
            assert play.code == 0


async def test_frames_that_were_written_once_more_in_between_count_with_their_newer_content(stage: Stage) -> None:
    async with stage.simulator(speed=STEADY) as simulator:
        dead = stage.open(simulator, *SCENES)
        await killed(dead, nth(e.FrameProven, 1))
        await stage.clock.sleep(20)
        (path,) = stage.output.rglob("scene-001-a1_00001_.png")
        newer = picture("teal")
        path.write_bytes(newer)
        outcome = await resumed(stage, dead, simulator)
    whole(outcome)
    assert taken(outcome)["scene-001-a1_00001_.png"] == newer
