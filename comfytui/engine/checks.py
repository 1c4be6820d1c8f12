"""The check suites of a run: one after the other once every scene is over, while the server is still there."""

import shlex
from pathlib import Path

import anyio

from comfytui.clock import Clock
from comfytui.engine.hub import Hub
from comfytui.model import events as e
from comfytui.model.artifact import SuiteRecord
from comfytui.model.plan import SuitePlan
from comfytui.records.lock import this_process
from comfytui.records.rundir import RunDir
from comfytui.sources.processes.identity import ProcessIdentity
from comfytui.sources.suites.command import CommandEnd, run_command
from comfytui.sources.suites.leftovers import end_left_over

STOPPED = 130
"""The exit code of a suite that was ended because the run was stopped."""


class Checks:
    """Runs ``suites``; each leaves its output in the run's logs and a ``SuiteRan`` fact, whatever becomes of it.

    A runner that takes the run up again runs all of them again: what they looked at may have changed.
    """

    def __init__(self, hub: Hub, run_dir: RunDir, suites: tuple[SuitePlan, ...], clock: Clock) -> None:
        self._hub, self._run_dir, self._suites, self._clock = hub, run_dir, suites, clock
        self._env = {"COMFYTUI_RUN_ID": run_dir.run_id, "COMFYTUI_RUN_DIR": str(run_dir.path)}
        self._scope: anyio.CancelScope | None = None
        self._stopped = False

    async def run(self) -> None:
        """Run what there is to run, until it is stopped; what a runner that died left of a suite is ended first."""
        await self._end_left_over()
        for suite in self._suites:
            if self._stopped:
                text = f"The check suite {suite.label} is not run: the run was stopped"
                self._hub.publish(e.RunNoted(level="warning", text=text))
                continue
            await self._run(suite)

    def stop(self) -> None:
        """End the suite that runs, and run no other."""
        self._stopped = True
        if self._scope is not None:
            self._scope.cancel()

    async def _end_left_over(self) -> None:
        run = self._hub.state.run
        if run is None or (left := run.suite) is None:
            return
        if left.host != this_process().host:
            told = f"process {left.pid} of a check suite may still run on {left.host}, which cannot be seen from here"
            self._hub.publish(e.RunNoted(level="warning", text=told))
            return
        recorded = ProcessIdentity(pid=left.pid, created=left.created, executable=left.executable)
        if (said := await end_left_over(recorded, self._env, self._clock)) is not None:
            self._hub.publish(e.RunNoted(level="warning", text=f"A check suite: {said}"))

    async def _run(self, suite: SuitePlan) -> None:
        begun, began = self._clock.now(), self._clock.monotonic()
        command = shlex.join(suite.command)
        log = self._run_dir.suite_log(suite.label)

        known: list[ProcessIdentity] = []

        def started(process: ProcessIdentity) -> None:
            known.append(process)
            self._hub.publish(
                e.SuiteStarted(
                    label=suite.label,
                    command=command,
                    pid=process.pid,
                    created=process.created,
                    executable=process.executable,
                    host=this_process().host,
                    again=len(known) > 1,
                )
            )

        end = CommandEnd(exit_code=STOPPED, notes=("it was ended, as the run was stopped",))
        with anyio.CancelScope() as self._scope:
            end = await run_command(
                suite.command,
                cwd=Path(suite.cwd),
                env=self._env,
                log=log,
                timeout=suite.timeout,
                clock=self._clock,
                started=started,
            )
        self._scope = None
        for note in end.notes:
            self._hub.publish(e.RunNoted(level="warning", text=f"Check suite {suite.label}: {note}"))
        record = SuiteRecord(
            label=suite.label,
            command=command,
            exit_code=end.exit_code,
            duration_ms=round((self._clock.monotonic() - began) * 1000),
            log_path=self._run_dir.relative(log),
            started_at=begun,
        )
        self._hub.publish(e.SuiteRan(suite=record))
