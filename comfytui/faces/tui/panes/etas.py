"""The estimates of the scenes in words, worked out anew only every few seconds: for thirty rows they cost."""

from collections.abc import Callable

from comfytui.faces.tui.panes.figures import span
from comfytui.faces.tui.view import View
from comfytui.model.presence import cut_off
from comfytui.model.queue import ahead

EVERY = 10.0
"""Seconds for which an estimate stands, unless a scene ended meanwhile."""


class Etas:
    """Remembers what was said of each scene."""

    def __init__(self) -> None:
        self._of: object = None
        self._said: dict[str, str] = {}
        self._ahead: dict[str, int] = {}

    def at(self, view: View) -> Callable[[str], str]:
        """Return what says how long it takes until a scene is over: ``ETA 12-18 min``, or nothing."""
        run = view.state.run
        if not view.running or run is None or run.held or cut_off(view.state):
            return lambda _: ""
        moment = (view.known.done, len(view.known.waiting), view.now.timestamp() // EVERY)
        if moment != self._of:
            self._of, self._said, self._ahead = moment, {}, ahead(view.state)

        def say(scene_id: str) -> str:
            if scene_id not in self._said:
                eta = view.eta_of(scene_id, self._ahead.get(scene_id))
                self._said[scene_id] = f"ETA {span(eta.likely, eta.late)}" if eta is not None else ""
            return self._said[scene_id]

        return say
