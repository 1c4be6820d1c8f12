"""The server's log, as /internal/logs/raw lists it and the `logs` message streams it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]

KEPT = 300


class Logbook:
    """The last 300 lines. `now` gives epoch seconds; `publish` sends an entry to a subscriber."""

    def __init__(self, now: Callable[[], float], publish: Callable[[str, Json, str], None]) -> None:
        self._now = now
        self._publish = publish
        self._entries: deque[Json] = deque(maxlen=KEPT)
        self._subscribers: dict[str, None] = {}

    def write(self, line: str) -> None:
        """Add a line, and tell every subscriber."""
        moment = datetime.fromtimestamp(self._now(), UTC).replace(tzinfo=None)
        entry = {"t": moment.isoformat(timespec="microseconds"), "m": line + "\n"}
        self._entries.append(entry)
        for client_id in self._subscribers:
            self._publish("logs", {"entries": [entry], "size": None}, client_id)

    def subscribe(self, client_id: str, enabled: bool) -> None:
        """Begin or end the stream to one client."""
        if enabled:
            self._subscribers[client_id] = None
        else:
            self._subscribers.pop(client_id, None)

    def raw(self) -> Json:
        """Return the body of GET /internal/logs/raw."""
        return {"entries": list(self._entries), "size": {"cols": 80, "rows": 24}}

    def plain(self) -> str:
        """Return the body of GET /internal/logs."""
        return "".join(f"{entry['t']} - {entry['m']}" for entry in self._entries)
