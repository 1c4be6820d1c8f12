"""What the server can do with the workflow: its nodes, its model files, and whether a scene's values arrive. Pure."""

from collections.abc import Iterator

from comfytui.engine.doctor.finding import Finding, fail, ok, unknown, warn
from comfytui.errors import Failure
from comfytui.model.choices import Infos, runs_for, unavailable, undeclared
from comfytui.model.workflow import NO_FRAMES, NO_PREFIX, NO_PROMPT, NO_SEED, Workflow
from comfytui.untrusted import plain

_BIND = 'Write {} into that input, or name it in [bindings]: {} = "NODE.INPUT".'
_REMEDIES = {
    NO_PROMPT: _BIND.format("__SCENE_PROMPT__", "positive"),
    NO_PREFIX: "Let a node save with filename_prefix __SCENE_PREFIX__.",
    NO_SEED: _BIND.format("__SEED__", "seed"),
    NO_FRAMES: _BIND.format("__FRAME_COUNT__", "frames"),
}
_OTHER = "Check that place of the workflow, and export it again with `Export (API)` where it is wrong."


def by_itself(workflow: Workflow) -> Iterator[Finding]:
    """Yield what the workflow's own file tells: where a scene's values go, and what is odd about it."""
    bound = workflow.bindings
    told = [
        f"{name} -> {', '.join(f'{plain(slot.node, 40)}.{plain(slot.input, 40)}' for slot in slots)}"
        for name in bound.__struct_fields__
        if (slots := getattr(bound, name))
    ]
    if told:
        yield ok("bindings", "; ".join(told))
    for warning in workflow.warnings:
        yield warn("bindings" if warning in _REMEDIES else "workflow", warning, _REMEDIES.get(warning, _OTHER))


def on_server(workflow: Workflow, infos: Infos, server: str) -> Iterator[Finding]:
    """Yield what the server tells of the workflow's nodes, whose ``infos`` it gave."""
    if missing := [name for name in workflow.classes if infos.get(name) is None]:
        names = ", ".join(plain(name, 120) for name in missing)
        failure = Failure("workflow.nodes_missing", server=server, file=workflow.file, nodes=names)
        yield fail("nodes", failure.what, failure.remedy)
    else:
        yield ok("nodes", f"the server knows all {len(workflow.classes)} kinds of nodes of {plain(workflow.file)}")
    yield from _choices(workflow, infos, server)
    if runs_for(workflow, infos) is False:
        what = "the server takes none of its nodes for an output, so it has nothing to run"
        yield fail("outputs", what, "Add a node that saves, such as SaveImage.")
    for kind, slots in undeclared(workflow, infos).items():
        places = ", ".join(f"{plain(slot.node, 40)}.{plain(slot.input, 40)}" for slot in slots)
        what = f"{kind} goes to {places}, which the server's node does not declare: it may be ignored there"
        yield warn("bindings", what, f'Name an input that the node has in [bindings]: {kind} = "NODE.INPUT".')


def _choices(workflow: Workflow, infos: Infos, server: str) -> Iterator[Finding]:
    lacking = unavailable(workflow, infos)
    models = [choice for choice in lacking if choice.is_model]
    others = [choice for choice in lacking if not choice.is_model]
    if models:
        shown = "; ".join(map(str, models))
        failure = Failure("workflow.models_missing", server=server, file=workflow.file, models=shown)
        yield fail("models", failure.what, failure.remedy)
    elif any(infos.get(name) is None for name in workflow.classes):
        yield unknown("models", "nodes that the server does not know may want model files")
    else:
        yield ok("models", "every model file that the workflow names is on the server")
    if others:
        what = f"the server's lists do not hold {'; '.join(map(str, others))}: it will reject the prompt"
        yield warn("choices", what, "Choose values that the server offers.")
