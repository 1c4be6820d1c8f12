"""The process guard: ComfyUI is started where nobody answers, and only what this run started is ever ended.

What it does is told by facts, and who the started process is stands in the journal before anything is asked of it. So a
runner that takes the run over after a crash knows the server again, and may end it after the same proof.
"""

import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import anyio
from anyio import to_thread

from comfytui.clock import Clock
from comfytui.engine.hub import HubLike
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.model.plan import ServerPlan
from comfytui.model.state import OwnProcess
from comfytui.sources.comfy.http import ComfyHttp
from comfytui.sources.comfy.own_server import OwnServer
from comfytui.sources.comfy.port import holder, is_held
from comfytui.sources.comfy.replies import SystemStats
from comfytui.sources.processes.identity import ProcessIdentity, has_ended, why_not

REUSED: Final = "ComfyUI already running and reachable; reusing it"

RESTARTS: Final = 3
"""How often a run starts a server again that died."""
PAUSES: Final = (0.0, 5.0, 15.0)
"""Seconds before each of these restarts: what killed it may still be there."""
READY_LOOK: Final = 0.25
"""Seconds between two questions whether a server that was started answers."""
LOOK: Final = 0.5
"""Seconds between two looks at whether our server still runs."""
URGENT: Final = 1.0
"""Seconds of grace when the run is left at once."""
QUEUE_LOOK: Final = 2.0
"""Seconds that the queue may take to tell whether others use our server too."""
SECRET: Final = 6
"""Characters from which on a value of the added environment is covered where a failure quotes the server."""


class ServerGuard:
    """Sees to it that ComfyUI answers while the context is open; ends it afterwards if this run started it.

    Entering raises ``Failure``: ``server.start_failed``; ``server.not_comfyui`` when somebody else holds the port;
    ``server.unreachable`` and its kin when nothing is to be started.
    """

    def __init__(
        self, hub: HubLike, plan: ServerPlan, http: ComfyHttp, clock: Clock, *, env: Mapping[str, str], log: Path
    ) -> None:
        self._hub, self._plan, self._http, self._clock, self._env, self._log = hub, plan, http, clock, env, log
        self._own: OwnServer | None = None
        self.stats: SystemStats | None = None
        """What a server told on entering that was running already."""
        self._restarts = hub.server.restarts

    @property
    def managed(self) -> bool:
        """Whether the server that answers was started by this run."""
        return self._own is not None

    async def __aenter__(self) -> Self:
        try:
            await self._secure()
        except BaseException as fault:  # failed or cancelled: nothing that we started may stay behind
            await self._stop(urgent=not isinstance(fault, Exception))
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop(urgent=kind is not None and not issubclass(kind, Exception))

    async def keep_running(self) -> None:
        """Start our server again when it dies, at most ``RESTARTS`` times a run; ends when there is none of ours."""
        while self._own is not None:
            await self._clock.sleep(LOOK)
            if self._own is not None and not await to_thread.run_sync(self._own.runs):
                await self._bury(self._own)
                await self._revive()

    # --- who answers ---------------------------------------------------------------------------------------------

    async def _secure(self) -> None:
        if await self._take_over():
            return
        if await self._answers():
            self._hub.publish(e.RunNoted(text=REUSED))
        else:
            await self._start()

    async def _answers(self) -> bool:
        """Return whether ComfyUI answers; ``False`` where nobody does, and there is a command that changes that.

        Raises the failure as it is where there is no command, and ``server.not_comfyui``, with the name of who holds
        the port, where that is not ComfyUI.
        """
        try:
            self.stats = await self._http.system_stats()
        except Failure as failure:
            if not self._plan.command:
                raise
            if failure.code == "server.unreachable" and not getattr(failure, "may_have_arrived", False):
                if not await is_held(self._http.address):
                    return False
                raise
            if failure.code not in ("server.unreachable", "server.not_comfyui", "server.timeout"):
                raise  # a login or an error of its own: ComfyUI may be behind it
            raise await self._held(failure) from None
        return True

    async def _held(self, failure: Failure) -> Failure:
        address = self._http.address
        name = await to_thread.run_sync(holder, address)
        why = str(failure.words["why"]) if "why" in failure.words else "it does not answer"
        by = f"the port is held by {name}" if name else "somebody else holds the port"
        return Failure(
            "server.not_comfyui", server=address.url, why=f"{why}; {by}, so nothing was started and nothing was ended"
        )

    # --- a server of ours ----------------------------------------------------------------------------------------

    async def _take_over(self) -> bool:
        """Go on with the server that a runner before us started, if it is proven to be that one and answers."""
        recorded = self._hub.server.own
        if recorded is None:
            return False
        identity = ProcessIdentity(pid=recorded.pid, created=recorded.created, executable=recorded.executable)
        if recorded.host == socket.gethostname() and await to_thread.run_sync(has_ended, recorded.pid):
            self._hub.publish(e.ServerDied(pid=recorded.pid, why="it is gone"))
            return False
        if (why := await to_thread.run_sync(_not_ours, recorded, identity)) is not None:
            self._hub.publish(e.ServerStopped(pid=recorded.pid, skipped=why))
            return False
        self._own = OwnServer.taken_over(identity, self._log)
        try:
            await self._ready(self._own)
        except Failure as failure:
            self._hub.publish(e.RunNoted(level="warning", text=failure.what))
            await self._stop(urgent=False)
            return False
        self._hub.publish(e.RunNoted(text=f"ComfyUI with PID {recorded.pid} was started by this run; going on with it"))
        return True

    async def _start(self) -> None:
        """Start the server and wait until it answers. Raises ``Failure`` ``server.start_failed``."""
        plan = self._plan
        own = await to_thread.run_sync(
            lambda: OwnServer.start(
                plan.command, cwd=Path(plan.cwd) if plan.cwd else None, env=self._env, log=self._log
            )
        )
        self._own = own
        await self._hub.commit(self._started(own, ready=False))
        try:
            await self._ready(own)
        except Failure:
            if not own.runs() and await self._overtaken(own):
                return
            raise
        await to_thread.run_sync(own.look_again)
        await self._hub.commit(self._started(own, ready=True))

    async def _ready(self, own: OwnServer) -> None:
        """Return once the server answers and ``own`` runs still a moment later: else it is another that answers.

        Raises ``Failure`` ``server.start_failed``.
        """
        until = self._clock.monotonic() + self._plan.ready_timeout
        answered = False
        while True:
            if not await to_thread.run_sync(own.runs):
                raise self._start_failed(own, own.how_it_ended())
            if answered:
                return
            left = until - self._clock.monotonic()
            if left <= 0:
                raise self._start_failed(own, f"it was not ready within {self._plan.ready_timeout:g} s")
            with anyio.move_on_after(left):
                with suppress(Failure):
                    await self._http.system_stats()
                    answered = True
                await self._clock.sleep(READY_LOOK)

    async def _overtaken(self, own: OwnServer) -> bool:
        """Tell whether ComfyUI answers though ours ended: somebody started one in the same moment. It is not ours."""
        try:
            await self._http.system_stats()
        except Failure:
            return False
        await self._bury(own)
        self._hub.publish(e.RunNoted(text=REUSED))
        return True

    async def _bury(self, own: OwnServer) -> None:
        """Record that our server died, and end what it left behind."""
        await own.stop(self._plan.stop_grace, self._clock)
        self._own = None
        self._hub.publish(e.ServerDied(pid=own.identity.pid, why=self._hidden(own.how_it_ended() + own.last_words())))

    async def _revive(self) -> None:
        while self._plan.command and self._own is None:
            if self._restarts >= RESTARTS:
                times = f"ComfyUI was started {RESTARTS} more times and died each time"
                self._hub.publish(e.RunNoted(level="error", text=f"{times}; it is not started again"))
                return
            await self._clock.sleep(PAUSES[self._restarts])
            self._restarts += 1
            try:
                if await self._answers():  # somebody else was quicker
                    self._hub.publish(e.RunNoted(text=REUSED))
                    return
                await self._start()
            except Failure as failure:
                if failure.code == "run.unwritable":
                    raise
                self._hub.publish(e.ServerTroubled(code=failure.code, what=failure.what, remedy=failure.remedy))
                await self._stop(urgent=False)

    # --- the end -------------------------------------------------------------------------------------------------

    async def _stop(self, *, urgent: bool) -> None:
        """End our server, if there is one. When the run is left at once, it has ``URGENT`` seconds, else its grace."""
        own = self._own
        if own is None:
            return
        if not own.runs():
            with anyio.CancelScope(shield=True):
                await self._bury(own)
            return
        if not urgent:
            try:
                self._tell_stopped(own, await self._ended(own, self._plan.stop_grace))
            except anyio.get_cancelled_exc_class():
                await self._stop_now(own)
                raise
        else:
            await self._stop_now(own)

    async def _stop_now(self, own: OwnServer) -> None:
        with anyio.CancelScope(shield=True):
            self._tell_stopped(own, await self._ended(own, min(URGENT, self._plan.stop_grace)))

    async def _ended(self, own: OwnServer, grace: float) -> str | None:
        """End ``own``; return why it was left alone: it is not proven to be ours, or renders for others too."""
        if others := await self._others():
            return f"{others} prompt{'s' * (others > 1)} of others {'are' if others > 1 else 'is'} in its queue"
        return await own.stop(grace, self._clock)

    async def _others(self) -> int:
        """Return how many prompts of others our server has; 0 where it does not tell."""
        ours = {attempt.prompt_id for scene in self._hub.state.scenes for attempt in scene.attempts}
        with anyio.move_on_after(QUEUE_LOOK):
            try:
                queue = await self._http.queue()
            except Failure:
                return 0
            return sum(one.prompt_id not in ours for one in (*queue.running, *queue.pending))
        return 0

    def _tell_stopped(self, own: OwnServer, skipped: str | None) -> None:
        self._own = None
        self._hub.publish(e.ServerStopped(pid=own.identity.pid, skipped=skipped or ""))

    # --- words ---------------------------------------------------------------------------------------------------

    def _started(self, own: OwnServer, *, ready: bool) -> e.ServerStarted:
        who = own.identity
        return e.ServerStarted(
            pid=who.pid,
            created=who.created,
            executable=who.executable,
            host=socket.gethostname(),
            ready=ready,
            restarts=self._restarts,
        )

    def _start_failed(self, own: OwnServer, how: str) -> Failure:
        return Failure("server.start_failed", why=self._hidden(how + own.last_words()))

    def _hidden(self, text: str) -> str:
        """Return ``text``, which may be the server's own words, without the values that were added for it alone."""
        for value in sorted(self._env.values(), key=len, reverse=True):
            text = text.replace(value, "***") if len(value) >= SECRET else text
        return text


def _not_ours(recorded: OwnProcess, identity: ProcessIdentity) -> str | None:
    """Return why the recorded process must not be taken for ours; ``None``: it is proven to be it."""
    if recorded.host != socket.gethostname():
        return f"it was started on {recorded.host}, which is another machine"
    return why_not(identity)
