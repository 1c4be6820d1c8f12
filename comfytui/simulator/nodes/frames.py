"""Saving a batch: names, pace, the order of writes, and what faults make of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from comfytui.simulator.encoding import animated_webp
from comfytui.simulator.execution import NodeRun
from comfytui.simulator.faults import (
    FewerFrames,
    HalfWritten,
    HostileNames,
    LateFrame,
    PromptFault,
    TruncatedFrame,
    UnreportedFrames,
    kind_of,
)
from comfytui.simulator.folders import FrameNames, frame_names
from comfytui.simulator.nodes.media import Pictures
from comfytui.simulator.nodes.schema import Outcome
from comfytui.simulator.writing import in_thread, write_frame

Json = dict[str, Any]


@dataclass(frozen=True)
class SavePlan:
    """What the faults of a prompt make of its `count` frames; indexes are 0-based."""

    count: int
    faults: tuple[PromptFault, ...]

    @property
    def written(self) -> int:
        """Return how many frames are written at all."""
        fewer = kind_of(self.faults, FewerFrames)
        return self.count if fewer is None else min(fewer.keep, self.count)

    @property
    def reported(self) -> int:
        """Return how many frames the outputs name."""
        if kind_of(self.faults, UnreportedFrames) is not None:
            return 0
        fewer = kind_of(self.faults, FewerFrames)
        return self.count if fewer is None or fewer.reported else self.written

    def late(self, index: int) -> float | None:
        """Return how many seconds after success this frame appears, or None: it is in time."""
        fault = kind_of(self.faults, LateFrame)
        return fault.seconds if fault is not None and self._is(index, fault.frame) else None

    def stop_at(self, index: int) -> float | None:
        """Return the fraction of its bytes at which this frame ends for good, or None."""
        fault = kind_of(self.faults, TruncatedFrame)
        return fault.fraction if fault is not None and self._is(index, fault.frame) else None

    def half_pause(self, index: int) -> float:
        """Return the seconds for which this frame rests half-written."""
        fault = kind_of(self.faults, HalfWritten)
        return fault.pause if fault is not None and self._is(index, fault.frame) else 0.0

    def shown(self, items: list[Json]) -> list[Json]:
        """Return the items of the outputs, with the names a hostile server would add."""
        items = items[: self.reported]
        hostile = kind_of(self.faults, HostileNames)
        if hostile is None:
            return items
        places = [("", name) for name in hostile.names] + [(folder, "frame_00001_.png") for folder in hostile.folders]
        foreign = [{"filename": name, "subfolder": folder, "type": "output"} for folder, name in places]
        return foreign if hostile.replace else items + foreign

    def _is(self, index: int, frame: int) -> bool:
        return index == (frame - 1 if frame > 0 else self.count + frame)


async def save_frames(
    run: NodeRun,
    pictures: Pictures,
    *,
    prefix: str,
    folder: Path,
    kind: str,
    encoder: Callable[[int], Callable[[], bytes]],
) -> Outcome:
    """Write each image of the batch in its turn, and return the `images` to show; raises OutsideFolder.

    `encoder(index)` gives the function that draws and encodes a frame; it is called in a worker thread.
    """
    life = run.life
    life.device.work(pictures.width, pictures.height, pictures.count)
    size = (pictures.width, pictures.height)
    names = await in_thread(partial(frame_names, prefix, folder, size, life.now(), life.counters))
    plan = SavePlan(pictures.count, run.run.prompt.faults if kind == "output" else ())
    begun = asyncio.get_running_loop().time()
    for index in range(plan.written):
        path, encode = names.folder / names.file(index), encoder(index)
        late = plan.late(index)
        if late is not None:
            life.after_success(run.run, late, partial(_late, path, encode))
        else:
            await write_frame(
                path,
                encode,
                until=begun + (index + 1) * life.speed().save_frame,
                create=life.counters.create,
                stop_at=plan.stop_at(index),
                half_pause=plan.half_pause(index),
            )
            life.frames_written += 1
        await run.step_done(index + 1)
    shown = plan.shown(_items(names, pictures.count, kind))
    return Outcome(ui={"images": shown} if shown or plan.reported else None)


async def _late(path: Path, encode: Callable[[], bytes]) -> None:
    await write_frame(path, encode, until=asyncio.get_running_loop().time())


def _items(names: FrameNames, count: int, kind: str) -> list[Json]:
    return [{"filename": names.file(i), "subfolder": names.subfolder, "type": kind} for i in range(count)]


async def save_animation(
    run: NodeRun, pictures: Pictures, *, fps: float, lossless: bool, quality: int, method: int
) -> Outcome:
    """Write the batch as one animated WebP, and return it as `images`; raises OutsideFolder."""
    life, size = run.life, (pictures.width, pictures.height)
    prefix = run.inputs["filename_prefix"]
    names = await in_thread(partial(frame_names, prefix, life.folders.output, size, life.now(), life.counters))
    plan = SavePlan(1, run.run.prompt.faults)

    def encode() -> bytes:
        drawn = [pictures.draw(index) for index in range(pictures.count)]
        return animated_webp(drawn, fps, lossless=lossless, quality=quality, method=method)

    file = names.file(0, ".webp")
    if plan.written:
        until = asyncio.get_running_loop().time() + life.speed().save_frame * pictures.count
        await write_frame(
            names.folder / file, encode, until=until, stop_at=plan.stop_at(0), half_pause=plan.half_pause(0)
        )
        life.frames_written += 1
    items = plan.shown([{"filename": file, "subfolder": names.subfolder, "type": "output"}])
    return Outcome(ui={"images": items, "animated": [pictures.count != 1]} if items else None)
