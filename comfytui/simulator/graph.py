"""The order in which the nodes of a workflow run: a dissolving graph, outputs first where there is a choice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

Json = dict[str, Any]


def is_link(value: object) -> bool:
    """Return whether an input value is `[node id, output index]`."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


def links(node: Json) -> Iterator[str]:
    """Iterate over the ids of the nodes that this node takes its inputs from."""
    return (value[0] for value in node["inputs"].values() if is_link(value))


class ExecutionList:
    """The nodes still to run for `outputs`; nodes that are cached, and all behind them, are left out.

    `is_output` tells whether a node is an output node. Raises nothing: validation has ruled cycles out.
    """

    def __init__(
        self,
        graph: dict[str, Json],
        outputs: Iterable[str],
        is_cached: Callable[[str], bool],
        is_output: Callable[[str], bool],
    ) -> None:
        self._is_output = is_output
        self._waits_for: dict[str, set[str]] = {}
        for output in outputs:
            stack = [output]
            while stack:
                node = stack.pop()
                if node not in self._waits_for:
                    needed = [source for source in links(graph[node]) if not is_cached(source)]
                    self._waits_for[node] = set(needed)
                    stack.extend(needed)

    def __bool__(self) -> bool:
        """Return whether any node is left."""
        return bool(self._waits_for)

    def next(self) -> str:
        """Return the node to run now: an output, else what brings an output nearest, else the first found."""
        ready = [node for node, needed in self._waits_for.items() if not needed]

        def leads_to(node: str, steps: int) -> bool:
            if steps == 0:
                return self._is_output(node)
            return any(leads_to(later, steps - 1) for later in self._waiting_for(node))

        for steps in (0, 1, 2):
            for node in ready:
                if leads_to(node, steps):
                    return node
        return ready[0]

    def done(self, node: str) -> None:
        """Take a node away that ran, and free those that waited for it."""
        for later in self._waiting_for(node):
            self._waits_for[later].discard(node)
        del self._waits_for[node]

    def _waiting_for(self, node: str) -> list[str]:
        return [later for later, needed in self._waits_for.items() if node in needed]
