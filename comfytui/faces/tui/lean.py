"""Fewer bytes to the terminal: what Textual repaints is cut to the changed cells, and colours are named once.

Textual (8.2) writes each changed region from the left edge of its widget on, and wraps every piece of text in its own
colour codes. Over SSH that is three to five times what a change needs. And it asks every widget for all of its lines,
where a few have changed. :class:`LeanScreen` swaps what draws and writes. Should a later Textual have other insides,
its own writer is used.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeVar

from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from textual._compositor import ChopsUpdate, Compositor
from textual.geometry import Region
from textual.reactive import Reactive
from textual.strip import Strip
from textual.widget import Widget

from comfytui.faces.tui.layout import too_small
from comfytui.faces.tui.pace import PacedScreen

Result = TypeVar("Result")


class LeanUpdate(ChopsUpdate):
    """A partial update that writes the changed cells only."""

    def render_segments(self, console: Console) -> str:
        """Return the update as terminal sequences: move, colour where it differs from the last one, text."""
        colours = console._color_system or ColorSystem.TRUECOLOR
        written: list[str] = []
        style_now: Style | None = None
        for y, start, stop in self.spans:
            cursor = -1
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is None or x >= stop or end <= start:
                    continue
                first, last = max(x, start), min(end, stop)
                if cursor != first:
                    written.append(f"\x1b[{y + 1};{first + 1}H")
                for text, style, _ in strip.crop(first - x, last - x):
                    if style is not None and style.link:
                        written.append("\x1b[0m" + style.render(text, color_system=colours))
                        style_now = None
                        continue
                    if style != style_now:
                        written.append(colour_code(style, colours))
                        style_now = style
                    written.append(text)
                cursor = last
        return "".join([*written, "\x1b[0m"]) if written else ""


class LeanCompositor(Compositor):
    """A compositor whose partial updates are lean."""

    def render_partial_update(self) -> ChopsUpdate | None:
        """Return what changed, or ``None``."""
        update = super().render_partial_update()
        return None if update is None else LeanUpdate(update.chops, update.spans, update.chop_ends)

    def _render_chops(  # type: ignore[override]
        self, crop: Region, is_rendered_line: Callable[[int], bool]
    ) -> Sequence[Mapping[int, Strip | None]]:
        """Return the lines that are to be written, cut where widgets meet. Only what is seen is asked of a widget.

        Textual types a piece that is not to be written as a strip too; it is ``None`` there as here.
        """
        chops: list[dict[int, Strip | None]] = [dict.fromkeys(cuts[:-1]) for cuts in self.cuts]
        bare = {y: _between(self.cuts[y], crop) for y in crop.line_range if is_rendered_line(y)}
        for widget, (region, clip) in self.visible_widgets.items():  # what lies above comes first
            shown = region.intersection(clip)
            first, last = shown.column_span
            rows = [y for y in shown.line_range if any(first <= cut < last for cut in bare.get(y, ()))]
            if not rows:
                continue
            part = Region(first - region.x, rows[0] - region.y, last - first, rows[-1] - rows[0] + 1)
            lines = widget.render_lines(part)
            for y in rows:
                cuts = [cut for cut in self.cuts[y] if first <= cut <= last]
                pieces = lines[y - rows[0]].divide([cut - first for cut in cuts[1:]])
                for cut, piece in zip(cuts, pieces, strict=False):
                    if cut in bare[y]:
                        bare[y].discard(cut)
                        chops[y][cut] = piece
        return chops


def _between(cuts: Sequence[int], crop: Region) -> set[int]:
    """Return where the pieces begin that lie in the columns of ``crop``, at least in part."""
    return {cut for cut, end in pairwise(cuts) if cut < crop.right and end > crop.x}


class LeanScreen(PacedScreen[Result]):
    """A screen that writes lean partial updates, and is not painted anew because another pane has the keys."""

    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._compositor = LeanCompositor()

    def on_resize(self) -> None:
        """Say so over everything else where the terminal has become too small."""
        if too_small(*self.app.size):
            from comfytui.faces.tui.screens.small import cover

            self.call_after_refresh(cover, self.app)  # what waits for this screen is done before it is covered


@lru_cache(maxsize=512)
def colour_code(style: Style | None, colours: ColorSystem) -> str:
    """Return the sequence that switches to ``style`` from whatever was in force."""
    if style is None:
        return "\x1b[0m"
    start = style.render("\0", color_system=colours).partition("\0")[0]
    return f"\x1b[0;{start.removeprefix(chr(27) + '[')}" if start else "\x1b[0m"
