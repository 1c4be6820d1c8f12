"""One server of a run: connected while it is there, tried again while it is not, and kept clean of what moved on."""

from collections.abc import Awaitable, Callable

import anyio

from comfytui.clock import Clock, wait_for
from comfytui.engine.frames.shelves import Shelf
from comfytui.engine.hub import HubLike
from comfytui.engine.pausing import first_failure
from comfytui.engine.server.connection import Connection, Line, Means, connected
from comfytui.engine.server.preflight import check_workflow
from comfytui.engine.server.watch import pause_before
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.model.plan import RunPlan, ServerPlan

TRIED_AGAIN = ("server.unreachable", "server.timeout", "server.reply", "server.not_comfyui", "server.auth")
"""Failures of a server that may be over by the next try."""
MENDED = ("workflow.nodes_missing", "workflow.models_missing", "disk.server_space", "config.value")
"""What a server that answers may lack, and a person may bring while the run goes on."""
MEND_LOOK = 60.0
"""Seconds between two looks at whether that was done: each is a request for every class of node."""
CLEAN_LOOK, LONGEST_CLEAN_LOOK = 2.0, 60.0
"""Seconds between two looks at whether the prompts are gone that others took over, the first and the longest: 2 to 6 of
40 interrupts were lost, and ``/queue`` may weigh megabytes (ComfyUI 0.3.64 and 0.8.0)."""


class Station:
    """The server of ``plan`` (one of ``run``), with what is needed to render on it once it is connected.

    ``has_room`` returns once its disk is known to take what comes there; ``on_connected`` is called when it joins.
    """

    def __init__(
        self, hub: HubLike, run: RunPlan, plan: ServerPlan, means: Means, *,
        has_room: Callable[[ServerPlan, Shelf], Awaitable[None]], on_connected: Callable[[], None],
    ) -> None:  # fmt: skip
        self.plan = plan
        self._has_room, self._on_connected = has_room, on_connected
        self._hub, self._run, self._means = hub, run, means
        self._clock: Clock = means.clock
        self._began = self._clock.monotonic()
        self.connection: Connection | None = None
        """``None`` while it is not connected."""
        self.shelf: Shelf | None = None
        """Where its frames are taken from, once it is known to fit."""
        self.failure: Failure | None = None
        """Why it was not connected, when it was last tried."""
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

        Where the run is a later one of a sweep, its only server rendered the run before: it is waited for as one that
        goes away in the middle of a run is.

        Raises ``Failure`` ``run.unwritable``.
        """
        tries, self._began = 0, self._clock.monotonic()

        async def fits(line: Line) -> None:
            await self._fits(line, leave)

        while not leave.is_set():
            try:
                async with connected(self._hub, self._run, self.plan, self._means, fits) as connection:
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
                if self.name and leave.is_set():
                    return
                self.shelf = None
                pause = self._pause(failure, tries) if failure.code in TRIED_AGAIN else None
                self._left_out(failure, pause)
            if pause is None:
                return
            tries += 1
            await wait_for(leave, pause, self._clock)

    async def _fits(self, line: Line, leave: anyio.Event) -> None:
        """Return once the run can be rendered there. One of several servers that lacks something is left out and asked
        again until it has it; when it goes away meanwhile, or on ``leave``, what it lacks is raised.
        """
        tries = 0
        while self.shelf is None:
            try:
                await check_workflow(line.http, self._run.workflow)
                await self._has_room(self.plan, line.shelf)
                self.shelf = line.shelf
            except Failure as failure:
                pause = self._pause(failure, tries)
                if pause is None or failure.code == "server.unreachable":
                    raise
                self._left_out(failure, pause)
                tries += 1
                await wait_for(leave, pause, self._clock)
                if leave.is_set():
                    raise
        if tries:
            self._hub.publish(line.told)

    def _pause(self, failure: Failure, tries: int) -> float | None:
        """Return the seconds after which the server is tried again after ``tries`` in vain; ``None``: it is not."""
        left = self._run.policy.server_wait_seconds - self._away
        follows = self._run.sweep is not None and self._run.sweep.number > 1
        if not self.name and not (follows and failure.code in TRIED_AGAIN and left > 0):
            return None
        if failure.code not in (*TRIED_AGAIN, *MENDED):
            return None
        pause = MEND_LOOK if failure.code in MENDED else pause_before(tries, 0.5)
        return round(min(pause, max(1.0, left)) if left > 0 else pause, 1)

    @property
    def _away(self) -> float:
        """The seconds for which it takes no part."""
        return self._clock.monotonic() - self._began

    def _left_out(self, failure: Failure, pause: float | None) -> None:
        """Tell that the server takes no part: when that begins, and when the reason is another one."""
        before, self.failure = self.failure, failure
        if self.name:
            if before is None or before.code != failure.code or not self._hub.server.left_out:
                self._hub.publish(
                    e.ServerLeftOut(code=failure.code, what=failure.what, remedy=failure.remedy, next_try=pause)
                )
            else:
                self._hub.publish(e.Pulse(latency=None, next_try=pause))
            if not self._hub.server.lost and (pause is None or self._away >= self._run.policy.server_wait_seconds):
                self._hub.publish(e.ServerGivenUp(away=round(self._away, 1)))
        elif pause is not None:
            self._waited_for(failure, pause, went=before is None)
            return
        self.met.set()

    def _waited_for(self, failure: Failure, pause: float, *, went: bool) -> None:
        """Tell that the only server is away, and nothing can be rendered meanwhile."""
        if not went:
            self._hub.publish(e.Pulse(latency=None, next_try=pause))
            return
        wait = self._run.policy.server_wait_seconds
        self._hub.publish(
            e.ServerAway(
                code=failure.code, what=failure.what, remedy=failure.remedy, away=round(self._away, 1),
                next_try=pause, wait=wait,
            )
        )  # fmt: skip

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
        """Take prompts off the server that other servers have taken over, whenever it is back, until cancelled.

        A request may fail and an interrupt be lost, so it is looked again until none of them is left there.
        """
        pause = CLEAN_LOOK
        while True:
            self._returned = anyio.Event()
            try:
                clean = await self._clean(connection)
            except Failure:
                clean = False
                connection.desk.server.doubt()
            if clean or connection.desk.server.away:
                await self._returned.wait()
                pause = CLEAN_LOOK
            else:
                await wait_for(self._returned, pause, self._clock)
                pause = min(LONGEST_CLEAN_LOOK, pause * 2)

    async def _clean(self, connection: Connection) -> bool:
        """Take off what is found there, and return whether nothing was."""
        moved = {
            attempt.prompt_id
            for scene in self._hub.state.scenes
            for attempt in scene.attempts
            if attempt.server_name == self.name and attempt.phase == "ended" and attempt.status == "lost"
        }
        if not moved:
            return True
        http = connection.desk.http
        queue = await http.queue()
        waiting = [one.prompt_id for one in queue.pending if one.prompt_id in moved]
        running = [one.prompt_id for one in queue.running if one.prompt_id in moved]
        await http.delete_pending(waiting)
        for prompt_id in running:
            await http.interrupt(prompt_id)
        return not waiting and not running
