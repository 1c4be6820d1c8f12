"""Several faces on one run: two dashboards and a headless follower, over the real link to a runner of its own."""

import functools
from collections.abc import Callable
from datetime import UTC
from pathlib import Path

import anyio
from textual.pilot import Pilot

from comfytui.cli.planning import make_plan, order_story
from comfytui.clock import system_clock
from comfytui.faces.headless import JsonFormatter, follow
from comfytui.faces.printer import Printer
from comfytui.faces.tui.app import Dashboard
from comfytui.faces.tui.options import DashboardOptions, Leaving
from comfytui.link.client import answers
from comfytui.link.feeds import RunFeed
from comfytui.model.fold import fold_all
from comfytui.model.state import State
from comfytui.records import journal as journals
from comfytui.records.lock import holder_of
from comfytui.records.rundir import RunDir, create_run, write_plan
from comfytui.settings.merged import load
from tests.e2e.command import started, story
from tests.e2e.test_processes import end

SECONDS = 40.0


class Seat:
    """A dashboard that somebody sits at."""

    def __init__(self, run: RunDir) -> None:
        clock = system_clock()
        feed = RunFeed(run.path, clock, journal=run.journal)
        self.app = Dashboard(feed, clock, DashboardOptions(zone=UTC, facts_within=0.0, samples_every=0.1))
        self.app.animation_level = "none"
        self.ready, self.left = anyio.Event(), anyio.Event()
        self._pilot: Pilot[Leaving]

    @property
    def state(self) -> State:
        return self.app.mailbox.state

    async def sit(self) -> None:
        async with self.app.run_test(size=(100, 30)) as self._pilot:
            self.ready.set()
            await self.left.wait()

    async def press(self, *keys: str) -> None:
        await self._pilot.press(*keys)

    async def sees(self, true: Callable[[State], bool]) -> None:
        """Return once this dashboard's state is so."""
        while not true(self.state):
            await anyio.sleep(0.02)

    async def reads(self, text: str) -> None:
        """Return once ``text`` is on this dashboard's screen."""
        while True:
            strips = self.app.screen._compositor.render_strips()
            if text in "\n".join("".join(segment.text for segment in strip) for strip in strips):
                return
            await anyio.sleep(0.02)


def opened(folder: Path) -> RunDir:
    """Make the folder of a run on a simulator of its own."""
    settings = load({"server": "sim", "workflow": "smoke"}, {"COMFYTUI_CONFIG": ""}, folder)
    order, clock = order_story(story(folder, scenes=4, frames=3), settings), system_clock()
    run = create_run(folder / "runs", clock)
    plan = make_plan(order, settings, run_id=run.run_id, created_at=clock.now(), simulator_speed="instant")
    write_plan(run, plan, order.story_file)
    return run


def held(state: State) -> bool:
    return state.run is not None and state.run.held


def ended(state: State) -> bool:
    return state.run is not None and state.run.exit_code is not None


def told(state: State) -> tuple[object, ...]:
    """Return what facts alone make: samples may be newer on one screen than on the other."""
    assert state.run is not None
    return (state.seq, state.run, state.scenes, state.notes, state.server.url)


async def play(run: RunDir, lines: list[bytes]) -> tuple[Seat, Seat, JsonFormatter]:
    one, other = Seat(run), Seat(run)
    clock = system_clock()
    formatter = JsonFormatter()
    feed = RunFeed(run.path, clock, journal=run.journal, driven=lambda: holder_of(run) is not None, linger=False)
    followed = anyio.Event()

    async def listen() -> None:
        await follow(feed.items(), formatter, Printer(lines.append), while_read=True)
        followed.set()

    while not await answers(run.path):
        await clock.sleep(0.02)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        for seat in (one, other):
            tasks.start_soon(seat.sit)
            await seat.ready.wait()
        await one.sees(lambda state: state.run is not None)
        await one.press("h")
        await other.sees(held)
        await other.reads("HELD")
        last = one.state.scenes[-1].id
        await other.press("G", "x")
        await other.reads("scene-004")
        await other.press("y")
        await one.sees(lambda state: state.scenes[-1].phase == "cancelled")
        await other.press("h")
        await one.sees(lambda state: not held(state))
        for seat in (one, other):
            await seat.sees(ended)
        await followed.wait()
        for seat in (one, other):
            await seat.sees(lambda state: state.seq >= formatter.state.seq)
            assert seat.state.scene(last) is not None
            seat.left.set()
    return one, other, formatter


def test_two_dashboards_and_a_follower_agree_to_the_end(tmp_path: Path) -> None:
    run, lines = opened(tmp_path), list[bytes]()
    process = started("runner", str(run.path), cwd=tmp_path)
    try:

        async def bounded() -> tuple[Seat, Seat, JsonFormatter]:
            with anyio.fail_after(SECONDS):
                return await play(run, lines)

        one, other, formatter = anyio.run(functools.partial(bounded))
        process.wait(20)
    finally:
        end(process)
    recorded = fold_all(journals.read(run.journal))
    assert told(one.state) == told(other.state) == told(formatter.state) == told(recorded)
    assert [scene.phase for scene in recorded.scenes].count("cancelled") == 1
    text = b"".join(lines).decode()
    assert '"command_answered"' in text
    assert '"queue_held"' in text
