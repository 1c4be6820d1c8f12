"""Each row of the table of failure classes, injected: what is repeated, what it costs, what is done before it."""

from typing import Any, get_args

import anyio
import pytest
from msgspec.structs import replace

from comfytui.model import commands as c
from comfytui.model import events as e
from comfytui.model.failure_classes import (
    FAILURE_CLASSES,
    RETRY_RULES,
    TABLE,
    FailureClass,
    RetryRule,
    class_of,
    failure_classes_markdown,
    rule_of,
)
from comfytui.model.plan import RunPlan
from comfytui.model.telemetry import ExecutionFailure, ExecutionStatus
from comfytui.model.workflow import Bindings, Values, render
from comfytui.records import journal
from comfytui.records.rundir import read_plan, write_plan
from comfytui.simulator import faults as f
from comfytui.simulator.speed import Speed
from comfytui.sources.comfy.address import ServerAddress
from comfytui.sources.comfy.http import ComfyHttp
from tests.engine.stage import Outcome, Stage, brief
from tests.faults.test_frames_and_history import settled
from tests.unit.test_engine_planner import attempt


@pytest.fixture(autouse=True)
def few_samples(stage: Stage) -> None:
    """Ask for GPU figures rarely: here hours go by."""
    stage.policy = replace(stage.policy, gpu_interval_seconds=10.0)


def statuses(outcome: Outcome, scene: int = 1) -> list[str | None]:
    """Return how the attempts of a scene ended."""
    return [one.status for one in outcome.scene(scene).attempts]


def noted(outcome: Outcome) -> list[str]:
    """Return what was noted of the run, in order."""
    return [env.event.text for env in journal.read(outcome.run_dir.journal) if isinstance(env.event, e.RunNoted)]


class Changed(Stage):
    """A stage for runs whose plan changes the table."""

    retry: dict[FailureClass, RetryRule]

    def plan(self, *args: Any) -> RunPlan:
        """Return the plan with the changes."""
        return replace(super().plan(*args), retry=self.retry)


# --- the table ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", get_args(ExecutionStatus))
def test_every_end_of_an_attempt_has_its_class(status: ExecutionStatus) -> None:
    kind = class_of(attempt(status=status, frames=0))
    assert kind == {"success": "short", "partial": "short"}.get(status, status)
    assert kind in TABLE


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        ("error", "prompt.out_of_memory", "oom"),
        ("error", "prompt.failed", "error"),
        ("error", "internal", "error"),
        ("lost", "prompt.lost", "lost"),
        ("lost", "server.unreachable", "lost"),
        ("lost", "server.lost", "away"),
        ("timeout", "prompt.history_limit", "timeout"),
    ],
)
def test_the_code_tells_ends_of_one_status_apart(status: ExecutionStatus, code: str, kind: FailureClass) -> None:
    error = ExecutionFailure(node_id=None, node_type=None, exception_type=None, message="why", code=code)
    assert class_of(attempt(status=status, error=error, frames=0)) == kind


def test_an_attempt_without_a_verdict_is_an_error() -> None:
    assert class_of(attempt(status=None, success_at=None)) == "error"  # type: ignore[arg-type]


def test_a_change_replaces_one_rule() -> None:
    changes: dict[FailureClass, RetryRule] = {"error": "never"}
    assert {kind: rule_of(kind, changes) for kind in FAILURE_CLASSES} == {
        kind: "never" if kind == "error" else TABLE[kind].rule for kind in FAILURE_CLASSES
    }


def test_the_markdown_has_a_row_for_each_class() -> None:
    table = failure_classes_markdown()
    assert all(f"| `{kind}` |" in table for kind in FAILURE_CLASSES)
    assert all(f"(`{rule}`)" in table for rule in RETRY_RULES)
    assert len({line.count("|") for line in table.splitlines()}) == 1


# --- its rows ----------------------------------------------------------------------------------------------------


async def test_a_rejection_is_final(stage: Stage) -> None:
    outcome = await stage.play(f.Rejected(), scenes=(brief(1), brief(2)))
    settled(outcome, frameless=True)
    assert (statuses(outcome, 1), statuses(outcome, 2), len(outcome.posts())) == (["rejected"], ["rejected"], 2)


async def test_an_error_costs_the_budget(stage: Stage) -> None:
    stage.policy = replace(stage.policy, scene_retry_budget=2)
    outcome = await stage.play(f.NodeError(at="SaveImage", step=1))
    settled(outcome)
    assert statuses(outcome) == ["error"] * 3
    assert len({one.prefix for one in outcome.scene().attempts}) == 3
    assert len({one.seed for one in outcome.scene().attempts}) == 3
    assert outcome.posts("/free") == []


async def test_what_a_person_interrupts_on_the_server_is_not_repeated(stage: Stage) -> None:
    async with stage.simulator(f.Hang(nth=1)) as simulator:
        with stage.open(simulator, brief(1), brief(2)) as runner:

            async def interrupt() -> None:
                while runner.hub.state.scenes[0:1] == () or runner.hub.state.scenes[0].phase != "executing":
                    await runner.hub.changed()
                await anyio.sleep(5)
                async with ComfyHttp(ServerAddress.parse(simulator.url)) as http:
                    await http.interrupt(runner.hub.state.scenes[0].attempts[0].prompt_id)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(interrupt)
                code = await runner.drive()
            outcome = Outcome(code, runner, simulator)
    settled(outcome)
    assert statuses(outcome, 1) == ["interrupted"]
    assert statuses(outcome, 2) == ["success"]


@pytest.mark.parametrize("older", [False, True])
async def test_out_of_memory_frees_the_server_before_the_next_attempt(stage: Stage, older: bool) -> None:
    outcome = await stage.play(f.OutOfMemory(older_torch=older, nth=1))
    settled(outcome)
    assert statuses(outcome) == ["error", "success"]
    assert outcome.posts("/free") == [{"unload_models": True, "free_memory": True}]
    paths = [(r.method, r.path) for r in outcome.simulator.requests if r.method == "POST"]
    assert paths.index(("POST", "/free")) < len(paths) - 1, "before the second prompt"
    assert any(text.startswith("VRAM is back after") for text in noted(outcome))
    second = outcome.attempt(1, 2).telemetry
    assert second is not None
    assert any("GPU memory ran out in attempt 1" in note for note in second.system.fallback_notes)


async def test_vram_that_does_not_come_back_is_waited_for_a_minute_and_said(stage: Stage) -> None:
    outcome = await stage.play(f.OutOfMemory(at="SaveImage", step=2, nth=1), f.VramLeak(nth=1, size=4 << 30))
    settled(outcome)
    assert statuses(outcome) == ["error", "success"]
    (told,) = [text for text in noted(outcome) if "did not come back" in text]
    assert "MB free, " in told
    first, second = outcome.scene().attempts
    assert first.ended_at is not None
    assert 60 <= (second.planned_at - first.ended_at).total_seconds() < 65


async def test_a_stop_does_not_wait_for_vram(stage: Stage) -> None:
    faults = f.OutOfMemory(at="SaveImage", step=2, nth=1), f.VramLeak(nth=1, size=4 << 30)
    async with stage.simulator(*faults) as simulator:
        with stage.open(simulator, brief(1)) as runner:

            async def stop() -> None:
                while not any("unload its models" in note.text for note in runner.hub.state.notes):
                    await runner.hub.changed()
                runner.command(c.Stop(id="1"))

            began = stage.clock.monotonic()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stop)
                code = await runner.drive()
            outcome = Outcome(code, runner, simulator)
    settled(outcome)
    assert (code, statuses(outcome)) == (130, ["error"])
    assert stage.clock.monotonic() - began < 10


async def test_vram_is_not_waited_for_while_another_scene_renders(stage: Stage) -> None:
    outcome = await stage.play(
        f.OutOfMemory(nth=1), f.VramLeak(nth=1, size=4 << 30), scenes=(brief(1), brief(2)), speed=Speed(save_frame=5.0)
    )
    settled(outcome)
    assert outcome.exit_code == 0
    assert len(outcome.posts("/free")) == 1
    assert any("other prompts are at work" in text for text in noted(outcome))


async def test_a_server_that_frees_nothing_stops_nothing(stage: Stage) -> None:
    outcome = await stage.play(f.OutOfMemory(nth=1), f.Answered(path="/free", status=500))
    settled(outcome)
    assert statuses(outcome) == ["error", "success"]
    assert any(text.startswith("VRAM is not waited for: ") for text in noted(outcome))


async def test_no_memory_is_freed_when_no_attempt_is_left(stage: Stage) -> None:
    stage.policy = replace(stage.policy, scene_retry_budget=0)
    outcome = await stage.play(f.OutOfMemory())
    settled(outcome, frameless=True)
    assert outcome.posts("/free") == []


async def test_a_broken_connection_spends_no_attempt(stage: Stage) -> None:
    reset = f.ConnectionReset(after=True, times=1)
    outcome = await stage.play(reset, f.ConnectionReset(path="/history*", method="GET", times=2))
    settled(outcome)
    assert outcome.simulator.faults.used(reset) == 1
    assert statuses(outcome) == ["success"]
    assert outcome.simulator.prompts_executed == [outcome.attempt().prompt_id]


async def test_a_timeout_costs_the_budget(stage: Stage) -> None:
    stage.policy = replace(stage.policy, max_wait_seconds=20)
    outcome = await stage.play(f.Hang(at="SaveImage", step=1, nth=1))
    settled(outcome)
    assert statuses(outcome) == ["timeout", "success"]


async def test_a_cache_hit_that_writes_nothing_costs_the_budget(stage: Stage) -> None:
    """A workflow without a prefix and a seed of its own: every prompt is the same. The first files are gone."""
    values = Values(prefix="comfytui/fixed", prompt="fog", seed=7, frame_count=5)
    stage.workflow = replace(stage.workflow, graph=render(stage.workflow, values), bindings=Bindings())
    stage.policy = replace(stage.policy, lookahead=0, post_execution_timeout_seconds=5)
    async with stage.simulator() as simulator:
        with stage.open(simulator, brief(1)) as runner:
            assert await runner.drive() == 0
        for path in (stage.output / "comfytui").iterdir():
            path.unlink()
        with stage.open(simulator, brief(2)) as runner:
            outcome = Outcome(await runner.drive(), runner, simulator)
    settled(outcome, frameless=True)
    assert statuses(outcome) == ["cached", "cached"]
    assert [class_of(one) for one in outcome.scene().attempts] == ["cached", "cached"]
    first, second = outcome.scene().attempts
    assert (first.prefix != second.prefix, first.seed != second.seed, second.proven) == (True, True, 0)


async def test_frames_that_are_lacking_cost_the_budget(stage: Stage) -> None:
    outcome = await stage.play(f.FewerFrames(keep=2, nth=1))
    settled(outcome)
    assert [one.proven for one in outcome.scene().attempts] == [2, 5]


# --- changed by the configuration --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retry", "fault", "ends"),
    [
        ({"error": "never"}, f.NodeError(at="SaveImage", step=1, nth=1), ["error"]),
        ({"oom": "never"}, f.OutOfMemory(at="SaveImage", step=1, nth=1), ["error"]),
        ({"error": "never"}, f.OutOfMemory(at="SaveImage", step=1, nth=1), ["error", "success"]),
        ({"error": "free"}, f.NodeError(at="SaveImage", step=1), ["error"] * 5),
        ({"short": "never"}, f.FewerFrames(keep=2, nth=1), ["success"]),
        ({"lost": "never"}, f.Death(at="SaveImage", step=2, nth=1, restart_after=5.0), ["lost"]),
        ({"rejected": "budget"}, f.Rejected(nth=1), ["rejected", "success"]),
    ],
)
async def test_the_plan_changes_the_table(
    tmp_path: Any, retry: dict[FailureClass, RetryRule], fault: f.Fault, ends: list[str]
) -> None:
    (tmp_path / "changed").mkdir()
    stage = Changed(tmp_path / "changed")
    stage.retry = retry
    stage.policy = replace(stage.policy, post_execution_timeout_seconds=5)
    outcome = await stage.play(fault)
    settled(outcome)
    assert statuses(outcome) == ends


def test_the_changes_are_in_the_plan_on_the_disk(stage: Stage) -> None:
    from comfytui.clock import system_clock
    from comfytui.records.rundir import create_run

    stage.clock = system_clock()
    run_dir = create_run(stage.runs, stage.clock)
    plan = replace(stage.plan(run_dir, "http://x", (brief(1),)), retry={"oom": "never"})
    write_plan(run_dir, plan)
    assert read_plan(run_dir).retry == {"oom": "never"}
