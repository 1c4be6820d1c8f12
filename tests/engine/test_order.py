"""Scenes reach the server in the story's order."""

from comfytui.simulator.faults import Slow
from tests.engine.stage import Stage, brief


async def test_a_scene_does_not_overtake_one_whose_prompt_is_slow_to_arrive(stage: Stage) -> None:
    slow = Slow(path="/prompt", method="POST", seconds=3.0, times=1)
    outcome = await stage.play(slow, scenes=tuple(brief(number) for number in range(1, 5)))
    assert outcome.simulator.faults.used(slow) == 1
    assert outcome.simulator.prompts_executed == [outcome.attempt(number).prompt_id for number in range(1, 5)]
    assert outcome.exit_code == 0
    assert outcome.findings == []
