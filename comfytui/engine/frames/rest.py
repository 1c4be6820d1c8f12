"""When a file whose format offers no structural proof counts as finished: after it has not changed for a while."""

from collections.abc import Hashable


class Rest:
    """Remembers since when each file has been the same.

    A file has come to rest after ``window`` seconds without a change. One that changes again afterwards gets another
    window, at most ``retries`` times: a file that never stays the same is never taken for finished.
    """

    def __init__(self, window: float, retries: int) -> None:
        self._window, self._retries = window, retries
        self._marks: dict[str, tuple[Hashable, float, int]] = {}

    def seen(self, name: str, mark: Hashable, now: float) -> bool:
        """Note that ``name`` looks like ``mark`` (its size and mtime) at ``now``; return whether it is at rest."""
        known = self._marks.get(name)
        if known is None or known[0] != mark:
            restarts = 0 if known is None else known[2] + (now - known[1] >= self._window)
            self._marks[name] = (mark, now, restarts)
            return self._window == 0
        return now - known[1] >= self._window and known[2] <= self._retries
