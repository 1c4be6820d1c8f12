"""The check suites of a run: one after the other once every scene is over, while the server is still there."""

import shlex
from pathlib import Path

import anyio

from comfytui.clock import Clock
from comfytui.engine.hub import Hub
from comfytui.model import events as e
from comfytui.model.artifact import SuiteRecord
from comfytui.model.plan import SuitePlan
from comfytui.records.rundir import RunDir
from comfytui.sources.suites.command import CommandEnd, run_command

STOPPED = 130
"""The exit code of a suite that was ended because the run was stopped."""


class Checks:
    """Runs ``suites``; each leaves its output in the run's logs and a ``SuiteRan`` fact, whatever becomes of it.

    A runner that takes the run up again runs all of them again: what they looked at may have changed.
    """

    def __init__(self, hub: Hub, run_dir: RunDir, suites: tuple[SuitePlan, ...], clock: Clock) -> None:
        self._hub, self._run_dir, self._suites, self._clock = hub, run_dir, suites, clock
        self._scope: anyio.CancelScope | None = None
        self._stopped = False

    async def run(self) -> None:
        """Run what there is to run, until it is stopped."""
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

    async def _run(self, suite: SuitePlan) -> None:
        self._hub.publish(e.RunNoted(text=f"Check suite {suite.label}: {shlex.join(suite.command)}"))
        started, began = self._clock.now(), self._clock.monotonic()
        log = self._run_dir.suite_log(suite.label)
        end = CommandEnd(exit_code=STOPPED, notes=("it was ended, as the run was stopped",))
        with anyio.CancelScope() as self._scope:
            end = await run_command(
                suite.command,
                cwd=Path(suite.cwd),
                env={"COMFYTUI_RUN_ID": self._run_dir.run_id, "COMFYTUI_RUN_DIR": str(self._run_dir.path)},
                log=log,
                timeout=suite.timeout,
                clock=self._clock,
            )
        self._scope = None
        for note in end.notes:
            self._hub.publish(e.RunNoted(level="warning", text=f"Check suite {suite.label}: {note}"))
        record = SuiteRecord(
            label=suite.label,
            command=shlex.join(suite.command),
            exit_code=end.exit_code,
            duration_ms=round((self._clock.monotonic() - began) * 1000),
            log_path=self._run_dir.relative(log),
            started_at=started,
        )
        self._hub.publish(e.SuiteRan(suite=record))
