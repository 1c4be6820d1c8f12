"""The matrix of a sweep: which inputs change from run to run, and which values they take. Pure.

``seed=1..3,steps=10,20`` are two axes. ``seed`` and ``frames`` are those of the scenes; any other name is an input of
the workflow, as ``NODE.INPUT`` or by its own name where one executed node alone has it.
"""

import difflib
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct, structs

from comfytui.errors import Failure
from comfytui.model.bindings import Slot
from comfytui.model.events.parts import SceneBrief
from comfytui.model.graph import Graph, in_order, is_link, live, title
from comfytui.model.placeholders import PLACEHOLDERS
from comfytui.model.plan import RunPlan
from comfytui.model.workflow import Workflow
from comfytui.untrusted import plain

Value = bool | int | float | str
Target = Literal["seed", "frames", "input"]

MOST_VALUES = 100
"""Values of one axis, and combinations of all."""

_RANGE = re.compile(r"(\d{1,18})\.\.(\d{1,18})", re.ASCII)


class Axis(Struct, frozen=True, kw_only=True):
    """One thing that changes: ``name`` as it was given, what it stands for, and its values in order."""

    name: str
    target: Target
    place: Slot | None = None
    """The input of the workflow, where that is the target."""
    values: tuple[Value, ...]


Cell = dict[str, Value]
"""One combination: the value of each axis, by its name."""


def parse_matrix(texts: Sequence[str], workflow: Workflow) -> tuple[Axis, ...]:
    """Return the axes that ``texts`` (``seed=1..3,steps=10,20`` each) name, every value checked against ``workflow``.

    Raises ``Failure`` ``sweep.matrix``.
    """
    axes: list[Axis] = []
    for text in texts:
        for name, words in _split(text):
            axes.append(_axis(name, words, workflow, text))
    names = [axis.place or axis.target for axis in axes]
    twice = next((axis.name for axis, what in zip(axes, names, strict=True) if names.count(what) > 1), None)
    if twice is not None:
        raise _unusable(", ".join(texts), f"{twice} is named twice")
    if math.prod(len(axis.values) for axis in axes) > MOST_VALUES:
        raise _unusable(", ".join(texts), f"it has more than {MOST_VALUES} combinations")
    return tuple(axes)


def cells(axes: Sequence[Axis]) -> tuple[Cell, ...]:
    """Return every combination of the values of ``axes``, the last axis changing fastest; one empty cell for none."""
    names = [axis.name for axis in axes]
    return tuple(dict(zip(names, values, strict=True)) for values in itertools.product(*(axis.values for axis in axes)))


def with_cell(plan: RunPlan, axes: Sequence[Axis], cell: Cell) -> RunPlan:
    """Return ``plan`` with the values of ``cell`` in the scenes and in the workflow."""
    scenes, workflow = plan.scenes, plan.workflow
    for axis in axes:
        value = cell[axis.name]
        if axis.place is not None:
            workflow = _with_input(workflow, axis.place, value)
        else:
            scenes = tuple(_with_value(scene, axis.target, value, plan.policy.frame_floor) for scene in scenes)
    return structs.replace(plan, scenes=scenes, workflow=workflow)


def spelled(value: Value) -> str:
    """Return ``value`` as it is written on the command line."""
    return str(value).lower() if isinstance(value, bool) else f"{value}"


def _with_value(scene: SceneBrief, target: Target, value: Value, floor: int | None) -> SceneBrief:
    number = int(value)
    if target == "seed":
        return structs.replace(scene, seed=number)
    return structs.replace(scene, expected_frames=number, floor=number if floor is None else scene.floor)


def _with_input(workflow: Workflow, place: Slot, value: Value) -> Workflow:
    node = workflow.graph[place.node]
    changed = {**node, "inputs": {**node["inputs"], place.input: value}}
    return structs.replace(workflow, graph={**workflow.graph, place.node: changed})


# --- reading it --------------------------------------------------------------------------------------------------


def _split(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each axis of ``text`` with its words: a piece with ``=`` begins one, any other is one more value."""
    name, words = "", list[str]()
    for piece in text.split(","):
        before, equals, after = piece.partition("=")
        if equals:
            if name:
                yield name, words
            name, words = before.strip(), [after.strip()]
            if not name:
                raise _unusable(text, "a name is missing before `=`")
        elif not name:
            raise _unusable(text, "it does not begin with a name and `=`")
        else:
            words.append(piece.strip())
    yield name, words


def _axis(name: str, words: list[str], workflow: Workflow, text: str) -> Axis:
    if "" in words:
        raise _unusable(text, f"a value of {name} is empty")
    spread = [value for word in words for value in _spread(word, name, text)]
    target: Target = "seed" if name == "seed" else "frames" if name == "frames" else "input"
    if target != "input":
        least = 0 if target == "seed" else 1
        values: list[Value] = [_whole(word, name, text, least) for word in spread]
        return Axis(name=name, target=target, values=_distinct(values, name, text))
    place = _place(name, workflow, text)
    current = workflow.graph[place.node]["inputs"][place.input]
    values = [_like(current, word, name, text) for word in spread]
    return Axis(name=name, target=target, place=place, values=_distinct(values, name, text))


def _spread(word: str, name: str, text: str) -> Sequence[str]:
    """Return the numbers of ``1..3``, or ``word`` itself."""
    found = _RANGE.fullmatch(word)
    if found is None:
        return (word,)
    first, last = int(found[1]), int(found[2])
    if not first <= last < first + MOST_VALUES:
        raise _unusable(text, f"{word} of {name} does not count up, or has more than {MOST_VALUES} values")
    return [str(number) for number in range(first, last + 1)]


def _distinct(values: list[Value], name: str, text: str) -> tuple[Value, ...]:
    if len(set(values)) < len(values):
        raise _unusable(text, f"{name} has the same value twice")
    return tuple(values)


def _place(name: str, workflow: Workflow, text: str) -> Slot:
    """Return the one input that ``name`` stands for: a value of its own in a node that is executed."""
    graph, executed = workflow.graph, live(workflow.graph)
    known = [(key, each) for key in in_order(executed) for each in graph[key]["inputs"]]
    found = [(key, each) for key, each in known if name in (each, f"{key}.{each}")]
    exact = [(key, each) for key, each in found if name == f"{key}.{each}"]
    own = exact or [(key, each) for key, each in found if not is_link(graph[key]["inputs"][each])]
    if not own:
        names = {each for _, each in known} | {f"{key}.{each}" for key, each in known} | {"seed", "frames"}
        near = difflib.get_close_matches(name, sorted(names), n=1)
        hint = f"; did you mean {plain(near[0], 80)}?" if near else "; write seed, frames, or NODE.INPUT"
        raise _unusable(text, f"no executed node has an input {name} with a value of its own{hint}")
    if len(own) > 1:
        shown = ", ".join(f"{key}.{each} ({title(graph, key)})" for key, each in own[:8])
        raise _unusable(text, f"{name} may be any of {plain(shown, 300)}; say which")
    slot = Slot(*own[0])
    _refuse_taken(slot, name, workflow, graph, text)
    return slot


def _refuse_taken(slot: Slot, name: str, workflow: Workflow, graph: Graph, text: str) -> None:
    value = graph[slot.node]["inputs"][slot.input]
    if is_link(value):
        raise _unusable(text, f"{name} takes the output of node {plain(value[0], 40)}")
    if not isinstance(value, bool | int | float | str):
        raise _unusable(text, f"{name} holds neither a number, nor a text, nor true or false")
    if isinstance(value, str) and any(word in value for word in PLACEHOLDERS):
        raise _unusable(text, f"{name} is filled in from the scene")
    for kind in structs.fields(workflow.bindings):
        slots: tuple[Slot, ...] = getattr(workflow.bindings, kind.name)
        if any((each.node, each.input) == (slot.node, slot.input) for each in slots):
            hint = f"; the axis {kind.name} changes it" if kind.name in ("seed", "frames") else ""
            raise _unusable(text, f"{name} is filled in from the scene{hint}")


def _like(current: Value, word: str, name: str, text: str) -> Value:
    """Return ``word`` as the kind of value that the input holds now."""
    if isinstance(current, bool):
        if word.lower() not in ("true", "false"):
            raise _unusable(text, f"{word} of {name} is neither true nor false")
        return word.lower() == "true"
    if isinstance(current, int):
        return _whole(word, name, text)
    if isinstance(current, float):
        try:
            number = float(word)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise _unusable(text, f"{word} of {name} is not a number")
        return number
    return plain(word, 1000)


def _whole(word: str, name: str, text: str, least: int | None = None) -> int:
    if not re.fullmatch(r"-?[0-9]{1,20}", word):
        raise _unusable(text, f"{word} of {name} is not a whole number")
    number = int(word)
    if (least is not None and number < least) or number >= 2**64:
        raise _unusable(text, f"{word} of {name} is out of range")
    return number


def _unusable(text: str, why: str) -> Failure:
    return Failure("sweep.matrix", matrix=plain(text, 200), why=plain(why, 500))
