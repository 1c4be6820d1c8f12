"""The line in which a filter for a pane is typed; it filters while one types."""

from typing import TYPE_CHECKING, ClassVar, cast

from textual.binding import Binding, BindingType
from textual.widgets import Input

from comfytui.faces.tui.panes.pane import Pane

if TYPE_CHECKING:
    from comfytui.faces.tui.keys import PaneName
    from comfytui.faces.tui.screens.deck import DeckScreen


class FilterInput(Input):
    """Lies over the footer. Enter keeps the filter, escape clears it; both give the keys back to ``pane``."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "clear_filter", "Clear", show=False)]

    def __init__(self, pane: Pane) -> None:
        super().__init__(pane.filter_text, placeholder=pane.filter_hint, compact=True, id="filter")
        self.pane = pane
        self.cursor_blink = False  # a blinking cursor costs 2,600 bytes a second

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter by what is typed so far."""
        event.stop()
        self.pane.filter(event.value)
        cast("DeckScreen", self.screen).draw_bars()  # what the pane notes stands beside the tabs where room is short

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter."""
        event.stop()
        self._close()

    def action_clear_filter(self) -> None:
        """Show everything again."""
        self.pane.filter("")
        self._close()

    def _close(self) -> None:
        deck = cast("DeckScreen", self.screen)
        self.remove()
        deck.give_keys(cast("PaneName", self.pane.id))
