"""The watcher tells what happens in a folder, by events or by polling, and misses nothing."""

import errno
import io
import os
import queue
import shutil
import threading
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from PIL import Image
from watchfiles import _rust_notify

from comfytui.clock import system_clock
from comfytui.sources.frames import watcher as watching
from comfytui.sources.frames.folder import Batch, FolderSeen, FrameSeen
from comfytui.sources.frames.sweep import AGAIN
from comfytui.sources.frames.verify import prove
from comfytui.sources.frames.watcher import FrameWatcher
from tests.sources.driven_clock import DrivenClock

_picture = io.BytesIO()
Image.effect_noise((420, 300), 120).save(_picture, "PNG")
PNG = _picture.getvalue()
STEP = 65_536


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def events_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "events_reach", lambda _: True)


async def following(watcher: FrameWatcher) -> Batch:
    with anyio.fail_after(20):
        return await anext(watcher)


async def until(watcher: FrameWatcher, wanted: Callable[[FrameSeen | FolderSeen], bool]) -> FrameSeen | FolderSeen:
    """Return the first observation that is ``wanted``, within a bound."""
    with anyio.fail_after(20):
        async for batch in watcher:
            for seen in batch:
                if wanted(seen):
                    return seen
    raise AssertionError("the watcher ended")


def names(batch: Batch) -> list[tuple[str, str]]:
    return [(seen.name, seen.change) for seen in batch if isinstance(seen, FrameSeen)]


def is_file(name: str, change: str, size: int | None = None) -> Callable[[FrameSeen | FolderSeen], bool]:
    return lambda seen: (
        isinstance(seen, FrameSeen)
        and (seen.name, seen.change) == (name, change)
        and (size is None or seen.bytes == size)
    )


def put(path: Path, content: bytes = b"") -> None:
    path.write_bytes(content)


def watch(folder: Path, root: Path | None = None, **options: Any) -> FrameWatcher:
    return FrameWatcher(folder, root=root or folder, clock=options.pop("clock", system_clock()), **options)


async def test_a_frame_is_seen_growing_as_saveimage_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "s_00001_.png"
    async with watch(tmp_path) as watcher:
        assert await following(watcher) == (FolderSeen(path=tmp_path, present=True),)
        with path.open("wb", buffering=0) as file:
            await until(watcher, is_file(path.name, "added", 0))
            for at in range(0, len(PNG), STEP):
                assert not prove(path).whole
                file.write(PNG[at : at + STEP])
                await until(watcher, is_file(path.name, "changed", min(at + STEP, len(PNG))))
        assert prove(path).whole
        assert watcher.mode == "events"


async def test_a_frame_is_seen_growing_by_polling_on_a_driven_clock(tmp_path: Path) -> None:
    clock, path = DrivenClock(), tmp_path / "s_00001_.png"
    sizes: list[int] = []
    async with (
        watch(tmp_path, clock=clock, mode="poll", interval=0.5) as watcher,
        anyio.create_task_group() as group,
    ):
        await following(watcher)

        async def collect_sizes() -> None:
            async for batch in watcher:
                sizes.extend(seen.bytes for seen in batch if isinstance(seen, FrameSeen))

        group.start_soon(collect_sizes)
        with path.open("wb", buffering=0) as file:
            await clock.tick()
            await clock.somebody_sleeps()
            for at in range(0, len(PNG), STEP):
                file.write(PNG[at : at + STEP])
                await clock.tick()
                await clock.somebody_sleeps()
        assert clock.waits() == [0.5]
        watcher.stop()
    assert sizes == [*range(0, len(PNG), STEP), len(PNG)]


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 5,000 old files in it."""
    folder = tmp_path_factory.mktemp("crowded")
    put(folder / "old_00000_.png")
    for number in range(1, 5000):
        os.link(folder / "old_00000_.png", folder / f"old_{number:05}_.png")
    return folder


@pytest.mark.parametrize("mode", ["events", "poll"])
async def test_what_is_there_already_is_told_first(crowded: Path, mode: watching.WatchMode) -> None:
    first, second, third = (f"{mode}_{number:05}_.png" for number in (1, 2, 3))
    put(crowded / first, b"1")
    async with watch(crowded, mode=mode, interval=0.01) as watcher:
        assert sum(is_old(seen) for seen in await following(watcher)) == 5000
        put(crowded / second, b"12")
        await until(watcher, is_file(second, "added"))
    async with watch(crowded, prefix=f"{mode}_", mode=mode, interval=0.01) as watcher:
        assert names(await following(watcher)) == [(first, "present"), (second, "present")]
        put(crowded / "another.png", b"x")
        put(crowded / third)
        assert names(await following(watcher)) == [(third, "added")]


def is_old(seen: FrameSeen | FolderSeen) -> bool:
    return isinstance(seen, FrameSeen) and seen.name.startswith("old_") and seen.change == "present"


@pytest.mark.parametrize("mode", ["events", "poll"])
async def test_a_folder_is_waited_for_and_never_made(tmp_path: Path, mode: watching.WatchMode) -> None:
    folder = tmp_path / "comfytui" / "20260301-030000"
    async with watch(folder, tmp_path, mode=mode, interval=0.01) as watcher:
        assert await following(watcher) == (FolderSeen(path=folder, present=False),)
        with anyio.move_on_after(0.1):
            await anext(watcher)
        assert list_of(tmp_path) == []
        folder.mkdir(parents=True)
        put(folder / "s_00001_.png", b"1")
        assert await until(watcher, lambda seen: isinstance(seen, FolderSeen)) == FolderSeen(path=folder, present=True)
        put(folder / "s_00002_.png", b"1")
        await until(watcher, is_file("s_00002_.png", "added"))


def list_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_an_output_folder_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    clock, root = DrivenClock(), tmp_path / "output"
    folder = root / "comfytui"
    async with watch(folder, root, clock=clock) as watcher, anyio.create_task_group() as group:
        assert await following(watcher) == (FolderSeen(path=folder, present=False),)
        group.start_soon(until, watcher, is_file("s_00001_.png", "added"))
        await clock.somebody_sleeps()
        folder.mkdir(parents=True)
        put(folder / "s_00001_.png")
        await clock.tick()


@pytest.mark.parametrize("mode", ["events", "poll"])
async def test_a_folder_that_is_deleted_is_reported_and_waited_for(tmp_path: Path, mode: watching.WatchMode) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    put(folder / "s_00001_.png", b"1")
    async with watch(folder, tmp_path, mode=mode, interval=0.01) as watcher:
        await following(watcher)
        with anyio.move_on_after(0.3):  # long enough to be armed on the folder itself
            await anext(watcher)
        shutil.rmtree(folder)
        gone = [seen async for batch in limited(watcher) for seen in batch]
        assert FolderSeen(path=folder, present=False) in gone
        assert any(is_file("s_00001_.png", "deleted")(seen) for seen in gone)
        folder.mkdir()
        put(folder / "s_00001_.png", b"12")
        await until(watcher, is_file("s_00001_.png", "added", 2))
        put(folder / "s_00002_.png")
        await until(watcher, is_file("s_00002_.png", "added"))


async def limited(watcher: FrameWatcher) -> AsyncGenerator[Batch, None]:
    """Give batches until the folder is told to be gone, within a bound."""
    with anyio.fail_after(20):
        async for batch in watcher:
            yield batch
            if any(isinstance(seen, FolderSeen) and not seen.present for seen in batch):
                return


async def test_a_rename_into_place_is_one_addition_and_over_a_file_a_replacement(tmp_path: Path) -> None:
    aside = tmp_path / "aside"
    folder = tmp_path / "out"
    folder.mkdir()
    async with watch(folder, tmp_path) as watcher:
        await following(watcher)
        put(aside, PNG)
        aside.replace(folder / "s_00001_.png")
        assert names(await following(watcher)) == [("s_00001_.png", "added")]
        put(aside, PNG)
        aside.replace(folder / "s_00001_.png")
        assert names(await following(watcher)) == [("s_00001_.png", "replaced")]
        (folder / "s_00001_.png").unlink()
        assert names(await following(watcher)) == [("s_00001_.png", "deleted")]


async def test_a_truncation_is_a_change(tmp_path: Path) -> None:
    put(tmp_path / "s_00001_.png", PNG)
    async with watch(tmp_path) as watcher:
        await following(watcher)
        with (tmp_path / "s_00001_.png").open("r+b") as file:
            file.truncate(1000)
        await until(watcher, is_file("s_00001_.png", "changed", 1000))


async def test_a_cancelled_wait_loses_nothing(tmp_path: Path) -> None:
    async with watch(tmp_path) as watcher:
        await following(watcher)
        for number in range(1, 4):
            with anyio.move_on_after(0.05):
                await anext(watcher)
            put(tmp_path / f"s_{number:05}_.png")
            await until(watcher, is_file(f"s_{number:05}_.png", "added"))


@pytest.mark.parametrize("mode", ["events", "poll"])
async def test_the_stop_is_prompt_and_leaves_no_thread_at_work(tmp_path: Path, mode: watching.WatchMode) -> None:
    ended = anyio.Event()
    async with watch(tmp_path, mode=mode, interval=3600) as watcher, anyio.create_task_group() as group:
        await following(watcher)

        async def read() -> None:
            async for _ in watcher:
                pass
            ended.set()

        group.start_soon(read)
        put(tmp_path / "wakes it once")
        await anyio.wait_all_tasks_blocked()
        watcher.stop()
        with anyio.fail_after(1):
            await ended.wait()
    assert to_thread.current_default_thread_limiter().borrowed_tokens == 0
    with pytest.raises(StopAsyncIteration):
        await anext(watcher)


async def test_a_cancelled_task_ends_promptly_with_its_thread(tmp_path: Path) -> None:
    async with watch(tmp_path) as watcher:
        await following(watcher)
        with anyio.fail_after(1):
            async with anyio.create_task_group() as group:
                group.start_soon(anext, watcher)
                await anyio.wait_all_tasks_blocked()
                group.cancel_scope.cancel()
        assert to_thread.current_default_thread_limiter().borrowed_tokens == 0


class NoWatches:
    """A stand-in for ``RustNotify`` on a machine that has used up its inotify watches."""

    def __init__(self, *_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_folder_without_events_is_polled_with_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rust_notify, "RustNotify", NoWatches)
    async with watch(tmp_path, interval=0.01) as watcher:
        await following(watcher)
        put(tmp_path / "s_00001_.png")
        await until(watcher, is_file("s_00001_.png", "added"))
        assert (watcher.mode, watcher.note) == (
            "poll",
            "file events cannot be had here (No space left on device)",
        )


async def test_a_network_file_system_is_polled_unless_events_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "events_reach", lambda _: False)
    async with watch(tmp_path) as watcher:
        assert (watcher.mode, watcher.note) == ("poll", "the folder is on a network file system")
    async with watch(tmp_path, mode="events") as watcher:
        assert (watcher.mode, watcher.note) == ("events", "")


class ScriptedEvents:
    """A stand-in for :class:`FolderEvents` that tells what it is given."""

    def __init__(self, *_: object) -> None:
        self._script: queue.Queue[Collection[str] | None] = queue.Queue()
        self._waiting = threading.Semaphore(0)

    def wait(self, ended: threading.Event) -> Collection[str] | None:
        self._waiting.release()
        while not ended.is_set():
            with suppress(queue.Empty):
                return self._script.get(timeout=0.005)
        return ()

    def close(self) -> None:
        self._script.put(())

    async def tell(self, names: Collection[str] | None) -> None:
        """Tell of ``names``; return when they have been looked at."""
        await self._is_waited_for()
        self._script.put(names)
        await self._is_waited_for()
        self._waiting.release()

    async def _is_waited_for(self) -> None:
        assert await to_thread.run_sync(lambda: self._waiting.acquire(timeout=20))


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> ScriptedEvents:
    scripted = ScriptedEvents()
    monkeypatch.setattr(watching, "FolderEvents", lambda *_: scripted)
    return scripted


async def test_events_tell_and_the_sweep_finds_what_they_do_not_tell(tmp_path: Path, events: ScriptedEvents) -> None:
    clock, seen = DrivenClock(), list[tuple[str, str]]()

    async def read(watcher: FrameWatcher) -> None:
        async for batch in watcher:
            seen.extend(names(batch))

    async with watch(tmp_path, clock=clock) as watcher, anyio.create_task_group() as group:
        group.start_soon(read, watcher)
        await events.tell(None)  # it is armed, and looks at everything
        put(tmp_path / "told.png")
        put(tmp_path / "lost.png")
        await events.tell({"told.png"})
        clock.advance(AGAIN - 0.01)
        await events.tell(())
        assert seen == [("told.png", "added")]
        clock.advance(0.01)
        await events.tell(())
        assert seen == [("told.png", "added"), ("lost.png", "added")]
        watcher.stop()


async def test_a_slow_look_makes_full_looks_rarer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = DrivenClock()
    async with (
        watch(tmp_path, clock=clock, mode="poll", interval=1.0) as watcher,
        anyio.create_task_group() as group,
    ):
        await following(watcher)
        look = watcher._view.look

        def slow() -> Batch:
            clock.advance(0.2)
            return look()

        monkeypatch.setattr(watcher._view, "look", slow)
        group.start_soon(drain, watcher)
        await clock.tick()
        await clock.somebody_sleeps()
        assert clock.waits() == [pytest.approx(0.2 / watching.LARGEST_SHARE)]
        watcher.stop()


async def drain(watcher: FrameWatcher) -> None:
    async for _ in watcher:
        pass


def test_a_folder_outside_the_output_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not inside"):
        FrameWatcher(tmp_path.parent, root=tmp_path, clock=system_clock())
