"""All the node classes that the simulated server has."""

from __future__ import annotations

from comfytui.simulator.nodes import images, sampling, testing
from comfytui.simulator.nodes.schema import NodeClass

CATALOGUE: dict[str, NodeClass] = {kind.name: kind for kind in (*images.CLASSES, *sampling.CLASSES, *testing.CLASSES)}
"""Node classes by name."""
