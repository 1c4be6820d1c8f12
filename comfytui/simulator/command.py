"""`comfytui sim`: the simulator as a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from comfytui.simulator.simulator import Simulator
from comfytui.simulator.speed import Speed


async def run(
    *,
    output_dir: Path,
    port: int = 0,
    host: str = "127.0.0.1",
    speed: str = "demo",
    version: str = "0.8.0",
    input_dir: Path | None = None,
    previews: bool = True,
    exit_with_parent: bool = False,
    ready: Callable[[str], None] = lambda line: print(line, flush=True),
) -> None:
    """Serve until cancelled; `ready` gets the one line that tells the address once it answers.

    With `exit_with_parent` it also ends when its standard input does, so that it never outlives whoever started
    it with a pipe there. Raises ValueError for an unknown speed or version or a host that is not loopback, OSError
    when the port is taken or the folder cannot be made.
    """
    simulator = Simulator(
        output_dir=output_dir,
        input_dir=input_dir,
        version=version,
        speed=Speed.named(speed),
        previews=previews,
        keep_requests=False,
    )
    async with simulator.serve(host, port):
        ready(f"ComfyUI simulator ready at {simulator.url}")
        gone = asyncio.Event()
        if exit_with_parent:
            _tell_end_of_input(asyncio.get_running_loop(), gone)
        await gone.wait()


def _tell_end_of_input(loop: asyncio.AbstractEventLoop, gone: asyncio.Event) -> None:
    """Set `gone` when standard input ends; a thread reads it, as Windows cannot wait for a pipe otherwise."""

    descriptor = sys.stdin.fileno()

    def read() -> None:
        while os.read(descriptor, 1024):  # not sys.stdin: a thread waiting in there upsets the interpreter's end
            pass
        if not loop.is_closed():
            loop.call_soon_threadsafe(gone.set)

    threading.Thread(target=read, name="end-of-input", daemon=True).start()
