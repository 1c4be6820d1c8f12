"""Paints one frame of a scene."""

from __future__ import annotations

import colorsys
import hashlib
from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class Style:
    """What a scene looks like: its prompt and its seed decide everything."""

    prompt: str
    seed: int


def paint(style: Style, size: tuple[int, int], index: int) -> Image.Image:
    """Return frame number `index` (0-based) of the scene as RGB."""
    hue = int(hashlib.sha256(f"{style.prompt}/{style.seed}".encode()).hexdigest()[:4], 16) / 65535
    low = tuple(int(255 * c) for c in colorsys.hsv_to_rgb(hue, 0.6, 0.9))
    high = tuple(int(255 * c) for c in colorsys.hsv_to_rgb((hue + 0.2) % 1, 0.8, 0.3))
    ramp = Image.linear_gradient("L").rotate(index * 3).resize(size)
    return Image.composite(Image.new("RGB", size, low), Image.new("RGB", size, high), ramp)
