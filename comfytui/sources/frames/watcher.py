"""Watching one folder for files: file events where they reach us, a poll where they do not.

Events are only hints here. Each one makes us look at the file itself, every wake-up checks that the folder is still
the same folder, and now and then the whole folder is looked at again, because the event queue of a kernel may
overflow and ``watchfiles`` may drop an event that arrives in the instant in which it hands others over. That look goes
in slices between the events: a folder of 100,000 files takes half a second, and no frame shall wait for it.
"""

from collections.abc import AsyncGenerator, Collection
from math import inf
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol

import anyio
from anyio import to_thread

from comfytui.clock import Clock
from comfytui.sources.frames.folder import Batch, FolderView, Round, nearest_folder
from comfytui.sources.frames.mounts import events_reach

if TYPE_CHECKING:
    from watchfiles.main import FileChange

WatchMode = Literal["auto", "events", "poll"]

DEBOUNCE_MS, STEP_MS = 25, 10
#: How long an event wait may last before the folder's identity is checked; also the delay of the look after arming.
WAIT_MS = 250
#: Seconds between two looks at everything although events arrive.
FULL_LOOK = 2.0
#: Looks at everything may take at most this share of the time, so folders of 100,000 files are looked at less often:
#: where they are all there is, and where they come on top of events.
LARGEST_SHARE, LARGEST_SHARE_BESIDE_EVENTS = 0.05, 0.02


class Waker(Protocol):
    """Waits until the folder is worth a look."""

    async def wake(self) -> Collection[str] | None:
        """Wait, then return the names that may have changed, or ``None`` for all of them."""
        ...

    def interrupt(self) -> None:
        """End the wait at hand soon: its result is of no interest any more."""
        ...

    async def aclose(self) -> None:
        """Let go of everything."""
        ...


class ClockWaker:
    """Wakes up every ``interval`` seconds of the given clock, to look at everything."""

    def __init__(self, clock: Clock, interval: float) -> None:
        self._clock = clock
        self.interval = interval

    async def wake(self) -> None:
        """Wait for one interval."""
        await self._clock.sleep(self.interval)

    def interrupt(self) -> None:
        """Nothing to do: the sleep can be cancelled."""

    async def aclose(self) -> None:
        """Nothing is held."""


class NoEvents(Exception):
    """File events cannot be had for a folder; the words are the reason."""


class EventWaker:
    """Wakes up on file events of ``folder``, or of its nearest ancestor inside ``root`` while it does not exist."""

    def __init__(self, folder: Path, root: Path, clock: Clock, interval: float) -> None:
        self._folder = folder
        self._root = root
        self._clock = clock
        self._interval = interval
        self._events: AsyncGenerator[set[FileChange], None] | None = None
        self._armed: tuple[Path, tuple[int, int]] | None = None
        self._end = anyio.Event()
        self._fresh = False
        self._full_at = 0.0

    async def wake(self) -> Collection[str] | None:
        """Wait for events; raises :class:`NoEvents` when the platform cannot watch there."""
        nearest = await to_thread.run_sync(nearest_folder, self._folder, self._root)
        if nearest is None:
            await self.aclose()
            await self._clock.sleep(self._interval)
            return None
        if nearest != self._armed:
            await self._arm(nearest)
        names = await self._changes()
        if self._fresh or nearest[0] != self._folder or self._clock.monotonic() >= self._full_at:
            self._fresh, self._full_at = False, inf
            return None
        return names

    def looked_through(self, next_at: float) -> None:
        """Learn that everything was looked at, and when (monotonic) the next look at everything is to begin."""
        self._full_at = next_at

    def interrupt(self) -> None:
        """End the wait at hand: its thread looks at this every :data:`STEP_MS`."""
        self._end.set()

    async def aclose(self) -> None:
        """Take the watch off the folder."""
        events, self._events, self._armed = self._events, None, None
        if events is not None:
            await events.aclose()

    async def _arm(self, nearest: tuple[Path, tuple[int, int]]) -> None:
        import watchfiles

        await self.aclose()
        self._end = anyio.Event()
        self._events = watchfiles.awatch(
            nearest[0],
            watch_filter=None,
            debounce=DEBOUNCE_MS,
            step=STEP_MS,
            stop_event=self._end,
            rust_timeout=WAIT_MS,
            yield_on_timeout=True,
            recursive=False,
        )
        self._armed, self._fresh = nearest, True

    async def _changes(self) -> Collection[str]:
        """Return the names in the next events, or none after :data:`WAIT_MS`."""
        assert self._events is not None
        try:
            changes = await anext(self._events)
        except (StopAsyncIteration, FileNotFoundError):  # interrupted, or the folder went as it was being armed
            await self.aclose()
            await self._clock.sleep(STEP_MS / 1000)
            return ()
        except (OSError, RuntimeError) as error:  # the limit of inotify watches, say
            await self.aclose()
            reason = error.strerror if isinstance(error, OSError) else None
            raise NoEvents(reason or str(error) or type(error).__name__) from error
        except BaseException:  # a cancelled generator is finished; the next wake-up arms again
            self._events = self._armed = None
            raise
        return {Path(path).name for _, path in changes}


class FrameWatcher:
    """An async iterator of batches of what changed in ``folder``: :class:`FrameSeen` and :class:`FolderSeen`.

    The first batch tells whether the folder is there and what is in it (``present``); the iterator then waits. The
    folder need not exist yet: it is waited for inside ``root`` and never made, and one that is deleted is waited for
    again. Only regular files whose names begin with ``prefix`` are seen; nothing is ever written or removed.

    Use it as an async context manager; :meth:`stop` ends the iteration from elsewhere. A reader that is slow gets
    fewer, larger batches; one whose wait is cancelled may wait again, and misses nothing.
    """

    def __init__(
        self,
        folder: Path,
        *,
        root: Path,
        clock: Clock,
        prefix: str = "",
        mode: WatchMode = "auto",
        interval: float = 1.0,
    ) -> None:
        """Prepare to watch; ``interval`` is the seconds between two looks when polling.

        :raises ValueError: when ``folder`` is not inside ``root``.
        """
        if not folder.is_relative_to(root):
            raise ValueError(f"{folder} is not inside {root}")
        self.mode: Literal["events", "poll"] = "poll" if mode == "poll" else "events"
        self.note = ""
        """Why it polls although events were wished for; empty otherwise."""
        self._auto = mode == "auto"
        self._folder, self._root, self._clock, self._interval = folder, root, clock, interval
        self._view = FolderView(folder, prefix)
        self._round, self._slice_at = Round(self._view), 0.0
        self._waker: EventWaker | ClockWaker | None = None
        self._names: Collection[str] | None = None
        self._due = True  # a look is due before the next wait
        self._stopped = anyio.Event()

    async def __aenter__(self) -> "FrameWatcher":
        if self._auto and not await to_thread.run_sync(events_reach, self._root):
            self._poll("the folder is on a network file system")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> "FrameWatcher":
        return self

    async def __anext__(self) -> Batch:
        while not self._stopped.is_set():
            if not self._due:
                await self._wait()
                if self._stopped.is_set():
                    break
            if batch := await self._look():
                return batch
        await self.aclose()
        raise StopAsyncIteration

    def stop(self) -> None:
        """End the iteration, within a tenth of a second."""
        self._stopped.set()

    async def aclose(self) -> None:
        """Stop and take the watch off; no thread is left behind."""
        self.stop()
        if self._waker is not None:
            with anyio.CancelScope(shield=True):
                await self._waker.aclose()

    async def _look(self) -> Batch:
        names, began, waker = self._names, self._clock.monotonic(), self._waker
        if not isinstance(waker, EventWaker):
            batch = await to_thread.run_sync(self._view.look, names)
            self._due = False
            if waker is not None:
                waker.interval = max(self._interval, (self._clock.monotonic() - began) / LARGEST_SHARE)
            return batch
        onward = names is None or (began >= self._slice_at and not self._round.over)
        batch = await to_thread.run_sync(self._round.look, names, onward)
        self._due = False
        if onward:
            ended = self._clock.monotonic()
            rest = (ended - began) / LARGEST_SHARE_BESIDE_EVENTS
            self._slice_at = ended + rest
            if self._round.over:
                waker.looked_through(ended + max(FULL_LOOK, rest))
        return batch

    async def _wait(self) -> None:
        """Wait for the next wake-up or the stop."""
        if self._waker is None:
            self._waker = (
                EventWaker(self._folder, self._root, self._clock, self._interval)
                if self.mode == "events"
                else ClockWaker(self._clock, self._interval)
            )
        waker = self._waker
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._heed_stop, waker, group.cancel_scope)
                self._names = await waker.wake()
                self._due = True
                group.cancel_scope.cancel()
        except* NoEvents as why:
            self._poll(f"file events cannot be had here ({why.exceptions[0]})")
            self._due, self._names = True, None

    def _poll(self, note: str) -> None:
        self.mode, self.note, self._waker = "poll", note, None

    async def _heed_stop(self, waker: Waker, scope: anyio.CancelScope) -> None:
        """End the wait on :meth:`stop` or cancellation: a thread that waits for events has to be told to."""
        try:
            await self._stopped.wait()
        finally:
            if not self._due:
                waker.interrupt()
        scope.cancel()
