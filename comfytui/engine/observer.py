"""Watching servers with no run: are they there, what is in their queues, what do their GPUs do, which frames land."""

import os
import uuid
from collections.abc import Sequence
from pathlib import Path

import anyio
from anyio import to_thread
from msgspec import UNSET

from comfytui import __version__
from comfytui.clock import Clock
from comfytui.engine.frames.shelves import EitherShelf
from comfytui.engine.hub import Hub, HubLike, Unrecorded
from comfytui.engine.prompt.gpu_activity import GpuActivity
from comfytui.engine.prompt.router import Router
from comfytui.engine.server.beside import GPUS, LOG, OTHERS, beside
from comfytui.engine.server.connection import Line, reached
from comfytui.engine.server.credentials import Credentials
from comfytui.engine.server.log_reader import LogReader
from comfytui.engine.server.others import watch_others
from comfytui.engine.server.side import side_of
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
from comfytui.sources.frames.watcher import FrameWatcher, WatchMode
from comfytui.untrusted import plain

AT_REST = 0.5
"""Seconds without a change after which a file is looked at."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 15.0
"""Seconds between two tries to reach a server that is not there."""
GPU_INTERVAL = 1.0


class Observer:
    """Observes ``servers``; ``hub`` tells what happens. Nothing is journalled, and nothing is asked of a server."""

    def __init__(self, servers: Sequence[ServerPlan], clock: Clock, credentials: Credentials) -> None:
        self.hub = Hub("", clock, Unrecorded())
        self._servers, self._clock, self._credentials = servers, clock, credentials
        self._logs: dict[str, LogReader] = {}

    def command(self, command: c.AnyCommand) -> None:
        """Read a server's log where that is asked; refuse all else: there is no run to change."""
        why_not, asked = "there is no run here", list[LogReader]()
        if isinstance(command, c.ReadServerLog):
            asked = [log for name, log in self._logs.items() if command.server in ("", name)]
            why_not = "" if asked else "the server is not reached"
        self.hub.publish(
            e.CommandAnswered(id=command.id, command=c.describe(command), accepted=not why_not, why=why_not)
        )
        for log in asked:
            log.ask()

    async def drive(self) -> None:
        """Observe until cancelled, through every absence of a server."""
        several = self._servers if len(self._servers) > 1 else ()
        self.hub.publish(
            e.RunOpened(
                run_id="",
                run_dir="",
                story=e.StoryBrief(id=""),
                scenes=(),
                workflow="",
                server=self._servers[0].url,
                servers=tuple(e.ServerBrief(name=one.name, url=one.url, tags=one.tags) for one in several) or UNSET,
                policy=QueuePolicy(),
                version=__version__,
            )
        )
        self.hub.publish(e.RunnerStarted(pid=os.getpid(), started=0.0, host="", reason="observe"))
        async with anyio.create_task_group() as tasks:
            for server in self._servers:
                tasks.start_soon(self._keep, server)

    async def _keep(self, server: ServerPlan) -> None:
        """Observe ``server`` until cancelled."""
        hub, credentials = side_of(self.hub, server.name), self._credentials.of(server.name)
        pause, told = FIRST_PAUSE, ""
        while True:
            try:
                async with reached(hub, server, self._clock, credentials, logs=None, gpu_interval=GPU_INTERVAL) as line:
                    pause, told = FIRST_PAUSE, ""
                    self._logs[server.name] = LogReader(hub, line.http)
                    await self._observe(hub, server, line)
            except Failure as failure:
                if failure.code != told:
                    hub.publish(e.ServerTroubled(code=failure.code, what=failure.what, remedy=failure.remedy))
                    told = failure.code
                hub.publish(e.Pulse(latency=None))
            self._logs.pop(server.name, None)
            await self._clock.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _observe(self, hub: HubLike, server: ServerPlan, line: Line) -> None:
        async with ComfySocket(line.http.address, uuid.uuid4().hex, self._clock) as socket:
            router = Router(hub, self._clock, None)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(beside, hub, LOG, self._logs[server.name].keep)
                tasks.start_soon(router.listen, socket.messages())
                tasks.start_soon(ServerWatch(hub, line.http, self._clock, on_change=router.presence).keep)
                tasks.start_soon(beside, hub, OTHERS, watch_others, hub, line.http, self._clock, None)
                samples = line.gauges.samples()
                tasks.start_soon(beside, hub, GPUS, watch_gpus, hub, samples, GpuActivity(), self._clock)
                if isinstance(line.shelf, EitherShelf):
                    tasks.start_soon(self._watch_frames, line.shelf.output_dir, server.watch)

    async def _watch_frames(self, folder: Path, mode: WatchMode) -> None:
        """Show the files that land in the output folder itself, and what they look like once they rest."""
        fresh: dict[Path, float] = {}
        first = True
        async with (
            FrameWatcher(folder, root=folder, clock=self._clock, mode=mode) as watcher,
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
                self._show(plain(path.name), proof.bytes, "missing" if proof.kind == "missing" else state)
            await self._clock.sleep(AT_REST / 2 if fresh else 2 * AT_REST)

    def _show(self, name: str, size: int, state: e.FrameWord) -> None:
        self.hub.publish(e.FrameWriting(scene="", attempt=0, name=name, bytes=size, state=state))
