"""``comfytui ask``: what the keys of the dashboard order, for scripts; the runner's answer is printed."""

import functools
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from comfytui.clock import Clock, system_clock
from comfytui.errors import Failure
from comfytui.model import commands as c
from comfytui.model.envelope import Envelope, encode
from comfytui.model.events import CommandAnswered
from comfytui.model.feed import CaughtUp, Feed
from comfytui.model.fold import fold
from comfytui.model.narrate import narrate
from comfytui.model.state import State
from comfytui.records.rundir import RunDir, find_run
from comfytui.settings.merged import load

ORDERS = ("rerun", "cancel", "skip", "move", "hold", "release", "stop")
ANSWER_SECONDS = 30.0
"""In which a runner answers; it does so at once, once it has read what it is asked."""


def ask_run(name: str, order: str, scenes: Sequence[str], flags: Mapping[str, Any]) -> int:
    """Ask the runner of the run called ``name`` and return 0 when it does what is asked, 1 when it refuses.

    Raises ``click.UsageError`` for flags that do not fit, ``Failure``: ``run.not_found``, ``run.no_runner`` where
    nobody drives the run (a rerun starts a runner), ``run.none_failed`` for ``--failed``, ``run.no_answer``.
    """
    settings = load(flags, os.environ, Path.cwd())
    failed, ticket = bool(flags.get("failed")), uuid.uuid4().hex
    command = command_for(order, tuple(scenes), flags, ticket)
    run = find_run(settings.runs_dir, name)
    import anyio

    answer = anyio.run(functools.partial(_answer, run, command, system_clock(), failed=failed))
    assert isinstance(answer.event, CommandAnswered)
    told = narrate(answer.event)
    click.echo(encode(answer).decode() if flags.get("as_json") else told[1] if told else "")
    return 0 if answer.event.accepted else 1


def command_for(order: str, scenes: tuple[str, ...], flags: Mapping[str, Any], ticket: str) -> c.AnyCommand:
    """Return the command for ``order`` (one of :data:`ORDERS`). Raises ``click.UsageError``. Pure."""
    failed, by, seed, prompt = (flags.get(name) for name in ("failed", "by", "seed", "prompt"))
    if (by is not None) != (order == "move"):
        raise click.UsageError("--by N belongs to move, which needs it.")
    if order != "rerun" and (failed or seed is not None or prompt is not None):
        raise click.UsageError("--seed, --prompt and --failed belong to rerun.")
    if order in ("hold", "release", "stop"):
        if scenes:
            raise click.UsageError(f"{order} is for the whole run; it takes no scenes.")
        kinds: dict[str, type[c.Hold | c.Release | c.Stop]] = {"hold": c.Hold, "release": c.Release, "stop": c.Stop}
        return kinds[order](id=ticket)
    if bool(scenes) == bool(failed):
        raise click.UsageError("Name the scenes, or (for rerun) say --failed.")
    match order:
        case "rerun":
            return c.Rerun(id=ticket, scenes=scenes, seed=seed, prompt=prompt)
        case "move":
            return c.Move(id=ticket, scenes=scenes, by=by or 0)
        case "skip":
            return c.Skip(id=ticket, scenes=scenes)
        case _:
            return c.Cancel(id=ticket, scenes=scenes)


async def _answer(run: RunDir, command: c.AnyCommand, clock: Clock, *, failed: bool) -> Envelope:
    """Return the runner's answer. Raises ``Failure`` as :func:`ask_run` does."""
    import anyio

    from comfytui.link.feeds import RunFeed
    from comfytui.link.launch import launch_runner

    feed = RunFeed(run.path, clock, journal=run.journal, launch=lambda: launch_runner(run, clock, "rerun"))
    answers = list[Envelope]()
    async with anyio.create_task_group() as tasks:

        async def listen() -> None:
            answers.append(await _told(feed, command, tasks.start_soon, failed=failed))
            tasks.cancel_scope.cancel()

        tasks.start_soon(listen)
    return answers[0]


async def _told(feed: Feed, command: c.AnyCommand, start: Any, *, failed: bool) -> Envelope:
    """Send ``command`` once the past has been told, and return what the runner says to it."""
    import anyio

    state, deadline = State(), anyio.CancelScope()
    with deadline:
        async for item in feed.items():
            if isinstance(item, Envelope):
                state = fold(state, item)
                if isinstance(item.event, CommandAnswered) and item.event.id == command.id:
                    return item
            elif isinstance(item, CaughtUp):
                deadline.deadline = anyio.current_time() + ANSWER_SECONDS
                start(feed.send, _with_failed(command, state) if failed else command)
    raise Failure("run.no_answer", run=state.run.id if state.run else "", seconds=f"{ANSWER_SECONDS:.0f}")


def _with_failed(command: c.AnyCommand, state: State) -> c.AnyCommand:
    """Return ``command`` for the scenes that failed. Raises ``Failure`` ``run.none_failed``."""
    assert isinstance(command, c.Rerun)
    failed = tuple(scene.id for scene in state.scenes if scene.phase == "failed")
    if not failed:
        raise Failure("run.none_failed", run=state.run.id if state.run else "")
    return c.Rerun(id=command.id, scenes=failed, seed=command.seed, prompt=command.prompt)
