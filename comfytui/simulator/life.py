"""One life of the server, from its start to its death: all that it would forget when it dies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from comfytui.simulator.counters import Counters
from comfytui.simulator.device import Device
from comfytui.simulator.execution import PromptRun
from comfytui.simulator.executor import Executor
from comfytui.simulator.faults import Faults
from comfytui.simulator.folders import Folders
from comfytui.simulator.freeze import Freeze
from comfytui.simulator.logbook import Logbook
from comfytui.simulator.sockets import Sockets
from comfytui.simulator.speed import Speed
from comfytui.simulator.store import History, PromptQueue

Work = Callable[[], Awaitable[None]]


class Life:
    """The state of a running server, and its two tasks: one that executes prompts, one that sends messages.

    `speed` is asked anew each time, so that it can be changed while the server runs; `now` gives epoch seconds;
    `die` is called with the seconds until the restart (None: no restart) when a fault kills the server.
    """

    def __init__(
        self,
        *,
        version: str,
        folders: Folders,
        speed: Callable[[], Speed],
        faults: Faults,
        now: Callable[[], float],
        device: Literal["cuda", "cpu"],
        previews: bool,
        die: Callable[[float | None], None],
        prompts_executed: list[str],
    ) -> None:
        self.version = version
        self.folders = folders
        self.speed = speed
        self.faults = faults
        self.now = now
        self.previews = previews
        self.die = die
        self.prompts_executed = prompts_executed
        self.frames_written = 0
        self.number = 0
        self.port = 0
        self.counters = Counters()
        self.device = Device(device)
        self.freeze = Freeze()
        self.sockets = Sockets(version, lambda: self.queue.remaining, self.freeze)
        self.queue = PromptQueue(self.sockets.put_status)
        self.history = History(asyncio.get_running_loop().time)
        self.log = Logbook(now, self.sockets.put)
        self.executor = Executor(self)
        self._tasks: set[asyncio.Task[None]] = set()
        self._late: dict[PromptRun, list[tuple[float, Work]]] = {}

    def start(self) -> None:
        """Begin to execute and to send."""
        self.log.write(f"Setting output directory to: {self.folders.output}")
        self.log.write("Device: cuda:0 Simulated GPU" if self.device.kind == "cuda" else "Device: cpu")
        self._spawn(self.executor.run_forever())
        self._spawn(self.sockets.publish_forever())

    async def stop(self) -> None:
        """End all tasks; raises what one of them raised."""
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for result in ended:
            if isinstance(result, Exception):
                raise result

    def after_success(self, run: PromptRun, seconds: float, work: Work) -> None:
        """Do `work` that many seconds after the prompt ends with success (a fault)."""
        self._late.setdefault(run, []).append((seconds, work))

    def start_late_work(self, run: PromptRun) -> None:
        """The prompt ended with success: what was put off begins to wait."""
        for seconds, work in self._late.pop(run, []):
            self._spawn(_later(seconds, work))

    def _spawn(self, work: Awaitable[None]) -> None:
        self._tasks.add(asyncio.ensure_future(work))


async def _later(seconds: float, work: Work) -> None:
    await asyncio.sleep(seconds)
    await work()
