"""What flows between the simulated nodes: descriptions, drawn only when a frame is saved or previewed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from comfytui.simulator.painting.camera import filmed
from comfytui.simulator.painting.painter import Style, paint


@dataclass(frozen=True)
class Model:
    """A checkpoint, or the part of it that stands for MODEL, CLIP, VAE or CLIP_VISION."""

    checkpoint: str


@dataclass(frozen=True)
class Pictures:
    """A batch of `count` images of `width` x `height` pixels: what to draw, not the pixels.

    They come from a `file` (filmed by a slow camera when `filmed`), or from the painter in a `style`; a batch with
    neither is the plain colour of EmptyImage, and whoever saves it lends it a style.
    """

    width: int
    height: int
    count: int
    colour: int = 0
    style: Style | None = None
    file: Path | None = None
    filmed: bool = False
    still: bool = False

    def with_style(self, prompt: str) -> Pictures:
        """Return a batch that can be drawn: a plain colour gets a style of that colour and `prompt`."""
        if self.style is not None or self.file is not None:
            return self
        return replace(self, style=Style(prompt=f"#{self.colour:06x} {prompt}", seed=self.colour))

    def draw(self, index: int) -> Image.Image:
        """Return image number `index` (0-based) as RGB; the same arguments give the same pixels."""
        moment = 0 if self.still else index
        size = (self.width, self.height)
        if self.file is not None:
            return filmed(self.file, size, moment if self.filmed else None)
        if self.style is None:
            return Image.new("RGB", size, (self.colour >> 16 & 255, self.colour >> 8 & 255, self.colour & 255))
        return paint(self.style, size, moment)

    def tensor_text(self) -> str:
        """Return the kilobytes of text that torch prints for such a batch, as `execution_error` quotes it."""
        red, green, blue = ((self.colour >> shift & 255) / 255 for shift in (16, 8, 0))
        pixel = f"[{red:.4f}, {green:.4f}, {blue:.4f}]"
        rows = [pixel] * 3 + ["..."] + [pixel] * 3
        row = "[" + ",\n          ".join(rows) + "]"
        picture = "[" + ",\n\n         ".join([row] * 3 + ["..."] + [row] * 3) + "]"
        return f"tensor([{picture}])"


@dataclass(frozen=True)
class Conditioning:
    """What CLIPTextEncode or SVD conditioning gives the sampler."""

    text: str = ""
    pictures: Pictures | None = None


@dataclass(frozen=True)
class Latent:
    """`count` latent images that will decode to `width` x `height` pixels."""

    width: int
    height: int
    count: int
    style: Style | None = None
    pictures: Pictures | None = None

    def decoded(self) -> Pictures:
        """Return the images of this latent."""
        if self.pictures is not None:
            return replace(
                self.pictures, width=self.width, height=self.height, count=self.count, filmed=True, still=False
            )
        return Pictures(self.width, self.height, self.count, colour=0x7F7F7F, style=self.style)
