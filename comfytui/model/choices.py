"""What a workflow takes from a server: model files out of its lists, inputs that it declares, nodes that it runs for.

GET /object_info/<class> tells (ComfyUI 0.3.64 and 0.8.0): a choice is ``[["a", "b"], {...}]`` or, in newer nodes,
``["COMBO", {"options": ["a", "b"]}]``. Pure.
"""

import difflib
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from comfytui.model.bindings import Slot
from comfytui.model.graph import in_order, is_link, upstream
from comfytui.model.workflow import Workflow
from comfytui.untrusted import plain

Infos = Mapping[str, Mapping[str, Any] | None]
"""What the server tells of each node class; ``None`` for one that it does not know."""

_MODEL_FILE = re.compile(r".+\.(safetensors|sft|ckpt|pt|pt2|pth|bin|gguf|onnx|engine|pkl)", re.IGNORECASE)
_UPLOADS = ("image_upload", "video_upload", "audio_upload", "animated_image_upload", "file_upload", "remote")
"""Marks of lists that do not hold everything: the server also takes files that it does not list."""


class Unavailable(msgspec.Struct, frozen=True, kw_only=True):
    """A value that is not in the server's list; ``near`` is the most similar one that is, empty for none."""

    node: str
    node_class: str
    input: str
    value: str
    near: str = ""

    @property
    def is_model(self) -> bool:
        """Whether the value names a model file."""
        return _MODEL_FILE.fullmatch(self.value) is not None

    def __str__(self) -> str:
        hint = f"; the most similar one there is {self.near}" if self.near else ""
        return f"{self.value} (node {self.node}, {self.node_class}.{self.input}{hint})"


def unavailable(workflow: Workflow, infos: Infos) -> tuple[Unavailable, ...]:
    """Return what the nodes that are executed choose and the server does not offer, in the order of the nodes.

    What a run replaces is not looked at, nor what nobody can judge: a class that is not told of, an input without a
    list, a list that does not hold everything.
    """
    replaced = {(slot.node, slot.input) for slots in _slots(workflow).values() for slot in slots}
    found = []
    for key in in_order(upstream(workflow.graph, workflow.outputs)):
        node = workflow.graph[key]
        kind = node["class_type"]
        for name, value in node["inputs"].items():
            if (key, name) in replaced or is_link(value) or not isinstance(value, (str, int, float)):
                continue
            offered = offers(infos.get(kind), name)
            shown = plain(value) if isinstance(value, str) else value
            if offered is None or shown in offered:
                continue
            near = difflib.get_close_matches(str(shown), [str(one) for one in offered], n=1, cutoff=0.7)
            found.append(
                Unavailable(
                    node=plain(key, 80),
                    node_class=plain(kind, 120),
                    input=plain(name, 80),
                    value=str(shown),
                    near=near[0] if near else "",
                )
            )
    return tuple(found)


def undeclared(workflow: Workflow, infos: Infos) -> dict[str, tuple[Slot, ...]]:
    """Return, by kind of value, the bindings to inputs that the server's node does not declare: it may ignore them."""
    strange: dict[str, tuple[Slot, ...]] = {}
    for kind, slots in _slots(workflow).items():
        lost = tuple(slot for slot in slots if _declares(infos.get(_class(workflow, slot)), slot.input) is False)
        if lost:
            strange[kind] = lost
    return strange


def runs_for(workflow: Workflow, infos: Infos) -> bool | None:
    """Tell whether the server takes any node of the workflow for an output; ``None`` where it does not tell."""
    flags = [(infos.get(kind) or {}).get("output_node") for kind in workflow.classes]
    if any(flag is True for flag in flags):
        return True
    return False if all(flag is False for flag in flags) else None


def offers(info: Mapping[str, Any] | None, name: str) -> list[Any] | None:
    """Return the list from which input ``name`` is chosen; ``None`` when it has none, or one with gaps."""
    spec = _spec(info, name)
    if not isinstance(spec, list) or not spec:
        return None
    extra = spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {}
    listed = spec[0] if isinstance(spec[0], list) else extra.get("options") if spec[0] == "COMBO" else None
    if not isinstance(listed, list) or any(extra.get(mark) for mark in _UPLOADS):
        return None
    return listed


def _spec(info: Mapping[str, Any] | None, name: str) -> Any:
    return next((group[name] for group in _groups(info) if name in group), None)


def _declares(info: Mapping[str, Any] | None, name: str) -> bool | None:
    groups = _groups(info)
    return any(name in group for group in groups) if groups else None


def _groups(info: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    inputs = info.get("input") if info is not None else None
    if not isinstance(inputs, dict):
        return []
    return [group for kind in ("required", "optional") if isinstance(group := inputs.get(kind), dict)]


def _slots(workflow: Workflow) -> dict[str, tuple[Slot, ...]]:
    bound = workflow.bindings
    return {name: getattr(bound, name) for name in bound.__struct_fields__}


def _class(workflow: Workflow, slot: Slot) -> str:
    return str(workflow.graph[slot.node]["class_type"])
