"""What the dashboard costs in a terminal: first paint, bytes, CPU, keys, memory; beside it a Textual hello world.

The run that it shows is scripted: ten steps and two frames a second, one GPU reading a second. Needs a pty.
"""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import anyio

from comfytui.faces.tui.panes.picture import Picture
from tests.bench.rendering import run_alone, server
from tests.bench.table import Figure, Table, paired, quantile
from tests.bench.terminal import COLUMNS, ROWS, Terminal, terminal
from tests.e2e.command import COMMAND, environment
from tests.ui import script
from tests.ui.stage import WIDE, stage

FEW, MANY = 200, 10_000
SETTLE, WATCHED = 3.0, 8.0
STARTS, KEYS, RESIZES, FILLS = 9, 30, 3, 5

HELLO = """
from textual.app import App
from textual.widgets import Static
class Hello(App):
    BINDINGS = [("q", "quit")]
    def compose(self):
        yield Static("Hello, world")
Hello().run()
"""


def measure() -> Table:
    """Measure starts, an idle dashboard on a server, and dashboards on runs of 200 and of 10,000 scenes."""
    with tempfile.TemporaryDirectory(prefix="comfytui-bench-") as scratch:
        folder = Path(scratch)
        with scripted(folder / "few", FEW) as run:
            figures = [*_starts(run), *_running(run)]
        with scripted(folder / "many", MANY) as run:
            figures += _many(run)
        figures.append(_paged(run))
        figures.append(anyio.run(_fill))
        with server(None, folder) as url:
            figures += _idle(url)
    return Table("The dashboard in a terminal of 120x40", figures)


@contextlib.contextmanager
def scripted(folder: Path, scenes: int) -> Iterator[str]:
    """Return the folder of a scripted run that goes on until the block ends."""
    command = [sys.executable, "-m", "tests.bench.scripted", str(folder), str(scenes)]
    with subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdin is not None and run.stdout is not None
        try:
            yield run.stdout.readline().strip()
        finally:
            run.stdin.close()
            try:
                run.wait(timeout=10)
            except subprocess.TimeoutExpired:
                run.kill()


def attached(run: str, *flags: str) -> contextlib.AbstractContextManager[Terminal]:
    """Return a dashboard on the run in the folder ``run``."""
    return terminal([*COMMAND, "attach", run, *flags])


def _starts(run: str) -> list[Figure]:
    """Compare first paints, in turns, so that a busy moment hits both alike; one start before them compiles.

    The first paint of ``attach`` is the empty deck with the run's name; its scenes come once the journal is read.
    """
    with attached(run) as program:
        program.first_shows(Path(run).name)
    ours, hello, whole, cpu, bare_cpu, leaving = [], [], [], [], [], []
    for _ in range(STARTS):
        with terminal([sys.executable, "-c", HELLO]) as program:
            hello.append(program.first_shows("Hello, world"))
            bare_cpu.append(program.cpu)
            program.leave("q")
        with attached(run) as program:
            ours.append(program.first_shows(Path(run).name))
            cpu.append(program.cpu)
            whole.append(program.first_shows(f"{FEW} scenes"))
            program.watch(SETTLE / 3)
            leaving.append(program.leave("q"))
    return [
        Figure("attach / Textual hello world: first paint", paired(ours, hello), most=1.6),
        Figure("attach / Textual hello world: CPU until then", paired(cpu, bare_cpu)),
        Figure("attach: first paint", 1000 * quantile(ours, 0.5), "ms"),
        Figure("attach: CPU until then", 1000 * quantile(cpu, 0.5), "ms", most=400),
        Figure("attach: the run read and shown", 1000 * quantile(whole, 0.5), "ms"),
        Figure("attach: leaving", 1000 * quantile(leaving, 0.5), "ms", most=700),
    ]


def _running(run: str) -> list[Figure]:
    with attached(run) as program:
        program.first_shows(Path(run).name)
        program.watch(SETTLE)
        written, share = program.watch(WATCHED)
        sizes = [program.resize(*size) for size in ((80, 24), (COLUMNS, ROWS)) * RESIZES]
    with attached(run, "--ssh") as program:
        program.first_shows(Path(run).name)
        program.watch(SETTLE)
        spared, _ = program.watch(WATCHED)
    resized = [times[1] for times in sizes if times]
    return [
        Figure(f"running, {FEW} scenes: bytes", written, "B/s", most=3000),
        Figure(f"running, {FEW} scenes: CPU", 100 * share, "% of a core", most=3),
        Figure(f"running, {FEW} scenes, --ssh: bytes", spared, "B/s", most=1000),
        Figure("another size: to quiet, p50", 1000 * quantile(resized, 0.5), "ms", most=150),
    ]


def _many(run: str) -> list[Figure]:
    with attached(run) as program:
        program.first_shows(Path(run).name)
        program.watch(SETTLE)
        moved = [program.press(key) for _ in range(KEYS) for key in ("j", "k")]
        paged = [program.press(key) for _ in range(KEYS) for key in ("\x1b[6~", "\x1b[5~")]
        memory = program.memory
    first, quiet = zip(*[times for times in moved if times], strict=True)
    page = [times[1] for times in paged if times]
    return [
        Figure(f"{MANY:,} scenes, running: key to first byte, p50", 1000 * quantile(first, 0.5), "ms", most=10),
        Figure(f"{MANY:,} scenes, running: key to first byte, p95", 1000 * quantile(first, 0.95), "ms", most=30),
        Figure(f"{MANY:,} scenes, running: key to quiet, p95", 1000 * quantile(quiet, 0.95), "ms", most=40),
        Figure(f"{MANY:,} scenes, running: page down or up to quiet, p50", 1000 * quantile(page, 0.5), "ms"),
        Figure(f"{MANY:,} scenes, running: page down or up to quiet, p95", 1000 * quantile(page, 0.95), "ms"),
        Figure(f"{MANY:,} scenes: memory of the dashboard", memory, "MB", most=75),
    ]


def _paged(run: str) -> Figure:
    """Page through a run whose runner is gone: in one that goes on, every tenth page meets a painting of its own."""
    with attached(run) as program:
        program.first_shows(f"{MANY:,} scenes")
        program.watch(SETTLE)
        paged = [program.press(key) for _ in range(KEYS) for key in ("\x1b[6~", "\x1b[5~")]
    page = [times[1] for times in paged if times]
    return Figure(f"{MANY:,} scenes: page down or up to quiet, p95", 1000 * quantile(page, 0.95), "ms", most=20)


async def _fill() -> Figure:
    """Fill the queue with :data:`MANY` scenes, in this process: from the view to the painted screen."""
    times = []
    async with stage(script.Script().opened(MANY).caught_up(), WIDE) as shown:
        for _ in range(FILLS):
            shown.app.deck.scenes.show(Picture(lines=()))
            await shown.settle()
            began = time.perf_counter()
            shown.app.paint(force=True)
            await shown.pilot.pause()
            times.append(time.perf_counter() - began)
    return Figure(f"{MANY:,} scenes: to fill the queue", 1000 * quantile(times, 0.5), "ms", most=300)


def _idle(url: str) -> list[Figure]:
    with terminal([*COMMAND, "--server", url]) as program:
        program.first_shows(url.partition("//")[2])
        program.watch(SETTLE)
        written, share = program.watch(WATCHED)
    return [
        Figure("idle on a server: bytes", written, "B/s", most=150),
        Figure("idle on a server: CPU", 100 * share, "% of a core", most=1),
    ]


if __name__ == "__main__":
    run_alone("dashboard")
