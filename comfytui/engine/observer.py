"""Watching a server with no run: is it there, what is in its queue, what do its GPUs do, which frames land."""

import os
import uuid
from pathlib import Path

import anyio
from anyio import to_thread

from comfytui import __version__
from comfytui.clock import Clock
from comfytui.engine.frames.shelves import EitherShelf
from comfytui.engine.hub import Hub, Unrecorded
from comfytui.engine.prompt.gpu_activity import GpuActivity
from comfytui.engine.prompt.router import Router
from comfytui.engine.server.connection import Line, reached
from comfytui.engine.server.credentials import Credentials
from comfytui.engine.server.log_reader import LogReader
from comfytui.engine.server.others import watch_others
from comfytui.engine.server.vitals import watch_gpus
from comfytui.engine.server.watch import ServerWatch
from comfytui.errors import Failure
from comfytui.model import commands as c
from comfytui.model import events as e
from comfytui.model.plan import ServerPlan
from comfytui.model.policy import QueuePolicy
from comfytui.sources.comfy.socket import ComfySocket
from comfytui.sources.frames.folder import FrameSeen
from comfytui.sources.frames.verify import prove
from comfytui.sources.frames.watcher import FrameWatcher

AT_REST = 0.5
"""Seconds without a change after which a file is looked at."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 15.0
"""Seconds between two tries to reach a server that is not there."""
GPU_INTERVAL = 1.0


class Observer:
    """Observes ``server``; ``hub`` tells what happens. Nothing is journalled, and nothing is asked of the server."""

    def __init__(self, server: ServerPlan, clock: Clock, credentials: Credentials) -> None:
        self.hub = Hub("", clock, Unrecorded())
        self._server, self._clock, self._credentials = server, clock, credentials
        self._log: LogReader | None = None

    def command(self, command: c.AnyCommand) -> None:
        """Read the server's log where that is asked; refuse all else: there is no run to change."""
        why_not = "there is no run here"
        if isinstance(command, c.ReadServerLog):
            why_not = "" if self._log is not None else "the server is not reached"
        self.hub.publish(
            e.CommandAnswered(id=command.id, command=c.describe(command), accepted=not why_not, why=why_not)
        )
        if self._log is not None and not why_not:
            self._log.ask()

    async def drive(self) -> None:
        """Observe until cancelled, through every absence of the server."""
        self.hub.publish(
            e.RunOpened(
                run_id="",
                run_dir="",
                story=e.StoryBrief(id=""),
                scenes=(),
                workflow="",
                server=self._server.url,
                policy=QueuePolicy(),
                version=__version__,
            )
        )
        self.hub.publish(e.RunnerStarted(pid=os.getpid(), started=0.0, host="", reason="observe"))
        pause, told = FIRST_PAUSE, ""
        while True:
            try:
                async with reached(
                    self.hub, self._server, self._clock, self._credentials, logs=None, gpu_interval=GPU_INTERVAL
                ) as line:
                    pause, told = FIRST_PAUSE, ""
                    self._log = LogReader(self.hub, line.http)
                    await self._observe(line, self._log)
            except Failure as failure:
                if failure.code != told:
                    self.hub.publish(e.ServerTroubled(code=failure.code, what=failure.what, remedy=failure.remedy))
                    told = failure.code
                self.hub.publish(e.Pulse(latency=None))
            self._log = None
            await self._clock.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _observe(self, line: Line, log: LogReader) -> None:
        async with ComfySocket(line.http.address, uuid.uuid4().hex, self._clock) as socket:
            router = Router(self.hub, self._clock, None)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(log.keep)
                tasks.start_soon(router.listen, socket.messages())
                tasks.start_soon(ServerWatch(self.hub, line.http, self._clock, on_change=router.presence).keep)
                tasks.start_soon(watch_others, self.hub, line.http, self._clock, None)
                tasks.start_soon(watch_gpus, self.hub, line.gauges.samples(), GpuActivity(), self._clock)
                if isinstance(line.shelf, EitherShelf):
                    tasks.start_soon(self._watch_frames, line.shelf.output_dir)

    async def _watch_frames(self, folder: Path) -> None:
        """Show the files that land in the output folder itself, and what they look like once they rest."""
        fresh: dict[Path, float] = {}
        first = True
        async with (
            FrameWatcher(folder, root=folder, clock=self._clock, mode=self._server.watch) as watcher,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(self._judge_rested, fresh)
            async for batch in watcher:
                for seen in batch:
                    if isinstance(seen, FrameSeen) and seen.change != "deleted" and not first:
                        fresh[seen.path] = self._clock.monotonic()
                        self._show(seen.name, seen.bytes, "writing")
                first = False  # what was there before is nobody's news

    async def _judge_rested(self, fresh: dict[Path, float]) -> None:
        while True:
            now = self._clock.monotonic()
            for path in [path for path, at in fresh.items() if now - at >= AT_REST]:
                del fresh[path]
                proof = await to_thread.run_sync(prove, path)
                state: e.FrameWord = "proven" if proof.whole else "truncated" if proof.proven else "unproven"
                self._show(path.name, proof.bytes, state)
            await self._clock.sleep(AT_REST / 2 if fresh else 2 * AT_REST)

    def _show(self, name: str, size: int, state: e.FrameWord) -> None:
        self.hub.publish(e.FrameWriting(scene="", attempt=0, name=name, bytes=size, state=state))
