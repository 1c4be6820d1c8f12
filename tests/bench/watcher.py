"""How soon a frame that lands in a full folder is seen, and what watching costs: 100 files a second."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import anyio

from comfytui.clock import system_clock
from comfytui.sources.frames.folder import FrameSeen
from comfytui.sources.frames.watcher import FrameWatcher
from tests.bench.rendering import run_alone
from tests.bench.table import Figure, Table, quantile
from tests.e2e.command import environment

SECONDS, RATE = 10, 100
THERE = (10_000, 100_000)
PATIENCE = 30.0

LANDING = """
import sys, time
from pathlib import Path
folder, count, rate = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
sys.stdin.readline()
began = time.monotonic()
for number in range(count):
    time.sleep(max(0.0, began + number / rate - time.monotonic()))
    moment = time.time_ns()
    (folder / f"new-{number:06}-{moment}.png").write_bytes(b"frame")
"""
"""Lands files whose names tell when (epoch nanoseconds), once a line comes on standard input."""


def measure() -> Table:
    """Watch folders of 10,000 and 100,000 files while others land there, written by another process."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="comfytui-bench-") as scratch:
        for there in THERE:
            folder = Path(scratch) / f"{there}"
            folder.mkdir()
            for number in range(there):
                (folder / f"old-{number:06}.png").touch()
            first_look, late, share = _watch(folder)
            figures += [
                Figure(f"{there:,} files there: seen after, p50", 1000 * quantile(late, 0.5), "ms"),
                Figure(f"{there:,} files there: seen after, p95", 1000 * quantile(late, 0.95), "ms", most=50),
                Figure(f"{there:,} files there: seen after, latest", 1000 * max(late), "ms"),
                Figure(f"{there:,} files there: CPU of the watching process", 100 * share, "% of a core", most=5),
                Figure(f"{there:,} files there: first look", 1000 * first_look, "ms"),
            ]
            if there == THERE[0]:
                few = quantile(late, 0.95)
            else:
                figures.append(Figure(f"p95, {there:,} / {THERE[0]:,} files there", quantile(late, 0.95) / few))
    return Table(f"Watcher: {RATE} files/s landing for {SECONDS} s in a folder that is full already", figures)


def _watch(folder: Path) -> tuple[float, list[float], float]:
    """Return the seconds of the first look, the seconds until each new file was seen, and the share of a core."""
    count = SECONDS * RATE
    command = [sys.executable, "-c", LANDING, str(folder), str(count), str(RATE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment()) as landing:
        assert landing.stdin is not None
        return anyio.run(_see, folder, count, landing.stdin.close)


async def _see(folder: Path, count: int, begin: Callable[[], None]) -> tuple[float, list[float], float]:
    """Watch from before ``begin`` until ``count`` new files were seen."""
    late: dict[str, float] = {}
    async with FrameWatcher(folder, root=folder, clock=system_clock(), mode="events") as watcher:
        began = time.perf_counter()
        batches = aiter(watcher)
        await anext(batches)
        first_look = time.perf_counter() - began
        begin()
        cpu, began = time.process_time(), time.perf_counter()
        with anyio.fail_after(SECONDS + PATIENCE):
            while len(late) < count:
                batch, now = await anext(batches), time.time()
                for seen in batch:
                    if isinstance(seen, FrameSeen) and seen.name.startswith("new-") and seen.name not in late:
                        late[seen.name] = now - int(seen.name[:-4].rpartition("-")[2]) / 1e9
        share = (time.process_time() - cpu) / (time.perf_counter() - began)
    return first_look, list(late.values()), share


if __name__ == "__main__":
    run_alone("watcher")
