"""The numbers that frames carry in their names (``prefix_00012_.png``, SaveImage of ComfyUI 0.3.64), and their gaps."""

import re
from collections.abc import Iterable
from itertools import pairwise

_LAST_NUMBER = re.compile(r"(.*?)(\d{1,9})(\D*)", re.DOTALL)


def number_of(name: str) -> tuple[str, int] | None:
    """Return the family of a frame (its name without the last number) and that number; ``None`` without one.

    Digits of its suffix (``.mp4``) are no number.
    """
    stem, dot, suffix = name.rpartition(".") if "." in name else (name, "", "")
    found = _LAST_NUMBER.fullmatch(stem)
    return (f"{found[1].rstrip('0123456789')}*{found[3]}{dot}{suffix}", int(found[2])) if found else None


def gaps(names: Iterable[str]) -> list[tuple[int, int]]:
    """Return the numbers that are missing between frames of one family, as ``(first, last)`` runs in order.

    What lies before the first frame or after the last one is no gap: nobody knows where a sequence ends.
    """
    families: dict[str, list[int]] = {}
    for name in names:
        if (found := number_of(name)) is not None:
            families.setdefault(found[0], []).append(found[1])
    runs: list[tuple[int, int]] = []
    for numbers in families.values():
        there = sorted(set(numbers))
        runs += [(a + 1, b - 1) for a, b in pairwise(there) if b - a > 1]
    return sorted(runs)


def gap_words(runs: Iterable[tuple[int, int]]) -> str:
    """Return the runs as people read them: ``7, 9-11``; empty without any."""
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
