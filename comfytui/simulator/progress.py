"""The progress of a prompt's nodes, as `progress_state` lists them."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class ProgressBoard:
    """Where each visited node of one prompt stands; a node that was not visited yet is not listed."""

    def __init__(self, prompt_id: str) -> None:
        self._prompt_id = prompt_id
        self._nodes: dict[str, tuple[float, float, str]] = {}

    def start(self, node: str) -> None:
        """The node begins: 0.0 of 1.0."""
        self._nodes[node] = (0.0, 1.0, "running")

    def update(self, node: str, value: float, maximum: float) -> None:
        """The node has done `value` of `maximum` steps."""
        self._nodes[node] = (value, maximum, "running")

    def finish(self, node: str) -> None:
        """The node is done; a cached one that never began counts as 1 of 1."""
        maximum = self._nodes[node][1] if node in self._nodes else 1
        self._nodes[node] = (maximum, maximum, "finished")

    def state(self) -> Json:
        """Return the data of `progress_state`."""
        nodes = {
            node: {
                "value": value,
                "max": maximum,
                "state": state,
                "node_id": node,
                "prompt_id": self._prompt_id,
                "display_node_id": node,
                "parent_node_id": None,
                "real_node_id": node,
            }
            for node, (value, maximum, state) in self._nodes.items()
        }
        return {"prompt_id": self._prompt_id, "nodes": nodes}
