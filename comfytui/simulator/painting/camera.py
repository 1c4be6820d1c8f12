"""A slow camera over a still picture: what the simulated image-to-video model makes of its keyframe."""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image

ZOOM_PER_FRAME = 0.006
SWAY_PER_FRAME = 0.11


def filmed(file: Path, size: tuple[int, int], index: int | None) -> Image.Image:
    """Return `file` cut to `size` as RGB; with an `index` the camera has moved in and swayed by that many frames."""
    with Image.open(file) as opened:
        picture = opened.convert("RGB")
    scale = max(size[0] / picture.width, size[1] / picture.height)
    width, height = size[0] / scale, size[1] / scale
    left, top = (picture.width - width) / 2, (picture.height - height) / 2
    if index is not None:
        zoom = 1 / (1.06 + ZOOM_PER_FRAME * index)
        slack_x, slack_y = width * (1 - zoom), height * (1 - zoom)
        left += slack_x * (0.5 + 0.42 * math.sin(SWAY_PER_FRAME * index))
        top += slack_y * (0.5 + 0.42 * math.sin(SWAY_PER_FRAME * 0.7 * index + 1.0))
        width, height = width * zoom, height * zoom
    box = (left, top, left + width, top + height)
    return picture.resize(size, Image.Resampling.BICUBIC, box=box)
