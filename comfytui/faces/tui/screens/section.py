"""What the sections of the scene screen are made of: rows of text, each with what it gives to the clipboard. Pure."""

from typing import NamedTuple

from comfytui.faces.tui.panes.line import BLANK, Line, Role, left, safe, wrap

LABEL = 16
"""Cells of the labels."""


class Row(NamedTuple):
    """A line and what copying it means: a whole value, however many lines it takes; empty: the line itself."""

    line: Line = BLANK
    copy: str = ""

    @property
    def copied(self) -> str:
        """What goes to the clipboard."""
        return self.copy or "".join(text for text, _ in self.line).strip()


Section = list[Row]


def heading(text: str) -> Row:
    """Return a title."""
    return Row(((text, "strong"),))


def told(text: str, width: int, role: Role) -> Section:
    """Return a sentence, wrapped."""
    return [Row(((part, role),), safe(text)) for part in wrap(safe(text), width)]


def labelled(label: str, text: str, width: int, role: Role = "text") -> Section:
    """Return a label with a value, wrapped beside it."""
    parts = wrap(safe(text), max(8, width - LABEL))
    return [
        Row(((left("" if place else label, LABEL), "dim"), (part, role)), safe(text))
        for place, part in enumerate(parts)
    ]
