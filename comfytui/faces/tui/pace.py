"""A terminal that reads slowly gets fewer pictures, not older ones, and never stops the keys or the feed.

Textual (8.2) hands what it draws to a thread that writes it, through a queue with an end; at that end the whole app
waits. So nothing is drawn while something waits there: what changes meanwhile is drawn once, as it stands then.
"""

from typing import Any, TypeVar

from textual.app import App
from textual.screen import Screen

Result = TypeVar("Result")

CROWDED = 8
"""Pieces in the queue (of 30) from which on even a whole new screen has to wait."""


def unwritten(app: App[Any]) -> int:
    """Return how many pieces wait to be written behind the one at hand; 0 for a driver that writes otherwise."""
    waiting = getattr(getattr(app._driver, "_writer_thread", None), "_queue", None)
    return 0 if waiting is None else int(waiting.qsize())


class PacedScreen(Screen[Result]):
    """A screen that draws what changed once the terminal has taken what was drawn before."""

    def _on_timer_update(self) -> None:
        """Draw; else leave the timer running, which asks again."""
        if not unwritten(self.app):
            super()._on_timer_update()


class PacedApp(App[Result]):
    """An app that fills no queue: what it must not draw now is drawn whole, and only once, when there is room."""

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        """Draw ``renderable``, or remember that the screen is owed."""
        if renderable is not None and unwritten(self) >= CROWDED:
            screen.refresh()
        else:
            super()._display(screen, renderable)
