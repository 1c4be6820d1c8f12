"""What is rare and happens: answers that are torn, entries without an end, clocks set back, errors of our own."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from comfytui.engine.attempt.verdict import UNSEEN_BEFORE
from comfytui.engine.frames.shelves import EitherShelf, Wanted
from comfytui.engine.server import connection
from comfytui.engine.server.beside import GPUS, LOG, OTHERS
from comfytui.engine.server.gauges import Gauges
from comfytui.engine.server.log_reader import LogReader
from comfytui.model import commands as c
from comfytui.model import events as e
from comfytui.simulator import faults as f
from comfytui.simulator.speed import Speed
from comfytui.simulator.store import History
from tests.engine.playing import facts, of_kind, phase_is, playing
from tests.engine.stage import LoopClock, Stage, brief
from tests.faults.test_frames_and_history import settled

SLOW = Speed(save_frame=2.0)


async def test_a_prompt_whose_acceptance_cannot_be_read_is_followed_and_not_sent_again(stage: Stage) -> None:
    torn = f.BrokenJson(path="/prompt", method="POST", times=1)
    outcome = await stage.play(torn, speed=SLOW)
    settled(outcome)
    assert outcome.simulator.faults.used(torn) == 1
    assert (outcome.exit_code, len(outcome.scene().attempts), len(outcome.posts())) == (0, 1, 1)


async def test_a_server_error_to_a_prompt_is_an_error_once_it_is_known_not_to_be_there(stage: Stage) -> None:
    outcome = await stage.play(f.Answered(path="/prompt", method="POST", status=500, times=1), speed=SLOW)
    settled(outcome)
    assert outcome.exit_code == 0
    first, second = outcome.scene().attempts
    assert (first.status, second.status) == ("error", "success")
    assert first.error is not None
    assert first.error.code == "server.reply"


async def test_an_entry_that_tells_no_outcome_yet_is_no_loss(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    told, reads = History.one, 0

    def without_status(history: History, prompt_id: str) -> Any:
        nonlocal reads
        entry = told(history, prompt_id)
        if entry:
            reads += 1
            return entry if reads > 6 else {prompt_id: entry[prompt_id] | {"status": None}}
        return entry

    monkeypatch.setattr(History, "one", without_status)
    outcome = await stage.play(f.SocketRefused(), speed=SLOW)
    settled(outcome)
    assert reads > 6
    assert (outcome.exit_code, len(outcome.scene().attempts)) == (0, 1)


async def test_vram_before_is_not_read_after_the_end(stage: Stage) -> None:
    """Without a socket a short prompt begins and ends between two looks: nobody saw it begin."""
    outcome = await stage.play(f.SocketRefused(), speed=Speed(save_frame=0.05))
    settled(outcome)
    attempt = outcome.attempt()
    assert attempt.telemetry is not None
    assert attempt.executing_at is not None
    assert attempt.telemetry.gpu.vram_before_mb is None
    assert attempt.telemetry.gpu.vram_after_mb is not None
    assert UNSEEN_BEFORE in attempt.telemetry.system.fallback_notes


class SetBackClock(LoopClock):
    """A wall clock that is set back by an hour while the run goes on."""

    def __init__(self, at: float) -> None:
        self._at = at

    def now(self) -> datetime:
        moment = super().now()
        return moment - timedelta(hours=1) if self.monotonic() >= self._at else moment


@pytest.mark.parametrize("after", [1.0, 5.0, 12.0])
async def test_a_wall_clock_that_is_set_back_breaks_no_record(stage: Stage, after: float) -> None:
    stage.clock = SetBackClock(1000.0 + after)
    outcome = await stage.play(scenes=(brief(1), brief(2)), speed=SLOW)
    settled(outcome)
    assert outcome.exit_code == 0
    assert outcome.metadata.scenes[1].telemetry.duration_seconds >= 0


@pytest.mark.parametrize("where", ["take", "unreported"])
async def test_an_error_of_our_own_fails_its_scene_and_no_other(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    stage.policy = replace(stage.policy, scene_retry_budget=0)
    whole = getattr(EitherShelf, where)

    async def broken(shelf: EitherShelf, subject: Wanted | str, *rest: Any) -> Sequence[Any]:
        name = subject if isinstance(subject, str) else subject.name
        if "scene-001" in name:
            raise ZeroDivisionError("an error of our own")
        return await whole(shelf, subject, *rest)  # type: ignore[no-any-return]

    monkeypatch.setattr(EitherShelf, where, broken)
    outcome = await stage.play(scenes=(brief(1), brief(2)), speed=SLOW)
    settled(outcome)
    assert outcome.exit_code == 1
    assert (outcome.scene(1).meets_floor, outcome.scene(2).phase) == (False, "done")
    assert outcome.scene(1).success == (where == "unreported"), "frames that were taken before are kept"
    debug = outcome.run_dir.queue_error_debug("scene-001").read_text()
    assert "ZeroDivisionError: an error of our own" in debug
    assert "ZeroDivisionError in attempt 1 of scene-001" in outcome.run_dir.summary.read_text()


async def test_an_error_of_our_own_in_reading_vram_costs_a_figure_and_no_scene(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> e.Measurement:
        raise ZeroDivisionError("an error of our own")

    monkeypatch.setattr(Gauges, "measure", broken)
    outcome = await stage.play(speed=SLOW)
    settled(outcome)
    assert (outcome.exit_code, outcome.attempt().proven) == (0, 5)
    telemetry = outcome.attempt().telemetry
    assert telemetry is not None
    assert (telemetry.gpu.vram_before_mb, telemetry.gpu.vram_after_mb) == (None, None)
    assert [note for note in telemetry.system.fallback_notes if "/system_stats unavailable" in note]
    assert "ZeroDivisionError: an error of our own" in outcome.run_dir.queue_error_debug("scene-001").read_text()
    assert any("ZeroDivisionError in attempt 1 of scene-001" in error for error in outcome.attempt().errors)


async def test_a_command_that_comes_while_the_records_are_completed_is_answered(stage: Stage) -> None:
    async with stage.simulator() as simulator:
        with stage.open(simulator, brief(1, 2)) as runner:
            async with playing(runner, simulator) as play:
                await play.until(lambda state: state.run and state.run.settled_at)
                answer = play.ask(c.Rerun, scenes=("scene-001",))
                assert not answer.accepted
                assert answer.why
                assert phase_is(1, "done")(play.state)
            outcome = play.outcome
    settled(outcome)
    assert outcome.exit_code == 0
    assert of_kind(facts(outcome.run_dir), e.SceneReopened) == []


async def test_history_that_was_promised_and_never_comes_is_given_up_soon(stage: Stage) -> None:
    """The socket told the end; the server forgot it all (restarted in that moment): it is looked for, and sent anew."""
    outcome = await stage.play(f.HistoryMissing(seconds=10_000, nth=1), speed=SLOW)
    settled(outcome)
    first, second = outcome.scene().attempts
    assert (first.status, second.status) == ("lost", "success")
    assert len(first.history) <= 20
    assert first.ended_at is not None
    assert first.executing_at is not None
    assert (first.ended_at - first.executing_at).total_seconds() < 60


@pytest.mark.parametrize("what", [GPUS, LOG, OTHERS])
async def test_an_error_of_our_own_in_what_is_only_looked_at_costs_what_it_tells_and_not_the_run(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    where = {GPUS: "watch_gpus", OTHERS: "watch_others"}.get(what)
    if where is not None:
        monkeypatch.setattr(connection, where, broken)
    else:
        monkeypatch.setattr(LogReader, "keep", broken)
    outcome = await stage.play(scenes=(brief(1), brief(2)))
    assert (outcome.exit_code, outcome.findings) == (0, [])
    (note,) = [note for note in outcome.state.notes if note.level == "error"]
    assert note.text.startswith(f"{what} can no longer be told")
    assert "ZeroDivisionError in test_odd_moments.py, line" in note.text
