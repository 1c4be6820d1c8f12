"""The image nodes: plain batches, files in, frames out."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from comfytui.simulator.encoding import frame_png
from comfytui.simulator.execution import NodeFailed, NodeRun
from comfytui.simulator.folders import OutsideFolder, inside
from comfytui.simulator.nodes.frames import save_animation, save_frames
from comfytui.simulator.nodes.media import Pictures
from comfytui.simulator.nodes.schema import MAX_RESOLUTION, NodeClass, Outcome
from comfytui.simulator.writing import in_thread

SCALING = ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]
WEBP_METHODS = {"default": 4, "fastest": 0, "slowest": 6}
PREVIEW_COMPRESSION = 1


async def empty_image(run: NodeRun) -> Outcome:
    """Give a batch of one colour."""
    values = run.inputs
    run.life.device.work(values["width"], values["height"], values["batch_size"])
    return Outcome((Pictures(values["width"], values["height"], values["batch_size"], colour=values["color"]),))


async def load_image(run: NodeRun) -> Outcome:
    """Give the picture in the input folder; a file that is no picture fails here, as on the real server."""
    path = inside(run.life.folders.input, run.inputs["image"])
    if path is None:
        raise NodeFailed(f"Invalid image file: {run.inputs['image']}", "FileNotFoundError")
    try:
        width, height = await in_thread(lambda: _size(path))
    except OSError as error:
        raise NodeFailed(str(error), "PIL.UnidentifiedImageError") from error
    run.life.device.work(width, height, 1)
    return Outcome((Pictures(width, height, 1, file=path), None))


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


async def scale_image(run: NodeRun) -> Outcome:
    """Give the batch in another size; 0 keeps the proportions."""
    pictures: Pictures = run.inputs["image"]
    width, height = run.inputs["width"], run.inputs["height"]
    width = width or round(pictures.width * height / pictures.height) or pictures.width
    height = height or round(pictures.height * width / pictures.width)
    return Outcome((replace(pictures, width=width, height=height),))


async def repeat_image(run: NodeRun) -> Outcome:
    """Give the batch several times over; all copies look alike."""
    pictures: Pictures = run.inputs["image"]
    return Outcome((replace(pictures, count=pictures.count * run.inputs["amount"], still=True),))


async def save_image(run: NodeRun) -> Outcome:
    """Write the batch to the output folder, frame by frame, and show it."""
    return await _saved(run, run.inputs["filename_prefix"], run.life.folders.output, "output")


async def preview_image(run: NodeRun) -> Outcome:
    """Write the batch to the temp folder under a random name."""
    letters = "".join(random.choice(string.ascii_lowercase) for _ in range(5))
    prefix = f"ComfyUI_temp_{letters}"
    return await _saved(run, prefix, run.life.folders.temp, "temp", PREVIEW_COMPRESSION)


async def _saved(run: NodeRun, prefix: str, folder: Path, kind: str, compression: int | None = None) -> Outcome:
    pictures = run.inputs["images"].with_style(run.inputs.get("filename_prefix", ""))
    graph = run.run.prompt.graph

    def encoder(index: int) -> Callable[[], bytes]:
        if compression is None:
            return lambda: frame_png(pictures.draw(index), graph)
        return lambda: frame_png(pictures.draw(index), graph, compression)

    try:
        return await save_frames(run, pictures, prefix=prefix, folder=folder, kind=kind, encoder=encoder)
    except OutsideFolder as error:
        raise NodeFailed(str(error), "Exception") from error


async def save_animated_webp(run: NodeRun) -> Outcome:
    """Write the batch as one animated WebP."""
    values = run.inputs
    pictures = values["images"].with_style(values["filename_prefix"])
    method = WEBP_METHODS[values["method"]]
    try:
        return await save_animation(
            run, pictures, fps=values["fps"], lossless=values["lossless"], quality=values["quality"], method=method
        )
    except OutsideFolder as error:
        raise NodeFailed(str(error), "Exception") from error


async def save_image_websocket(run: NodeRun) -> Outcome:
    """Send whole PNGs over the socket, as binary previews; nothing is written or shown."""
    pictures: Pictures = run.inputs["images"].with_style("websocket")
    for index in range(pictures.count):
        await run.report(index, pictures.count, partial(pictures.draw, index), "PNG")
    return Outcome()


def _size_input(least: int = 1, step: int = 1) -> list[Any]:
    return ["INT", {"default": 512, "min": least, "max": MAX_RESOLUTION, "step": step}]


WORKFLOW = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}

CLASSES = [
    NodeClass(
        name="EmptyImage",
        display_name="EmptyImage",
        category="image",
        work=empty_image,
        required={
            "width": _size_input(),
            "height": _size_input(),
            "batch_size": ["INT", {"default": 1, "min": 1, "max": 4096}],
            "color": ["INT", {"default": 0, "min": 0, "max": 0xFFFFFF, "step": 1, "display": "color"}],
        },
        returns=("IMAGE",),
    ),
    NodeClass(
        name="LoadImage",
        display_name="Load Image",
        category="image",
        work=load_image,
        required={"image": [[], {"image_upload": True}]},
        returns=("IMAGE", "MASK"),
        loads_file="image",
    ),
    NodeClass(
        name="ImageScale",
        display_name="Upscale Image",
        category="image/upscaling",
        work=scale_image,
        required={
            "image": ["IMAGE"],
            "upscale_method": [SCALING],
            "width": _size_input(0),
            "height": _size_input(0),
            "crop": [["disabled", "center"]],
        },
        returns=("IMAGE",),
    ),
    NodeClass(
        name="RepeatImageBatch",
        display_name="RepeatImageBatch",
        category="image/batch",
        work=repeat_image,
        required={"image": ["IMAGE"], "amount": ["INT", {"default": 1, "min": 1, "max": 4096}]},
        returns=("IMAGE",),
        python_module="comfy_extras.nodes_images",
    ),
    NodeClass(
        name="SaveImage",
        display_name="Save Image",
        category="image",
        work=save_image,
        required={
            "images": ["IMAGE", {"tooltip": "The images to save."}],
            "filename_prefix": [
                "STRING",
                {
                    "default": "ComfyUI",
                    "tooltip": "The prefix for the file to save. This may include formatting information such as "
                    "%date:yyyy-MM-dd% or %Empty Latent Image.width% to include values from nodes.",
                },
            ],
        },
        hidden=WORKFLOW,
        description="Saves the input images to your ComfyUI output directory.",
        output_node=True,
    ),
    NodeClass(
        name="PreviewImage",
        display_name="Preview Image",
        category="image",
        work=preview_image,
        required={"images": ["IMAGE"]},
        hidden=WORKFLOW,
        description="Saves the input images to your ComfyUI output directory.",
        output_node=True,
    ),
    NodeClass(
        name="SaveAnimatedWEBP",
        display_name="SaveAnimatedWEBP",
        category="image/animation",
        work=save_animated_webp,
        required={
            "images": ["IMAGE"],
            "filename_prefix": ["STRING", {"default": "ComfyUI"}],
            "fps": ["FLOAT", {"default": 6.0, "min": 0.01, "max": 1000.0, "step": 0.01}],
            "lossless": ["BOOLEAN", {"default": True}],
            "quality": ["INT", {"default": 80, "min": 0, "max": 100}],
            "method": [list(WEBP_METHODS)],
        },
        hidden=WORKFLOW,
        python_module="comfy_extras.nodes_images",
        output_node=True,
    ),
    NodeClass(
        name="SaveImageWebsocket",
        display_name="SaveImageWebsocket",
        category="api/image",
        work=save_image_websocket,
        required={"images": ["IMAGE"]},
        python_module="custom_nodes.websocket_image_save",
        output_node=True,
        never_cached=True,
    ),
]
