"""What is in a scene: chosen once from its prompt and seed, then the same for all of its frames."""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import dataclass
from functools import lru_cache

from comfytui.simulator.painting.palette import PALETTES, WORDS, Palette, chosen, words_of

SCENERIES = {
    "mountains": "mountain mountains peak peaks valley cliff alpine hill hills ridge summit snow volcano",
    "sea": "sea ocean lake water shore harbor harbour river ship boat island wave waves coast lighthouse lagoon",
    "forest": "forest tree trees wood woods pine jungle grove meadow garden fox deer",
    "city": "city street neon tower skyline town rooftop station cyberpunk building train market",
    "dunes": "desert dune dunes sand oasis caravan canyon mars",
    "space": "space planet nebula galaxy orbit comet asteroid cosmic starship astronaut",
}


@dataclass(frozen=True)
class Style:
    """What a scene looks like: its prompt and its seed decide everything."""

    prompt: str
    seed: int


@dataclass(frozen=True)
class Wave:
    """A line of hills: heights of a sum of sines, in units of the picture's height."""

    terms: tuple[tuple[float, float, float], ...]
    """Amplitude, frequency (periods per picture width), phase."""

    def at(self, x: float) -> float:
        """Return the height at `x`, in picture widths."""
        return sum(a * math.sin(2 * math.pi * f * x + phase) for a, f, phase in self.terms)


@dataclass(frozen=True)
class Composition:
    """One scene. Places are shares of the picture's width and height; speeds are shares a frame."""

    scenery: str
    palette: Palette
    light_at: tuple[float, float]
    light_size: float
    light_rise: float
    cloudiness: float
    wind: float
    waves: tuple[Wave, ...]
    stars: tuple[tuple[float, float, float], ...]
    """Place and brightness."""
    motes: tuple[tuple[float, float, float, float], ...]
    """Place, size, phase."""
    birds: int
    clouds: bytes
    rng_seed: int


CLOUD_GRID = (24, 10)


@lru_cache(maxsize=64)
def compose(style: Style) -> Composition:
    """Return the scene of a style; the words of the prompt choose scenery and colours, the seed the details."""
    of_prompt = int.from_bytes(hashlib.sha256(style.prompt.encode()).digest()[:8], "big")
    rng_seed = int.from_bytes(hashlib.sha256(f"{style.prompt}\0{style.seed}".encode()).digest()[:8], "big")
    rng = random.Random(rng_seed)
    words = words_of(style.prompt)
    scenery = chosen(words, SCENERIES, of_prompt)
    palette = PALETTES[chosen(words, WORDS, of_prompt >> 8)]
    star_count = 40 + round(120 * palette.stars) if palette.stars else 0
    return Composition(
        scenery=scenery,
        palette=palette,
        light_at=(rng.uniform(0.18, 0.82), rng.uniform(0.2, 0.46)),
        light_size=rng.uniform(0.05, 0.11),
        light_rise=rng.choice((-1, 1)) * rng.uniform(0.0012, 0.0024),
        cloudiness=rng.uniform(0.25, 0.75),
        wind=rng.choice((-1, 1)) * rng.uniform(0.003, 0.006),
        waves=tuple(_wave(rng, layer) for layer in range(5)),
        stars=tuple((rng.random(), rng.random() ** 1.4, rng.random()) for _ in range(star_count)),
        motes=tuple((rng.random(), rng.random(), rng.uniform(0.4, 1.0), rng.random()) for _ in range(34)),
        birds=rng.randrange(3, 9),
        clouds=rng.randbytes(CLOUD_GRID[0] * CLOUD_GRID[1]),
        rng_seed=rng_seed,
    )


def _wave(rng: random.Random, layer: int) -> Wave:
    rough = 1.0 / (1 + 0.2 * layer)
    terms = [(0.05 * rough, rng.uniform(0.5, 0.9), rng.uniform(0, 6.3))]
    for octave in range(1, 5):
        scale = 2.0**octave
        terms.append((0.055 * rough / scale**1.05, rng.uniform(0.8, 1.25) * scale, rng.uniform(0, 6.3)))
    return Wave(tuple(terms))
