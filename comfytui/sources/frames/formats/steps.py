"""The steps that a grammar may take through a file, and the finding that it ends with.

A grammar is a generator that yields steps and receives bytes; :class:`comfytui.sources.frames.verify.Prover` drives
it from whatever chunks come along, holds no more than :data:`LARGEST_TAKE` or :data:`LARGEST_TAIL` bytes, and ends
it when the file ends in the middle of a step.
"""

import re
from collections.abc import Callable, Generator
from typing import NamedTuple, TypeAlias

LARGEST_TAKE = 65_536
LARGEST_TAIL = 262_144


class Take(NamedTuple):
    """Read ``size`` bytes (at most :data:`LARGEST_TAKE`). With ``end_ok`` a file that ends here gives ``b""``."""

    size: int
    place: str
    end_ok: bool = False


class Skip(NamedTuple):
    """Pass over ``size`` bytes, which must be there; gives ``b""``."""

    size: int
    place: str


class Sum(NamedTuple):
    """Pass over ``size`` bytes; gives their CRC-32, continued from ``seed``, as four big-endian bytes."""

    size: int
    seed: int
    place: str


class Until(NamedTuple):
    """Pass over everything up to the end of the first match of ``pattern``, whose matches are two bytes long."""

    pattern: re.Pattern[bytes]
    place: str


class Tail(NamedTuple):
    """Pass over the rest of the file; gives its last ``size`` bytes (at most :data:`LARGEST_TAIL`), or all of it."""

    size: int


class Finding(NamedTuple):
    """What a grammar concluded.

    ``whole``: the structure is complete. ``proven``: ``False`` where the format allows no conclusion. ``why``: the
    reason in plain words, or a remark. ``trailing_ok``: bytes after the end are noted, not held against the file.
    """

    whole: bool
    proven: bool = True
    why: str = ""
    width: int | None = None
    height: int | None = None
    trailing_ok: bool = True
    kind: str | None = None


Step: TypeAlias = Take | Skip | Sum | Until | Tail
Steps: TypeAlias = Generator[Step, bytes, Finding]
Grammar: TypeAlias = Callable[[], Steps]


def broken(why: str, kind: str | None = None) -> Finding:
    """Return the finding that the file is proven not to be whole."""
    return Finding(False, why=why, kind=kind)


def unproven(why: str, kind: str | None = None) -> Finding:
    """Return the finding that the format leaves the question open."""
    return Finding(False, proven=False, why=why, kind=kind)
