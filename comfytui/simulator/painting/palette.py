"""Colours: a palette for each mood, found by the words of a prompt, else by its hash."""

from __future__ import annotations

import re
from dataclasses import dataclass

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Palette:
    """The sky from top to horizon, the light in it, the land from far to near, and what glows on it."""

    sky: tuple[Colour, Colour, Colour, Colour]
    light: Colour
    far: Colour
    near: Colour
    spark: Colour
    stars: float
    """How many stars there are: 0 at noon, 1 in a clear night."""


def _rgb(text: str) -> Colour:
    return int(text[:2], 16), int(text[2:4], 16), int(text[4:], 16)


def _palette(sky: str, light: str, land: str, spark: str, stars: float) -> Palette:
    top, high, low, horizon = (_rgb(one) for one in sky.split())
    far, near = (_rgb(one) for one in land.split())
    return Palette((top, high, low, horizon), _rgb(light), far, near, _rgb(spark), stars)


PALETTES = {
    "amber": _palette("2b1b3f 8c3b4a e07a3f ffd08a", "fff1c9", "a3575a 1d1224", "ffc46b", 0.15),
    "teal": _palette("06222e 0d5563 2f9c95 c8efd4", "f4fff0", "2b7a7c 04171e", "a8fff0", 0.25),
    "night": _palette("03040f 0a1030 1c2b5e 47618f", "e8efff", "23345f 04060f", "ffe9a8", 1.0),
    "rose": _palette("3a2456 9a4f86 ee8fa0 ffe0cf", "fff6ea", "9a6288 261334", "ffd7e6", 0.2),
    "violet": _palette("0d0622 2d1458 6b34a0 e79ad6", "ffe6ff", "5a2f88 0b0418", "ff9df2", 0.7),
    "emerald": _palette("04150f 0c3d2c 3f8f5f d9efb0", "fdffe2", "33694a 03110b", "d8ff8a", 0.2),
    "crimson": _palette("12040a 4a0d1c a8242f ff9b62", "ffe3b8", "6f1b28 0c0306", "ff7a4d", 0.4),
    "silver": _palette("3c4655 6f7d8d a9b5bd e9ecea", "ffffff", "7f8c97 1c242c", "ffffff", 0.0),
    "azure": _palette("0b3f86 2f7fc4 86c3e6 eaf7fb", "fffbe6", "5b8fb3 12324d", "ffffff", 0.0),
    "copper": _palette("1c1a2e 5b3a45 b8704d f2c48d", "fff0d0", "7d5347 17101a", "ffb070", 0.3),
}

WORDS = {
    "amber": "amber gold golden sunset dusk honey lantern autumn orange warm",
    "teal": "teal cyan turquoise underwater lagoon jade aqua",
    "night": "night midnight dark moon moonlit starry stars indigo",
    "rose": "rose pink dawn sunrise blossom cherry pastel coral",
    "violet": "violet purple neon magenta nebula dream cyberpunk twilight",
    "emerald": "emerald green moss jungle aurora spring meadow",
    "crimson": "crimson red fire volcano lava blood ember scarlet",
    "silver": "silver grey gray fog mist misty rain winter snow ice white pale",
    "azure": "azure blue noon day clear summer morning bright",
    "copper": "copper bronze rust desert sand dust brown sepia ochre",
}


def words_of(prompt: str) -> list[str]:
    """Return the words of a prompt in lower case, in order."""
    return re.findall(r"[a-z]+", prompt.lower())


def chosen(words: list[str], table: dict[str, str], digest: int) -> str:
    """Return the entry of `table` whose words occur most in a prompt, else the one its hash picks."""
    votes = {name: sum(word in known.split() for word in words) for name, known in table.items()}
    best = max(votes, key=lambda name: votes[name])
    return best if votes[best] else list(table)[digest % len(table)]


def mixed(one: Colour, other: Colour, share: float) -> Colour:
    """Return the colour that lies `share` (0 to 1) of the way from `one` to `other`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
