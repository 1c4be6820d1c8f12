"""Where the panes lie: pure, by the size of the terminal, the pane that has the keys and the zoom."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from textual.geometry import Offset, Region, Size, Spacing
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.widget import Widget

from comfytui.faces.tui.keys import PaneName

Shape = Literal["wide", "normal", "compact"]


class Wish(NamedTuple):
    """How many lines the queue and the two panes at the side would like to have."""

    scenes: int = 200
    health: int = 9
    health_short: int = 3
    gpu: int = 8


Ask = Callable[[int], Wish]
"""Tells the wish for a side of so many cells, box included."""

WIDE = (120, 30)
NORMAL = (76, 20)
LEAST = (60, 15)
"""Least columns and lines of the terminal for a shape; ``LEAST`` for any picture at all."""


def shape_for(width: int, height: int) -> Shape:
    """Return the shape for a terminal of that size."""
    if width >= WIDE[0] and height >= WIDE[1]:
        return "wide"
    return "normal" if width >= NORMAL[0] and height >= NORMAL[1] else "compact"


def too_small(width: int, height: int) -> bool:
    """Return whether a terminal of that size has no room for the panes."""
    return width < LEAST[0] or height < LEAST[1]


def places(size: Size, shape: Shape, focused: PaneName, zoomed: bool, ask: Ask) -> dict[PaneName, Region]:
    """Return where each visible pane lies in a deck of ``size``."""
    width, height = size
    if zoomed or shape == "compact":
        return {focused: Region(0, 0, width, height)}
    if shape == "normal":
        return _normal(width, height, focused, ask)
    return _wide(width, height, ask)


def _wide(width: int, height: int, ask: Ask) -> dict[PaneName, Region]:
    side = min(72, max(42, width * 36 // 100))
    main, wish = width - side, ask(side)
    log = max(7, height * 24 // 100, min(height // 2, height - wish.scenes - 2))
    health = min(max(8, wish.health + 2), height // 2 - 1)
    gpu = min(max(5, wish.gpu + 2), (height - health) // 2)
    return {
        "scenes": Region(0, 0, main, height - log),
        "log": Region(0, height - log, main, log),
        "health": Region(main, 0, side, health),
        "gpu": Region(main, health, side, gpu),
        "frames": Region(main, health + gpu, side, height - health - gpu),
    }


def _normal(width: int, height: int, focused: PaneName, ask: Ask) -> dict[PaneName, Region]:
    lower = max(11, height * 42 // 100)
    upper, half = height - lower, width // 2
    health = min(max(lower * 5 // 11, ask(width - half).health_short + 2), lower - 4)
    return {
        "scenes": Region(0, 0, width, upper),
        "log" if focused == "log" else "frames": Region(0, upper, half, lower),
        "health": Region(half, upper, width - half, health),
        "gpu": Region(half, upper + health, width - half, lower - health),
    }


class DeckLayout(Layout):
    """Lays the panes out as :func:`places` says, within the one layout pass that a resize takes."""

    name = "deck"

    def __init__(self, ask: Ask) -> None:
        self.focused: PaneName = "scenes"
        self.zoomed = False
        self.ask = ask
        self.arranged: dict[PaneName, Region] = {}
        """Where the panes were put last."""

    def regions(self, screen: Size, deck: Size) -> dict[PaneName, Region]:
        """Return where each visible pane lies in the ``deck`` of a ``screen``."""
        return places(deck, shape_for(*screen), self.focused, self.zoomed, self.ask)

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        """Return a placement for each pane that is visible."""
        found = self.arranged = self.regions(parent.app.size, size)
        none = Spacing()
        return [WidgetPlacement(found[child.id], Offset(0, 0), none, child) for child in children if child.id in found]
