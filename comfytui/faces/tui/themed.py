"""The app in its themes: it registers them, and draws in none under NO_COLOR."""

from typing import TypeVar

from textual.filter import Monochrome, NoColor

from comfytui.faces.tui.palettes import MONO, PALETTES
from comfytui.faces.tui.panes.line_list import LineList
from comfytui.faces.tui.prompt_keys import PromptApp
from comfytui.faces.tui.themes import textual_theme

Result = TypeVar("Result")


class ThemedApp(PromptApp[Result]):
    """An app that is drawn in one of our themes, and in another when it is told so."""

    def __init__(self, theme: str) -> None:
        super().__init__()
        for palette in PALETTES.values():
            self.register_theme(textual_theme(palette))
        self.theme = theme
        self._filters = [one for one in self._filters if not isinstance(one, Monochrome | NoColor)]
        self.no_color = theme == MONO.name
        if self.no_color:  # instead of what Textual does of itself under NO_COLOR: greys
            self._filters.append(NoColor())

    def refresh_css(self, animate: bool = True) -> None:
        """Read the stylesheet anew for another theme. Before the first picture it has not been read at all yet."""
        if self._is_mounted:
            super().refresh_css(animate)
        else:
            self.stylesheet.set_variables(self.get_css_variables())

    def use_theme(self, name: str) -> None:
        """Draw in the theme of that name."""
        self.theme = name
        self.call_after_refresh(self._redraw)

    def _redraw(self) -> None:
        for list_ in self.screen.query(LineList):
            list_.redraw()
