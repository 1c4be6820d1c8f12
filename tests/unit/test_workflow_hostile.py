"""Whatever a workflow file holds, it becomes a workflow that can be rendered, or a failure with words."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comfytui.errors import Failure
from comfytui.model.workflow import Values, decode_workflow, digest, loaded_again, render

VALUES = Values(prefix="p", prompt="a", negative="b", keyframe="k.png", seed=2**64 - 1, frame_count=7)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["1", "2", "3", "4", "5:1", "x"])
kinds = st.sampled_from(
    [
        "KSampler",
        "CLIPTextEncode",
        "LoadImage",
        "SaveImage",
        "ConditioningCombine",
        "Reroute",
        "PrimitiveInt",
        "CFGGuider",
        "Odd",
    ]
)
inputs = st.sampled_from(
    [
        "positive",
        "negative",
        "text",
        "image",
        "start_image",
        "seed",
        "filename_prefix",
        "length",
        "width",
        "value",
        "conditioning",
        "",
    ]
)
links = st.tuples(keys, st.integers(0, 2)).map(list)
graphs = st.dictionaries(
    keys,
    st.fixed_dictionaries({"class_type": kinds, "inputs": st.dictionaries(inputs, links | anything, max_size=4)}),
    max_size=6,
)
tables = st.dictionaries(
    st.sampled_from(["positive", "negative", "keyframe", "prefix", "seed", "frames", "other"]),
    st.builds("{}.{}".format, keys, inputs) | anything,
    max_size=2,
)


def judge(data: bytes, table: dict[str, Any] | None = None) -> None:
    try:
        loaded = decode_workflow(data, "w", "w.json", table)
    except Failure as fault:
        assert fault.code.startswith("workflow.")
        assert "w.json" in fault.what
        return
    assert loaded_again(loaded, "w.zip") == loaded, "a record of it is what it was"
    prompt = render(loaded, VALUES)
    assert {key: node["class_type"] for key, node in prompt.items()} == {
        key: node["class_type"] for key, node in loaded.graph.items()
    }
    for kind in loaded.bindings.__struct_fields__:
        for slot in getattr(loaded.bindings, kind):
            rendered = prompt[slot.node]["inputs"][slot.input]
            assert slot.placeholder or isinstance(rendered, int if kind in ("seed", "frames") else str)
    assert len(digest(loaded)) == 64


@given(data=st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    judge(data)


@given(raw=anything)
def test_any_value(raw: Any) -> None:
    judge(json.dumps(raw).encode())


@given(graph=graphs, table=tables)
def test_any_graph_with_any_table(graph: Any, table: Any) -> None:
    judge(json.dumps(graph).encode(), table)
