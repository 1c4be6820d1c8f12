"""The cache of node results: what an identical part of the previous prompt gave is not computed again.

As ComfyUI's default cache, it keeps only what the current prompt could use; an entry belongs to the node's class,
its inputs and all its ancestors, not to its id.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from comfytui.simulator.graph import is_link
from comfytui.simulator.nodes.schema import NodeClass

Json = dict[str, Any]


@dataclass(frozen=True)
class Cached:
    """What a node gave: the values of its outputs, and what it showed (`ui`, with its `meta` for the history)."""

    values: tuple[Any, ...]
    ui: Json | None
    meta: Json | None


class NodeCache:
    """Results by signature."""

    def __init__(self) -> None:
        self._results: dict[str, Cached] = {}
        self._signatures: dict[str, str] = {}

    def begin(
        self, graph: dict[str, Json], class_of: Callable[[str], NodeClass], changed: Callable[[str], str]
    ) -> None:
        """Take up a new prompt: name its nodes' signatures and drop every result it cannot use.

        `changed(node)` is a fingerprint of things outside the graph, such as the content of an image file.
        """
        names: dict[str, str] = {}

        def signature(node: str) -> str:
            if node not in names:
                kind = class_of(node)
                inputs = [
                    [name, [signature(value[0]), value[1]] if is_link(value) else value]
                    for name, value in sorted(graph[node]["inputs"].items())
                ]
                own = node if "UNIQUE_ID" in kind.hidden.values() else ""
                names[node] = json.dumps([kind.name, own, changed(node), inputs], default=repr)
            return names[node]

        self._signatures = {node: signature(node) for node in graph}
        wanted = set(self._signatures.values())
        self._results = {name: result for name, result in self._results.items() if name in wanted}

    def get(self, node: str) -> Cached | None:
        """Return the result of a node of the current prompt, or None."""
        return self._results.get(self._signatures[node])

    def put(self, node: str, result: Cached) -> None:
        """Keep the result of a node of the current prompt."""
        self._results[self._signatures[node]] = result

    def clear(self) -> None:
        """Forget all results (POST /free with free_memory)."""
        self._results.clear()
