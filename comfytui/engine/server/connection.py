"""The way to the server: started if it is ours to start, checked in stages, and watched while the run goes on."""

import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio.abc
from msgspec import Struct

from comfytui.clock import Clock, wait_for
from comfytui.engine.attempt.desk import Desk
from comfytui.engine.frames.shelves import DiskShelf, EitherShelf, HttpShelf, Shelf
from comfytui.engine.frames.watch import watch_frames
from comfytui.engine.hub import HubLike
from comfytui.engine.prompt.router import Router
from comfytui.engine.server.beside import GPUS, LOG, OTHERS, beside
from comfytui.engine.server.credentials import Credentials
from comfytui.engine.server.gauges import Gauges
from comfytui.engine.server.guard import ServerGuard
from comfytui.engine.server.log_reader import LogReader
from comfytui.engine.server.others import watch_others
from comfytui.engine.server.vitals import watch_gpus
from comfytui.engine.server.watch import ServerWatch
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.model.plan import RunPlan, ServerPlan
from comfytui.model.workflow import marked, prefix_for
from comfytui.records.faults import why
from comfytui.records.room import is_folder
from comfytui.records.rundir import RunDir
from comfytui.sources.comfy.address import ServerAddress
from comfytui.sources.comfy.connect import ServerFacts, check_server
from comfytui.sources.comfy.http import ComfyHttp
from comfytui.sources.comfy.socket import ComfySocket
from comfytui.untrusted import file_name

SIMULATOR_START = 30.0
"""Seconds in which the built-in simulator must be ready."""
HEAD_START = 0.25
"""Seconds that the first prompt has before frames and GPUs are looked at: beginning to look is the work of 30 ms."""
SERVER_LOG, SIMULATOR_LOG = "comfyui.log", "simulator.log"
"""What a server that we started says, in the run's folder of logs; of several each has its name in it."""


class Means(Struct, frozen=True):
    """What a run has to connect with: its clock, its secrets for the server, its folder; and who else is to be asked.

    ``patience`` tells for how long a scene stays with a server that does not answer; ``on_change`` returns what is
    called when it goes or comes back, given what its own router does then.
    """

    clock: Clock
    credentials: Credentials
    run_dir: RunDir
    patience: Callable[[str], float | None] = lambda _: None
    on_change: Callable[[Callable[[bool], None]], Callable[[bool], None]] = lambda own: own


class Connection(Struct, frozen=True):
    """A server that answers, and everything that is needed to render on it."""

    desk: Desk
    socket: ComfySocket
    gauges: Gauges
    server: ServerPlan
    mark: str
    guard: ServerGuard | None
    log: LogReader

    def start(self, background: anyio.abc.TaskGroup) -> None:
        """Start what goes on beside the attempts; it ends when ``background`` is cancelled."""
        desk = self.desk
        background.start_soon(desk.router.listen, self.socket.messages())
        background.start_soon(desk.router.keep_hearing, self.socket)
        background.start_soon(desk.server.keep)
        background.start_soon(
            beside, desk.hub, OTHERS, watch_others, desk.hub, desk.http, desk.clock, desk.client_id
        )  # fmt: skip
        background.start_soon(beside, desk.hub, LOG, self.log.keep)
        if self.guard is not None:
            background.start_soon(self.guard.keep_running)
        background.start_soon(self._look, background)

    async def _look(self, background: anyio.abc.TaskGroup) -> None:
        """Begin to look at frames and GPUs once a prompt is sent that they may be of: the first look misses nothing."""
        desk = self.desk
        await wait_for(desk.sent, HEAD_START, desk.clock)
        samples = self.gauges.samples()
        background.start_soon(beside, desk.hub, GPUS, watch_gpus, desk.hub, samples, desk.activity, desk.clock)
        if isinstance(desk.shelf, EitherShelf):
            folder = prefix_for(desk.hub.run_id, "any", 1, self.mark).rpartition("/")[0]
            background.start_soon(
                watch_frames, desk, desk.shelf.output_dir / folder, desk.shelf.output_dir, self.server.watch
            )


class Line(Struct, frozen=True):
    """A server that answered, with what was told of it and the means to ask it more."""

    told: e.ServerReached
    http: ComfyHttp
    shelf: Shelf
    gauges: Gauges
    guard: ServerGuard | None


@asynccontextmanager
async def connected(
    hub: HubLike, plan: RunPlan, server: ServerPlan, means: Means, fits: Callable[[Line], Awaitable[None]]
) -> AsyncIterator[Connection]:
    """Connect a run with ``server`` in stages: the server itself, ``/system_stats``, whether it ``fits``, the socket.

    Raises ``Failure``: ``server.start_failed``, ``server.unreachable`` and its kin, and what ``fits`` raises, which
    returns once the run can be rendered there.
    """
    clock, run_dir, interval = means.clock, means.run_dir, plan.policy.gpu_interval_seconds
    async with reached(hub, server, clock, means.credentials, logs=run_dir.logs, gpu_interval=interval) as line:
        await fits(line)
        client_id = uuid.uuid5(uuid.NAMESPACE_URL, f"comfytui:{marked(str(run_dir.path), plan.mark)}").hex
        async with ComfySocket(line.http.address, client_id, clock) as socket:
            router = Router(hub, clock, plan.workflow)
            wait = plan.policy.server_wait_seconds
            watch = ServerWatch(hub, line.http, clock, wait=wait, on_change=means.on_change(router.presence))
            router.on_socket = watch.socket
            desk = Desk(
                hub=hub,
                clock=clock,
                http=line.http,
                server=watch,
                router=router,
                shelf=line.shelf,
                measure=line.gauges.measure,
                policy=plan.policy,
                workflow=plan.workflow,
                run_dir=run_dir,
                client_id=client_id,
                name=server.name,
                patience=means.patience,
            )
            yield Connection(
                desk=desk, socket=socket, gauges=line.gauges, server=server, mark=plan.mark, guard=line.guard,
                log=LogReader(hub, line.http),
            )  # fmt: skip


@asynccontextmanager
async def reached(
    hub: HubLike, server: ServerPlan, clock: Clock, credentials: Credentials, *, logs: Path | None, gpu_interval: float
) -> AsyncIterator[Line]:
    """Reach the server, starting the simulator or ComfyUI where that is to be done, and tell the hub of it.

    Without ``logs`` there is no run: then ComfyUI is neither started nor taken over.

    Raises ``Failure``: ``server.start_failed``, ``server.unreachable`` and its kin, ``config.value``.
    """
    async with AsyncExitStack() as stack:
        url = server.url
        if server.simulator_speed is not None:
            log = log_of(server, logs, SIMULATOR_LOG) if logs is not None else None
            url = await stack.enter_async_context(simulator(server.simulator_speed, log, clock))
        address = ServerAddress.parse(url, token=credentials.token, headers=credentials.headers)
        http = await stack.enter_async_context(ComfyHttp(address))
        guard: ServerGuard | None = None
        if server.simulator_speed is None and logs is not None:
            said = log_of(server, logs, SERVER_LOG)
            guard = ServerGuard(hub, server, http, clock, env=credentials.server_env, log=said)
            await stack.enter_async_context(guard)
        facts = await check_server(http, guard.stats if guard is not None else None)
        shelf = shelf_for(server, facts, http, clock)
        managed = server.simulator_speed is not None or (guard is not None and guard.managed)
        told = told_of(address.url, facts, shelf, managed=managed)
        hub.publish(told)
        for note in facts.notes:
            hub.publish(e.RunNoted(text=note))
        gauges = Gauges(http, clock, local=address.is_loopback, interval=gpu_interval)
        yield Line(told=told, http=http, shelf=shelf, gauges=await stack.enter_async_context(gauges), guard=guard)


def log_of(server: ServerPlan, logs: Path, name: str) -> Path:
    """Return where what ``server`` says is kept."""
    stem, _, suffix = name.partition(".")
    return logs / (f"{stem}-{file_name(server.name)}.{suffix}" if server.name else name)


def shelf_for(server: ServerPlan, facts: ServerFacts, http: ComfyHttp, clock: Clock) -> Shelf:
    """Return where frames are taken from: a folder that a person named, the server's own when it is on this machine,
    else ``/view``: also where the way to the server's own folder is not ours to go.

    Raises ``Failure`` ``config.value`` when the named folder is not there, or cannot be looked for.
    """
    if server.output_dir is not None:
        named = Path(server.output_dir)
        try:
            lacking = "" if named.is_dir() else "there is no such folder"
        except OSError as fault:
            lacking = why(fault)
        if lacking:
            raise Failure("config.value", place=f"--output-dir {named}", why=lacking)
        return EitherShelf(DiskShelf(named, clock), HttpShelf(http))
    if http.address.is_loopback and facts.output_dir is not None and is_folder(Path(facts.output_dir)):
        return EitherShelf(DiskShelf(Path(facts.output_dir), clock), HttpShelf(http))
    return HttpShelf(http)


def told_of(url: str, facts: ServerFacts, shelf: Shelf, *, managed: bool) -> e.ServerReached:
    """Return the fact that the server answers."""
    stats = facts.stats
    return e.ServerReached(
        url=url,
        version=stats.version,
        os=stats.os,
        python=stats.python,
        pytorch=stats.pytorch,
        output_dir=str(shelf.output_dir) if isinstance(shelf, EitherShelf) else None,
        frames_by=shelf.via,
        devices=stats.devices,
        managed=managed,
    )


@asynccontextmanager
async def simulator(speed: str, log: Path | None, clock: Clock) -> AsyncIterator[str]:
    """Run the built-in simulator as a process of its own, and yield its URL; its output folder goes with it.

    Raises ``Failure`` ``server.start_failed``.
    """
    from comfytui.sources.comfy.process import ServerProcess, simulator_command, simulator_url

    with tempfile.TemporaryDirectory(prefix="comfytui-sim-", ignore_cleanup_errors=True) as output:
        command = simulator_command(Path(output), speed)
        async with ServerProcess.start(
            command, log=log, ready=simulator_url, timeout=SIMULATOR_START, clock=clock
        ) as process:
            if process.url is None:
                raise Failure("server.start_failed", why="the simulator did not tell its address")
            yield process.url
