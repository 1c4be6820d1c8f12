"""What a workflow wants of a server's lists: told from what the server told, and nothing guessed."""

from typing import Any

import msgspec
import pytest

from comfytui.model.choices import offers, runs_for, unavailable
from comfytui.model.workflow import Workflow, decode_workflow


def loading(value: Any) -> Workflow:
    graph = {
        "1": {"class_type": "Loader", "inputs": {"name": value}},
        "2": {"class_type": "Unused", "inputs": {"name": "gone.safetensors", "from": ["1", 0]}},
        "3": {"class_type": "Saver", "inputs": {"images": ["1", 0], "filename_prefix": "__SCENE_PREFIX__"}},
        "4": {"class_type": "VAELoader", "inputs": {"name": "unused.pt"}},
    }
    return decode_workflow(msgspec.json.encode(graph), "w", "w.json")


def info(spec: Any) -> dict[str, Any]:
    return {"input": {"required": {"name": spec}}}


@pytest.mark.parametrize("spec", [[["a.pt", "b.pt"]], ["COMBO", {"options": ["a.pt", "b.pt"]}]])
def test_both_ways_in_which_servers_write_a_list(spec: Any) -> None:
    assert offers(info(spec), "name") == ["a.pt", "b.pt"]
    assert unavailable(loading("a.pt"), {"Loader": info(spec)}) == ()
    (lacking,) = unavailable(loading("c.pt"), {"Loader": info(spec)})
    assert (lacking.node, lacking.input, lacking.value, lacking.is_model) == ("1", "name", "c.pt", True)
    assert str(lacking) == "c.pt (node 1, Loader.name; the most similar one there is b.pt)"


@pytest.mark.parametrize(
    "spec",
    [
        ["STRING", {}], [], None, "x", ["COMBO"], ["COMBO", {"options": "a"}],
        ["COMBO", {"remote": {"route": "/models"}, "options": []}], [["a.png"], {"image_upload": True}],
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_not(spec: Any) -> None:
    assert offers(info(spec), "name") is None
    assert unavailable(loading("c.pt"), {"Loader": info(spec)}) == ()


def test_what_the_server_does_not_tell_is_not_judged() -> None:
    for infos in ({}, {"Loader": None}, {"Loader": {}}, {"Loader": {"input": []}}):
        assert unavailable(loading("c.pt"), infos) == ()
    assert unavailable(loading(["c.pt"]), {"Loader": info([["a.pt"]])}) == ()


def test_an_empty_list_offers_nothing() -> None:
    (lacking,) = unavailable(loading("c.pt"), {"Loader": info([[]])})
    assert str(lacking) == "c.pt (node 1, Loader.name)"


def test_numbers_are_choices_too_and_no_models() -> None:
    assert unavailable(loading(8), {"Loader": info([[8, 16]])}) == ()
    (lacking,) = unavailable(loading(24), {"Loader": info([[8, 16]])})
    assert not lacking.is_model


def test_nodes_that_are_not_executed_are_not_judged() -> None:
    assert unavailable(loading("a.pt"), {"VAELoader": info([["x.pt"]]), "Loader": info([["a.pt"]])}) == ()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [((True, False, False, False), True), ((False,) * 4, False), ((False, None, False, False), None)],
)
def test_whether_there_is_an_output(flags: tuple[bool | None, ...], expected: bool | None) -> None:
    workflow = loading("a.pt")
    infos = {
        name: None if flag is None else {"output_node": flag}
        for name, flag in zip(workflow.classes, flags, strict=True)
    }
    assert runs_for(workflow, infos) is expected
