"""The main job on the simulator: scenes in, proven frames and valid telemetry out."""

import pytest

from comfytui.simulator.speed import Speed
from tests.engine.stage import Stage, brief


async def test_three_scenes_render(stage: Stage) -> None:
    outcome = await stage.play(scenes=(brief(1), brief(2), brief(3)))
    assert outcome.exit_code == 0
    assert outcome.findings == []
    assert [scene.frames for scene in outcome.state.scenes] == [5, 5, 5]
    assert [a.status for s in outcome.state.scenes for a in s.attempts] == ["success"] * 3


async def test_what_the_end_of_a_run_needs_is_there_long_before(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of it may be on the disk by then."""
    imported: list[tuple[str, list[bool]]] = []
    async with stage.simulator(speed=Speed(save_frame=1.0)) as simulator:
        with stage.open(simulator, brief(1), brief(2)) as runner:

            def note(name: str) -> None:
                imported.append((name, [scene.over for scene in runner.hub.state.scenes]))

            monkeypatch.setattr("comfytui.engine.runner.importlib.import_module", note)
            assert await runner.drive() == 0
    assert imported == [("comfytui.engine.closing", [False, False])]
