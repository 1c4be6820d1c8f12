"""The workflow: a graph that a ComfyUI server runs, where a scene's values enter it, and the prompt made from both.

Pure but for :func:`load_workflow`, which reads the file and its table of bindings.
"""

import hashlib
import importlib.resources
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from comfytui.model import document, placeholders
from comfytui.model import graph as graphs
from comfytui.model.bindings import Bindings, Slot
from comfytui.model.graph import Graph
from comfytui.untrusted import file_name

BUNDLED = ("smoke", "txt2img", "svd")
"""The workflows that come with comfytui; ``smoke`` runs on any ComfyUI, without a model."""

_SEED_MAXIMA = {("EmptyImage", "color"): 0xFFFFFF, ("PrimitiveInt", "value"): 2**63 - 1}
_SEED_MAXIMUM = 2**64 - 1


class Workflow(msgspec.Struct, frozen=True, kw_only=True):
    """A graph in API format, ready to be filled in. The graph is never changed: :func:`render` makes new ones.

    ``name`` is the bundled name or the file's stem; ``classes`` are the node classes that the server must know;
    ``node_titles`` say what a person calls a node; ``warnings`` are plain sentences for the user.
    """

    name: str
    file: str
    graph: Graph
    bindings: Bindings
    classes: tuple[str, ...]
    node_titles: dict[str, str]
    sinks: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def needs_keyframe(self) -> bool:
        """Whether a scene without a keyframe cannot be rendered with it."""
        return bool(self.bindings.keyframe)


class Values(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt puts into a workflow.

    ``keyframe`` is the name that the server knows the uploaded picture by (``subfolder/name``), empty for none;
    ``seed`` is 0 to 2**64 - 1.
    """

    prefix: str
    prompt: str
    negative: str = ""
    keyframe: str = ""
    seed: int
    frame_count: int


def load_workflow(name_or_path: str | Path, bindings: Mapping[str, object] | None = None) -> Workflow:
    """Return a bundled workflow by its name, or the one in the API-format file at a path.

    Raises :class:`Failure` ``workflow.unreadable``, ``workflow.syntax``, ``workflow.gui_format``, ``workflow.shape``
    or ``workflow.binding``.
    """
    given = str(name_or_path)
    if given in BUNDLED:
        source = importlib.resources.files("comfytui").joinpath("bundled", "workflows", f"{given}.json")
        return decode_workflow(source.read_bytes(), given, given, bindings)
    path = Path(name_or_path)
    return decode_workflow(document.read_bytes(path, unreadable="workflow.unreadable"), path.stem, given, bindings)


def decode_workflow(data: bytes, name: str, file: str, bindings: Mapping[str, object] | None = None) -> Workflow:
    """Return the workflow that ``data`` holds; pure. Raises what :func:`load_workflow` does about the content."""
    graph = graphs.checked_graph(document.decode(data, "json", file=file, syntax="workflow.syntax"), file)
    found: dict[str, list[Slot]] = {}
    for kind, key, field in placeholders.places(graph):
        found.setdefault(kind, []).append(Slot(key, field, True))
    return Workflow(
        name=name,
        file=file,
        graph=graph,
        bindings=Bindings(**{kind: tuple(slots) for kind, slots in found.items()}),
        classes=tuple(sorted({node["class_type"] for node in graph.values()})),
        node_titles={key: graphs.title(graph, key) for key in graph},
        sinks=graphs.sinks(graph),
    )


def render(workflow: Workflow, values: Values) -> dict[str, Any]:
    """Return the prompt for one attempt: a new graph with ``values`` in every slot of ``workflow``.

    A seed is reduced to what the input takes.
    """
    words: dict[str, str | int] = {
        "__SCENE_PREFIX__": values.prefix,
        "__SCENE_PROMPT__": values.prompt,
        "__NEGATIVE_PROMPT__": values.negative,
        "__KEYFRAME_IMAGE__": values.keyframe,
        "__FRAME_COUNT__": values.frame_count,
    }
    prompt = {}
    for key, node in workflow.graph.items():
        inputs = {}
        for name, value in node["inputs"].items():
            seed = values.seed % (_SEED_MAXIMA.get((node["class_type"], name), _SEED_MAXIMUM) + 1)
            inputs[name] = placeholders.filled(value, {**words, "__SEED__": seed})
        prompt[key] = {**node, "inputs": inputs}
    return prompt


def digest(workflow: Workflow) -> str:
    """Return the SHA-256 of the workflow's graph and bindings, in hexadecimal, whatever order its file has them in."""
    canonical = msgspec.json.encode((workflow.graph, workflow.bindings), order="sorted")
    return hashlib.sha256(canonical).hexdigest()


def prefix_for(run_id: str, scene_folder: str, attempt: int) -> str:
    """Return the file name prefix of one attempt, such as ``comfytui/20261123-031200/scene-001-a1``.

    Unique per run, scene and attempt, so that neither an old frame nor a cached result can be taken for a new one.
    """
    return f"comfytui/{file_name(run_id)}/{file_name(scene_folder)}-a{attempt}"


def seed_for(seed: int | None, run_id: str, scene_id: str, attempt: int) -> int:
    """Return the seed of one attempt: the scene's own on the first, and a fresh one, always the same, on each other.

    Fresh seeds stay below 2**50: ComfyUI's editor and several node packages keep seeds as JavaScript numbers.
    """
    if seed is not None and attempt == 1:
        return seed
    mixed = hashlib.sha256(f"{run_id}\0{scene_id}\0{attempt}".encode()).digest()
    return int.from_bytes(mixed[:8], "big") % 2**50
