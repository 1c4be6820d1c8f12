"""Where a scene's values enter a graph: by placeholder, by a ``[bindings]`` table, or found by following links."""

import msgspec


class Slot(msgspec.Struct, frozen=True):
    """An input of a node. With ``placeholder`` its text is filled in; otherwise its value is replaced as a whole."""

    node: str
    input: str
    placeholder: bool = False

    def __str__(self) -> str:
        return f"{self.node}.{self.input}"


class Bindings(msgspec.Struct, frozen=True, kw_only=True):
    """The slots of each kind of value; an empty tuple means that the value reaches nothing."""

    positive: tuple[Slot, ...] = ()
    negative: tuple[Slot, ...] = ()
    keyframe: tuple[Slot, ...] = ()
    prefix: tuple[Slot, ...] = ()
    seed: tuple[Slot, ...] = ()
    frames: tuple[Slot, ...] = ()
