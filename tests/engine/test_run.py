"""The main job on the simulator: scenes in, proven frames and valid telemetry out."""

from tests.engine.stage import Stage, brief


async def test_three_scenes_render(stage: Stage) -> None:
    outcome = await stage.play(scenes=(brief(1), brief(2), brief(3)))
    assert outcome.exit_code == 0
    assert outcome.findings == []
    assert [scene.frames for scene in outcome.state.scenes] == [5, 5, 5]
    assert [a.status for s in outcome.state.scenes for a in s.attempts] == ["success"] * 3
