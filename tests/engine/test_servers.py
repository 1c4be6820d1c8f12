"""Several servers share a run: how fast they are together, and what becomes of scenes when one goes away."""

import anyio

from comfytui.model import events as e
from tests.engine.fleet import SCENE, Member, fleet
from tests.engine.stage import Stage, brief

FOUR = tuple(Member(name) for name in "abcd")


def scenes(count: int, **more: object) -> tuple[e.SceneBrief, ...]:
    return tuple(brief(number, frames=1, **more) for number in range(1, count + 1))


async def test_four_servers_are_four_times_as_fast(stage: Stage) -> None:
    async with fleet(stage, *FOUR) as ships:
        ships.open(*scenes(12))
        run = await ships.drive()
    assert (run.code, run.findings) == (0, [])
    assert run.wall <= 1.10 * 12 * SCENE / 4, run.wall
    assert run.shares == dict.fromkeys("abcd", 3)
    assert all(len(scene.attempts) == 1 for scene in run.state.scenes)


async def test_one_dies_half_way_and_one_is_slow(stage: Stage) -> None:
    members = (Member("a"), Member("b"), Member("c"), Member("slow", slower=4.0))
    async with fleet(stage, *members) as ships:
        ships.open(*scenes(24))
        left: list[float] = []

        async def kill() -> None:
            half = await ships.until(lambda state: sum(scene.over for scene in state.scenes) >= 10)
            await ships.simulators["a"].kill()
            done = sum(scene.phase in ("done", "collecting") for scene in half.scenes)
            left.extend([anyio.current_time(), 24 - done])

        run = await ships.drive(kill)
        ended = anyio.current_time()
    assert (run.code, run.findings) == (0, [])
    ideal = left[1] * SCENE / (2 + 1 / 4)
    assert ended - left[0] <= 1.25 * ideal, (ended - left[0], ideal, run.shares)
    assert run.shares["slow"] > 0 and run.shares["a"] > 0
    assert run.state.run is not None and run.state.run.policy.scene_retry_budget == 1
