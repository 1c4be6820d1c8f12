"""The three test nodes that a real server gets from a node package: slow progress, awkward writers, text."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from comfytui.simulator.encoding import frame_png
from comfytui.simulator.execution import NodeFailed, NodeRun
from comfytui.simulator.folders import OutsideFolder, frame_names
from comfytui.simulator.nodes.frames import SavePlan
from comfytui.simulator.nodes.media import Pictures
from comfytui.simulator.nodes.schema import NodeClass, Outcome
from comfytui.simulator.writing import in_thread, write_frame

PREVIEW_SIZE = (256, 256)
MODULE = "custom_nodes.comfytui_testnodes"
SECONDS: dict[str, Any] = {"default": 0.2, "min": 0.0, "max": 60.0, "step": 0.001}
SEED = ["INT", {"default": 0, "min": 0, "max": 2**63 - 1}]


async def slow_progress(run: NodeRun) -> Outcome:
    """Pass the images through, after `steps` steps of `seconds_per_step`."""
    values = run.inputs
    pictures: Pictures = values["image"]
    for step in range(values["steps"]):
        if step == values["fail_at_step"]:
            if values.get("oom", False):
                raise NodeFailed.out_of_memory(
                    "CUDA out of memory. Tried to allocate 2.00 GiB (simulated by SlowProgress)"
                )
            raise NodeFailed(f"SlowProgress failed on purpose at step {step}", "RuntimeError")
        await run.wait(values["seconds_per_step"])
        draw = _thumbnail(pictures, step) if values["preview"] else None
        await run.report(step + 1, values["steps"], draw)
    return Outcome((pictures,))


def _thumbnail(pictures: Pictures, step: int) -> Callable[[], Image.Image]:
    def draw() -> Image.Image:
        picture = pictures.draw(step % pictures.count)
        picture.thumbnail(PREVIEW_SIZE)
        return picture

    return draw


async def slow_frame_writer(run: NodeRun) -> Outcome:
    """Write frames as SaveImage names them, slowly, perhaps in two halves, unreported, or with a done marker."""
    values, folder = run.inputs, run.life.folders.output
    pictures: Pictures = values["images"].with_style(values["filename_prefix"])
    size = (pictures.width, pictures.height)
    prefix = values["filename_prefix"]
    try:
        names = await in_thread(partial(frame_names, prefix, folder, size, run.life.now(), run.life.counters))
    except OutsideFolder as error:
        raise NodeFailed(str(error), "Exception") from error
    plan = SavePlan(values["frames"], run.run.prompt.faults)
    written: list[dict[str, Any]] = []
    for index in range(values["frames"]):
        if index < plan.written:
            await write_frame(
                names.folder / names.file(index),
                partial(_frame, pictures, index),
                until=asyncio.get_running_loop().time(),
                stop_at=plan.stop_at(index),
                half_pause=values["half_pause"] if values["half_write"] else plan.half_pause(index),
            )
            run.life.frames_written += 1
        written.append({"filename": names.file(index), "subfolder": names.subfolder, "type": "output"})
        await run.report(index + 1, values["frames"])
        await run.wait(values["delay"])
    if values["done_marker"]:
        marker, text = names.folder / f"{names.name}.done", _marker_text(run, written)
        await in_thread(lambda: _replace(marker, text))
    shown = plan.shown(written)
    return Outcome(ui={"images": shown} if values["report_ui"] and shown else None)


def _frame(pictures: Pictures, index: int) -> bytes:
    return frame_png(pictures.draw(index % pictures.count), None)


def _marker_text(run: NodeRun, written: list[dict[str, Any]]) -> str:
    moment = datetime.fromtimestamp(run.life.now(), UTC).isoformat()
    return json.dumps({"Timestamp": moment, "FrameCount": len(written), "Latest": written[-1]["filename"]})


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(path.name + ".tmp")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


async def progress_text(run: NodeRun) -> Outcome:
    """Pass the images through, and send a line of text."""
    run.send_text(run.inputs["text"])
    return Outcome((run.inputs["image"],))


CLASSES = [
    NodeClass(
        name="SlowProgress",
        display_name="Slow progress (test)",
        category="comfytui/test",
        work=slow_progress,
        required={
            "image": ["IMAGE"],
            "steps": ["INT", {"default": 10, "min": 1, "max": 100000}],
            "seconds_per_step": ["FLOAT", SECONDS],
            "fail_at_step": ["INT", {"default": -1, "min": -1, "max": 100000}],
            "preview": ["BOOLEAN", {"default": False}],
        },
        optional={"oom": ["BOOLEAN", {"default": False}], "seed": SEED},
        returns=("IMAGE",),
        python_module=MODULE,
    ),
    NodeClass(
        name="SlowFrameWriter",
        display_name="Slow frame writer (test)",
        category="comfytui/test",
        work=slow_frame_writer,
        required={
            "images": ["IMAGE"],
            "filename_prefix": ["STRING", {"default": "slow"}],
            "frames": ["INT", {"default": 5, "min": 1, "max": 100000}],
            "delay": ["FLOAT", SECONDS],
            "half_write": ["BOOLEAN", {"default": False}],
            "half_pause": ["FLOAT", SECONDS],
            "report_ui": ["BOOLEAN", {"default": True}],
            "done_marker": ["BOOLEAN", {"default": False}],
        },
        optional={"seed": SEED},
        python_module=MODULE,
        output_node=True,
    ),
    NodeClass(
        name="ProgressText",
        display_name="ProgressText",
        category="comfytui/test",
        work=progress_text,
        required={"image": ["IMAGE"], "text": ["STRING", {"default": "hello"}]},
        hidden={"unique_id": "UNIQUE_ID"},
        returns=("IMAGE",),
        python_module=MODULE,
    ),
]
