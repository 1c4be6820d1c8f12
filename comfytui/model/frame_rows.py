"""The lines of the live frame watcher: the newest frames, found by their name and shown by their place."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Literal, overload

from msgspec import Struct
from msgspec.structs import replace

RECENT_FRAMES = 400

PAGE = 32
"""Rows that are kept together: what is told of one frame copies one page."""

FrameState = Literal["writing", "proven", "unproven", "truncated", "missing", "unsafe"]


class FrameRow(Struct, frozen=True, kw_only=True):
    """One line of the live frame watcher; ``at`` is when this state was first seen."""

    scene: str
    attempt: int
    name: str
    state: FrameState
    at: datetime
    bytes: int = 0
    why: str = ""
    sha256: str = ""
    via: Literal["disk", "http"] = "disk"
    """How it came into the run folder."""


Key = tuple[str, int, str]
"""Whose frame it is, and its name: scene, attempt, file name."""

Page = dict[Key, FrameRow]
"""Rows by their frame, the oldest first. Replaced, never changed in place."""


class FrameRows(Sequence[FrameRow]):
    """The newest frames first, at most :data:`RECENT_FRAMES`, one row for each. It never changes."""

    __slots__ = ("_growing", "_pages", "_shown")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, pages: tuple[Page, ...] = (), growing: frozenset[Key] = frozenset()) -> None:
        self._pages, self._growing = pages, growing
        self._shown: tuple[FrameRow, ...] | None = None

    def told(self, row: FrameRow) -> "FrameRows":
        """Return the rows with ``row`` as the newest.

        An older row of the same frame goes. One whose state is not new keeps its place and its first time, and a frame
        that has been judged does not grow any more: that sample comes late.
        """
        key = (row.scene, row.attempt, row.name)
        pages = self._pages
        place = next((place for place, page in enumerate(pages) if key in page), None)
        if place is None:
            pages = _with_newest(pages, key, row)
        else:
            old = pages[place][key]
            if old.state == row.state:
                pages = _with_page(pages, place, pages[place] | {key: replace(row, at=old.at)})
            elif row.state == "writing":
                return self
            else:
                rest = {other: kept for other, kept in pages[place].items() if other != key}
                pages = _with_newest(_with_page(pages, place, rest), key, row)
        growing = self._growing
        if row.state == "writing":
            growing |= {key}
        elif key in growing:
            growing -= {key}
        return FrameRows(pages, growing)

    def ended(self, scene: str, attempt: int) -> "FrameRows":
        """Return the rows without the frames of that attempt that still count as growing: nobody waits for them."""
        left = {key for key in self._growing if key[:2] == (scene, attempt)}
        if not left:
            return self
        pages = tuple({key: row for key, row in page.items() if key not in left} for page in self._pages)
        return FrameRows(pages, self._growing - left)

    @property
    def _rows(self) -> tuple[FrameRow, ...]:
        if self._shown is None:
            newest_first = (row for page in reversed(self._pages) for row in reversed(page.values()))
            self._shown = tuple(islice(newest_first, RECENT_FRAMES))
        return self._shown

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[FrameRow]:
        return iter(self._rows)

    @overload
    def __getitem__(self, place: int) -> FrameRow: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[FrameRow, ...]: ...

    def __getitem__(self, place: int | slice) -> FrameRow | tuple[FrameRow, ...]:
        return self._rows[place]

    def __eq__(self, other: object) -> bool:
        return self._rows == tuple(other) if isinstance(other, FrameRows | tuple) else NotImplemented

    def __repr__(self) -> str:
        return f"FrameRows({self._rows!r})"


def _with_page(pages: tuple[Page, ...], place: int, page: Page) -> tuple[Page, ...]:
    return (*pages[:place], page, *pages[place + 1 :])


def _with_newest(pages: tuple[Page, ...], key: Key, row: FrameRow) -> tuple[Page, ...]:
    if pages and len(pages[-1]) < PAGE:
        return (*pages[:-1], pages[-1] | {key: row})
    if sum(map(len, pages[1:])) >= RECENT_FRAMES:
        pages = pages[1:]
    return (*pages, {key: row})
