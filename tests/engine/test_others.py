"""Other people's prompts: listed for whoever reads along, seldom, and with nothing of what is in them."""

from typing import Any

import msgspec

from comfytui.engine.runner import Runner
from comfytui.model import events as e
from comfytui.simulator.speed import Speed
from tests.engine.playing import playing
from tests.engine.stage import Stage, brief

SLOW = Speed(save_frame=10.0)


def lists(runner: Runner) -> list[dict[str, Any]]:
    """Return every list that the journal holds."""
    lines = runner.run_dir.journal.read_text().splitlines()
    return [msgspec.json.decode(line)["event"] for line in lines if '"queue_listed"' in line]


async def test_they_are_listed_once_for_each_number_of_them(stage: Stage) -> None:
    async with stage.simulator(speed=SLOW) as simulator:
        with stage.open(simulator, brief(1, 9)) as runner, runner.hub.subscribe():
            async with playing(runner, simulator) as play:
                await play.until(lambda state: state.scenes[0].phase == "executing")
                ids = simulator.queue_foreign(3, seconds=1.0)
                await stage.clock.sleep(40)
                server = play.state.server
                assert [prompt.id for prompt in server.listed] == ids
                assert [prompt.running for prompt in server.listed] == [False] * 3
                assert all(prompt.nodes for prompt in server.listed)
                await stage.clock.sleep(15)
                assert len(lists(runner)) == 1, "nothing changed"
            outcome = play.outcome
    assert outcome.exit_code == 0
    assert set(lists(runner)[0]["others"][0]) <= set(e.OthersPrompt.__struct_fields__), "no word of theirs"


async def test_nobody_asks_for_a_reader_who_is_not_there(stage: Stage) -> None:
    async with stage.simulator(speed=SLOW) as simulator:
        with stage.open(simulator, brief(1, 5)) as runner:
            async with playing(runner, simulator) as play:
                await play.until(lambda state: state.scenes[0].phase == "executing")
                simulator.queue_foreign(2, seconds=1.0)
            outcome = play.outcome
    assert lists(runner) == []
    assert outcome.state.server.listed == ()


async def test_the_list_goes_when_they_have_gone(stage: Stage) -> None:
    async with stage.simulator(speed=SLOW) as simulator:
        simulator.queue_foreign(2, seconds=30.0)
        with stage.open(simulator, brief(1, 5)) as runner, runner.hub.subscribe():
            async with playing(runner, simulator) as play:
                await play.until(lambda state: state.scenes[0].phase == "executing")
                await stage.clock.sleep(8)
                assert play.state.server.listed == ()
            outcome = play.outcome
    assert outcome.exit_code == 0
