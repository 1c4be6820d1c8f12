"""The inputs of a workflow that differ from attempt to attempt: prompt, seed and prefix, wherever they enter it. Pure.

A run tells them once, in ``RunOpened``; what each attempt had in them follows from its own facts.
"""

from typing import Any

import msgspec

from comfytui.model import placeholders
from comfytui.model.events import VaryingInput
from comfytui.model.ranges import fit_seed
from comfytui.model.workflow import Values, Workflow, templates
from comfytui.untrusted import plain

_VARYING = ("__SCENE_PROMPT__", "__SEED__", "__SCENE_PREFIX__")
_ANY = Values(prefix="p", prompt="p", negative="n", keyframe="k", seed=0, frame_count=1)
LONGEST = 2000
"""Characters of a template that are kept."""


def varying_inputs(workflow: Workflow) -> tuple[VaryingInput, ...]:
    """Return the inputs of ``workflow`` that hold a prompt, a seed or a prefix, in the order of its nodes.

    Lists and objects are told as JSON. What is returned is plain text.
    """
    whole = templates(workflow, _ANY)
    return tuple(
        VaryingInput(
            node=plain(key, 80),
            title=plain(workflow.node_titles.get(key) or node["class_type"], 80),
            kind=plain(node["class_type"], 80),
            name=plain(name, 80),
            template=plain(text, LONGEST),
        )
        for key, node in workflow.graph.items()
        for name, value in node["inputs"].items()
        if any(word in (text := _text(whole.get((key, name), value))) for word in _VARYING)
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def input_value(varying: VaryingInput, *, prompt: str, seed: int, prefix: str) -> Any:
    """Return what an attempt with these values had in the input ``varying``: text or number."""
    words: dict[str, str | int] = {word: word for word in placeholders.PLACEHOLDERS}
    words |= {
        "__SCENE_PROMPT__": prompt,
        "__SEED__": fit_seed(varying.kind, varying.name, seed),
        "__SCENE_PREFIX__": prefix,
    }
    return placeholders.filled(varying.template, words)
