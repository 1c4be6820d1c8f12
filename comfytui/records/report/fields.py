"""Fields of a JSON object that somebody else wrote: each is what it should be, or ``None``."""

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from comfytui.untrusted import plain

LONGEST_TEXT = 2000


class Fields:
    """Looks into one decoded object; whatever is missing or of another type is ``None`` (or empty)."""

    def __init__(self, raw: object) -> None:
        self.raw: Mapping[str, Any] = raw if isinstance(raw, dict) else {}

    def __contains__(self, name: str) -> bool:
        return name in self.raw

    def text(self, name: str) -> str | None:
        """Return a text, made plain."""
        value = self.raw.get(name)
        return plain(value, LONGEST_TEXT) if isinstance(value, str) else None

    def number(self, name: str) -> float | None:
        """Return a finite number."""
        value = self.raw.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        try:
            number = float(value)
        except OverflowError:  # a whole number of more than 308 digits
            return None
        return number if math.isfinite(number) else None

    def whole(self, name: str) -> int | None:
        """Return a whole number."""
        value = self.number(name)
        return int(value) if value is not None and value == int(value) else None

    def flag(self, name: str) -> bool | None:
        """Return true or false."""
        value = self.raw.get(name)
        return value if isinstance(value, bool) else None

    def moment(self, name: str) -> datetime | None:
        """Return a time in UTC; one without a zone is taken for UTC, as the contract has all times."""
        value = self.raw.get(name)
        if not isinstance(value, str):
            return None
        try:
            read = datetime.fromisoformat(value)
            return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
        except (ValueError, OverflowError):  # also what is before the first year, or after the last one, in UTC
            return None

    def child(self, name: str) -> "Fields":
        """Return an object; an empty one where there is none."""
        return Fields(self.raw.get(name))

    def children(self, name: str) -> Iterator["Fields"]:
        """Yield the objects of a list."""
        value = self.raw.get(name)
        yield from (Fields(each) for each in value if isinstance(each, dict)) if isinstance(value, list) else ()

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the texts of a list."""
        value = self.raw.get(name)
        return (
            tuple(plain(each, LONGEST_TEXT) for each in value if isinstance(each, str))
            if isinstance(value, list)
            else ()
        )
