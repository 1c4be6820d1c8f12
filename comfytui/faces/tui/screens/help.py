"""The help screen: the keys of the pane that had them, made from the bindings."""

from collections.abc import Mapping

from msgspec.structs import replace

from comfytui.faces.tui.keymap import moved
from comfytui.faces.tui.keys import Key, bindings, helpful, names
from comfytui.faces.tui.panes.line import BLANK, Line, left, wrap
from comfytui.faces.tui.screens.sheet import Sheet

KEYS_WIDE = 16


class HelpScreen(Sheet[None]):
    """Lists keys and what they do."""

    BINDINGS = bindings("sheet", "lists")
    heading = "Keys"
    widest = 84

    def __init__(self, focused: str, readonly: bool, keymap: Mapping[str, str], replay: bool = False) -> None:
        super().__init__()
        self.focused_before, self.readonly, self.keymap, self.replay = focused, readonly, keymap, replay

    def sheet_lines(self, width: int) -> list[Line]:
        """Return the keys in groups."""
        return help_lines(self.focused_before, self.readonly, width, self.keymap, self.replay)

    def action_shut(self) -> None:
        """Close the sheet."""
        self.dismiss()


def help_lines(focused: str, readonly: bool, width: int, keymap: Mapping[str, str], replay: bool = False) -> list[Line]:
    """Return the keys that hold while ``focused`` has them, in groups, each with its sentence."""
    lines: list[Line] = []
    for title, keys in helpful(focused, replay):
        lines += [BLANK, ((title, "strong"),)] if lines else [((title, "strong"),)]
        for one in _gathered([moved(each, keymap) for each in keys]):
            off = readonly and one.changes
            text = f"{one.tooltip} {'Not in a replay.' if replay else 'Disabled: read-only.'}" if off else one.tooltip
            for place, part in enumerate(wrap(text, width - KEYS_WIDE)):
                lines.append(
                    ((left("" if place else names(one.keys), KEYS_WIDE), "key"), (part, "dim" if off else "text"))
                )
    return lines


def _gathered(keys: list[Key]) -> list[Key]:
    """Return ``keys`` with the number keys of the panes as one entry."""
    numbers = [one for one in keys if one.id.startswith("pane_")]
    if not all(one.keys.isdigit() for one in numbers) or not numbers:
        return keys
    panes = ", ".join(one.label for one in numbers)
    first = replace(
        numbers[0], keys=f"{numbers[0].keys}-{numbers[-1].keys}", tooltip=f"Give the keys to a pane: {panes}."
    )
    return [first, *(one for one in keys if one not in numbers)]
