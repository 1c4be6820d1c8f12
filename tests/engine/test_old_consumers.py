"""A run in which everything went otherwise, read as other tools read it: each line and field of the contract."""

import json
from typing import Any

from comfytui.model.policy import QueuePolicy
from comfytui.simulator import faults as f
from tests.e2e.old_consumer import OldSummary, agree, read_summary
from tests.engine.stage import Outcome, Stage, brief


def read(outcome: Outcome) -> tuple[OldSummary, Any]:
    """Return what the run says in both its records, which are proven to agree."""
    summary = read_summary(outcome.run_dir.summary.read_text(encoding="utf-8"))
    metadata = json.loads(outcome.run_dir.metadata.read_bytes())
    agree(summary, metadata)
    return summary, metadata


async def test_a_troubled_run_is_read_by_old_tools(stage: Stage) -> None:
    stage.policy = QueuePolicy(max_wait_seconds=30, post_execution_timeout_seconds=5)
    outcome = await stage.play(
        f.NodeError(nth=1, message="tensor | mismatch\nin two lines"),
        f.FewerFrames(prefix="*scene-002*", keep=2),
        f.StatsWithoutVram(times=4),
        f.HistoryMissing(prefix="*scene-003*", seconds=9e9),
        scenes=(brief(1), brief(2), brief(3)),
    )
    assert outcome.exit_code == 1
    summary, metadata = read(outcome)
    assert summary.verdict == "passed"
    requeues = sorted((each["scene"], each["next"], each["all"]) for each in summary.requeues)
    assert requeues[:2] == [("scene-001", "2", "2"), ("scene-002", "2", "2")]
    assert summary.floors["scene-002"] == {"scene": "scene-002", "got": "2", "floor": "5"}
    assert summary.telemetry["scene-001"]["ExecutionSuccessDetected"] == "true", "the best attempt is the second"
    assert summary.attempts["scene-001", "1"]["ExecutionSuccessDetected"] == "false"
    assert any("fallback" in values for values in summary.attempts.values())
    assert set(summary.history) == {"scene-003"}
    assert [scene["Requeued"] for scene in metadata["Scenes"][:2]] == [True, True]


async def test_a_run_without_a_figure_is_read_by_old_tools(stage: Stage) -> None:
    stage.policy = QueuePolicy(scene_retry_budget=0, history_max_attempts=7)
    outcome = await stage.play(f.StatsWithoutVram(devices=False), f.NodeError(nth=2), scenes=(brief(1), brief(2)))
    assert outcome.exit_code == 1
    summary, _ = read(outcome)
    assert summary.policy["attempts"] == "7"
    assert summary.errors["scene-002"] == ["Simulated failure [prompt.failed]"]
    for values in summary.telemetry.values():
        assert (values["pollLimit"], values["SceneRetryBudget"]) == ("7", "unbounded")
        assert values["GPU"] != ""
        assert values["VRAMDeltaMB"] == "n/a"
        assert values["fallback"]
