"""What may hold a login shows nothing of itself: not in ``repr``, not in a traceback, not where Rich prints it."""

from typing import Any

from msgspec import Struct


class Concealed(Struct, frozen=True):
    """A struct that tells its name and none of its values."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []
