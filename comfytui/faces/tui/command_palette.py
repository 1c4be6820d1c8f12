"""What the command palette offers: every command that has a name, by its name."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from textual.app import SystemCommand
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widgets import Input

from comfytui.faces.tui.keymap import moved
from comfytui.faces.tui.keys import KEYS, OF_SCENE, Key
from comfytui.faces.tui.palettes import MONO, PALETTES

if TYPE_CHECKING:
    from comfytui.faces.tui.app import Dashboard


def offered(app: "Dashboard", screen: Screen[object]) -> Iterator[SystemCommand]:
    """Yield the commands that hold on ``screen``, and the themes."""
    for one in KEYS:
        home = _home(app, screen, one)
        if home is not None and one.palette and not (one.changes and app.options.readonly):
            name = f"Pane: {one.label}" if one.id.startswith("pane_") else one.label
            yield SystemCommand(
                f"{name} ({moved(one, app.options.keymap).face})",
                one.tooltip,
                partial(app.run_action, one.action, home),
            )
    for name in () if app.theme == MONO.name else PALETTES:
        yield SystemCommand(f"Theme: {name}", "Use this theme.", partial(app.use_theme, name))


def _home(app: "Dashboard", screen: Screen[object], one: Key) -> DOMNode | None:
    """Return where the action of ``one`` is carried out; ``None`` where it does not hold."""
    if one.place == "everywhere" or (one.id in OF_SCENE and hasattr(screen, "scene_id")):
        return app
    if screen is not app.deck:
        return None
    return app if one.action.startswith("app.") else screen if one.place in ("deck", "scenes") else None


def calm(screen: Screen[object]) -> None:
    """Let the cursor of the palette's input rest: a blinking one costs 2,600 bytes a second."""
    for field in screen.query(Input):
        field.cursor_blink = False
        field.placeholder = "Search for commands"
