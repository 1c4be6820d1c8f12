"""Where a scene's values enter a graph: by placeholder, by a ``[bindings]`` table, or found by following links.

A table wins over placeholders, placeholders over what is found; each kind of value is settled on its own.
"""

import difflib
from collections.abc import Mapping, Sequence

import msgspec

from comfytui.errors import Failure
from comfytui.model import inference, placeholders
from comfytui.model.graph import Graph, Place, is_link, live, title
from comfytui.untrusted import plain

KINDS = ("positive", "negative", "keyframe", "prefix", "seed", "frames")
"""The kinds of values, as a ``[bindings]`` table names them."""

_NUMBERS = ("seed", "frames")


class Slot(msgspec.Struct, frozen=True):
    """An input of a node. With ``placeholder`` its text is filled in; otherwise its value is replaced as a whole."""

    node: str
    input: str
    placeholder: bool = False


class Bindings(msgspec.Struct, frozen=True, kw_only=True):
    """The slots of each kind of value, in nodes that are executed; an empty tuple: the value reaches nothing."""

    positive: tuple[Slot, ...] = ()
    negative: tuple[Slot, ...] = ()
    keyframe: tuple[Slot, ...] = ()
    prefix: tuple[Slot, ...] = ()
    seed: tuple[Slot, ...] = ()
    frames: tuple[Slot, ...] = ()


def settle(graph: Graph, table: Mapping[str, object], file: str) -> tuple[Bindings, list[str]]:
    """Return the bindings of ``graph`` and warnings about choices that were made for the user.

    ``table`` is the ``[bindings]`` table: a kind to ``"NODE.INPUT"`` or a list of these; an empty text or list switches
    the kind off. Raises :class:`Failure` ``workflow.binding`` for an entry that reaches nothing.
    """
    executed = live(graph)
    given = {kind: _targets(graph, kind, target, file) for kind, target in table.items()}
    for kind, unused in ((kind, slot) for kind, slots in given.items() for slot in slots if slot.node not in executed):
        why = f"no output needs node {plain(unused.node, 80)}, so the server never runs it"
        raise _unbound(kind, table[kind], file, why)
    written: dict[str, list[Slot]] = {}
    for kind, key, name in placeholders.places(graph):
        if key in executed:
            written.setdefault(kind, []).append(Slot(key, name, True))
    taken = {(slot.node, slot.input) for slots in (*given.values(), *written.values()) for slot in slots}
    found, warnings = inference.infer(graph, executed, [k for k in KINDS if k not in given and k not in written], taken)
    slots = {kind: tuple(Slot(*place) for place in places) for kind, places in found.items()}
    slots |= {kind: tuple(places) for kind, places in written.items()}
    return Bindings(**(slots | given)), warnings


def _targets(graph: Graph, kind: str, target: object, file: str) -> tuple[Slot, ...]:
    """Return the slots of one entry of the table."""
    texts = [target] if isinstance(target, str) else target
    if kind not in KINDS:
        near = difflib.get_close_matches(kind.lower(), KINDS, n=1)
        why = f"there is no such binding; did you mean {near[0]}?" if near else f"there are only {', '.join(KINDS)}"
        raise _unbound(kind, target, file, why)
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise _unbound(kind, target, file, 'it is neither a text nor a list of texts such as "6.text"')
    slots = [place for text in texts if text.strip() for place in _places(graph, kind, text.strip(), file)]
    return tuple(Slot(*place) for place in dict.fromkeys(slots))


def _places(graph: Graph, kind: str, text: str, file: str) -> list[Place]:
    """Return the inputs that ``text`` ("NODE.INPUT") stands for; a linked input stands for what is behind its link."""
    key, name = _split(graph, kind, text, file)
    value = graph[key]["inputs"][name]
    if is_link(value):
        behind = inference.behind(graph, kind, value[0])
        if not behind:
            source = f"node {plain(value[0], 80)} ({title(graph, value[0])})"
            raise _unbound(
                kind, text, file, f"that input is linked to {source}, and no value of its own stands behind it"
            )
        return behind
    if kind in _NUMBERS and not _is_number(value) and value not in placeholders.PLACEHOLDERS:
        raise _unbound(kind, text, file, "that input does not hold a number")
    if kind not in _NUMBERS and not isinstance(value, str):
        raise _unbound(kind, text, file, "that input does not hold text")
    return [(key, name)]


def _split(graph: Graph, kind: str, text: str, file: str) -> tuple[str, str]:
    """Return node id and input name; either may hold dots itself, so every dot is tried."""
    cuts = [at for at, char in enumerate(text) if char == "."]
    if not cuts:
        raise _unbound(kind, text, file, "there is no dot between a node and an input")
    known = [(text[:at], text[at + 1 :]) for at in cuts if text[:at] in graph]
    if not known:
        raise _unbound(kind, text, file, f"the workflow has no node {plain(text[: cuts[0]], 80)!r}")
    for key, name in known:
        if name in graph[key]["inputs"]:
            return key, name
    key, name = known[0]
    inputs = ", ".join(plain(each, 40) for each in list(graph[key]["inputs"])[:20]) or "none"
    raise _unbound(kind, text, file, f"{title(graph, key)} has no input {plain(name, 80)!r}; its inputs are {inputs}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unbound(kind: str, target: object, file: str, why: str) -> Failure:
    shown = target if isinstance(target, str) else repr(target)
    return Failure("workflow.binding", name=kind, target=plain(shown, 200), file=file, why=why)
