"""A finding: where, and what is wrong there."""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from comfytui.untrusted import plain

Level = Literal["error", "warning"]

LONGEST = 500
"""Characters of a finding that are shown: what a hostile record says is quoted, not repeated whole."""


class Finding(NamedTuple):
    """Something about ``place`` (a file, a scene, a field) that is not as the contract wants it.

    A ``warning`` is worth a look and fails nothing.
    """

    place: str
    text: str
    level: Level = "error"

    def __str__(self) -> str:
        return plain(f"{self.place}: {self.text}", LONGEST)


def at(place: str, texts: Iterable[str]) -> Iterator[Finding]:
    """Yield one error at ``place`` for each of ``texts``."""
    for text in texts:
        yield Finding(place, text)


def shown(value: object) -> str:
    """Return ``value`` as a finding quotes it: short, and a text in quotes."""
    return plain(repr(value), 120)
