"""A terminal that reads slowly gets fewer pictures, not older ones, and never stops the keys or the feed.

Textual (8.2) hands what it draws to a thread that writes it, through a queue with an end; at that end the whole app
waits. And what the thread has written, the kernel holds. So nothing is drawn while something waits there, or while the
terminal has yet to answer: what changes meanwhile is drawn once, as it stands then.
"""

import sys
from typing import Any, TypeVar

from textual import on
from textual.app import App
from textual.driver import Driver
from textual.screen import Screen

Result = TypeVar("Result")

CROWDED = 8
"""Pieces in the queue (of 30) from which on even a whole new screen has to wait."""


def unwritten(app: App[Any]) -> int:
    """Return how many pieces wait to be written behind the one at hand; 0 for a driver that writes otherwise."""
    waiting = getattr(getattr(app._driver, "_writer_thread", None), "_queue", None)
    return 0 if waiting is None else int(waiting.qsize())


def behind(app: App[Any]) -> bool:
    """Return whether the terminal has yet to take what was drawn before; ``False`` where that cannot be known."""
    return bool(unwritten(app) or getattr(app._driver, "behind", False))


class PacedScreen(Screen[Result]):
    """A screen that draws what changed once the terminal has taken what was drawn before, and nothing twice."""

    _whole_follows = False

    def _on_timer_update(self) -> None:
        """Draw; else leave the timer running, which asks again."""
        if not behind(self.app):
            self._whole_follows = self._layout_required and self._repaint_required
            super()._on_timer_update()
            self._whole_follows = False

    def _compositor_refresh(self) -> None:
        """Draw, unless the whole screen is drawn right after."""
        whole_follows, self._whole_follows = self._whole_follows, False
        if not whole_follows:
            super()._compositor_refresh()


class PacedApp(App[Result]):
    """An app that fills no queue: what it must not draw now is drawn whole, and only once, when there is room."""

    def get_driver_class(self) -> type[Driver]:
        """Return Textual's choice, or what asks the terminal where that is a POSIX terminal."""
        chosen = super().get_driver_class()
        if sys.platform != "win32" and chosen.__name__ == "LinuxDriver":
            from comfytui.faces.tui.asking_driver import AskingDriver

            return AskingDriver
        return chosen

    @on(Driver.SignalResume)
    def _draw_anew(self) -> None:
        """Draw the whole screen: a shell had the terminal meanwhile (``SIGTSTP``, then ``fg``)."""
        self.screen.refresh(layout=True)

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        """Draw ``renderable`` and ask behind it when that is due, or remember that the screen is owed."""
        if renderable is not None and (unwritten(self) >= CROWDED or getattr(self._driver, "full", False)):
            screen.refresh()
            return
        super()._display(screen, renderable)
        if (ask := getattr(self._driver, "ask", None)) is not None:
            ask()
