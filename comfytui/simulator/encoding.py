"""Pictures as bytes: PNG frames with the workflow inside, previews, animations. All run in a worker thread."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

Json = dict[str, Any]

FRAME_COMPRESSION = 4
PREVIEW_SIZE = 512


def frame_png(picture: Image.Image, prompt: Json | None, compression: int = FRAME_COMPRESSION) -> bytes:
    """Return a PNG with the workflow in its `prompt` text, as SaveImage writes it."""
    info = None
    if prompt is not None:
        info = PngInfo()
        info.add_text("prompt", json.dumps(prompt))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", pnginfo=info, compress_level=compression)
    return buffer.getvalue()


def preview_bytes(picture: Image.Image, form: str) -> bytes:
    """Return a preview: a JPEG, or a whole PNG as SaveImageWebsocket sends it."""
    buffer = io.BytesIO()
    if form == "JPEG":
        picture.thumbnail((PREVIEW_SIZE, PREVIEW_SIZE))
        picture.save(buffer, format="JPEG", quality=95)
    else:
        picture.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def animated_webp(pictures: Sequence[Image.Image], fps: float, *, lossless: bool, quality: int, method: int) -> bytes:
    """Return an animated WebP."""
    buffer = io.BytesIO()
    first, *rest = pictures
    first.save(
        buffer,
        format="WEBP",
        save_all=True,
        append_images=rest,
        duration=int(1000 / fps),
        lossless=lossless,
        quality=quality,
        method=method,
    )
    return buffer.getvalue()
