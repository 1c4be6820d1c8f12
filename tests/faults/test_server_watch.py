"""A server that goes away, comes back, is restarted or gets stuck, injected: nothing is lost, all of it is shown."""

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from comfytui.engine.prompt.gpu_activity import GpuActivity
from comfytui.engine.prompt.stalling import Silence, next_stall_step, stall_limit
from comfytui.engine.prompt.waiting import GiveUp, WaitOn, next_step
from comfytui.engine.runner import Runner
from comfytui.engine.server import gauges
from comfytui.engine.server.credentials import Credentials
from comfytui.engine.server.watch import FIRST_PAUSE, LONGEST_PAUSE, pause_before
from comfytui.faces.tui.panes.health import http_words
from comfytui.model import commands as c
from comfytui.model import events as e
from comfytui.model.away import absence, away_words, spelled
from comfytui.model.narrate import narrate
from comfytui.model.policy import QueuePolicy
from comfytui.model.state import Server
from comfytui.records import journal
from comfytui.simulator import faults as f
from comfytui.simulator.speed import Speed
from tests.engine.stage import START, Outcome, Stage, brief
from tests.faults.test_frames_and_history import settled
from tests.unit.test_engine_planner import due, state
from tests.unit.test_engine_waiting import FRESH

SLOW = Speed(save_frame=2.0)
AWAY = (e.ServerAway, e.ServerBack, e.ServerGivenUp)


@pytest.fixture(autouse=True)
def few_samples(stage: Stage) -> None:
    """Ask for GPU figures rarely: here hours go by."""
    stage.policy = replace(stage.policy, gpu_interval_seconds=10.0)


def told(outcome: Outcome, *kinds: type[e.Fact]) -> list[Any]:
    """Return the facts of these kinds, in order."""
    return [env.event for env in journal.read(outcome.run_dir.journal) if isinstance(env.event, kinds)]


def words(outcome: Outcome, *kinds: type[e.Fact]) -> list[str]:
    """Return the same as lines."""
    lines = [narrate(event) for event in told(outcome, *kinds)]
    return [line[1] for line in lines if line is not None]


# --- what is decided of it, purely ---------------------------------------------------------------------------------


def test_an_absence_in_words() -> None:
    assert away_words(40, 5, 600) == "server away for 40 s, next try in 5 s; waiting up to 10 min"
    assert [spelled(s) for s in (0, 59.6, 125, 5400, 7200)] == ["0 s", "1 min", "2 min 5 s", "1 h 30 min", "2 h"]
    away = Server(away_since=START, away_wait=600, pulse_at=START + timedelta(seconds=35), next_try=15.0)
    at = START + timedelta(seconds=40)
    assert absence(away, at) == "server away for 40 s, next try in 10 s; waiting up to 10 min"
    assert absence(replace(away, lost=True), at) == "server away for 40 s; not waited for any more"
    assert absence(Server(), at) == ""
    assert http_words(away, at) == (absence(away, at), "bad")


@pytest.mark.parametrize(
    ("durations", "chosen", "limit"),
    [
        ([], None, 300),
        ([2.0, 3.0], None, 60),  # never below a minute
        ([20.0] * 19 + [400.0], None, 100),  # one of twenty does not count
        ([20.0] * 18 + [400.0], None, 2000),
        ([20.0], 7, 7),
        ([20.0], 0, None),
        ([], 0, None),
    ],
)
def test_the_limit_of_silence(durations: list[float], chosen: int | None, limit: float | None) -> None:
    assert stall_limit(durations, chosen) == limit


def test_the_ladder() -> None:
    def step(quiet: float = 61.0, **changes: Any) -> tuple[str | None, float]:
        return next_stall_step(Silence(quiet=quiet, limit=60.0, **changes))

    assert step(quiet=20.0) == (None, 40.0)
    assert step() == ("look", 0.0)
    assert step(last="look") == ("interrupt", 0.0)
    assert step(quiet=3.0, last="look") == ("moved", 57.0)
    assert step(quiet=3.0, last="moved") == (None, 57.0)
    assert step(last="moved") == ("look", 0.0)
    assert step(last="interrupt", interrupts=1, since_last=2.0) == (None, 3.0)
    assert step(last="interrupt", interrupts=1, since_last=5.0) == ("interrupt", 0.0)
    assert step(quiet=0.0, last="interrupt", interrupts=1, since_last=5.0) == ("interrupt", 0.0), "no way back"
    assert step(last="interrupt", interrupts=6, since_last=5.0) == ("delete", 0.0)
    assert step(last="delete", since_last=1.0) == (None, 4.0)
    assert step(last="delete", since_last=5.0) == ("give_up", 0.0)


def test_what_counts_as_work_of_a_gpu() -> None:
    def active(*samples: e.GpuFigures) -> bool:
        activity = GpuActivity()
        for at, device in enumerate(samples):
            activity.take(e.GpuSampled(source="nvml", devices=(device,)), float(at))
        return activity.at == len(samples) - 1

    def gpu(load: float | None = None, used: int | None = None) -> e.GpuFigures:
        return e.GpuFigures(index=0, name="G", utilization=load, vram_used=used)

    assert active(gpu(97.0))
    assert not active(gpu(2.0)), "a desktop"
    assert active(gpu(used=1 << 30), gpu(used=2 << 30))
    assert active(gpu(used=2 << 30), gpu(used=1 << 30))
    assert not active(gpu(used=1 << 30), gpu(used=(1 << 30) + 1000))
    assert not active(gpu(), gpu(used=1 << 30)), "unknown before"


def test_waiting_for_a_server_that_is_away() -> None:
    policy = QueuePolicy(server_wait_seconds=60, max_wait_seconds=30)
    away = replace(FRESH, away=10.0, since_executing=29.0, since_submit=40.0, since_read=100.0, reconcile=True)
    assert next_step(away, policy) == WaitOn(50.0), "nothing is read meanwhile"
    assert next_step(replace(away, away=60.0), policy) == GiveUp("serverLost")
    assert next_step(replace(away, cancelled=True), policy) == GiveUp("cancelled")


def test_nothing_is_due_while_the_server_is_away_until_it_is_given_up() -> None:
    waiting = state("waiting", "waiting")
    assert due(waiting) == ["scene-001"]
    away = replace(waiting, servers=(Server(away_since=START),))
    assert due(away) == []
    assert due(replace(away, servers=(replace(away.server, lost=True),))) == ["scene-001"]


def test_reads_that_fail_are_made_ever_more_rarely() -> None:
    pauses = []
    for failed in range(2, 9):
        step = next_step(replace(FRESH, failed_reads=failed), QueuePolicy())
        assert isinstance(step, WaitOn)
        pauses.append(step.seconds)
    assert pauses == [4, 8, 16, 32, 60, 60, 60]


# --- the connection is lost --------------------------------------------------------------------------------------


async def test_an_absence_is_told_when_it_begins_and_when_it_ends(stage: Stage) -> None:
    outcome = await stage.play(f.Death(at="SaveImage", step=2, nth=1, restart_after=40.0), speed=SLOW)
    settled(outcome)
    assert outcome.exit_code == 0
    gone, back = told(outcome, *AWAY)
    assert (type(gone), gone.away, gone.wait, type(back)) == (e.ServerAway, 0, 600, e.ServerBack)
    assert 40 <= back.away <= 40 + 1.25 * LONGEST_PAUSE
    line = words(outcome, *AWAY)
    assert "Waiting for it up to 10 min" in line[0]
    assert line[1].startswith("The server answers again, after ")
    summary = outcome.run_dir.summary.read_text()
    assert all(text in summary for text in line), "the summary tells it too"
    server = outcome.state.server
    assert (server.away_since, server.answering, server.trouble) == (None, True, "")


async def test_a_long_absence_is_told_once_a_minute_and_costs_no_history_reads(stage: Stage) -> None:
    stage.policy = replace(stage.policy, server_wait_seconds=3600)
    outcome = await stage.play(
        f.Death(at="SaveImage", step=2, nth=1, restart_after=400.0), scenes=(brief(1), brief(2), brief(3)), speed=SLOW
    )
    settled(outcome)
    assert outcome.exit_code == 0
    absences = told(outcome, e.ServerAway)
    assert 5 <= len(absences) <= 7
    assert all(later.away - earlier.away >= 60 for earlier, later in pairwise(absences))
    assert words(outcome, e.ServerAway)[3].startswith("Server away for 3 min")
    assert "next try in 15 s; waiting up to 1 h" in words(outcome, e.ServerAway)[-1]
    during = [
        env
        for env in journal.read(outcome.run_dir.journal)
        if isinstance(env.event, e.Fact) and _while_away(outcome, env.at)
    ]
    assert len(during) <= len(absences) + 15, "facts while it is away are few"
    assert len(outcome.attempt(1, 1).history) <= 8
    assert len(outcome.scene(3).attempts) == 1, "what waits is neither sent nor failed meanwhile"


def _while_away(outcome: Outcome, at: Any) -> bool:
    facts = list(journal.read(outcome.run_dir.journal))
    gone = next(env.at for env in facts if isinstance(env.event, e.ServerAway))
    back = next(env.at for env in facts if isinstance(env.event, e.ServerBack))
    return bool(gone < at < back)


async def test_max_wait_does_not_run_out_while_the_server_is_away(stage: Stage) -> None:
    stage.policy = replace(stage.policy, max_wait_seconds=45, max_total_wait_seconds=50, scene_retry_budget=0)
    proxy = f.Answered(status=502)
    async with stage.simulator(speed=Speed(save_frame=20.0)) as simulator:
        with stage.open(simulator, brief(1)) as runner:
            async with anyio.create_task_group() as tasks:

                async def break_and_mend() -> None:
                    await anyio.sleep(8)
                    simulator.faults.add(proxy)
                    await simulator.drop_sockets()
                    await anyio.sleep(75)
                    simulator.faults.clear()

                tasks.start_soon(break_and_mend)
                code = await runner.drive()
            outcome = Outcome(code, runner, simulator)
    settled(outcome)
    assert outcome.exit_code == 0
    assert outcome.attempt().status == "success"
    assert simulator.faults.used(proxy) > 5
    assert outcome.posts("/interrupt") == []
    assert len(outcome.scene().attempts) == 1, "the same prompt goes on"
    assert [type(fact) for fact in told(outcome, e.ServerBack, e.ServerRestarted)] == [e.ServerBack]
    assert outcome.simulator.prompts_executed == [outcome.attempt().prompt_id]


@pytest.mark.parametrize("status", [502, 503])
async def test_a_gateway_that_refuses_for_a_while_spends_no_attempt(stage: Stage, status: int) -> None:
    fault = f.Answered(path="/prompt", status=status, times=4)
    async with stage.simulator() as simulator:
        with stage.open(simulator, brief(1), brief(2)) as runner:
            simulator.faults.add(fault)
            outcome = Outcome(await runner.drive(), runner, simulator)
    settled(outcome)
    assert simulator.faults.used(fault) == 4
    assert outcome.exit_code == 0
    assert [len(scene.attempts) for scene in outcome.state.scenes] == [1, 1]
    assert len(simulator.prompts_executed) == 2


async def test_scenes_are_failed_as_lost_once_the_server_was_waited_for(stage: Stage) -> None:
    stage.policy = replace(stage.policy, server_wait_seconds=60)
    scenes = tuple(brief(number) for number in range(1, 6))
    outcome = await stage.play(f.Death(at="SaveImage", step=2, nth=1), scenes=scenes, speed=SLOW)
    settled(outcome)
    assert outcome.exit_code == 1
    assert {attempt.status for scene in outcome.state.scenes for attempt in scene.attempts} == {"lost"}
    assert [len(scene.attempts) for scene in outcome.state.scenes] == [1] * 5
    (given_up,) = told(outcome, e.ServerGivenUp)
    assert 60 <= given_up.away < 61
    took = [env.at for env in journal.read(outcome.run_dir.journal) if isinstance(env.event, e.AttemptEnded)]
    assert (took[-1] - took[0]).total_seconds() < 30, "the others do not wait for it all over again"


async def test_history_that_stays_broken_is_not_asked_for_all_the_time(stage: Stage) -> None:
    stage.policy = replace(stage.policy, max_wait_seconds=600, scene_retry_budget=0, stall_seconds=0)
    outcome = await stage.play(f.BrokenJson())
    settled(outcome)
    assert outcome.attempt().status == "timeout"
    assert len(outcome.attempt().history) <= 25
    assert told(outcome, *AWAY) == []


async def test_a_slow_answer_alone_is_no_absence(stage: Stage) -> None:
    outcome = await stage.play(f.Slow(path="/prompt", method="GET", seconds=4.0), speed=SLOW)
    settled(outcome)
    assert outcome.exit_code == 0
    assert told(outcome, *AWAY) == []


async def test_a_stop_does_not_wait_for_a_server_that_is_away(stage: Stage) -> None:
    async with stage.simulator(f.Death(at="SaveImage", step=2, nth=1), speed=SLOW) as simulator:
        with stage.open(simulator, brief(1), brief(2), brief(3)) as runner:
            async with anyio.create_task_group() as tasks:

                async def stop() -> None:
                    await anyio.sleep(100)
                    runner.command(c.Stop(id="1"))

                tasks.start_soon(stop)
                began = stage.clock.monotonic()
                code = await runner.drive()
            outcome = Outcome(code, runner, simulator)
    settled(outcome)
    assert code == 130
    assert stage.clock.monotonic() - began < 180
    assert all(scene.phase == "cancelled" for scene in outcome.state.scenes)


def test_pauses_grow_are_bounded_and_differ_between_clients() -> None:
    even = [pause_before(tries, 0.5) for tries in range(10)]
    assert even == [0.5, 1, 2, 4, 8, 15, 15, 15, 15, 15]
    for tries in (0, 3, 50, 10**6):
        low, high = pause_before(tries, 0.0), pause_before(tries, 1.0)
        assert FIRST_PAUSE * 0.75 <= low < high <= LONGEST_PAUSE * 1.25


# --- away when the next run of a sweep begins -------------------------------------------------------------------------


def down(times: int | None = None) -> f.Answered:
    """A server behind a gateway that has nobody to ask."""
    return f.Answered(path="/system_stats", status=503, times=times)


async def begun(stage: Stage, number: int, fault: f.Fault) -> Outcome:
    """Begin run ``number`` of a sweep while the server has a ``fault``, and return what came of it."""
    async with stage.simulator(fault) as simulator:
        runner = stage.open(simulator)
        part = e.SweepPart(sweep="sweep-1", number=number, least=5, most=5)
        with Runner(runner.run_dir, replace(runner.plan, sweep=part), stage.clock, Credentials()) as run:
            with anyio.fail_after(3600):
                code = await run.drive()
            return Outcome(code, run, simulator)


def seconds_to(outcome: Outcome, kind: type[e.Fact]) -> float:
    """Return the seconds from the first fact to the one of this ``kind``."""
    facts = list(journal.read(outcome.run_dir.journal))
    (one,) = [fact for fact in facts if isinstance(fact.event, kind)]
    return (one.at - facts[0].at).total_seconds()


async def test_the_next_run_of_a_sweep_waits_for_the_server_that_rendered_the_one_before(stage: Stage) -> None:
    outcome = await begun(stage, 2, down(times=6))
    assert (outcome.exit_code, outcome.findings) == (0, [])
    (away,) = told(outcome, *AWAY)
    assert (away.code, away.wait) == ("server.unreachable", 600)
    assert 10 < seconds_to(outcome, e.ServerReached) < 60
    assert (outcome.state.server.away_since, outcome.state.server.trouble) == (None, "")


async def test_it_waits_no_longer_than_for_one_that_goes_in_the_middle_of_a_run(stage: Stage) -> None:
    outcome = await begun(stage, 2, down())
    assert outcome.exit_code == 2
    assert 600 <= seconds_to(outcome, e.RunEnded) < 620
    assert [fact.code for fact in told(outcome, e.ServerTroubled)] == ["server.unreachable"]


async def test_the_first_run_of_a_sweep_says_at_once_that_there_is_no_server(stage: Stage) -> None:
    outcome = await begun(stage, 1, down())
    assert (outcome.exit_code, told(outcome, *AWAY)) == (2, [])


# --- it was restarted --------------------------------------------------------------------------------------------


async def test_a_restart_is_told_once_and_each_lost_prompt_is_sent_once_more(stage: Stage) -> None:
    stage.policy = replace(stage.policy, scene_retry_budget=0)
    outcome = await stage.play(
        f.Death(at="SaveImage", step=2, nth=1, restart_after=20.0), scenes=(brief(1), brief(2), brief(3)), speed=SLOW
    )
    settled(outcome)
    assert outcome.exit_code == 0
    assert len(told(outcome, e.ServerRestarted)) == 1
    assert [len(scene.attempts) for scene in outcome.state.scenes] == [2, 2, 1]
    assert len(outcome.posts()) == 5
    for scene in outcome.state.scenes[:2]:
        lost, again = scene.attempts
        assert (lost.status, again.status) == ("lost", "success")
        assert again.telemetry is not None
        assert "sent once more: the server lost attempt 1" in again.telemetry.system.fallback_notes


async def test_a_restart_too_quick_to_be_missed_is_noticed_by_what_it_forgot(stage: Stage) -> None:
    outcome = await stage.play(f.Death(at="SaveImage", step=2, nth=1, restart_after=0.05), speed=SLOW)
    settled(outcome)
    assert outcome.exit_code == 0
    (restarted,) = told(outcome, e.ServerRestarted)
    assert "forgotten a prompt that it was executing" in restarted.why


async def test_a_restart_between_two_scenes_is_noticed_by_the_number(stage: Stage) -> None:
    stage.policy = replace(stage.policy, lookahead=0)
    async with stage.simulator(speed=Speed(save_frame=0.2)) as simulator:
        with stage.open(simulator, *(brief(number) for number in (1, 2, 3))) as runner:

            async def restart() -> None:
                while sum(scene.phase == "collecting" or scene.over for scene in runner.hub.state.scenes) < 2:
                    await runner.hub.changed()
                await simulator.kill()
                await simulator.restart()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(restart)
                code = await runner.drive()
            outcome = Outcome(code, runner, simulator)
    settled(outcome)
    assert outcome.exit_code == 0
    (restarted,) = told(outcome, e.ServerRestarted)
    assert "numbers prompts from 0 again" in restarted.why


async def test_a_server_that_dies_on_every_prompt_is_given_up_in_the_end(stage: Stage) -> None:
    stage.policy = replace(stage.policy, scene_retry_budget=1)
    outcome = await stage.play(f.Death(at="SaveImage", step=1, restart_after=5.0), speed=SLOW)
    settled(outcome)
    assert outcome.exit_code == 1
    assert [attempt.status for attempt in outcome.scene().attempts] == ["lost"] * 5
    assert len(told(outcome, e.ServerRestarted)) == 5


# --- it is stuck -------------------------------------------------------------------------------------------------


async def test_a_stalled_prompt_is_looked_at_interrupted_and_tried_again(stage: Stage) -> None:
    stage.policy = replace(stage.policy, stall_seconds=60)
    outcome = await stage.play(f.Hang(at="SaveImage", step=2, nth=1), scenes=(brief(1), brief(2)))
    settled(outcome)
    assert outcome.exit_code == 0
    first, second = outcome.scene().attempts
    assert (first.status, second.status, first.proven) == ("stalled", "success", 2)
    assert first.error is not None and first.error.code == "prompt.stalled"
    steps = told(outcome, e.StallNoticed)
    assert [step.step for step in steps] == ["look", "interrupt"]
    assert 60 <= steps[0].quiet < 63 and steps[0].limit == 60
    assert outcome.posts("/interrupt") == [{"prompt_id": first.prompt_id}]
    assert "looking again over HTTP" in words(outcome, e.StallNoticed)[0]
    summary = outcome.run_dir.summary.read_text()
    assert all(f"[Attempt scene-001 1] {line}" in summary for line in words(outcome, e.StallNoticed))
    assert first.telemetry is not None
    assert "stalled on the server: interrupted by its id" in first.telemetry.system.fallback_notes
    assert first.telemetry.history_exit_reason == "unknown"


async def test_lost_interrupts_of_a_stalled_prompt_are_repeated(stage: Stage) -> None:
    stage.policy = replace(stage.policy, stall_seconds=60, scene_retry_budget=0)
    outcome = await stage.play(f.Hang(), f.InterruptLost(count=3))
    settled(outcome, frameless=True)
    assert outcome.attempt().status == "stalled"
    assert [step.step for step in told(outcome, e.StallNoticed)] == ["look"] + ["interrupt"] * 4


DEAF = f.Answered(path="/queue", method="POST", status=500, text="the disk is on fire")


@pytest.mark.parametrize(
    ("faults", "why"), [((), "it does not heed an interrupt"), ((DEAF,), "HTTP 500: the disk is on fire")]
)
async def test_a_prompt_that_nothing_ends_is_given_up(stage: Stage, faults: tuple[f.Fault, ...], why: str) -> None:
    stage.policy = replace(stage.policy, stall_seconds=60, scene_retry_budget=0)
    outcome = await stage.play(f.Hang(interruptible=False), *faults)
    settled(outcome, frameless=True)
    attempt = outcome.attempt()
    assert attempt.status == "stalled"
    assert [step.step for step in told(outcome, e.StallNoticed)] == ["look", *["interrupt"] * 6, "delete", "give_up"]
    assert {"delete": [attempt.prompt_id]} in outcome.posts("/queue")
    assert any("may still run there" in warning and why in warning for warning in attempt.warnings)
    assert all(body.get("prompt_id") == attempt.prompt_id for body in outcome.posts("/interrupt"))


async def test_the_limit_is_learnt_from_the_run(stage: Stage) -> None:
    scenes = tuple(brief(number) for number in (1, 2, 3))
    outcome = await stage.play(f.Hang(at="SaveImage", step=2, nth=3), scenes=scenes, speed=Speed(save_frame=4.0))
    settled(outcome)
    assert outcome.exit_code == 0
    look = told(outcome, e.StallNoticed)[0]
    assert 100 <= look.limit <= 115, "five times the 20 s or so that a scene takes"
    assert look.quiet >= look.limit


async def test_no_stall_is_seen_when_it_is_switched_off(stage: Stage) -> None:
    stage.policy = replace(stage.policy, stall_seconds=0, max_wait_seconds=400, scene_retry_budget=0)
    outcome = await stage.play(f.Hang())
    settled(outcome, frameless=True)
    assert outcome.attempt().status == "timeout"
    assert told(outcome, e.StallNoticed) == []


async def test_frames_are_signs_of_life(stage: Stage) -> None:
    stage.policy = replace(stage.policy, stall_seconds=15)
    outcome = await stage.play(speed=Speed(save_frame=10.0))
    settled(outcome)
    assert outcome.attempt().status == "success"
    assert told(outcome, e.StallNoticed) == []


class BusyGpu:
    """A GPU at full load, or (``load`` 0) one that idles."""

    load = 97.0

    def __init__(self, _ask: Any, clock: Any, **_: Any) -> None:
        self._clock = clock

    async def __aenter__(self) -> "BusyGpu":
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def __aiter__(self) -> AsyncIterator[e.GpuSampled]:
        while True:
            yield e.GpuSampled(source="nvml", devices=(e.GpuFigures(index=0, name="G", utilization=self.load),))
            await self._clock.sleep(5.0)


@pytest.mark.parametrize("load", [97.0, 0.0])
async def test_a_node_that_keeps_the_gpu_busy_is_not_stalled(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, load: float
) -> None:
    monkeypatch.setattr(gauges, "GpuSampler", BusyGpu)
    monkeypatch.setattr(BusyGpu, "load", load)
    stage.policy = replace(stage.policy, stall_seconds=60, scene_retry_budget=0)
    outcome = await stage.play(speed=Speed(node_overhead=100.0))
    settled(outcome, frameless=not load)
    assert outcome.attempt().status == ("success" if load else "stalled")


async def test_a_prompt_that_waits_behind_others_is_not_stalled(stage: Stage) -> None:
    stage.policy = replace(stage.policy, stall_seconds=60)
    outcome = await stage.play(f.QueueFilled(count=1, seconds=300.0))
    settled(outcome)
    assert outcome.attempt().status == "success"
    assert told(outcome, e.StallNoticed) == []


@pytest.mark.parametrize("fault", [f.SocketRefused(), f.SocketDeaf()])
async def test_without_a_socket_silence_proves_nothing(stage: Stage, fault: f.Fault) -> None:
    stage.policy = replace(stage.policy, stall_seconds=70)
    outcome = await stage.play(fault, speed=Speed(node_overhead=100.0))
    settled(outcome)
    assert outcome.attempt().status == "success"
