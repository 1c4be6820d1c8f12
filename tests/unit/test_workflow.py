"""Workflow files: which are taken, which are refused and why, and what a ``[bindings]`` table may say."""

import json
from pathlib import Path
from typing import Any

import pytest

from comfytui.errors import Failure
from comfytui.model.story import decode_story
from comfytui.model.workflow import (
    BUNDLED,
    NO_FRAMES,
    NO_PREFIX,
    NO_PROMPT,
    NO_SEED,
    Values,
    Workflow,
    check_story,
    decode_workflow,
    digest,
    load_workflow,
    prefix_for,
    render,
    seed_for,
)

GRAPH: dict[str, Any] = {
    "1": {"class_type": "CLIPTextEncode", "inputs": {"text": "a", "clip": ["2", 1]}},
    "2": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "x"}},
    "3": {"class_type": "KSampler", "inputs": {"seed": 1, "cfg": 7.0, "positive": ["1", 0], "latent_image": ["4", 0]}},
    "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "5": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["2", 2]}},
    "6": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "x"}},
    "7.1": {"class_type": "Note.able", "inputs": {"a.b": "text", "own.list": [1, 2, 3]}},
}

VALUES = Values(prefix="p", prompt="a lamp", negative="blur", keyframe="k.png", seed=5, frame_count=3)


def decoded(content: Any, bindings: dict[str, object] | None = None) -> Workflow:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return decode_workflow(data, "mine", "mine.json", bindings)


def failure(content: Any, bindings: dict[str, object] | None = None) -> Failure:
    with pytest.raises(Failure) as caught:
        decoded(content, bindings)
    return caught.value


def with_node(key: str, **changes: Any) -> dict[str, Any]:
    return {**GRAPH, key: {**GRAPH[key], **changes}}


# --- bundled -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_workflow_is_loaded_by_name(name: str) -> None:
    loaded = load_workflow(name)
    assert (loaded.name, loaded.file) == (name, name)
    prompt = render(loaded, VALUES)
    assert "__" not in json.dumps(prompt)
    assert prompt[loaded.bindings.prefix[0].node]["inputs"]["filename_prefix"] == "p"
    assert prompt[loaded.bindings.frames[0].node]["inputs"][loaded.bindings.frames[0].input] == 3


def test_smoke_needs_no_model_and_no_prompt() -> None:
    smoke = load_workflow("smoke")
    assert smoke.classes == ("EmptyImage", "SaveImage")
    assert smoke.warnings == (NO_PROMPT,)
    assert smoke.outputs == ("2",)
    picture = render(smoke, VALUES)["1"]["inputs"]
    assert (picture["width"], picture["height"], picture["batch_size"], picture["color"]) == (512, 288, 3, 5)


def test_txt2img_takes_both_prompts() -> None:
    prompt = render(load_workflow("txt2img"), VALUES)
    assert load_workflow("txt2img").warnings == ()
    assert [node["inputs"]["text"] for node in prompt.values() if "text" in node["inputs"]] == ["a lamp", "blur"]


def test_svd_starts_from_the_keyframe_and_takes_no_prompt() -> None:
    svd = load_workflow("svd")
    assert svd.needs_keyframe
    assert svd.warnings == (NO_PROMPT,)
    assert render(svd, VALUES)["2"]["inputs"]["image"] == "k.png"
    assert svd.node_titles["2"] == "Keyframe"


def test_a_bundled_name_with_an_ending_or_a_folder_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("smoke.json", "./smoke"):
        if name == "./smoke":
            Path(name).write_text(json.dumps(GRAPH), "utf-8")
            assert load_workflow(name).file == name
        else:
            with pytest.raises(Failure) as caught:
                load_workflow(name)
            assert caught.value.code == "workflow.unreadable"


def test_an_unknown_name_says_what_was_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Failure) as caught:
        load_workflow("smok")
    assert caught.value.code == "workflow.unreadable"
    assert "did you mean smoke?" in caught.value.what


# --- shape ---------------------------------------------------------------------------------------------------------


def test_a_prompt_body_is_taken_as_its_graph() -> None:
    assert decoded({"prompt": GRAPH, "client_id": "x"}).graph == GRAPH


def test_titles_and_classes_are_told() -> None:
    titled = with_node("6", _meta={"title": "\x1b[31mSave\nit"})
    loaded = decoded({**titled, "8": {"class_type": "Odd", "inputs": {}, "_meta": "none"}})
    assert loaded.node_titles["6"] == "Save it"
    assert loaded.node_titles["8"] == "Odd"
    assert loaded.node_titles["1"] == "CLIPTextEncode"
    assert loaded.classes == tuple(sorted({node["class_type"] for node in loaded.graph.values()}))


@pytest.mark.parametrize(
    "content",
    [
        {"last_node_id": 9, "nodes": [], "links": [], "version": 0.4},
        {"nodes": [{"id": 1, "type": "KSampler"}], "version": 1},
        {"prompt": {"nodes": [], "links": []}},
    ],
)
def test_the_editors_format_is_refused_with_the_way_out(content: Any) -> None:
    fault = failure(content)
    assert fault.code == "workflow.gui_format"
    assert "Export (API)" in fault.remedy


@pytest.mark.parametrize(
    ("content", "place", "why"),
    [
        ([], "the top level", "a table of nodes is expected"),
        ({}, "the top level", "it has no nodes"),
        ({"prompt": {}}, "the top level", "it has no nodes"),
        ({**GRAPH, "_comment": "mine"}, "_comment", "a node with class_type and inputs is expected"),
        ({**GRAPH, "8": {"inputs": {}}}, "8.class_type", "the class of the node is missing"),
        ({**GRAPH, "8": {"class_type": " ", "inputs": {}}}, "8.class_type", "the class of the node is missing"),
        ({**GRAPH, "8": {"class_type": "X"}}, "8.inputs", "a table of inputs is expected"),
        ({**GRAPH, "8": {"class_type": "X", "inputs": []}}, "8.inputs", "a table of inputs is expected"),
        (with_node("5", inputs={"samples": ["33", 0]}), "5.inputs.samples", "links to node '33', which the workflow"),
        (with_node("5", inputs={"samples": [3, 0]}), "5.inputs.samples", 'write ["3", 0]'),
        (with_node("2", inputs={"ckpt_name": ["5", 0]}), "", "these nodes feed one another in a circle"),
        (with_node("2", inputs={"ckpt_name": ["2", 0]}), "2", "in a circle: 2 -> 2"),
        ({key: GRAPH[key] for key in ("1", "2", "3", "4", "5")}, "the outputs", "no node saves or shows anything"),
    ],
)  # fmt: skip
def test_a_wrong_shape_is_told_with_its_place(content: Any, place: str, why: str) -> None:
    fault = failure(content)
    assert fault.code == "workflow.shape"
    assert f"mine.json is wrong at {place}" in fault.what
    assert why in fault.what


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[" * 10_000, b'{"1": ' * 200 + b"1" + b"}" * 200, b"\xff\xfe{\0", b"\x89PNG\r\n\x1a\n"]
)
def test_bytes_that_are_no_json_are_told(data: bytes) -> None:
    assert failure(data).code == "workflow.syntax"


def test_a_missing_and_a_huge_file_are_told(tmp_path: Path) -> None:
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(16 * 1024 * 1024 + 1)
    for name in ("gone.json", "huge.json"):
        with pytest.raises(Failure) as caught:
            load_workflow(tmp_path / name)
        assert caught.value.code == "workflow.unreadable"


def test_a_node_that_is_hostile_to_terminals_is_told_plainly() -> None:
    fault = failure({**GRAPH, "\x1b[2J": {"class_type": "X"}})
    assert "\x1b" not in str(fault)


def test_a_list_that_is_no_link_stays_a_value() -> None:
    assert render(decoded(GRAPH), VALUES)["7.1"]["inputs"]["own.list"] == [1, 2, 3]


# --- warnings --------------------------------------------------------------------------------------------------------


def test_what_reaches_nothing_is_a_warning() -> None:
    bare = {
        "1": {"class_type": "LoadWhatever", "inputs": {}},
        "2": {"class_type": "PreviewImage", "inputs": {"i": ["1", 0]}},
    }
    assert decoded(bare).warnings == (NO_PROMPT, NO_PREFIX, NO_SEED, NO_FRAMES)
    assert decoded(GRAPH).warnings == ()


def test_a_placeholder_that_no_output_needs_reaches_nothing() -> None:
    loaded = decoded(
        {
            **with_node("3", inputs={"seed": 1}),
            "1": {"class_type": "CLIPTextEncode", "inputs": {"text": "__SCENE_PROMPT__"}},
        }
    )
    assert NO_PROMPT in loaded.warnings


def test_a_misspelt_placeholder_is_a_warning() -> None:
    loaded = decoded(with_node("1", inputs={"text": "__SCENE_PROMT__, __INIT__"}))
    assert [w for w in loaded.warnings if "1.text" in w] == [
        "1.text holds __SCENE_PROMT__, which is no placeholder; did you mean __SCENE_PROMPT__?"
    ]


def test_a_story_is_held_against_the_workflow() -> None:
    story = decode_story(
        b'{"scenes":[{"prompt":"x","keyframePath":"k.png"},{"id":"two","prompt":"y"}]}', "s.json", "json"
    )
    remedy = "it is drawn from the prompt; give the scene a keyframePath for a real one"
    assert check_story(load_workflow("svd"), story) == (f"Without a keyframe: two; {remedy}",)
    assert check_story(load_workflow("txt2img"), story) == ("The story has keyframes, but this workflow loads none",)
    negative = decode_story(b'{"scenes":[{"prompt":"x","negativePrompt":"y"}]}', "s.json", "json")
    assert check_story(load_workflow("txt2img"), negative) == ()
    assert check_story(load_workflow("smoke"), negative) == (
        "The negative prompt of the scene reaches no text input of this workflow",
    )


# --- [bindings] ------------------------------------------------------------------------------------------------------


def test_a_table_wins_over_what_is_found_and_over_placeholders() -> None:
    graph = with_node("1", inputs={"text": "__SCENE_PROMPT__", "clip": ["2", 1]})
    loaded = decoded(
        {**graph, "6": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["5", 0], "note": ""}}},
        {"positive": "6.note"},
    )
    prompt = render(loaded, VALUES)
    assert prompt["6"]["inputs"]["note"] == "a lamp"
    assert prompt["1"]["inputs"]["text"] == "a lamp"  # a placeholder never reaches the server
    assert [slot.node for slot in loaded.bindings.positive] == ["6"]


def test_several_targets_dots_in_names_and_links_are_understood() -> None:
    loaded = decoded(GRAPH, {"positive": ["1.text", "7.1.a.b"], "seed": "3.cfg", "negative": "3.positive"})
    prompt = render(loaded, VALUES)
    assert prompt["7.1"]["inputs"]["a.b"] == "a lamp"
    assert prompt["3"]["inputs"]["cfg"] == 5
    assert [slot.node for slot in loaded.bindings.negative] == ["1"]  # by the link of 3.positive


@pytest.mark.parametrize("nothing", ["", [], [" "]])
def test_an_empty_binding_switches_a_kind_off(nothing: object) -> None:
    loaded = decoded(GRAPH, {"seed": nothing})
    assert loaded.bindings.seed == ()
    assert NO_SEED in loaded.warnings
    assert render(loaded, VALUES)["3"]["inputs"]["seed"] == 1


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"positiv": "1.text"}, "there is no such binding; did you mean positive?"),
        ({"zzz": "1.text"}, "there are only positive, negative, keyframe, prefix, seed, frames"),
        ({"positive": 3}, "neither a text nor a list of texts"),
        ({"positive": ["1.text", 3]}, "neither a text nor a list of texts"),
        ({"positive": "text"}, "there is no dot"),
        ({"positive": "9.text"}, "the workflow has no node '9'"),
        ({"positive": "1.txt"}, "CLIPTextEncode has no input 'txt'; its inputs are text, clip"),
        ({"seed": "1.text"}, "does not hold a number"),
        ({"positive": "3.seed"}, "does not hold text"),
        ({"keyframe": "5.samples"}, "is linked to node 3 (KSampler), and no value of its own stands behind it"),
        ({"positive": "8.text"}, "no output needs node 8, so the server never runs it"),
    ],
)
def test_a_binding_that_reaches_nothing_is_told(table: dict[str, object], why: str) -> None:
    fault = failure({**GRAPH, "8": {"class_type": "CLIPTextEncode", "inputs": {"text": "unused"}}}, table)
    assert fault.code == "workflow.binding"
    assert why in fault.what


def test_the_table_beside_a_workflow_is_read_and_can_be_overruled(tmp_path: Path) -> None:
    file = tmp_path / "flow.json"
    file.write_text(json.dumps(GRAPH), "utf-8")
    (tmp_path / "flow.toml").write_text('[bindings]\npositive = "7.1.a.b"\nseed = ""\n', "utf-8")
    assert [slot.node for slot in load_workflow(file).bindings.positive] == ["7.1"]
    overruled = load_workflow(str(file), {"positive": "1.text"})
    assert [slot.node for slot in overruled.bindings.positive] == ["1"]
    assert overruled.bindings.seed == ()


@pytest.mark.parametrize(
    ("table", "code"), [("[bindings", "workflow.syntax"), ("bindings = 3", "workflow.shape"), ("other = 1", None)]
)
def test_a_wrong_table_beside_a_workflow_is_told(tmp_path: Path, table: str, code: str | None) -> None:
    file = tmp_path / "flow.json"
    file.write_text(json.dumps(GRAPH), "utf-8")
    (tmp_path / "flow.toml").write_text(table, "utf-8")
    if code is None:
        assert load_workflow(file).bindings == decoded(GRAPH).bindings
        return
    with pytest.raises(Failure) as caught:
        load_workflow(file)
    assert caught.value.code == code
    assert "flow.toml" in caught.value.what


# --- names, seeds, digests -------------------------------------------------------------------------------------------


def test_every_attempt_has_a_prefix_of_its_own() -> None:
    assert prefix_for("20261123-031200", "scene-001", 1) == "comfytui/20261123-031200/scene-001-a1"
    assert prefix_for("20261123-031200", "scene-001", 2, "0a1b2c3d") == "comfytui/20261123-031200-0a1b2c3d/scene-001-a2"
    assert prefix_for("../x", "..", 2) == "comfytui/x/unnamed-a2"


def test_the_scenes_seed_is_used_once_and_every_other_attempt_has_a_fresh_one() -> None:
    assert seed_for(2**64 - 1, "r", "s", 1) == 2**64 - 1
    assert seed_for(0, "r", "s", 1) == 0
    seeds = {seed_for(None, run, scene, attempt) for run in "ab" for scene in "cd" for attempt in range(1, 20)}
    assert len(seeds) == 76
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert seed_for(7, "r", "s", 2) == seed_for(None, "r", "s", 2)


def test_the_digest_knows_graph_and_bindings_but_no_order() -> None:
    backwards = dict(reversed(GRAPH.items()))
    assert digest(decoded(GRAPH)) == digest(decoded(backwards))
    assert digest(decoded(GRAPH)) != digest(
        decoded(with_node("6", inputs={"filename_prefix": "y", "images": ["5", 0]}))
    )
    assert digest(decoded(GRAPH)) != digest(decoded(GRAPH, {"seed": ""}))
    assert len(digest(decoded(GRAPH))) == 64
