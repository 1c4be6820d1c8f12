"""Whether VRAM leaks from scene to scene: a slope, and whether it is more than chance. Pure, and silent until it knows.

The readings are the FREE bytes after each attempt in the order of their ends, on one device: after an attempt the
models are loaded already, so that loading them once is no leak. The method, for the newest ``WINDOW`` readings:

- the slope is that of Theil and Sen: the median of the slopes of all pairs, which a few odd readings do not move;
- it is significant when the one-sided test of Mann and Kendall (normal approximation with ties and continuity
  corrected, which is cautious for few readings) gives readings without a trend a chance below ``CHANCE`` to fall so;
- and when the newer half of the readings falls by itself: memory that was taken once and kept is no leak.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import combinations
from math import erfc, floor, sqrt
from statistics import median

from msgspec import Struct

from comfytui.model.state import Attempt

WINDOW = 60
"""Readings that count: the newest ones, so that a leak that was mended is forgotten."""

FEWEST = 6
"""Readings below which nothing is said."""

CHANCE = 0.002
"""How likely chance alone may be to look like what is called a leak. It is low: each scene asks once more."""

SMALLEST = 1048576
"""Bytes a scene below which a fall is not worth a word: allocators take and give memory in such pieces."""


class Leak(Struct, frozen=True, kw_only=True):
    """A significant fall of free VRAM: bytes lost a scene, how likely chance looks like it, and the room that is left.

    ``scenes_left`` counts the whole scenes until the free memory is used up at this pace.
    """

    bytes_per_scene: float
    chance: float
    readings: int
    free: int
    scenes_left: int


class FreeAfter(Struct, frozen=True, kw_only=True):
    """The FREE bytes of a device after an attempt ended."""

    at: datetime
    free: int


DeviceKey = tuple[str, int | None]
"""The URL of a server and the index of one of its devices (``None`` where it has none)."""


def leak(free: Sequence[int]) -> Leak | None:
    """Return how fast ``free`` (bytes after each scene, oldest first) falls; ``None`` unless significantly."""
    readings = free[-WINDOW:]
    if len(readings) < FEWEST:
        return None
    slope = slope_per_reading(readings)
    if -slope < SMALLEST or slope_per_reading(readings[len(readings) // 2 :]) >= 0:
        return None
    chance = chance_of_falling(readings)
    if chance >= CHANCE:
        return None
    return Leak(
        bytes_per_scene=-slope, chance=chance, readings=len(readings), free=readings[-1],
        scenes_left=floor(readings[-1] / -slope),
    )  # fmt: skip


def slope_per_reading(readings: Sequence[float]) -> float:
    """Return the slope of Theil and Sen: the median over all pairs of (later - earlier) / distance. 0 below two."""
    pairs = combinations(enumerate(readings), 2)
    slopes = [(later - earlier) / (j - i) for (i, earlier), (j, later) in pairs]
    return median(slopes) if slopes else 0.0


def chance_of_falling(readings: Sequence[float]) -> float:
    """Return how likely readings without a trend are to fall like these: the one-sided test of Mann and Kendall."""
    count = len(readings)
    score = sum((later < earlier) - (later > earlier) for earlier, later in combinations(readings, 2))
    ties = (readings.count(value) for value in set(readings))
    spread = (_weight(count) - sum(map(_weight, ties))) / 18
    if score <= 0 or spread <= 0:
        return 1.0
    return erfc((score - 1) / sqrt(spread) / sqrt(2)) / 2


def _weight(count: int) -> int:
    return count * (count - 1) * (2 * count + 5)


def reading_after(attempt: Attempt) -> tuple[DeviceKey, FreeAfter] | None:
    """Return what was free after ``attempt``, and on which device; ``None`` where it did not execute or nobody told."""
    ended = attempt.execution_ended_at
    device = attempt.after.device if attempt.after is not None else None
    if attempt.executing_at is None or ended is None or device is None or device.vram_free is None:
        return None
    return (attempt.server, device.index), FreeAfter(at=ended, free=device.vram_free)


def words(found: Leak) -> str:
    """Return ``found`` as a sentence: ``leaks ~85 MB a scene, will run out in ~140 scenes``."""
    size = f"{found.bytes_per_scene / 1048576:,.0f} MB"
    if found.scenes_left < 1:
        return f"leaks ~{size} a scene, may run out in the next scene"
    scenes = "scene" if found.scenes_left == 1 else "scenes"
    return f"leaks ~{size} a scene, will run out in ~{_round(found.scenes_left):,} {scenes}"


def _round(count: int) -> int:
    """Return ``count`` to two digits: no finer than an estimate is worth."""
    step = int("1".ljust(len(str(count)) - 1, "0"))
    return count // step * step
