"""One server of a run: connected while it is there, tried again while it is not, and kept clean of what moved on."""

from collections.abc import Callable

import anyio

from comfytui.clock import Clock
from comfytui.engine.hub import HubLike
from comfytui.engine.pausing import first_failure
from comfytui.engine.prompt.signals import wait_for
from comfytui.engine.server.connection import Connection, Means, connected
from comfytui.engine.server.watch import pause_before
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.model.plan import RunPlan, ServerPlan

TRIED_AGAIN = ("server.unreachable", "server.timeout", "server.reply", "server.not_comfyui", "server.auth")
"""Failures of a server that may be over by the next try; of all others a person has to change something."""


class Station:
    """The server of ``plan`` (one of ``run``), with what is needed to render on it once it is connected.

    ``on_connected`` is called then.
    """

    def __init__(
        self, hub: HubLike, run: RunPlan, plan: ServerPlan, means: Means, on_connected: Callable[[], None]
    ) -> None:
        self.plan = plan
        self._on_connected = on_connected
        self._hub, self._run, self._means = hub, run, means
        self._clock: Clock = means.clock
        self.connection: Connection | None = None
        """``None`` while it is not connected."""
        self.failure: Failure | None = None
        """Why it was not, when it was last tried."""
        self.met = anyio.Event()
        """Set once it has been tried: it is connected, or known not to be."""
        self._connected = anyio.Event()
        self._returned = anyio.Event()

    @property
    def name(self) -> str:
        """What it is called; empty where it is the only one."""
        return self.plan.name

    async def live(self, leave: anyio.Event) -> None:
        """Be connected until ``leave``. The only server of a run is tried once, one of several again and again.

        Raises ``Failure`` ``run.unwritable``.
        """
        tries, began = 0, self._clock.monotonic()
        while not leave.is_set():
            try:
                async with connected(self._hub, self._run, self.plan, self._means) as connection:
                    self.connection = connection
                    self.met.set()
                    self._connected.set()
                    self._on_connected()
                    await leave.wait()
                    return
            except (Failure, BaseExceptionGroup) as problem:
                failure = first_failure(problem)
                if failure is None or failure.code == "run.unwritable" or self.connection is not None:
                    raise
                again = bool(self.name) and failure.code in TRIED_AGAIN
                pause = round(pause_before(tries, 0.5), 1) if again else None
                self._left_out(failure, pause, self._clock.monotonic() - began)
                self.met.set()
            if pause is None:
                return
            tries += 1
            await wait_for(leave, pause, self._clock)

    def _left_out(self, failure: Failure, pause: float | None, away: float) -> None:
        """Tell that the server takes no part: when that begins, and when the reason is another one."""
        before, self.failure = self.failure, failure
        if not self.name:
            return
        if before is None or before.code != failure.code:
            self._hub.publish(
                e.ServerLeftOut(code=failure.code, what=failure.what, remedy=failure.remedy, next_try=pause)
            )
        else:
            self._hub.publish(e.Pulse(latency=None, next_try=pause))
        if not self._hub.server.lost and (pause is None or away >= self._run.policy.server_wait_seconds):
            self._hub.publish(e.ServerGivenUp(away=round(away, 1)))

    async def events(self) -> None:
        """Tell what happens on the server once it is connected, until cancelled."""
        await self._connected.wait()
        assert self.connection is not None
        async with anyio.create_task_group() as background:
            self.connection.start(background)
            if self.name:
                background.start_soon(self._keep_clean, self.connection)

    def returned(self) -> None:
        """Learn that the server answers again."""
        self._returned.set()

    async def _keep_clean(self, connection: Connection) -> None:
        """Take prompts off the server that other servers have taken over, whenever it is back, until cancelled."""
        while True:
            self._returned = anyio.Event()
            try:
                await self._clean(connection)
            except Failure:
                connection.desk.server.doubt()  # once it is back, this is done again
            await self._returned.wait()

    async def _clean(self, connection: Connection) -> None:
        moved = {
            attempt.prompt_id
            for scene in self._hub.state.scenes
            for attempt in scene.attempts
            if attempt.server_name == self.name and attempt.phase == "ended" and attempt.status == "lost"
        }
        if not moved:
            return
        queue, http = await connection.desk.http.queue(), connection.desk.http
        if waiting := [one.prompt_id for one in queue.pending if one.prompt_id in moved]:
            await http.delete_pending(waiting)
        for one in queue.running:
            if one.prompt_id in moved:
                await http.interrupt(one.prompt_id)
