"""Which of several servers idle, and why: told once for each time that one comes to rest."""

from datetime import datetime

from comfytui.model.presence import PASSING, presence, why_idle
from comfytui.model.shares import Shares, load_of
from comfytui.model.state import State


class Idleness:
    """Remembers what was told of each server."""

    def __init__(self) -> None:
        self._shares = Shares()
        self._told: dict[str, str] = {}

    def news(self, state: State, now: datetime) -> list[str]:
        """Return a line for each server that idles for another reason than before.

        Nothing is said of reasons that are over in a moment, nor of those that facts tell: away, left out, held.
        """
        if not state.several or state.run is None or state.run.held:
            return []
        self._shares.take(state)
        load, lines = load_of(state), list[str]()
        if not load.executing and not load.sent:  # nothing goes on anywhere: before the first scene, after the last
            return lines
        for server in state.servers:
            why = why_idle(state, server, load, self._shares, now) if presence(server) == "answers" else ""
            if why in PASSING or why == self._told.get(server.name, ""):
                continue
            self._told[server.name] = why
            lines += [f"{server.name} idles: {why}"] if why else []
        return lines
