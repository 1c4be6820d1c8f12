"""The line in which a filter for the queue is typed; it filters while one types."""

from typing import TYPE_CHECKING, ClassVar, cast

from textual.binding import Binding, BindingType
from textual.widgets import Input

if TYPE_CHECKING:
    from comfytui.faces.tui.screens.deck import DeckScreen


class FilterInput(Input):
    """Lies over the footer. Enter keeps the filter, escape clears it; both give the keys back to the queue."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "clear_filter", "Clear", show=False)]

    def __init__(self, text: str) -> None:
        super().__init__(text, placeholder="filter: words, state:failed, prompt:rain", compact=True, id="filter")
        self.cursor_blink = False  # a blinking cursor costs 2,600 bytes a second

    @property
    def deck(self) -> "DeckScreen":
        """The screen that is filtered."""
        return cast("DeckScreen", self.screen)

    def on_mount(self) -> None:
        """Take the keys."""
        self.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter by what is typed so far."""
        event.stop()
        self.deck.set_filter(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter."""
        event.stop()
        self._close()

    def action_clear_filter(self) -> None:
        """Show all scenes again."""
        self.deck.set_filter("")
        self._close()

    def _close(self) -> None:
        deck = self.deck
        self.remove()
        deck.give_keys("scenes")
