"""What a node class is: its inputs as GET /object_info tells them, and the coroutine that does its work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from comfytui.simulator.execution import NodeRun

Json = dict[str, Any]
Spec = list[Any]
"""One input: `["INT", {"default": 1}]`, or `[["a", "b"]]` for a choice."""

MAX_RESOLUTION = 16384

_NEW_SCHEMA = {"0.8.0": ("comfy_extras.nodes_images",)}
"""The modules whose nodes describe themselves in the newer schema, by version."""


@dataclass(frozen=True)
class Outcome:
    """What a node gives: a value for each of its outputs, and `ui`, what it shows."""

    values: tuple[Any, ...] = ()
    ui: Json | None = None


@dataclass(frozen=True, kw_only=True)
class NodeClass:
    """A kind of node. `choices` fills in options that are known only at run time (the input folder)."""

    name: str
    display_name: str
    category: str
    work: Callable[[NodeRun], Awaitable[Outcome]]
    required: dict[str, Spec]
    optional: dict[str, Spec] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)
    returns: tuple[str, ...] = ()
    return_names: tuple[str, ...] = ()
    description: str = ""
    python_module: str = "nodes"
    output_node: bool = False
    never_cached: bool = False
    loads_file: str = ""
    """The input that names a file of the input folder: it is checked against the disk, and its content counts."""

    def spec(self, name: str) -> Spec | None:
        """Return the spec of a required or optional input, or None."""
        return self.required.get(name) or self.optional.get(name)

    def info(self, input_files: list[str], version: str = "0.3.64") -> Json:
        """Return the node as GET /object_info/{class} tells it on a server of that version."""
        groups: dict[str, dict[str, Any]] = {"required": dict(self.required)}
        if self.optional:
            groups["optional"] = self.optional
        if self.hidden:
            groups["hidden"] = dict(self.hidden)
        if self.loads_file:
            groups["required"][self.loads_file] = [input_files, *self.required[self.loads_file][1:]]
        told = {
            "input": groups,
            "input_order": {group: list(inputs) for group, inputs in groups.items()},
            "output": list(self.returns),
            "output_is_list": [False] * len(self.returns),
            "output_name": list(self.return_names or self.returns),
            "name": self.name,
            "display_name": self.display_name,
            "description": self.description,
            "python_module": self.python_module,
            "category": self.category,
            "output_node": self.output_node,
        }
        return _in_new_schema(told) if self.python_module in _NEW_SCHEMA.get(version, ()) else told


def _in_new_schema(told: Json) -> Json:
    """Return a description as nodes of ComfyUI's newer schema (``comfy_api``, V3) give it."""
    groups = {
        name: {one: [spec] if name == "hidden" else _new_spec(spec) for one, spec in group.items()}
        for name, group in told["input"].items()
    }
    more = {"output_tooltips": [None] * len(told["output"]), "output_matchtypes": None, "display_name": None}
    return told | {"input": groups} | more | dict.fromkeys(("deprecated", "experimental", "api_node"), False)


def _new_spec(spec: Spec) -> Spec:
    kind, extra = spec[0], spec[1] if len(spec) > 1 else {}
    if isinstance(kind, list):
        return ["COMBO", {**extra, "multiselect": False, "options": kind}]
    return [kind, {**extra, "multiline": False} if kind == "STRING" else extra]
