"""Runs as feeds: journal first, then live; a runner that goes and one that comes; reruns that start one."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import anyio
import pytest

from comfytui.clock import system_clock
from comfytui.engine.hub import Hub
from comfytui.errors import Failure
from comfytui.link import feeds
from comfytui.link.backlog import JournalBacklog
from comfytui.link.feeds import RunFeed
from comfytui.link.hub import HubFeed
from comfytui.link.server import LinkServer
from comfytui.model import commands
from comfytui.model import events as e
from comfytui.model.commands import AnyCommand
from comfytui.model.envelope import Envelope
from comfytui.model.feed import CaughtUp, FeedChanged, FeedItem
from comfytui.model.fold import fold_all
from comfytui.records.journal import Journal, read
from tests.unit.scripted_run import ending, opened, rendering, started, whole_run

RUN = "20260301-030000"


class Runner:
    """What a runner process is to its faces: a hub with a journal and its link."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.commands: list[AnyCommand] = []

    def publish(self, *events: e.AnyEvent) -> None:
        for event in events:
            self.hub.publish(event)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Runner]:
    path = folder / "events.jsonl"
    state = fold_all(read(path)) if path.exists() else None
    with Journal(path) as journal:
        it = Runner(Hub(RUN, system_clock(), journal, state))
        async with LinkServer(folder, it.hub, JournalBacklog(path), it.commands.append, system_clock()).open():
            yield it
            it.hub.close()


def feed_of(folder: Path, **options: object) -> RunFeed:
    return RunFeed(folder, system_clock(), journal=folder / "events.jsonl", **options)  # type: ignore[arg-type]


class Watching:
    """Reads a feed in the background and remembers it."""

    def __init__(self) -> None:
        self.seen: list[FeedItem] = []
        self._arrived = anyio.Event()

    async def watch(self, feed: RunFeed | HubFeed) -> None:
        async with aclosing(feed.items()) as items:  # type: ignore[type-var]
            async for item in items:
                self.seen.append(item)
                self._arrived.set()

    async def until(self, true: Callable[[list[FeedItem]], bool]) -> None:
        with anyio.fail_after(10):
            while not true(self.seen):
                self._arrived = anyio.Event()
                await self._arrived.wait()

    @property
    def facts(self) -> list[Envelope]:
        return [item for item in self.seen if isinstance(item, Envelope) and item.is_fact]

    @property
    def news(self) -> list[object]:
        return [item.live if isinstance(item, FeedChanged) else "caught up" for item in self.seen
                if not isinstance(item, Envelope)]  # fmt: skip


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(feeds, "REST_SECONDS", 0.01)


def record(folder: Path, *events: e.AnyEvent) -> None:
    path = folder / "events.jsonl"
    with Journal(path) as journal:
        hub = Hub(RUN, system_clock(), journal, fold_all(read(path)))
        for event in events:
            hub.publish(event)


def told(count: int) -> Callable[[list[FeedItem]], bool]:
    return lambda seen: sum(isinstance(item, Envelope) and item.is_fact for item in seen) >= count


async def test_a_run_that_is_over_is_told_from_its_journal_and_ends(tmp_path: Path) -> None:
    record(tmp_path, *whole_run())
    watching = Watching()
    await watching.watch(feed_of(tmp_path, linger=False))
    assert [each.event for each in watching.facts] == whole_run()
    assert watching.news == ["caught up", False]
    assert isinstance(watching.seen[-2], CaughtUp)


async def test_journal_then_live_without_a_seam(tmp_path: Path) -> None:
    script = whole_run("a", "b", "c")
    record(tmp_path, *script[:7])
    watching = Watching()
    async with anyio.create_task_group() as tasks:
        async with running(tmp_path) as runner:
            runner.publish(*script[7:9])
            tasks.start_soon(watching.watch, feed_of(tmp_path))
            await watching.until(lambda seen: FeedChanged(live=True) in seen)
            runner.publish(*script[9:])
            runner.publish(e.Pulse(latency=0.5))
            await watching.until(lambda seen: any(getattr(i, "event", None) == e.Pulse(latency=0.5) for i in seen))
        await watching.until(lambda seen: seen[-1] == FeedChanged(live=False, why="its runner left"))
        tasks.cancel_scope.cancel()
    assert [each.event for each in watching.facts] == script
    assert watching.news == ["caught up", True, False]


async def test_a_runner_that_dies_and_one_that_comes_back(tmp_path: Path) -> None:
    watching = Watching()
    async with anyio.create_task_group() as tasks:
        async with running(tmp_path) as runner:
            tasks.start_soon(watching.watch, feed_of(tmp_path))
            runner.publish(opened("a"), started())
            await watching.until(lambda seen: FeedChanged(live=True) in seen)
        await watching.until(lambda seen: isinstance(seen[-1], FeedChanged) and not seen[-1].live)
        # what is written while nobody answers is told all the same: its link may be broken, not the run
        record(tmp_path, *rendering("a"))
        await watching.until(told(2 + len(rendering("a"))))
        async with running(tmp_path) as runner:
            runner.publish(started("rerun"), *ending())
            await watching.until(lambda seen: FeedChanged(live=True) in seen[8:])
            await watching.until(told(2 + len(rendering("a")) + 1 + len(ending())))
        tasks.cancel_scope.cancel()
    assert [each.seq for each in watching.facts] == list(range(1, len(watching.facts) + 1))
    assert watching.news[:4] == ["caught up", True, False, True]


async def test_samples_of_the_journal_are_not_told_twice(tmp_path: Path) -> None:
    record(tmp_path, opened(), e.Pulse(latency=1.0))
    watching = Watching()
    async with anyio.create_task_group() as tasks:
        async with running(tmp_path) as runner:
            tasks.start_soon(watching.watch, feed_of(tmp_path, linger=False))
            await watching.until(lambda seen: FeedChanged(live=True) in seen)
            runner.publish(e.Pulse(latency=2.0), started())
            await watching.until(told(2))
        await watching.until(lambda seen: isinstance(seen[-1], FeedChanged) and not seen[-1].live)
        tasks.cancel_scope.cancel()
    samples = [item.event for item in watching.seen if isinstance(item, Envelope) and not item.is_fact]
    assert samples == [e.Pulse(latency=1.0), e.Pulse(latency=2.0)]


async def test_a_journal_that_ends_torn(tmp_path: Path) -> None:
    record(tmp_path, *whole_run())
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(b"rubbish\n" + b'{"v":1,"se')
    watching = Watching()
    await watching.watch(feed_of(tmp_path, linger=False))
    assert len(watching.facts) == len(whole_run())
    assert isinstance(watching.seen[-1], FeedChanged)
    assert "1 line of the journal cannot be read" in watching.seen[-1].why


async def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        await Watching().watch(feed_of(tmp_path / "gone"))
    assert caught.value.code == "journal.unreadable"


async def test_a_runner_that_is_just_starting_is_waited_for(tmp_path: Path) -> None:
    watching = Watching()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watching.watch, feed_of(tmp_path, linger=False, driven=lambda: True))
        await anyio.sleep(0.1)
        assert watching.seen == []
        async with running(tmp_path) as runner:
            runner.publish(opened())
            await watching.until(lambda seen: FeedChanged(live=True) in seen)
            assert watching.news == ["caught up", True]
        tasks.cancel_scope.cancel()


async def test_one_that_never_answers_is_told_of_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "STARTING_LOOKS", 3)
    record(tmp_path, opened())
    watching = Watching()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watching.watch, feed_of(tmp_path, linger=False, driven=lambda: True))
        await watching.until(lambda seen: bool(seen) and isinstance(seen[-1], FeedChanged))
        tasks.cancel_scope.cancel()
    assert watching.news == ["caught up", False]


# --- commands ------------------------------------------------------------------------------------------------------


async def test_commands_reach_a_live_runner(tmp_path: Path) -> None:
    feed = feed_of(tmp_path)
    async with running(tmp_path) as runner:
        await feed.send(commands.Cancel(id="1", scenes=("a",)))
    assert runner.commands == [commands.Cancel(id="1", scenes=("a",))]


async def test_a_rerun_starts_one_runner_for_a_run_without(tmp_path: Path) -> None:
    record(tmp_path, *whole_run())
    watching, launched = Watching(), list[Runner]()
    async with anyio.create_task_group() as tasks:
        stop = anyio.Event()

        async def serve(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            async with running(tmp_path) as runner:
                launched.append(runner)
                runner.publish(started("rerun"))
                task_status.started()
                await stop.wait()

        async def launch() -> None:
            await tasks.start(serve)

        feed = feed_of(tmp_path, launch=launch)
        tasks.start_soon(watching.watch, feed)
        await watching.until(lambda seen: bool(seen) and isinstance(seen[-1], FeedChanged))
        async with anyio.create_task_group() as presses:
            for number in range(3):
                presses.start_soon(feed.send, commands.Rerun(id=str(number), scenes=("scene-001",)))
        await watching.until(lambda seen: FeedChanged(live=True) in seen)
        stop.set()
        tasks.cancel_scope.cancel()
    assert len(launched) == 1
    assert sorted(command.id for command in launched[0].commands) == ["0", "1", "2"]


async def test_nothing_else_starts_a_runner(tmp_path: Path) -> None:
    async def launch() -> None:
        raise AssertionError("launched")

    with pytest.raises(Failure) as caught:
        await feed_of(tmp_path, launch=launch).send(commands.Stop(id="1"))
    assert caught.value.code == "run.no_runner"
    with pytest.raises(Failure):
        await feed_of(tmp_path).send(commands.Rerun(id="1", scenes=("a",)))


# --- a run of this process -----------------------------------------------------------------------------------------


async def test_a_hub_of_this_process_is_a_feed(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    script = whole_run()
    watching = Watching()
    with Journal(path) as journal:
        hub = Hub(RUN, system_clock(), journal)
        for event in script[:4]:
            hub.publish(event)
        taken: list[AnyCommand] = []
        feed = HubFeed(hub, JournalBacklog(path), taken.append)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watching.watch, feed)
            await watching.until(lambda seen: FeedChanged(live=True) in seen)
            for event in script[4:]:
                hub.publish(event)
            hub.close()
        await feed.send(commands.Hold(id="1"))
    assert [each.event for each in watching.facts] == script
    assert watching.news == ["caught up", True]
    assert taken == [commands.Hold(id="1")]
