"""A sweep as a face sees it: run after run, each from its first envelope on, with word that another begins."""

from pathlib import Path

import anyio
import pytest
from msgspec import structs

from comfytui.errors import Failure
from comfytui.faces.headless import JsonFormatter, LineFormatter
from comfytui.faces.tui.bars import header_line
from comfytui.faces.tui.mailbox import Mailbox
from comfytui.faces.tui.view import View
from comfytui.link.sweep_feed import START_SECONDS, SweepFeed
from comfytui.model import events as e
from comfytui.model.commands import Hold
from comfytui.model.envelope import Envelope
from comfytui.model.feed import AnotherRun, CaughtUp, FeedChanged, FeedItem
from comfytui.model.sweep import SweepProgress, SweepRun
from comfytui.records.journal import Journal
from comfytui.records.lock import RunLock
from comfytui.records.sweepdir import SweepDir, write_progress
from tests.engine.stage import LoopClock
from tests.unit.scripted_run import START, Script, ending, opened, rendering, started

FIRST, SECOND = "20260301-030000", "20260301-030100"


def played(run_id: str, number: int) -> list[Envelope]:
    """Return the envelopes of run ``number`` of a sweep of two."""
    part = e.SweepPart(sweep="sweep-20260301-025900", number=number, least=2, most=2, values={"seed": f"{number}"})
    first = structs.replace(opened("scene-001"), run_id=run_id, sweep=part)
    return list(Script().all([first, started(), *rendering("scene-001"), *ending()]))


def recorded(sweep: SweepDir, run_id: str, number: int) -> None:
    folder = sweep.run(run_id)
    folder.path.mkdir()
    with Journal(folder.journal) as journal:
        for envelope in played(run_id, number):
            journal.append(envelope)


@pytest.fixture
def sweep(tmp_path: Path) -> SweepDir:
    folder = SweepDir(tmp_path / "sweep-20260301-025900")
    folder.path.mkdir()
    return folder


def progress(*codes: int | None, ended: bool = False) -> SweepProgress:
    runs = tuple(
        SweepRun(number=number, run_id=run_id, exit_code=code)
        for number, (run_id, code) in enumerate(zip((FIRST, SECOND), codes, strict=False), 1)
    )
    return SweepProgress(runs=runs, ended=ended)


async def test_the_next_run_follows_when_it_begins(sweep: SweepDir) -> None:
    recorded(sweep, FIRST, 1)
    write_progress(sweep, progress(None))
    items: list[FeedItem] = []
    with RunLock.acquire(sweep.locked_as):
        async for item in SweepFeed(sweep, LoopClock()).items():
            items.append(item)
            if isinstance(item, Envelope) and isinstance(item.event, e.RunEnded):
                done = sum(isinstance(each, Envelope) and isinstance(each.event, e.RunEnded) for each in items)
                if done == 1:
                    recorded(sweep, SECOND, 2)
                write_progress(sweep, progress(*[0] * done, *[None] * (2 - done), ended=done == 2))
    (gap,) = [place for place, item in enumerate(items) if isinstance(item, AnotherRun)]
    for number, part in ((1, items[:gap]), (2, items[gap + 1 :])):
        told = [item for item in part if isinstance(item, Envelope)]
        assert told == played((FIRST, SECOND)[number - 1], number)
        assert sum(isinstance(item, CaughtUp) for item in part) == 1


async def test_a_sweep_that_is_over_shows_its_last_run_and_ends(sweep: SweepDir) -> None:
    recorded(sweep, FIRST, 1)
    recorded(sweep, SECOND, 2)
    write_progress(sweep, progress(0, 0, ended=True))
    items = [item async for item in SweepFeed(sweep, LoopClock()).items()]
    assert [item for item in items if isinstance(item, Envelope)] == played(SECOND, 2)
    assert AnotherRun() not in items


async def test_a_sweep_whose_process_died_in_a_run_ends_there(sweep: SweepDir) -> None:
    recorded(sweep, FIRST, 1)
    write_progress(sweep, progress(None))
    items = [item async for item in SweepFeed(sweep, LoopClock()).items()]
    assert [item.live for item in items if isinstance(item, FeedChanged)] == [False]


async def test_a_sweep_that_is_taken_up_again_is_waited_for_while_its_process_starts(sweep: SweepDir) -> None:
    """Its process was started a moment ago, and has not told yet that it has the sweep in hand."""
    recorded(sweep, FIRST, 1)
    write_progress(sweep, progress(0))
    items: list[FeedItem] = []
    starting = True

    async def watch() -> None:
        async for item in SweepFeed(sweep, LoopClock(), starting=lambda: starting).items():
            items.append(item)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await anyio.sleep(0.5)
            with RunLock.acquire(sweep.locked_as):
                recorded(sweep, SECOND, 2)
                write_progress(sweep, progress(0, 0))
                await anyio.sleep(5)
            starting = False
    assert [item for item in items if isinstance(item, Envelope)] == [*played(FIRST, 1), *played(SECOND, 2)]


async def test_a_sweep_that_never_begins_is_given_up(sweep: SweepDir) -> None:
    clock = LoopClock()
    feed = SweepFeed(sweep, clock)
    with pytest.raises(Failure) as caught:
        await feed.send(Hold(id="1"))
    assert caught.value.code == "run.no_runner"
    began = clock.monotonic()
    with pytest.raises(Failure) as caught:
        _ = [item async for item in feed.items()]
    assert caught.value.code == "run.no_runner"
    assert str(sweep.log) in caught.value.what
    assert clock.monotonic() - began == pytest.approx(START_SECONDS, abs=1)


# --- what faces do with it -----------------------------------------------------------------------------------------


def both() -> list[FeedItem]:
    told: list[FeedItem] = [*played(FIRST, 1), CaughtUp(), AnotherRun(), *played(SECOND, 2)[:3], CaughtUp()]
    return told


async def test_the_dashboard_knows_nothing_of_the_run_before(sweep: SweepDir) -> None:
    mailbox = Mailbox(LoopClock())
    for item in both():
        mailbox.take(item)
    state = mailbox.state
    assert state.run is not None
    assert (state.run.id, state.run.exit_code, state.seq) == (SECOND, None, 3)
    assert mailbox.lane.caught_up
    words = "".join(text for text, _ in header_line(View(state=state, now=START, lane=mailbox.lane), 140))
    assert "run 2 of 2, seed=2" in words


async def test_lines_tell_each_run_and_which_it_is() -> None:
    lines = LineFormatter(LoopClock())
    told = [line for item in both() for line in lines.on_item(item)]
    opened_lines = [line for line in told if "opened" in line]
    assert [line.endswith(f"run {n} of 2, seed={n} of sweep-20260301-025900") for n, line in
            enumerate(opened_lines, 1)] == [True, True]  # fmt: skip
    assert any("1/1 scenes succeeded" in line for line in told), "the run before is summed up"
    assert lines.state.run is not None
    assert lines.state.run.id == SECOND


async def test_json_sums_up_each_run() -> None:
    lines = JsonFormatter()
    told = [line for item in both() for line in lines.on_item(item)]
    assert [FIRST in line for line in told if line.startswith('{"v":1,"summary"')] == [True]
    assert SECOND in lines.finalize()[0]
