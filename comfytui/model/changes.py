"""Which parts of a long sequence changed: a look at each, none into them, for an unchanged part is the same object."""

from collections.abc import Sequence
from typing import Any

from comfytui.model.paged import Paged, different


def changed_places(before: Sequence[Any], after: Sequence[Any]) -> Sequence[int]:
    """Return the places of ``after`` that hold another object than in ``before``; all of them where lengths differ."""
    if len(before) != len(after):
        return range(len(after))
    if isinstance(before, Paged) and isinstance(after, Paged):
        return after.changed_since(before)
    return list(different(before, after))
