"""A run whose disk fails comes to rest so that it can be taken up again: nothing is lost, nothing is torn down.

What is on the disk stays as it is. The prompt that executes goes on: its frames land in the server's output folder and
are collected when the run is resumed. Prompts of ours that still wait are deleted: the server's output often lies on
the very disk that is full, where a prompt would fail and cost an attempt of the budget. One that is gone costs none.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import anyio

from comfytui.engine.attempt.desk import Desk
from comfytui.engine.hub import Hub
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.records.rundir import RunDir

INTERRUPTED = 130
"""The exit code of a run that a person stopped."""

PATIENCE = 15.0
"""Seconds that the server is given to take our waiting prompts off its queue."""


def flattened(problem: BaseException) -> list[BaseException]:
    """Return the faults in ``problem``, which may be a group of groups."""
    if isinstance(problem, BaseExceptionGroup):
        return [fault for inner in problem.exceptions for fault in flattened(inner)]
    return [problem]


def first_failure(problem: BaseException) -> Failure | None:
    """Return the failure in ``problem`` (a group, perhaps) that matters most: the run folder's own before all others.

    ``None`` when anything but failures is in it too: then it is an error of our own.
    """
    faults = flattened(problem)
    failures = [fault for fault in faults if isinstance(fault, Failure)]
    disk = next((failure for failure in failures if failure.code == "run.unwritable"), None)
    if disk is not None or len(failures) < len(faults):
        return disk
    return failures[0]


@contextlib.asynccontextmanager
async def stepping_back(desks: Callable[[], Iterable[Desk]]) -> AsyncIterator[None]:
    """When the run folder fails in this context, take our waiting prompts off the servers; the fault goes through.

    ``desks`` tells which servers are connected then.
    """
    try:
        yield
    except (Failure, BaseExceptionGroup) as problem:
        failure = first_failure(problem)
        if failure is not None and failure.code == "run.unwritable":
            # A server that does not answer keeps them, and resume finds them there.
            with anyio.move_on_after(PATIENCE):
                async with anyio.create_task_group() as tasks:
                    for desk in desks():
                        tasks.start_soon(_delete_waiting, desk)
        raise


async def _delete_waiting(desk: Desk) -> None:
    open_attempts = [a for scene in desk.hub.state.scenes for a in scene.attempts if a.phase != "ended"]
    with contextlib.suppress(Failure):
        queue = await desk.http.queue()
        waiting = [a.prompt_id for a in open_attempts if queue.where(a.prompt_id) == "pending"]
        if waiting:
            await desk.http.delete_pending(waiting)


def pause(hub: Hub, run_dir: RunDir, fault: Failure) -> Failure:
    """Record that the run is paused, as far as the disk takes it, and return the failure to be told at its end."""
    if not _is_there(run_dir.journal):  # what is open still takes facts, but nobody could ever read them
        return Failure("run.gone", run=str(run_dir.path))
    paused = Failure("run.paused", run=str(run_dir.path), why=fault.what.removesuffix("."))
    for fact in (
        e.RunNoted(level="error", text=paused.what, code=paused.code, remedy=paused.remedy),
        e.RunEnded(outcome="paused", exit_code=paused.exit_code),
    ):
        with contextlib.suppress(Failure):  # whatever the disk does not take is told on standard error
            hub.publish(fact)
    return paused


def _is_there(file: Path) -> bool:
    try:
        return file.exists()
    except OSError:
        return False
