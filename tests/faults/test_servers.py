"""Several servers, of which some are not there, die, come back or want a login: each scene is rendered all the same."""

from collections import Counter
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from comfytui.engine.dispatch.station import MEND_LOOK
from comfytui.engine.server import preflight
from comfytui.engine.server.credentials import Credentials
from comfytui.model import commands as c
from comfytui.model import events as e
from comfytui.model.failure_classes import class_of
from comfytui.simulator import faults as f
from tests.engine.fleet import Fleet, Member, fleet
from tests.engine.stage import Stage, brief
from tests.engine.test_taken_over import killed, nth
from tests.faults.test_untrusted import ELSEWHERE

NOBODY = "http://127.0.0.1:9"
REMOTE = (
    f.Answered(path="/internal/folder_paths", status=404),
    f.Answered(path="/system_stats", status=200, content_type="application/json", text=ELSEWHERE),
)
"""What a server on another machine tells of its folders: nothing that is to be found here."""
LACKING = f.Answered(path="/object_info/*", status=200, content_type="application/json", text="{}")
"""A server that knows no node."""


@pytest.fixture(autouse=True)
def few_samples(stage: Stage) -> None:
    """Ask for GPU figures rarely."""
    stage.policy = replace(stage.policy, gpu_interval_seconds=60.0)


def scenes(count: int, **more: Any) -> tuple[e.SceneBrief, ...]:
    return tuple(brief(number, frames=1, **more) for number in range(1, count + 1))


def posted(ships: Fleet) -> Counter[str]:
    """Return how many prompts each server was sent."""
    return Counter({
        name: sum(r.method == "POST" and r.path.removeprefix("/api") == "/prompt" for r in simulator.requests)
        for name, simulator in ships.simulators.items()
    })  # fmt: skip


async def test_one_that_is_not_there_at_the_start_is_left_out(stage: Stage) -> None:
    async with fleet(stage, Member("a"), Member("gone", url=NOBODY)) as ships:
        ships.open(*scenes(3))
        run = await ships.drive()
    assert (run.code, run.findings, run.shares) == (0, [], {"a": 3})
    (out,) = [fact for fact in run.facts if isinstance(fact, e.ServerLeftOut)]
    assert (e.named(out.server), out.code) == ("gone", "server.unreachable") and out.remedy
    assert "ERROR: gone: Left out: No ComfyUI answers at http://127.0.0.1:9" in run.summary
    assert run.state.servers[1].left_out and not run.state.servers[0].left_out


async def test_none_of_them_there_is_the_usual_error(stage: Stage) -> None:
    async with fleet(stage, Member("gone", url=NOBODY), Member("too", url="http://127.0.0.1:13")) as ships:
        ships.open(*scenes(1))
        run = await ships.drive()
    assert run.code == 2
    assert [fact.code for fact in run.facts if isinstance(fact, e.ServerTroubled)] == ["server.unreachable"]


async def test_one_that_lacks_a_node_is_left_out(stage: Stage) -> None:
    async with fleet(stage, Member("a"), Member("poor", faults=(LACKING,))) as ships:
        ships.open(*scenes(2))
        run = await ships.drive()
    assert (run.code, run.shares) == (0, {"a": 2})
    (out,) = [fact for fact in run.facts if isinstance(fact, e.ServerLeftOut)]
    assert (out.code, out.next_try) == ("workflow.nodes_missing", MEND_LOOK)
    assert not [fact for fact in run.facts if isinstance(fact, e.ServerGivenUp)]


async def test_one_that_is_restarted_with_the_node_that_it_lacked_gets_work_within_a_minute(stage: Stage) -> None:
    async with fleet(stage, Member("a", slower=60.0), Member("poor", faults=(LACKING,))) as ships:
        ships.open(*scenes(6))
        mended: list[float] = []

        async def mend() -> None:
            await ships.until(lambda state: state.servers[1].left_out)
            await anyio.sleep(30.0)
            poor = ships.simulators["poor"]
            await poor.kill()
            poor.faults.clear()
            await poor.restart()
            mended.append(anyio.current_time())
            await ships.until(lambda state: not state.servers[1].left_out)
            mended.append(anyio.current_time())

        run = await ships.drive(mend)
    assert (run.code, run.findings) == (0, [])
    assert run.shares["poor"] >= 3, run.shares
    assert mended[1] - mended[0] <= MEND_LOOK + 1.0
    told = [type(fact) for fact in run.facts if isinstance(fact, e.ServerFact) and e.named(fact.server) == "poor"]
    assert told[:3] == [e.ServerReached, e.ServerLeftOut, e.ServerReached], "told once, however often it was looked at"


async def test_scenes_that_only_one_that_lacks_a_node_could_render_wait_for_it_as_for_one_that_is_away(
    stage: Stage,
) -> None:
    stage.policy = replace(stage.policy, server_wait_seconds=80)
    async with fleet(stage, Member("a"), Member("poor", faults=(LACKING,), plan={"tags": ("24gb",)})) as ships:
        ships.open(brief(1, frames=1, server_tags=("24gb",)), brief(2, frames=1))
        run = await ships.drive()
    assert (run.code, run.findings) == (1, [])
    assert [scene.phase for scene in run.state.scenes] == ["failed", "done"]
    (given_up,) = [fact for fact in run.facts if isinstance(fact, e.ServerGivenUp)]
    assert 80 <= given_up.away < 81


@pytest.mark.parametrize("room", [True, False], ids=["room is made", "no room is made"])
async def test_a_late_one_whose_disk_is_full_is_left_out_until_it_has_room(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, room: bool
) -> None:
    free = {"late": 1000}
    monkeypatch.setattr(preflight, "free_bytes", lambda folder: free.get(folder.name, 1 << 50))
    monkeypatch.setattr(preflight, "same_disk", lambda *_: False)
    async with fleet(stage, Member("a", slower=60.0), Member("late"), shared=False) as ships:
        await ships.simulators["late"].kill()
        ships.open(*scenes(5))

        async def start() -> None:
            await ships.until(lambda state: state.servers[1].left_out)
            await ships.simulators["late"].restart()
            await ships.until(lambda state: state.servers[1].trouble_code == "disk.server_space")
            if room:
                free.clear()

        run = await ships.drive(start)
    assert (run.code, run.findings) == (0, [])
    assert bool(run.shares["late"]) == room, run.shares
    line = "ERROR: late: Left out: There is too little space for its frames at"
    assert run.summary.count(line) == 1
    assert run.state.servers[1].left_out != room


async def test_one_that_comes_up_later_gets_work(stage: Stage) -> None:
    async with fleet(stage, Member("a"), Member("late")) as ships:
        await ships.simulators["late"].kill()
        ships.open(*scenes(6))

        async def start() -> None:
            await ships.until(lambda state: state.servers[1].left_out)
            await ships.simulators["late"].restart()

        run = await ships.drive(start)
    assert (run.code, run.findings) == (0, [])
    assert run.shares["late"] >= 2, run.shares
    assert not run.state.servers[1].left_out


async def test_what_a_dead_one_had_goes_to_the_others_and_costs_no_budget(stage: Stage) -> None:
    """It dies while it executes one scene and has another behind it; then it comes back and gets work again."""
    stage.policy = replace(stage.policy, scene_retry_budget=0)
    death = f.Death(at="SaveImage", step=1, nth=1, restart_after=2.0)
    async with fleet(stage, Member("a", slower=2.0), Member("dies", faults=(death,))) as ships:
        ships.open(*scenes(12))
        run = await ships.drive()
    assert (run.code, run.findings) == (0, [])
    pairs = [(scene.attempts[0], scene.attempts[1]) for scene in run.state.scenes if len(scene.attempts) > 1]
    left = [(one, other) for one, other in pairs if one.server_name == "dies"]
    assert {(class_of(one), other.server_name) for one, other in left} == {("moved", "a")}
    assert [one.executing_at is not None for one, _ in left] == [True, False]
    assert all("sent once more: The prompt was taken from dies" in other.notes[0] for _, other in left)
    assert run.shares["dies"] >= 1, "it is back"
    assert f"requeues={len(pairs)}" in run.summary and "Server dies: scenes=" in run.summary


@pytest.mark.parametrize(
    ("faults", "asked"),
    [((), 1), ((f.InterruptLost(count=1), f.Answered(path="/interrupt", status=500, times=1)), 3)],
    ids=["at once", "one interrupt refused and one lost"],
)
async def test_prompts_that_moved_on_are_taken_off_a_server_that_comes_back_with_them(
    stage: Stage, faults: tuple[f.Fault, ...], asked: int
) -> None:
    """Its network is gone for a while, and it goes on rendering what nobody waits for any more."""
    async with fleet(stage, Member("a", slower=8.0), Member("cut", slower=60.0, faults=faults)) as ships:
        ships.open(*scenes(4))
        cut = f.ConnectionReset(path="*", method="*")

        async def cable() -> None:
            await ships.until(lambda state: sum(s.phase == "executing" for s in state.scenes) >= 2)
            simulator = ships.simulators["cut"]
            simulator.faults.add(cut)
            await simulator.drop_sockets()
            await ships.until(lambda state: any(a.status == "lost" for s in state.scenes for a in s.attempts))
            simulator.faults.remove(cut)

        run = await ships.drive(cable)
        interrupts = [r for r in ships.simulators["cut"].requests if r.path.endswith("/interrupt")]
    assert (run.code, run.findings) == (0, [])
    assert len(interrupts) >= asked, "the prompt that still ran there was ended by its id"


@pytest.mark.parametrize("shared", [True, False], ids=["one output folder", "their own"])
async def test_frames_of_a_local_and_a_remote_one_do_not_mix(stage: Stage, shared: bool) -> None:
    async with fleet(stage, Member("here"), Member("far", faults=REMOTE), shared=shared) as ships:
        ships.open(*scenes(4))
        run = await ships.drive()
    assert (run.code, run.findings) == (0, [])
    ways = {(s.attempts[0].server_name, frame.via) for s in run.state.scenes for frame in s.attempts[0].frames}
    assert ways == {("here", "disk"), ("far", "http")}
    assert len({scene.attempts[0].prefix for scene in run.state.scenes}) == 4
    assert {server.name: server.frames_by for server in run.state.servers} == {"here": "disk", "far": "http"}


async def test_each_is_asked_with_its_own_login_and_nothing_of_it_is_kept(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: dict[int, set[str]] = {}

    async def note(self: Any, request: Any) -> None:
        sent.setdefault(self.port, set()).add(request.headers.get("Authorization", "none"))

    monkeypatch.setattr("comfytui.simulator.simulator.Simulator.note", note)
    own = {name: Credentials(headers={"Authorization": f"Bearer s3cr3t-{name}"}) for name in "ab"}
    async with fleet(stage, Member("a"), Member("b")) as ships:
        ships.open(*scenes(4), credentials=Credentials(own=own))
        run = await ships.drive()
        ports = {simulator.port: name for name, simulator in ships.simulators.items()}
    assert {ports[port]: words for port, words in sent.items()} == {
        "a": {"Bearer s3cr3t-a"}, "b": {"Bearer s3cr3t-b"},
    }  # fmt: skip
    written = [path for path in run.run_dir.path.rglob("*") if path.is_file()]
    assert written and not any(b"s3cr3t" in path.read_bytes() for path in written)


async def test_a_run_whose_runner_died_asks_each_server_for_what_it_had(stage: Stage) -> None:
    async with fleet(stage, Member("a"), Member("b", slower=2.0)) as ships:
        await killed(ships.open(*scenes(5)), nth(e.ExecutionStarted, 2))
        before = posted(ships)
        ships.again()
        run = await ships.drive()
        after = posted(ships)
    assert (run.code, run.findings) == (0, [])
    assert before["a"] and before["b"]
    assert sum(after.values()) == 5, "nothing is rendered twice"
    assert all(len(scene.attempts) == 1 for scene in run.state.scenes)


async def test_resumed_without_one_of_its_servers_its_scenes_go_to_the_other(stage: Stage) -> None:
    async with fleet(stage, Member("a"), Member("b", slower=10.0)) as ships:
        await killed(ships.open(*scenes(4)), nth(e.ExecutionStarted, 2))
        await ships.simulators["b"].kill()
        ships.again()
        run = await ships.drive()
    assert (run.code, run.findings) == (0, [])
    assert run.shares == {"a": 4}
    moved = [a for scene in run.state.scenes for a in scene.attempts if a.status == "lost"]
    assert moved and {(one.server_name, class_of(one)) for one in moved} == {("b", "moved")}


async def test_a_scene_on_the_second_server_is_cancelled_there(stage: Stage) -> None:
    async with fleet(stage, Member("a", slower=4.0), Member("b", slower=4.0)) as ships:
        ships.open(*scenes(3))

        async def cancel() -> None:
            state = await ships.until(lambda state: sum(s.phase == "executing" for s in state.scenes) == 2)
            (there,) = [s for s in state.scenes if s.phase == "executing" and s.attempts[0].server_name == "b"]
            ships.runner.command(c.Cancel(id="1", scenes=(there.id,)))
            ships.runner.command(c.ReadServerLog(id="2", server="b"))
            ships.runner.command(c.ReadServerLog(id="3", server="nobody"))

        run = await ships.drive(cancel)
        stops = {name: sum(r.path.endswith("/interrupt") for r in s.requests) for name, s in ships.simulators.items()}
    assert Counter(scene.phase for scene in run.state.scenes) == {"done": 2, "cancelled": 1}
    assert stops["b"] and not stops["a"]
    answers = {fact.id: fact.why for fact in run.facts if isinstance(fact, e.CommandAnswered)}
    assert answers == {"1": "", "2": "", "3": "there is no server nobody"}
    assert run.state.servers[1].log is not None and run.state.servers[0].log is None


async def test_a_scene_goes_to_a_server_with_its_tags_only(stage: Stage) -> None:
    big = Member("big", slower=4.0, plan={"tags": ("24gb",)})
    async with fleet(stage, Member("a"), big) as ships:
        ships.open(*scenes(2), brief(3, frames=1, server_tags=("24gb",)), brief(4, frames=1, server_tags=("24gb",)))
        run = await ships.drive()
    assert (run.code, run.findings) == (0, [])
    assert [scene.attempts[0].server_name for scene in run.state.scenes[2:]] == ["big", "big"]


async def test_scenes_that_only_a_lost_server_could_render_fail_and_the_others_do_not(stage: Stage) -> None:
    stage.policy = replace(stage.policy, server_wait_seconds=20)
    big = Member("big", url=NOBODY, plan={"tags": ("24gb",)})
    async with fleet(stage, Member("a"), big) as ships:
        ships.open(brief(1, frames=1, server_tags=("24gb",)), *(brief(n, frames=1) for n in (2, 3)))
        run = await ships.drive()
    assert run.code == 1
    assert [scene.phase for scene in run.state.scenes] == ["failed", "done", "done"]
    assert class_of(run.state.scenes[0].attempts[0]) == "away"
    assert run.findings == []
