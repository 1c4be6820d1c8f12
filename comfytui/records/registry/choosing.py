"""Which runs of a list are meant: failed ones, those of a story, those since some time. Pure."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from comfytui.errors import Failure
from comfytui.model.catalog import RunEntry

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGE = re.compile(r"(?P<count>\d{1,5})(?P<unit>[mhdw])", re.ASCII)


def age(text: str) -> timedelta:
    """Return what ``7d``, ``12h``, ``30m`` or ``2w`` says. Raises ``Failure`` ``runs.age``."""
    found = _AGE.fullmatch(text.strip())
    if found is None:
        raise Failure("runs.age", text=text)
    return timedelta(**{_UNITS[found["unit"]]: int(found["count"])})


def choose(
    entries: Iterable[RunEntry], *, failed: bool = False, story: str | None = None, since: datetime | None = None
) -> list[RunEntry]:
    """Return the entries that are meant, in their order.

    ``failed``: those that did not go well and are not under way. ``since``: those opened (or, where that is not known,
    ended) at that time or later.
    """
    return [
        entry
        for entry in entries
        if (not failed or (not entry.went_well and not entry.driven))
        and (story is None or entry.story == story)
        and (since is None or ((at := entry.opened_at or entry.ended_at) is not None and at >= since))
    ]
