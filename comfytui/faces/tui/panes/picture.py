"""What a pane shows, as plain data: made by pure functions, drawn by :class:`LineList`."""

from collections.abc import Callable, Sequence
from typing import overload

from msgspec import Struct

from comfytui.faces.tui.panes.line import BLANK, Line


class Picture(Struct, frozen=True):
    """The content of a pane: fixed lines on top, then lines that scroll (they may be made one by one, when seen)."""

    lines: Sequence[Line]
    head: tuple[Line, ...] = ()
    note: Line = BLANK
    """Goes to the right end of the upper border."""
    foot: Line = BLANK
    """Goes to the right end of the lower border."""
    cursor: int | None = None
    """The chosen line, if lines can be chosen."""
    signed: bool = False
    """Whether a sign is to stand before the chosen line; else the line has one of its own."""
    top: int | None = None
    """The first line to show, where the picture itself decides."""


class Lazy(Sequence[Line]):
    """Lines that are made one by one, when they are seen: ``make(place)`` for each place below ``count``."""

    def __init__(self, count: int, make: Callable[[int], Line]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> Line: ...
    @overload
    def __getitem__(self, place: slice) -> list[Line]: ...
    def __getitem__(self, place: int | slice) -> Line | list[Line]:
        if isinstance(place, slice):
            return [self._make(each) for each in range(*place.indices(self._count))]
        if not 0 <= place < self._count:
            raise IndexError(place)
        return self._make(place)
