"""Filling a scene into a graph: one pass, nothing changed but the slots, numbers that their inputs take."""

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfytui.model.placeholders import PLACEHOLDERS
from comfytui.model.ranges import fit_frames, fit_seed
from comfytui.model.workflow import Values, Workflow, decode_workflow, render

VALUES = Values(prefix="run/s-a1", prompt="a lamp", negative="blur", keyframe="key.png", seed=77, frame_count=25)
FILLED: dict[str, str | int] = {
    "__SCENE_PREFIX__": "run/s-a1",
    "__SCENE_PROMPT__": "a lamp",
    "__NEGATIVE_PROMPT__": "blur",
    "__KEYFRAME_IMAGE__": "key.png",
    "__SEED__": 77,
    "__FRAME_COUNT__": 25,
}

text = st.text(max_size=12) | st.sampled_from([*PLACEHOLDERS, "__SEED____SEED__", "a __SCENE_PROMPT__ b", "__SEED"])
leaf = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
value = st.recursive(
    leaf | text,
    # a list of two that begins with a text might be a link to a node that is not there
    lambda inner: st.lists(inner, min_size=3, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
inputs = st.dictionaries(st.text(max_size=6), value, max_size=5)
values = st.builds(
    Values,
    prefix=text,
    prompt=text,
    negative=text,
    keyframe=text,
    seed=st.integers(0, 2**64 - 1),
    frame_count=st.integers(1, 100_000),
)


def workflow(inputs: dict[str, Any], kind: str = "Custom") -> Workflow:
    return decode_workflow(json.dumps({"1": {"class_type": kind, "inputs": inputs}}).encode(), "w", "w.json")


@pytest.mark.parametrize(("placeholder", "filled"), FILLED.items())
def test_every_placeholder_alone_becomes_its_value_and_type(placeholder: str, filled: str | int) -> None:
    assert FILLED.keys() == PLACEHOLDERS.keys()
    prompt = render(workflow({"x": placeholder}), VALUES)
    assert prompt["1"]["inputs"]["x"] == filled
    assert type(prompt["1"]["inputs"]["x"]) is type(filled)


@pytest.mark.parametrize(("placeholder", "filled"), FILLED.items())
def test_every_placeholder_is_filled_inside_texts_lists_and_tables(placeholder: str, filled: str | int) -> None:
    prompt = render(workflow({"x": {"y": [1, f"<{placeholder}|{placeholder}>", placeholder]}}), VALUES)
    assert prompt["1"]["inputs"]["x"] == {"y": [1, f"<{filled}|{filled}>", filled]}


def test_placeholders_are_filled_in_one_pass() -> None:
    tricky = Values(
        prefix="p", prompt="say __SEED__ __NEGATIVE_PROMPT__", negative="__SCENE_PROMPT__", seed=1, frame_count=2
    )
    prompt = render(workflow({"a": "__SCENE_PROMPT__", "b": "x __NEGATIVE_PROMPT__"}), tricky)
    assert prompt["1"]["inputs"] == {"a": "say __SEED__ __NEGATIVE_PROMPT__", "b": "x __SCENE_PROMPT__"}


def test_a_prompt_in_a_found_slot_is_not_filled_again() -> None:
    tricky = Values(prefix="p", prompt="__SEED__", seed=1, frame_count=2)
    assert render(workflow({"prompt": "old"}), tricky)["1"]["inputs"]["prompt"] == "__SEED__"


@given(inputs=inputs, values=values)
def test_rendering_never_changes_the_graph(inputs: dict[str, Any], values: Values) -> None:
    loaded = workflow(inputs)
    before = copy.deepcopy(loaded.graph)
    first = render(loaded, values)
    first["1"]["inputs"].clear()
    first["1"]["class_type"] = "gone"
    assert loaded.graph == before
    assert render(loaded, values) == render(loaded, values)


@given(inputs=inputs)
def test_rendering_leaves_no_placeholder_and_touches_nothing_else(inputs: dict[str, Any]) -> None:
    loaded = workflow(inputs)
    slots = {slot.input for kind in loaded.bindings.__struct_fields__ for slot in getattr(loaded.bindings, kind)}
    prompt = render(loaded, VALUES)
    known = re.compile("|".join(PLACEHOLDERS))
    for name, given_value in inputs.items():
        rendered = prompt["1"]["inputs"][name]
        if name in slots:
            assert not known.search(json.dumps(rendered)) or any("__" in key for key in _keys(given_value))
        else:
            assert rendered == given_value


def _keys(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(key for inner in value.values() for key in _keys(inner))]
    return [key for inner in value for key in _keys(inner)] if isinstance(value, list) else []


@given(prompt=st.text(max_size=40))
def test_any_prompt_arrives_letter_by_letter(prompt: str) -> None:
    values = Values(prefix="p", prompt=prompt, seed=1, frame_count=1)
    rendered = render(workflow({"text": "__SCENE_PROMPT__", "more": "<__SCENE_PROMPT__>"}), values)["1"]["inputs"]
    assert rendered == {"text": prompt, "more": f"<{prompt}>"}


# --- numbers ---------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**64 - 1))
def test_seeds_are_fitted_to_their_inputs(seed: int) -> None:
    assert fit_seed("KSampler", "seed", seed) == seed
    assert fit_seed("EmptyImage", "color", seed) <= 0xFFFFFF
    assert fit_seed("PrimitiveInt", "value", seed) < 2**63


def test_a_seed_in_a_colour_is_reduced() -> None:
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": {"color": "__SEED__", "note": "__SEED__"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }
    values = Values(prefix="p", prompt="x", seed=2**64 - 1, frame_count=1)
    prompt = render(decode_workflow(json.dumps(graph).encode(), "w", "w.json"), values)
    assert prompt["1"]["inputs"] == {"color": 0xFFFFFF, "note": 2**64 - 1}


@pytest.mark.parametrize(
    ("kind", "name", "wanted", "asked"),
    [
        ("WanImageToVideo", "length", 24, 25),
        ("WanImageToVideo", "length", 25, 25),
        ("WanImageToVideo", "length", 1, 1),
        ("WanVideoEmptyEmbeds", "num_frames", 80, 81),
        ("EmptyHunyuanLatentVideo", "length", 26, 29),
        ("EmptyLTXVLatentVideo", "length", 18, 25),
        ("LTXVImgToVideo", "length", 1, 9),
        ("EmptyCosmosLatentVideo", "length", 121, 121),
        ("CosmosPredict2ImageToVideoLatent", "length", 24, 25),
        ("EmptyMochiLatentVideo", "length", 2, 7),
        ("EmptyMochiLatentVideo", "length", 8, 13),
        ("WanImageToVideo", "batch_size", 24, 24),
        ("EmptyLatentImage", "batch_size", 24, 24),
        ("SVD_img2vid_Conditioning", "video_frames", 24, 24),
    ],
)
def test_video_models_are_asked_for_whole_groups(kind: str, name: str, wanted: int, asked: int) -> None:
    assert fit_frames(kind, name, wanted) == asked
