"""What all panes have in common: they are shown a view, and turn their slice of it into a picture."""

from textual.events import Resize
from textual.message import Message

from comfytui.faces.tui.panes.line import clip, safe
from comfytui.faces.tui.panes.line_list import LineList
from comfytui.faces.tui.panes.picture import Picture
from comfytui.faces.tui.panes.scene_filter import parse
from comfytui.faces.tui.view import View

FILTER_CELLS = 20
"""Cells that a filter takes where a pane names it."""


class PaneFitted(Message):
    """A pane was drawn for a new size."""


class Pane(LineList, can_focus=True):
    """A pane of the deck. A subclass says how its slice of the view looks."""

    view: View | None = None
    terms: tuple[str, ...] = ()
    """What is shown must fit all of these, where the pane can be filtered."""
    filter_text = ""
    filter_hint = ""
    """What to type; empty where the pane cannot be filtered."""

    def look(self, view: View) -> None:
        """Show ``view``."""
        self.view = view
        self.rebuild()

    def rebuild(self) -> None:
        """Make the picture anew from the view at hand, as after a change of size."""
        if self.view is not None and self.inner_width and self.inner_height:
            self.show(self.draw(self.view, self.inner_width, self.inner_height))

    def draw(self, view: View, width: int, height: int) -> Picture:
        """Return the picture of ``view`` in ``width`` cells and ``height`` lines."""
        raise NotImplementedError

    def filter(self, text: str) -> None:
        """Show only what fits ``text``; an empty text shows all."""
        self.filter_text, self.terms = text, parse(text)
        self.rebuild()

    def filter_words(self, found: int) -> str:
        """Return that so many lines fit the filter, and which filter: ``2 fit level:error``."""
        return f"{found:,} {'fits' if found == 1 else 'fit'} {clip(safe(self.filter_text.strip()), FILTER_CELLS)}"

    def follow(self) -> None:
        """Keep the newest in sight, until a person moves."""
        self.jump(True)

    def on_resize(self, _event: Resize) -> None:
        """Make the picture for the new size."""
        self.rebuild()
        self.post_message(PaneFitted())

    def move(self, by: int) -> None:
        """Go ``by`` lines down (up when negative)."""
        self.move_top(self.top + by)

    def jump(self, last: bool) -> None:
        """Go to the first or the last line."""
        self.move_top(len(self.picture.lines) if last else 0)

    def turn(self, pages: int) -> None:
        """Go ``pages`` pages down (up when negative)."""
        self.move(pages * max(1, self.page - 1))
