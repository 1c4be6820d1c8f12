"""Driving a run in this process: in the foreground with lines, or detached as the process behind a dashboard."""

import contextlib
import os
import sys
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Literal

import anyio
from msgspec.structs import replace

from comfytui.cli.endings import INTERRUPTED
from comfytui.cli.endings import tell as tell_failure
from comfytui.cli.heralding import herald_of
from comfytui.cli.interruptions import interruptions
from comfytui.cli.mishaps import internal_failure
from comfytui.clock import Clock, system_clock
from comfytui.engine.herald import LAST_WORDS, Herald
from comfytui.engine.runner import Runner
from comfytui.engine.server.credentials import Credentials
from comfytui.errors import Failure
from comfytui.faces.headless import OutputFormatter, follow
from comfytui.faces.printer import Printer
from comfytui.link.backlog import JournalBacklog
from comfytui.link.hub import HubFeed
from comfytui.link.metrics import HOST, metrics_served
from comfytui.link.server import LinkServer
from comfytui.model.commands import AnyCommand, Stop
from comfytui.model.plan import RunPlan, ServerPlan
from comfytui.records.rundir import RunDir, read_plan
from comfytui.settings.secrets import headers_of, token_of
from comfytui.settings.servers_table import env_for, headers_in

Reason = Literal["run", "resume", "rerun"]
Telling = Callable[[HubFeed], Coroutine[Any, Any, None]]


def credentials(*servers: ServerPlan) -> Credentials:
    """Return the secrets of the environment, and those of ``servers`` from the configuration that they name.

    A server that has headers of its own is sent those alone. Raises ``Failure`` ``config.value`` or
    ``config.unreadable``.
    """
    common = Credentials(token=token_of(os.environ), headers=headers_of(os.environ))
    own = {server.name: found for server in servers if (found := _own(server, common)) is not common}
    return own[""] if set(own) == {""} else replace(common, own=own)


def _own(server: ServerPlan, common: Credentials) -> Credentials:
    env = env_for(Path(server.env_file), server.url) if server.env_file else {}
    if server.headers_file:  # nobody else's login for it, also when its headers are not in the file any more
        return Credentials(headers=headers_in(Path(server.headers_file), server.url, os.environ), server_env=env)
    return replace(common, server_env=env) if env else common


def drive_in_foreground(
    run: RunDir,
    plan: RunPlan,
    formatter: OutputFormatter,
    printer: Printer,
    reason: Reason = "run",
    *,
    metrics_port: int | None = None,
) -> int:
    """Drive ``run`` here, tell it in lines, and return the exit code; serve its metrics where a port is given.

    The run goes on without its lines when nobody reads them or the terminal hangs up. The first interruption stops
    the run in good order, the second leaves at once (130). Raises ``Failure`` as :class:`Runner` does.
    """

    driving = Driving(run, plan, reason, system_clock(), credentials(*plan.servers), metrics_port=metrics_port)
    code = anyio.run(driving.drive, in_lines(formatter, printer), printer.close)
    if printer.busy:  # a reader that never reads would keep the interpreter from leaving
        os._exit(code)
    return code


def in_lines(formatter: OutputFormatter, printer: Printer) -> Telling:
    """Return what tells a run in lines, and goes on without them when that fails."""

    async def tell(feed: HubFeed) -> None:
        formatter.known = feed.state
        try:
            await follow(feed.items(), formatter, printer)
        except Exception as fault:  # noqa: BLE001  (it is told; a fault of the lines must not end the run)
            printer.close()
            failure = fault if isinstance(fault, Failure) else internal_failure(fault, sys.argv[1:], os.environ)
            tell_failure(failure, as_json=False)

    return tell


def drive_detached(run_dir: Path, reason: Reason, metrics_port: int | None = None) -> int:
    """Drive the run in ``run_dir`` for faces that join over the link; return the exit code. Raises ``Failure``."""
    run = RunDir(run_dir.absolute())
    plan = read_plan(run)
    driving = Driving(run, plan, reason, system_clock(), credentials(*plan.servers), metrics_port=metrics_port)
    return anyio.run(driving.drive, None, lambda: None)


class Driving:
    """One process' drive of one run, and what interrupts it."""

    def __init__(
        self,
        run: RunDir,
        plan: RunPlan,
        reason: Reason,
        clock: Clock,
        secrets: Credentials,
        *,
        metrics_port: int | None = None,
    ) -> None:
        self._run, self._plan, self._clock, self._metrics_port = run, plan, clock, metrics_port
        self._runner = Runner(run, plan, clock, secrets, reason)
        self._stopping = False
        self._driven = False
        self._leaving: anyio.CancelScope

    async def drive(self, tell: Telling | None, on_hangup: Callable[[], None]) -> int:
        """Drive the run, serve the link, and ``tell`` in lines what happens, until all of it is done.

        Why a run had to be paused is told on standard error too: its journal may have had no room for it. So is a
        webhook that did not take the last news, which come after the last fact.
        """
        code = INTERRUPTED
        with self._runner as runner, anyio.CancelScope() as self._leaving, interruptions(self._interrupted, on_hangup):
            backlog = JournalBacklog(self._run.journal)
            link = LinkServer(self._run.path, runner.hub, backlog, self._command, self._clock)
            herald = herald_of(self._plan, runner.hub, self._clock)
            async with anyio.create_task_group() as tasks:
                if tell is not None:
                    tasks.start_soon(tell, HubFeed(runner.hub, backlog, runner.command))
                if herald is not None:
                    tasks.start_soon(herald.work)
                async with link.open(), metrics_served(self._metrics_port, lambda: runner.hub.state) as port:
                    if port is not None:
                        print(f"Metrics: http://{HOST}:{port}/metrics", file=sys.stderr, flush=True)
                    ended = await runner.drive()
                    self._driven = True
                if herald is not None:
                    await self._tell_last_news(herald)
            code = ended
        for failure in (self._runner.paused, herald.failure if herald is not None else None):
            if failure is not None:
                tell_failure(failure, as_json=False)
        return code

    async def _tell_last_news(self, herald: Herald) -> None:
        """Let the last news be told. Whoever interrupts that has been told all else, and gets the run's exit code."""
        outer = self._leaving
        with anyio.CancelScope() as self._leaving:
            await herald.finish(_tell_waiting)
        self._leaving = outer

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end: neither stopped, nor paused, nor unable to begin."""
        run = self._runner.hub.state.run
        return self._runner.paused is None and run is not None and run.outcome == "finished"

    def _command(self, command: AnyCommand) -> None:
        if self._driven:  # nobody would carry it out any more
            raise Failure("run.no_runner", run=self._run.run_id)
        self._runner.command(command)

    def _interrupted(self) -> None:
        """Stop the run in good order; leave at once when that was asked for before, or is all that is left."""
        if self._stopping or self._driven:
            self._leaving.cancel()
            return
        self._stopping = True
        _say("Stopping the run; interrupt again to leave at once.")
        with contextlib.suppress(Failure):  # a disk that is full ends the run anyhow
            self._runner.command(Stop(id=uuid.uuid4().hex))


def _tell_waiting() -> None:
    _say(f"The webhook has not taken the last news yet: waiting {LAST_WORDS:g} s at most; interrupt to leave at once.")


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone
        print(text, file=sys.stderr, flush=True)
