"""Watching a server with no run: in this process with lines, or for the dashboard of another."""

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.from_thread
from anyio.lowlevel import current_token
from msgspec.structs import replace

from comfytui.cli.driving import Telling, credentials
from comfytui.cli.endings import INTERRUPTED
from comfytui.cli.interruptions import interruptions
from comfytui.cli.planning import server_plans
from comfytui.clock import system_clock
from comfytui.engine.observer import Observer
from comfytui.faces.headless import OutputFormatter, follow
from comfytui.faces.printer import Printer
from comfytui.link.backlog import RecentBacklog
from comfytui.link.hub import HubFeed
from comfytui.link.launch import COMPANION_LOG
from comfytui.link.server import LinkServer
from comfytui.settings.merged import Settings


def observe_in_lines(settings: Settings, formatter: OutputFormatter, printer: Printer) -> int:
    """Tell in lines what happens on the server, until interrupted (130) or nobody reads (0)."""

    async def tell(feed: HubFeed) -> None:
        await follow(feed.items(), formatter, printer, while_read=True)

    code = anyio.run(_observe, settings, None, tell)
    if printer.busy:  # a reader that never reads would keep the interpreter from leaving
        os._exit(code)
    return code


def observe_over_link(link_dir: Path, settings: Settings) -> int:
    """Tell the dashboard that reads ``link_dir`` what happens on the server, until standard input ends (0)."""
    try:
        anyio.run(_observe, settings, link_dir, None)
    finally:
        with contextlib.suppress(OSError):  # the dashboard does this too, unless it was killed
            (link_dir / COMPANION_LOG).unlink(missing_ok=True)
            link_dir.rmdir()
    return 0


async def _observe(settings: Settings, link_dir: Path | None, tell: Telling | None) -> int:
    clock = system_clock()
    # Nothing is started by who only watches, but the simulator: so no command goes along.
    servers = [replace(server, command=(), env_file=None) for server in server_plans(settings, "demo")]
    observer = Observer(servers, clock, credentials(*servers))
    backlog = RecentBacklog(observer.hub.record_with)
    interrupted = False

    with anyio.CancelScope() as watching:

        def end() -> None:
            nonlocal interrupted
            interrupted = True
            watching.cancel()

        async def tell_to_the_end(telling: Telling) -> None:
            await telling(HubFeed(observer.hub, backlog, observer.command))
            watching.cancel()

        async def serve(folder: Path) -> None:
            async with LinkServer(folder, observer.hub, backlog, observer.command, clock).open():
                await anyio.sleep_forever()

        with interruptions(end, end):
            async with anyio.create_task_group() as tasks:
                if tell is not None:
                    tasks.start_soon(tell_to_the_end, tell)
                if link_dir is not None:
                    _at_end_of_input(watching.cancel)
                    tasks.start_soon(serve, link_dir)
                await observer.drive()
    return INTERRUPTED if interrupted else 0


def _at_end_of_input(call: Callable[[], None]) -> None:
    """Call back on this event loop when standard input ends. A thread reads: Windows cannot wait for a pipe."""
    token = current_token()

    def read() -> None:
        while sys.stdin.buffer.read(1024):
            continue
        anyio.from_thread.run_sync(call, token=token)

    threading.Thread(target=read, name="end of input", daemon=True).start()
