"""Keys that a person has moved: the table ``[keymap]`` of comfytui.toml, checked before the dashboard begins. Pure."""

import difflib
from collections.abc import Iterator, Mapping
from string import punctuation

from msgspec.structs import replace
from textual.binding import Binding
from textual.keys import Keys

from comfytui.errors import Failure
from comfytui.faces.tui.keys import KEYS, Key, together

SAME = {"ctrl+m": "enter", "ctrl+i": "tab", "ctrl+h": "backspace", "ctrl+@": "ctrl+space", "return": "enter"}
"""Keys that a terminal cannot tell from another."""

_MODIFIERS = ("ctrl+", "alt+", "shift+")
_SIGNS = {each.key for each in Binding.make_bindings([Binding(sign, "", "") for sign in punctuation if sign != ","])}
_NAMED = {key.value for key in Keys if not key.value.startswith("<")} | _SIGNS | {"comma"}
_BY_ID = {one.id: one for one in KEYS}


def checked(table: Mapping[str, str]) -> dict[str, str]:
    """Return ``table`` (the id of a command to its keys, with commas between them) as Textual takes it.

    Raises ``Failure`` ``config.keymap`` for a command that there is not or that has its key for good, a key that
    there is not, and one that would then mean two things in one place.
    """
    keymap = {name: ",".join(_keys(name, keys)) for name, keys in table.items() if _movable(name, keys)}
    for place in together():
        taken: dict[str, Key] = {}
        for one in (moved(each, keymap) for each in place):
            for key in one.keys.split(","):
                other = taken.setdefault(key, one)
                if other.id != one.id:
                    ours, theirs = (one, other) if one.id in keymap else (other, one)
                    why = f"it is the key of `{theirs.id}` ({theirs.label}) already, in the same place"
                    raise Failure("config.keymap", keys=key, command=ours.id, why=why)
    return keymap


def moved(one: Key, keymap: Mapping[str, str]) -> Key:
    """Return the key as it stands with ``keymap``."""
    return replace(one, keys=keymap[one.id], shown="") if one.id in keymap else one


def _movable(name: str, keys: str) -> bool:
    """Return whether the command called ``name`` may be moved, true or else raised."""
    one = _BY_ID.get(name)
    if one is None:
        near = difflib.get_close_matches(name, _BY_ID, n=1)
        why = f"there is no such command{f'; did you mean `{near[0]}`?' if near else ''}"
        raise Failure("config.keymap", keys=keys, command=name, why=why)
    if not one.movable:
        raise Failure("config.keymap", keys=keys, command=name, why="what it does must always be found at its own key")
    return True


def _keys(name: str, keys: str) -> Iterator[str]:
    """Yield the ``keys`` for the command ``name`` by the names that Textual has for them."""
    for key in keys.split(",") if keys.strip() != "," else ["comma"]:
        pressed = key.strip()
        if len(pressed) == 7 and pressed.startswith("shift+") and pressed[-1].isalpha():
            pressed = pressed[-1].upper()  # that is what a terminal sends
        if pressed in SAME:
            why = f"a terminal cannot tell it from {SAME[pressed]}"
            raise Failure("config.keymap", keys=pressed, command=name, why=why)
        if not _is_key(pressed):
            raise Failure("config.keymap", keys=pressed, command=name, why="there is no such key")
        yield pressed


def _is_key(pressed: str) -> bool:
    base = pressed
    for modifier in _MODIFIERS:
        base = base.removeprefix(modifier)
    if len(base) == 1:
        return base.isprintable() and not base.isspace()
    return pressed in _NAMED or base in _NAMED
