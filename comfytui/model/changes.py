"""Which parts of a long sequence changed: a look at each, none into them, for an unchanged part is the same object."""

from collections.abc import Sequence
from itertools import compress, count
from operator import is_not
from typing import Any

from comfytui.model.paged import Paged


def changed_places(before: Sequence[Any], after: Sequence[Any]) -> Sequence[int]:
    """Return the places of ``after`` that hold another object than in ``before``; all of them where lengths differ."""
    if len(before) != len(after):
        return range(len(after))
    if isinstance(before, Paged) and isinstance(after, Paged):
        return after.changed_since(before)
    return list(compress(count(), map(is_not, before, after)))
