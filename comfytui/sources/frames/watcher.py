"""Watching one folder for files: file events where they reach us, a poll where they do not.

Events are only hints here. Each one makes us look at the file itself, every wake-up checks that the folder is still
the same folder, and what events missed is found by a slow :class:`Sweep` over everything. Waiting and looking are one
turn in a worker thread, so that the loop that runs everything else is woken once for all files that came together.
"""

from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Literal

import anyio
from anyio import to_thread

from comfytui.clock import Clock
from comfytui.sources.frames.events import FolderEvents, NoEvents, NoFolder
from comfytui.sources.frames.folder import Batch, FolderView
from comfytui.sources.frames.mounts import events_reach
from comfytui.sources.frames.sweep import Sweep

WatchMode = Literal["auto", "events", "poll"]

LARGEST_SHARE = 0.05
"""Looks of a poll may take this share of the time at most: folders of 100,000 files are looked at less often."""


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
        self._root, self._clock, self._interval = root, clock, interval
        self._view = FolderView(folder, prefix)
        self._events, self._sweep = FolderEvents(folder, root), Sweep(self._view, clock)
        self._pause = 0.0  # seconds before the next look without events
        self._batch: Batch = ()
        self._stopped = anyio.Event()

    async def __aenter__(self) -> "FrameWatcher":
        if self._auto and not await to_thread.run_sync(events_reach, self._root):
            self._poll_because("the folder is on a network file system")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> "FrameWatcher":
        return self

    async def __anext__(self) -> Batch:
        while not self._stopped.is_set() and not self._batch:
            await self._turn()
        if self._stopped.is_set():
            raise StopAsyncIteration
        batch, self._batch = self._batch, ()
        return batch

    def stop(self) -> None:
        """End the iteration, within a tenth of a second."""
        self._stopped.set()

    async def aclose(self) -> None:
        """Stop and take the watch off; no thread is left behind."""
        self.stop()
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(self._events.close)

    async def _turn(self) -> None:
        """Wait until the folder is worth a look, or for the stop, and look; what is seen waits to be taken."""
        ended = Event()
        async with anyio.create_task_group() as group:
            group.start_soon(self._heed_stop, ended, group.cancel_scope)
            if self.mode == "events":
                await self._follow_events(ended)
            else:
                await self._poll()
            group.cancel_scope.cancel()

    async def _heed_stop(self, ended: Event, scope: anyio.CancelScope) -> None:
        """End the wait on :meth:`stop` or cancellation: a thread that waits for events has to be told to."""
        try:
            await self._stopped.wait()
        finally:
            ended.set()
        scope.cancel()

    async def _follow_events(self, ended: Event) -> None:
        try:
            await to_thread.run_sync(self._wait_and_look, ended)
        except NoFolder:
            await self._poll()
        except NoEvents as why:
            self._poll_because(f"file events cannot be had here ({why})")

    def _wait_and_look(self, ended: Event) -> None:
        self._batch += self._sweep.look(self._events.wait(ended))

    async def _poll(self) -> None:
        """Look at everything, some time after the last such look."""
        first = not self._pause
        await self._clock.sleep(self._pause)
        began = self._clock.monotonic()
        await to_thread.run_sync(self._look)
        spent = 0.0 if first else self._clock.monotonic() - began
        self._pause = max(self._interval, spent / LARGEST_SHARE)

    def _look(self) -> None:
        self._batch += self._view.look()

    def _poll_because(self, note: str) -> None:
        self.mode, self.note = "poll", note
