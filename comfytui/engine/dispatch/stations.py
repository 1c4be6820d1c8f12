"""The servers of a run: opened together, left together; each attempt goes to the one that it names."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

import anyio
from anyio import to_thread

from comfytui.clock import Clock
from comfytui.engine.attempt.desk import Desk
from comfytui.engine.attempt.driver import AttemptDriver
from comfytui.engine.attempt.voice import AttemptVoice
from comfytui.engine.dispatch.protocol import Client
from comfytui.engine.dispatch.station import Station
from comfytui.engine.dispatch.unseen import Unseen, end_unseen
from comfytui.engine.frames.shelves import Shelf
from comfytui.engine.hub import Hub
from comfytui.engine.lanes import Capacity, patience
from comfytui.engine.server.connection import Connection, Means
from comfytui.engine.server.credentials import Credentials
from comfytui.engine.server.make_room import make_room
from comfytui.engine.server.preflight import check_disk, check_share
from comfytui.engine.server.side import side_of
from comfytui.errors import Failure
from comfytui.model.failure_classes import class_of
from comfytui.model.plan import RunPlan, ServerPlan
from comfytui.model.state import Scene
from comfytui.records.rundir import RunDir, prepare_scene

OTHERS_WAIT = 1.0
"""Seconds for which the servers that answer wait for those that do not say whether they can be used."""
LOOK = 1.0
"""Seconds between two looks at whether anybody can take an attempt whose server is not connected."""


class Stations:
    """All servers of the run in ``run_dir``; see :class:`comfytui.engine.dispatch.protocol.Dispatch`."""

    def __init__(self, hub: Hub, plan: RunPlan, run_dir: RunDir, clock: Clock, credentials: Credentials) -> None:
        self._hub, self._plan, self._run_dir, self._clock = hub, plan, run_dir, clock
        self._all = [
            Station(
                side_of(hub, server.name), plan, server, self._means(server.name, credentials), has_room=self._room,
                on_connected=self._joined,
            )
            for server in plan.servers
        ]  # fmt: skip
        self._disks_checked = False

    def _means(self, name: str, credentials: Credentials) -> Means:
        return Means(
            clock=self._clock, credentials=credentials.of(name), run_dir=self._run_dir,
            patience=lambda scene: self._patience(scene, name), on_change=lambda own: self._presence(name, own),
        )  # fmt: skip

    def _presence(self, name: str, own: Callable[[bool], None]) -> Callable[[bool], None]:
        def changed(here: bool) -> None:
            own(here)
            for station in self._all:
                if station.name == name and here:
                    station.returned()
                elif station.name != name and station.connection is not None:
                    station.connection.desk.router.stir()  # what is away may be given to another now, or no more

        return changed

    async def check_disks(self) -> None:
        """Return when the disks of the run, and of the servers that fit by now, take what comes there.

        Whoever joins later is held to it then. Raises what :func:`check_disk` does.
        """
        self._disks_checked = True
        shelves = [(station.plan, station.shelf) for station in self._all if station.shelf is not None]
        await check_disk(self._hub, self._plan, self._run_dir, shelves)

    async def _room(self, server: ServerPlan, shelf: Shelf) -> None:
        if self._disks_checked:
            sharers = 1 + sum(station.shelf is not None for station in self._all)
            await check_share(self._hub, self._plan, self._run_dir, (server, shelf), sharers)

    def _joined(self) -> None:
        """A server was connected: whoever waits for work, or for a server that is away, is to look again."""
        self._hub.stir()
        for connection in self.connections:
            connection.desk.router.stir()

    def _patience(self, scene_id: str, name: str) -> float | None:
        scene = self._hub.state.scene(scene_id)
        if len(self._all) == 1 or scene is None:
            return None
        return patience(self._hub.state, self._hub.standing, self.capacity(), scene, name)

    @property
    def connections(self) -> list[Connection]:
        """The servers that are connected."""
        return [station.connection for station in self._all if station.connection is not None]

    # --- coming and going ----------------------------------------------------------------------------------------

    async def meet(self, *, everyone: bool) -> None:
        """Return when the first server is connected and the others had a moment for it, or all have been tried.

        ``everyone``: wait for all of them. Raises the ``Failure`` of the first one when none can be used.
        """
        async with anyio.create_task_group() as tasks:
            for station in self._all:
                tasks.start_soon(self._met, station, everyone, tasks.cancel_scope)
        if not self.connections:
            raise next(station.failure for station in self._all if station.failure is not None)

    async def _met(self, station: Station, everyone: bool, waiting: anyio.CancelScope) -> None:
        await station.met.wait()
        if all(each.met.is_set() for each in self._all):
            waiting.cancel()
        elif station.connection is not None and not everyone:
            await self._clock.sleep(OTHERS_WAIT)
            waiting.cancel()

    async def live(self, leave: anyio.Event) -> None:
        """Be connected with every server that can be used, until ``leave``."""
        async with anyio.create_task_group() as tasks:
            for station in self._all:
                tasks.start_soon(station.live, leave)

    # --- the protocol --------------------------------------------------------------------------------------------

    def capacity(self) -> Capacity:
        """Return how many prompts each connected server may have at a time: one at work, others behind it."""
        return {station.name: 1 + self._plan.policy.lookahead for station in self._all if station.connection}

    async def submit(self, scene_id: str, client: Client, *, taken_over: bool = False) -> None:
        """Drive the newest attempt of the scene on its server; make room there when it ran out of GPU memory."""
        scene = self._scene(scene_id)
        attempt = scene.attempts[-1]
        station = next((one for one in self._all if one.name == attempt.server_name), self._all[0])
        if attempt.phase != "ended":
            await to_thread.run_sync(prepare_scene, self._run_dir, scene.brief)
            if (connection := await self._connection(station, scene_id, client)) is None:
                why = self._why_unseen(station.name, scene_id, client) or "lost"
                voice = AttemptVoice(self._hub, scene_id, attempt)
                end_unseen(voice, self._plan.policy, why, self._clock.now())
                return
            driver = AttemptDriver(connection.desk, scene, attempt, taken_over=taken_over)
            if client.given_up(scene_id):
                driver.signals.cancel()
            await driver.drive()
        if station.connection is not None:
            await self._make_room(station.connection.desk, scene_id, client)

    async def _connection(self, station: Station, scene_id: str, client: Client) -> Connection | None:
        """Return the way to the server once there is one; ``None``: it is not to be waited for."""
        while station.connection is None and not self._why_unseen(station.name, scene_id, client):
            await self._hub.changed_within(LOOK)
        return station.connection

    def _why_unseen(self, name: str, scene_id: str, client: Client) -> Unseen | None:
        if client.given_up(scene_id):
            return "given_up"
        if self._patience(scene_id, name) is not None:
            return "moved"
        return "lost" if self._hub.state.server_called(name).lost else None

    async def _make_room(self, desk: Desk, scene_id: str, client: Client) -> None:
        """Let the server give GPU memory back where the scene's newest attempt ran out of it and another is due."""
        attempt = self._scene(scene_id).attempts[-1]
        if class_of(attempt) == "oom" and client.is_due(scene_id):
            await make_room(desk, scene_id, attempt, lambda: client.is_due(scene_id))

    def _scene(self, scene_id: str) -> Scene:
        scene = self._hub.state.scene(scene_id)
        if scene is None:
            raise Failure("internal", why=f"scene {scene_id} vanished", debug="events.jsonl")
        return scene

    def cancel(self, scene_id: str, how: Literal["give_up", "recall"] = "give_up") -> None:
        """Take what is under way of the scene off its server, or only what waits there."""
        for connection in self.connections:
            for signals in connection.desk.router.signals_of(scene_id):
                signals.cancel() if how == "give_up" else signals.recall()

    async def events(self) -> None:
        """Tell what happens on the servers, until cancelled."""
        async with anyio.create_task_group() as tasks:
            for station in self._all:
                tasks.start_soon(station.events)

    def read_log(self, server: str) -> str:
        """Have logs read; return why that cannot be."""
        asked = [station for station in self._all if not server or station.name == server]
        if not asked:
            return f"there is no server {server}"
        there = [station.connection for station in asked if station.connection is not None]
        for connection in there:
            connection.log.ask()
        return "" if there else "the server is not reached yet"


@asynccontextmanager
async def opened(stations: Stations, *, everyone: bool) -> AsyncIterator[Stations]:
    """Yield ``stations`` once one of them (``everyone``: each that can be used) is connected; leave them afterwards.

    Raises the ``Failure`` of the first one when none can be used, and those of :meth:`Station.live`.
    """
    fault: Exception | None = None
    leave, left, living = anyio.Event(), anyio.Event(), anyio.CancelScope(shield=True)

    async def live() -> None:
        with living:  # who uses the servers is through with them before they are left, also when that is cancelled
            await stations.live(leave)
        left.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(live)
        try:
            try:
                await stations.meet(everyone=everyone)
                yield stations
            except Exception as problem:  # noqa: BLE001 - raised again below: each server is left in good order first
                fault = problem
            leave.set()
            await left.wait()
        except BaseException:
            living.cancel()
            raise
    if fault is not None:
        raise fault
