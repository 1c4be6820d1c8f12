"""The runner: takes a run from its plan to its records. One process drives it; faces only watch and ask.

It can be taken up again at any time: what the journal tells is folded first, an attempt that was open is looked for on
the server, and a scene that is over stays over.
"""

import importlib
from types import TracebackType
from typing import Literal, Self

import anyio
import anyio.abc
from anyio import to_thread
from msgspec import UNSET

from comfytui.clock import Clock
from comfytui.engine.checks import Checks
from comfytui.engine.dispatch.protocol import Dispatch
from comfytui.engine.dispatch.stations import Stations, opened
from comfytui.engine.foreman import Foreman
from comfytui.engine.hub import Hub
from comfytui.engine.pausing import INTERRUPTED, first_failure, pause, stepping_back
from comfytui.engine.server.credentials import Credentials
from comfytui.engine.taking_up import TakingUp, journal_notes
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.model.commands import AnyCommand
from comfytui.model.fold import fold_all
from comfytui.model.plan import RunPlan
from comfytui.model.varying import varying_inputs
from comfytui.records import journal as journals
from comfytui.records.journal import Journal
from comfytui.records.lock import RunLock, this_process
from comfytui.records.rundir import RunDir
from comfytui.records.summary import SummaryWriter

Reason = Literal["run", "resume", "rerun"]

COMMAND_WAIT = 20.0
"""Seconds for which a runner that was started for a rerun waits for the command to arrive."""
READY_TO_CLOSE = 1.0
"""Seconds after which a run imports what its end needs: its first prompt is sent by then."""


class Runner:
    """Drives the run in ``run_dir`` while its context is open; ``hub`` tells what happens, :meth:`command` asks."""

    def __init__(
        self, run_dir: RunDir, plan: RunPlan, clock: Clock, credentials: Credentials, reason: Reason = "run"
    ) -> None:
        self.run_dir, self.plan, self.reason = run_dir, plan, reason
        self._clock, self._credentials = clock, credentials
        self._begun = False
        self.paused: Failure | None = None
        """Why the run had to be paused, to be told where its journal perhaps could not take it."""
        self.hub: Hub
        self._lock: RunLock
        self._journal: Journal
        self._foreman: Foreman
        self._checks: Checks
        self._connecting: anyio.CancelScope | None = None

    def __enter__(self) -> Self:
        """Take the run's lock and its journal.

        Raises ``Failure``: ``run.locked`` while another process drives it, ``run.unwritable``, ``journal.unreadable``.
        """
        self._lock = RunLock.acquire(self.run_dir)
        try:
            reading = journals.read(self.run_dir.journal)
            known = fold_all(reading) if self.run_dir.journal.exists() else None
            summary = SummaryWriter(self.run_dir)
            self._journal = Journal(self.run_dir.journal)
        except BaseException:
            self._lock.release()
            raise
        self.hub = Hub(self.plan.run_id, self._clock, self._journal, known)
        self.hub.record_with(summary.take)
        self._journal_notes = journal_notes(reading, (note.text for note in self.hub.state.notes))
        self._foreman = Foreman(self.hub, self.plan, self.run_dir, self._clock)
        self._checks = Checks(self.hub, self.run_dir, self.plan.suites, self._clock)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the run free. Raises ``Failure`` ``run.unwritable`` when the end of the journal may be lost."""
        self.hub.close()
        try:
            self._journal.close()
        except Failure:
            if self.paused is None and fault is None:  # else it is known that the disk fails
                raise
        finally:
            self._lock.release()

    def command(self, command: AnyCommand) -> None:
        """Take ``command``; the answer is a ``CommandAnswered`` fact. To be called on the runner's event loop."""
        self._foreman.command(command)
        if self._foreman.stopped:
            self._checks.stop()
            if self._connecting is not None:
                self._connecting.cancel()  # nobody needs the server any more

    async def drive(self) -> int:
        """Render what is left of the plan and return the exit code: 0, 1, 2 (it could not begin) or 130 (stopped).

        A resumed run that is complete is left as it is: its exit code is returned at once. When the run folder fails on
        the way, the run is ``paused`` and the code is 1. Raises ``Failure`` ``run.unwritable`` when it fails before.
        """
        taking_up = TakingUp(self.hub, self.run_dir) if self.reason == "resume" else None
        try:
            if taking_up is not None:
                await taking_up.look()
                if taking_up.nothing_to_do:
                    return self._exit_code_before
            return await self._drive(taking_up)
        except (Failure, BaseExceptionGroup) as problem:
            failure = first_failure(problem)
            if failure is None:
                raise
            return self._fail(failure)
        finally:
            self.hub.close()

    async def _drive(self, taking_up: TakingUp | None) -> int:
        self._open()
        if self.reason == "rerun":
            with anyio.move_on_after(COMMAND_WAIT):
                await self._foreman.commanded()
        if taking_up is None or taking_up.needs_server:
            with anyio.CancelScope() as connecting:
                self._connecting = connecting
                stations = Stations(self.hub, self.plan, self.run_dir, self._clock, self._credentials)
                async with opened(stations, everyone=taking_up is not None):
                    self._connecting = None
                    await stations.check_disks()
                    self._begun = True
                    async with stepping_back(lambda: [connection.desk for connection in stations.connections]):
                        if taking_up is not None:
                            await taking_up.begin(stations.connections)
                        await self._work(stations)
                        await self._check()
            if self._foreman.stopped and not self._foreman.all_over():
                return self._left_open()
        else:
            self._foreman.all_over()
            await self._check()
        self._begun = True
        from comfytui.engine.closing import close_run

        return await close_run(self.hub, self.run_dir, interrupted=self._foreman.stopped)

    @property
    def _exit_code_before(self) -> int:
        run = self.hub.state.run
        return run.exit_code or 0 if run is not None else 0

    def _open(self) -> None:
        plan, us = self.plan, this_process()
        if self.hub.state.run is None:
            self.hub.publish(
                e.RunOpened(
                    run_id=plan.run_id,
                    run_dir=str(self.run_dir.path),
                    story=plan.story,
                    scenes=plan.scenes,
                    workflow=plan.workflow.name,
                    server=plan.server.url,
                    servers=_briefs(plan) or UNSET,
                    policy=plan.policy,
                    version=plan.version,
                    inputs=varying_inputs(plan.workflow),
                    sweep=plan.sweep,
                )
            )
            for warning in (*plan.story.warnings, *plan.workflow.warnings):
                self.hub.publish(e.RunNoted(level="warning", text=warning))
        self.hub.publish(e.RunnerStarted(pid=us.pid, started=us.started, host=us.host, reason=self.reason))
        if self.reason == "rerun" and self.hub.state.run is not None and self.hub.state.run.held:
            self.hub.publish(e.QueueHeld(held=False))  # who asks for scenes now wants them rendered
        for note in self._journal_notes:
            self.hub.publish(note)
        if self._lock.replaced is not None:
            dead = self._lock.replaced
            self.hub.publish(e.RunNoted(text=f"Took the run over from process {dead.pid}, which is gone"))

    async def _work(self, dispatch: Dispatch) -> None:
        async with anyio.create_task_group() as background:
            background.start_soon(dispatch.events)
            background.start_soon(self._make_ready_to_close)
            await self._foreman.work(dispatch)
            background.cancel_scope.cancel()

    async def _make_ready_to_close(self) -> None:
        """Import what only the end of a run needs once its first prompt is at work; by the next morning there may be
        another version of it on the disk.
        """
        await self._clock.sleep(READY_TO_CLOSE)
        await to_thread.run_sync(importlib.import_module, "comfytui.engine.closing")

    async def _check(self) -> None:
        """Run the check suites; meanwhile the run can still be stopped."""
        with self._foreman.checking():
            await self._checks.run()

    def _left_open(self) -> int:
        """Say that the run was stopped before its server could be asked about prompts that may be there."""
        text = "Stopped before the server answered: prompts of this run may still be there; resume the run to go on"
        self.hub.publish(e.RunNoted(level="warning", text=text))
        return INTERRUPTED

    def _fail(self, failure: Failure) -> int:
        """Record that the run could not begin or go on, as far as the disk allows."""
        if failure.code == "run.unwritable" and self._begun:
            self.paused = pause(self.hub, self.run_dir, failure)
            return self.paused.exit_code
        code = failure.exit_code
        if failure.code != "run.unwritable":
            if failure.code.startswith("server."):
                self.hub.publish(e.ServerTroubled(code=failure.code, what=failure.what, remedy=failure.remedy))
            else:
                self.hub.publish(e.RunNoted(level="error", text=failure.what, code=failure.code, remedy=failure.remedy))
            self.hub.publish(e.RunEnded(outcome="failed", exit_code=code))
            return code
        raise failure


def _briefs(plan: RunPlan) -> tuple[e.ServerBrief, ...]:
    """Return what is recorded of the servers of ``plan``: nothing where there is only one."""
    several = plan.servers if plan.more_servers else ()
    return tuple(e.ServerBrief(name=each.name, url=each.url, tags=each.tags, weight=each.weight) for each in several)
