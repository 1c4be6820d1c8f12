"""The simulator's nodes against those of a real server: inputs, types, bounds and outputs are the same.

Needs a ComfyUI at COMFYTUI_TEST_SERVER; the three test nodes are compared if it has them.
"""

from __future__ import annotations

import json
import os
import urllib.request
from typing import Any

import pytest

from comfytui.simulator.nodes.catalogue import CATALOGUE

Json = dict[str, Any]

SERVER = os.environ.get("COMFYTUI_TEST_SERVER", "")
OF_TASTE = {"description", "output_tooltips", "search_aliases", "essentials_category"}
"""Parts of a node's description that no client goes by."""

pytestmark = [
    pytest.mark.real_server,
    pytest.mark.skipif(not SERVER, reason="needs a real ComfyUI at COMFYTUI_TEST_SERVER"),
]


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_node_is_described_as_by_the_real_server(name: str) -> None:
    with urllib.request.urlopen(f"{SERVER.rstrip('/')}/object_info/{name}", timeout=30) as response:
        found = json.load(response)
    if name not in found and "comfytui" in CATALOGUE[name].category:
        pytest.skip("the server has no test nodes")
    with urllib.request.urlopen(f"{SERVER.rstrip('/')}/system_stats", timeout=30) as response:
        version = json.load(response)["system"]["comfyui_version"]
    assert plain(found[name]) == plain(json.loads(json.dumps(CATALOGUE[name].info([], version))))


def plain(info: Json) -> Json:
    """Return a description without words of taste and without choices, which depend on what is installed."""
    inputs = {
        group: {name: spec(one) for name, one in of_group.items()} for group, of_group in info["input"].items()
    }  # fmt: skip
    return {key: value for key, value in info.items() if key not in OF_TASTE} | {"input": inputs}


def spec(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    kind = "a choice" if isinstance(value[0], list) else value[0]
    extra = {key: one for key, one in (value[1] if len(value) > 1 else {}).items() if key != "tooltip"}
    return [kind, extra]
