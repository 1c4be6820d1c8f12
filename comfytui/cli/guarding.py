"""``comfytui sentinel``: done markers for other consumers, written for sequences that are proven complete."""

import os
from collections.abc import Callable
from pathlib import Path

import anyio
import click
import msgspec

from comfytui.cli.endings import INTERRUPTED
from comfytui.cli.interruptions import interruptions
from comfytui.clock import Clock, system_clock
from comfytui.engine.frames.sentinel import Sentinel, Word, keep_watch, look_once
from comfytui.errors import Failure
from comfytui.faces.headless import json_line


def keep_sentinel(folder: Path, rest: float, *, once: bool, as_json: bool) -> int:
    """Mark what is complete in ``folder`` until interrupted (130); with ``once`` return 0, or 1 where something is not.

    Raises ``Failure``: ``config.value`` where there is no such folder, and with ``once`` ``marker.unwritable``.
    """
    if not os.path.isdir(folder):  # noqa: PTH112  (it raises for no name)
        raise Failure("config.value", place=f"The folder {folder}", why="there is none")
    clock = system_clock()

    def tell(word: Word) -> None:
        if as_json:
            click.echo(json_line(sentinel=msgspec.to_builtins(word)))
        else:
            click.echo(f"{clock.now().astimezone():%H:%M:%S}  {in_words(word)}")
        if once and word.what == "unwritable":
            raise Failure("marker.unwritable", sequence=word.sequence, why=word.why)

    if once:
        return 1 if anyio.run(look_once, folder, rest, clock, tell) else 0
    anyio.run(_until_interrupted, folder, rest, clock, tell)
    return INTERRUPTED


async def _until_interrupted(folder: Path, rest: float, clock: Clock, tell: Callable[[Word], object]) -> None:
    """Keep watch until somebody ends it; a marker that is being written is finished first."""
    sentinel = Sentinel(folder, rest)
    with anyio.CancelScope() as watching:

        def end() -> None:
            sentinel.stop()
            watching.cancel()

        with interruptions(end, end):
            await keep_watch(sentinel, clock, tell)


def in_words(word: Word) -> str:
    """Return what was done as a line."""
    frames = "1 frame" if word.frames == 1 else f"{word.frames} frames"
    match word.what:
        case "marked":
            return f"marked      {word.sequence}: {frames}, the latest is {word.latest}"
        case "withdrawn":
            return f"withdrawn   {word.sequence}: {word.why} ({frames})"
        case "incomplete":
            return f"incomplete  {word.sequence}: {word.why} ({frames})"
        case _:
            failure = Failure("marker.unwritable", sequence=word.sequence, why=word.why)
            return f"unwritable  {failure.what} {failure.remedy}"
