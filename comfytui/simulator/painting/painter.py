"""Paints one frame of a scene: sky, light, land, and what moves in it. No two frames of a scene are alike."""

from __future__ import annotations

import math
import random
from functools import lru_cache

from PIL import Image, ImageChops

from comfytui.simulator.painting import land, sky
from comfytui.simulator.painting.composition import Style, compose

__all__ = ["Style", "paint"]

WIDEST = 640
"""Larger pictures are painted this wide and scaled up: they are to be looked at, not to be printed."""


def paint(style: Style, size: tuple[int, int], index: int) -> Image.Image:
    """Return frame number `index` (0-based) of the scene as RGB, of `size` (width, height) pixels.

    The same style, size and index give the same pixels on every machine.
    """
    scale = min(1.0, WIDEST / max(size))
    canvas = (max(8, round(size[0] * scale)), max(8, round(size[1] * scale)))
    scene = compose(style)
    picture = sky.painted(scene, canvas, index)
    land.paint_on(picture, scene, index)
    picture = ImageChops.overlay(picture, _grain(canvas))
    return picture if canvas == size else picture.resize(size, Image.Resampling.BICUBIC)


@lru_cache(maxsize=8)
def _grain(size: tuple[int, int]) -> Image.Image:
    """Return a darkening towards the corners with a little grain, in the greys that overlay takes as 'nothing'."""
    width, height = size
    tile = Image.frombytes("L", (64, 64), bytes(125 + byte % 7 for byte in random.Random(1).randbytes(64 * 64)))
    grain = Image.new("L", size)
    for x in range(0, width, 64):
        for y in range(0, height, 64):
            grain.paste(tile, (x, y))
    reach = round(math.hypot(width, height) * 1.05)
    shade = Image.radial_gradient("L").resize((reach, reach)).point([round(max(0, v - 120) * 0.42) for v in range(256)])
    left, top = (reach - width) // 2, (reach - height) // 2
    shade = shade.crop((left, top, left + width, top + height))
    return Image.merge("RGB", [ImageChops.subtract(grain, shade)] * 3)
