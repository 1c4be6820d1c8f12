"""Runs that are taken up again after their runner died at a certain fact: nothing is lost, and nothing sent twice."""

from collections.abc import Callable
from pathlib import Path

import anyio

from comfytui.engine.runner import Runner
from comfytui.engine.server.credentials import Credentials
from comfytui.model import commands as c
from comfytui.model import events as e
from comfytui.model.envelope import Envelope
from comfytui.model.state import State
from comfytui.records import journal
from comfytui.simulator import Simulator
from tests.engine.stage import LONGEST, Outcome, Stage, brief

Death = Callable[[e.AnyEvent], bool]


async def die(runner: Runner, death: Death, command: c.AnyCommand | None = None) -> None:
    """Drive ``runner`` until the fact that ``death`` picks, and then no further."""
    with runner, anyio.fail_after(LONGEST), anyio.CancelScope() as scope:

        def look(envelope: Envelope, state: State) -> None:
            if death(envelope.event):
                scope.cancel()

        runner.hub.record_with(look)
        if command is not None:
            runner.command(command)
        await runner.drive()
    assert scope.cancelled_caught


async def resumed(runner: Runner, simulator: Simulator) -> Outcome:
    """Take up the run of ``runner`` and return what came of it."""
    with Runner(runner.run_dir, runner.plan, runner._clock, Credentials(), "resume") as again:
        with anyio.fail_after(LONGEST):
            code = await again.drive()
        return Outcome(code, again, simulator)


def facts(outcome: Outcome, kind: type[e.Fact]) -> list[e.AnyEvent]:
    return [each.event for each in journal.read(outcome.run_dir.journal) if isinstance(each.event, kind)]


def forget_from(path: Path, word: str) -> None:
    """Let the journal end before its first line with ``word``."""
    lines = path.read_bytes().splitlines(keepends=True)
    cut = next(place for place, line in enumerate(lines) if word.encode() in line)
    path.write_bytes(b"".join(lines[:cut]))


def is_whole(outcome: Outcome, scenes: int = 1) -> bool:
    return (outcome.exit_code, outcome.findings, [s.frames for s in outcome.state.scenes]) == (0, [], [5] * scenes)


async def test_a_prompt_that_was_not_sent_is_sent_under_its_own_id(stage: Stage) -> None:
    async with stage.simulator() as simulator:
        runner = stage.open(simulator)
        await die(runner, lambda fact: isinstance(fact, e.AttemptPlanned))
        assert simulator.prompts_executed == []
        outcome = await resumed(runner, simulator)
        assert is_whole(outcome)
        (planned,) = facts(outcome, e.AttemptPlanned)
        assert isinstance(planned, e.AttemptPlanned)
        assert simulator.prompts_executed == [planned.prompt_id]
        assert outcome.attempt().notes == ()


async def test_a_prompt_that_executes_is_adopted_and_its_memory_not_measured_as_if_it_began_now(stage: Stage) -> None:
    async with stage.simulator() as simulator:
        runner = stage.open(simulator)
        await die(runner, lambda fact: isinstance(fact, e.ExecutionStarted))
        outcome = await resumed(runner, simulator)
        assert is_whole(outcome)
        assert len(outcome.posts()) == len(simulator.prompts_executed) == 1
        assert len(facts(outcome, e.ExecutionStarted)) == 1
        telemetry = outcome.attempt().telemetry
        assert telemetry is not None
        assert telemetry.gpu.vram_before_mb is None
        assert any("Taken over" in note for note in telemetry.system.fallback_notes)
        assert any("the start of the execution was not seen" in note for note in telemetry.system.fallback_notes)


async def test_a_prompt_that_was_over_is_harvested_though_the_server_forgot_it(stage: Stage) -> None:
    async with stage.simulator() as simulator:
        runner = stage.open(simulator)
        await die(runner, lambda fact: isinstance(fact, e.ExecutionEnded))
        await simulator.kill()
        await simulator.restart()
        outcome = await resumed(runner, simulator)
        assert is_whole(outcome)
        assert len(outcome.posts()) == 1
        assert len(facts(outcome, e.ExecutionEnded)) == 1
        assert outcome.attempt().status == "success"


async def test_a_prompt_that_left_files_had_been_sent_though_nobody_knows_it(stage: Stage) -> None:
    async with stage.simulator() as simulator:
        runner = stage.open(simulator)
        await die(runner, lambda fact: isinstance(fact, e.FrameProven))
        forget_from(runner.run_dir.journal, '"prompt_queued"')
        await simulator.kill()
        left = sorted(stage.output.rglob("*.png"))
        assert left
        await simulator.restart()
        outcome = await resumed(runner, simulator)
        assert is_whole(outcome)
        assert [attempt.status for attempt in outcome.scene().attempts] == ["lost", "success"]
        assert outcome.scene().best == 2
        first, second = (post["prompt_id"] for post in outcome.posts())
        assert first != second
        of_first = [
            path for path in stage.output.rglob("*.png") if outcome.attempt().prefix.split("/")[-1] in path.name
        ]
        assert sorted(of_first) == left, "the new attempt does not write among the frames of the lost one"


async def test_what_waited_on_a_server_that_was_restarted_costs_no_budget(stage: Stage) -> None:
    stage.policy = stage.policy.__class__(scene_retry_budget=0)
    async with stage.simulator() as simulator:
        runner = stage.open(simulator, brief(1), brief(2))
        await die(runner, lambda fact: isinstance(fact, e.PromptQueued) and fact.scene == "scene-002")
        await simulator.kill()
        await simulator.restart()
        outcome = await resumed(runner, simulator)
        assert is_whole(outcome, 2)
        told = [note.text for note in facts(outcome, e.RunNoted) if isinstance(note, e.RunNoted) and note.scene]
        lost = [text for text in told if text.startswith("Resumed, run: attempt 1 was lost with the server")]
        assert len(lost) == 2


async def test_a_queue_that_was_held_is_released_by_resuming(stage: Stage) -> None:
    async with stage.simulator() as simulator:
        runner = stage.open(simulator, brief(1), brief(2))
        started = False

        def death(fact: e.AnyEvent) -> bool:
            nonlocal started
            if isinstance(fact, e.ExecutionStarted) and not started:
                started = True
                runner.command(c.Hold(id="1"))
            return isinstance(fact, e.SceneEnded)

        await die(runner, death)
        outcome = await resumed(runner, simulator)
        assert is_whole(outcome, 2)
        held = [fact.held for fact in facts(outcome, e.QueueHeld) if isinstance(fact, e.QueueHeld)]
        assert held == [True, False]


async def test_a_scene_that_a_person_gave_up_stays_so_when_the_run_is_stopped_and_resumed(stage: Stage) -> None:
    async with stage.simulator() as simulator:
        runner = stage.open(simulator, brief(1), brief(2), brief(3))
        with runner:

            def interfere(envelope: Envelope, state: State) -> None:
                if isinstance(envelope.event, e.ExecutionStarted):
                    runner.command(c.Cancel(id="1", scenes=("scene-003",)))
                    runner.command(c.Stop(id="2"))

            runner.hub.record_with(interfere)
            with anyio.fail_after(LONGEST):
                assert await runner.drive() == 130
            assert [scene.stopped for scene in runner.hub.state.scenes] == [True, True, False]
        outcome = await resumed(runner, simulator)
        assert [scene.success and scene.meets_floor for scene in outcome.state.scenes] == [True, True, False]
        assert outcome.scene(3).phase == "cancelled"
        assert len(outcome.scene(3).attempts) == 1
        assert (outcome.exit_code, outcome.findings) == (1, [])
