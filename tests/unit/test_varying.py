"""Which inputs of a workflow differ between attempts: told from the plan alone, and the same as in what is rendered."""

from typing import Any

import pytest
from msgspec import structs

from comfytui.model.events import VaryingInput
from comfytui.model.varying import LONGEST, input_value, varying_inputs
from comfytui.model.workflow import BUNDLED, Values, Workflow, load_workflow, render

FIRST: dict[str, Any] = {"prompt": "a lighthouse in rain", "seed": 2**63 + 11, "prefix": "comfytui/r/scene-001-a1"}
SECOND: dict[str, Any] = {"prompt": "a lighthouse in snow", "seed": 12, "prefix": "comfytui/r/scene-001-a2"}


def rendered(workflow: Workflow, values: dict[str, Any]) -> dict[tuple[str, str], Any]:
    graph = render(workflow, Values(negative="text", keyframe="key.png", frame_count=25, **values))
    return {(key, name): value for key, node in graph.items() for name, value in node["inputs"].items()}


@pytest.mark.parametrize("name", BUNDLED)
def test_they_are_those_that_differ_in_what_is_sent(name: str) -> None:
    workflow = load_workflow(name)
    one, other = rendered(workflow, FIRST), rendered(workflow, SECOND)
    differing = {place for place in one if one[place] != other[place]}
    told = {(each.node, each.name): each for each in varying_inputs(workflow)}
    assert set(told) == differing
    assert differing
    for place, each in told.items():
        assert input_value(each, **FIRST) == one[place]
        assert input_value(each, **SECOND) == other[place]


def test_a_text_inside_a_list_is_told_too() -> None:
    workflow = load_workflow("smoke")
    graph = {**workflow.graph, "77": {"class_type": "X", "inputs": {"rows": [{"text": "__SCENE_PROMPT__!"}, 5]}}}
    told = next(each for each in varying_inputs(structs.replace(workflow, graph=graph)) if each.node == "77")
    assert input_value(told, **FIRST) == '[{"text":"a lighthouse in rain!"},5]'


def test_text_around_a_placeholder_and_other_placeholders_stay() -> None:
    one = VaryingInput(node="6", title="P", kind="X", name="text", template="__SCENE_PROMPT__, not __NEGATIVE_PROMPT__")
    assert input_value(one, **FIRST) == "a lighthouse in rain, not __NEGATIVE_PROMPT__"


def test_what_a_workflow_says_is_told_plainly_and_in_bounds() -> None:
    workflow = load_workflow("smoke")
    node = next(iter(workflow.graph))
    nasty = "\x1b]0;owned\x07__SCENE_PROMPT__" + "x" * 9000
    graph = {**workflow.graph, node: {"class_type": "Evil\x1b[31m", "inputs": {"te\x07xt": nasty}}}
    told = varying_inputs(structs.replace(workflow, graph=graph, node_titles={node: "A\x1b[2J title"}))
    evil = next(each for each in told if each.node == node)
    assert (evil.title, evil.kind, evil.name) == ("A title", "Evil", "text")
    assert evil.template.startswith("__SCENE_PROMPT__xxx")
    assert len(evil.template) == LONGEST
