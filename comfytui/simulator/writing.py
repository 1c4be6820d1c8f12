"""How a frame gets onto the disk: not at once.

SaveImage opens the file under its final name and lets the encoder write to it: first there are 0 bytes, then it
grows in steps of about 64 KiB, and the trailer comes last (measured on 0.3.64 and 0.8.0).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

STEP = 64 * 1024
FEWEST_STEPS = 3
EMPTY_SHARE = 0.25
"""The part of a frame's time for which its file is empty, because the encoder has not filled its first step yet."""


async def in_thread(work: Callable[[], T]) -> T:
    """Return what `work` returns, done in a worker thread, so that the server answers meanwhile."""
    return await asyncio.get_running_loop().run_in_executor(None, work)


def steps(data: bytes) -> list[bytes]:
    """Return `data` in the pieces it is written in: 64 KiB at most, three at least, the trailer in the last."""
    size = max(1, min(STEP, -(-len(data) // FEWEST_STEPS)))
    return [data[start : start + size] for start in range(0, len(data), size)]


def _create(path: Path) -> None:
    path.write_bytes(b"")


async def write_frame(
    path: Path,
    encode: Callable[[], bytes],
    *,
    until: float,
    create: Callable[[Path], None] = _create,
    stop_at: float | None = None,
    half_pause: float = 0.0,
) -> None:
    """Write what `encode` returns to `path` in steps, the last one at loop time `until`.

    `create` makes the empty file. `stop_at` is the fraction of the bytes after which it ends for good (a truncated
    frame); `half_pause` the seconds for which it rests in the middle.
    """
    loop = asyncio.get_running_loop()
    await in_thread(partial(create, path))
    data = await in_thread(encode)
    if stop_at is not None:
        data = data[: max(1, int(len(data) * stop_at))]
    pieces = steps(data)
    begun = loop.time()
    for index, piece in enumerate(pieces, 1):
        due = begun + (until - begun) * (EMPTY_SHARE + (1 - EMPTY_SHARE) * index / len(pieces))
        await asyncio.sleep(max(0.0, due - loop.time()))
        await in_thread(partial(_append, path, piece))
        if half_pause and index == (len(pieces) + 1) // 2:
            await asyncio.sleep(half_pause)
            begun, until = begun + half_pause, until + half_pause


def _append(path: Path, piece: bytes) -> None:
    with path.open("ab") as file:
        file.write(piece)
