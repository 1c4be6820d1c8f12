"""The workflow: a graph that a ComfyUI server runs, where a scene's values enter it, and the prompt made from both.

Pure but for :func:`load_workflow`, which reads the file and its table of bindings.
"""

import difflib
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from comfytui.errors import Failure
from comfytui.model import document, placeholders
from comfytui.model.bindings import KINDS, Bindings, Slot, settle
from comfytui.model.graph import Graph, Node, Place, checked_graph, outputs, title
from comfytui.model.ranges import fit_frames, fit_seed
from comfytui.model.story import Story
from comfytui.untrusted import file_name, plain

BUNDLED = ("smoke", "txt2img", "svd")
"""The workflows that come with comfytui; ``smoke`` runs on any ComfyUI, without a model."""

NO_PROMPT = "The prompt of the scene reaches no text input of this workflow"
NO_PREFIX = "No output of this workflow takes a filename prefix: the frames of an attempt cannot be told by their names"
NO_SEED = "No seed input was found: a retry may be a cache hit, or give the same frames again"
NO_FRAMES = "The number of frames reaches no input of this workflow: it makes as many as it was saved with"

DONE_MARKER = "WriteDoneMarker"
"""The class of comfytui's own node, which saves nothing and says under the same prefix that all is saved."""

_VIDEO_FILES = {"VHS_VideoCombine", "SaveVideo", "SaveWEBM", "SaveAnimatedWEBP", "SaveAnimatedPNG"}


class Workflow(msgspec.Struct, frozen=True, kw_only=True):
    """A graph in API format, ready to be filled in. The graph is never changed: :func:`render` makes new ones.

    ``name`` is the bundled name or the file's stem; ``classes`` are the node classes that the server must know, letter
    by letter; ``node_titles`` say what a person calls a node (plain text); ``outputs`` are the ids of the nodes that it
    may be run for; ``warnings`` are plain sentences for the user.
    """

    name: str
    file: str
    graph: Graph
    bindings: Bindings
    classes: tuple[str, ...]
    node_titles: dict[str, str]
    outputs: tuple[str, ...]
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


# --- loading -----------------------------------------------------------------------------------------------------


def load_workflow(name_or_path: str | Path, bindings: Mapping[str, object] | None = None) -> Workflow:
    """Return a bundled workflow by its name, or the one in the API-format file at a path.

    ``bindings`` win over the ``[bindings]`` table of a ``<workflow>.toml`` beside the file. Raises :class:`Failure`
    ``workflow.unreadable``, ``workflow.syntax``, ``workflow.gui_format``, ``workflow.shape`` or ``workflow.binding``.
    """
    given = str(name_or_path)
    if given in BUNDLED:
        from importlib import resources

        source = resources.files("comfytui").joinpath("bundled", "workflows", f"{given}.json")
        return decode_workflow(source.read_bytes(), given, given, bindings)
    path = Path(name_or_path)
    if not path.suffix and not os.path.exists(path):  # noqa: PTH110  (it raises for no name)
        near = difflib.get_close_matches(path.name.lower(), BUNDLED, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise Failure("workflow.unreadable", file=given, why=f"it is neither a bundled workflow nor a file{hint}")
    data = document.read_bytes(path, unreadable="workflow.unreadable")
    return decode_workflow(data, path.stem, given, {**_sidecar(path), **(bindings or {})})


def decode_workflow(data: bytes, name: str, file: str, bindings: Mapping[str, object] | None = None) -> Workflow:
    """Return the workflow that ``data`` holds; pure. Raises what :func:`load_workflow` does about the content."""
    graph = checked_graph(document.decode(data, "json", file=file, syntax="workflow.syntax"), file)
    bound, doubts = settle(graph, bindings or {}, file)
    return Workflow(
        name=plain(name, 120),
        file=file,
        graph=graph,
        bindings=bound,
        classes=tuple(sorted({node["class_type"] for node in graph.values()})),
        node_titles={key: title(graph, key) for key in graph},
        outputs=outputs(graph),
        warnings=(*_unreached(bound), *doubts, *_oddities(graph)),
    )


def loaded_again(recorded: Workflow, file: str) -> Workflow:
    """Return a ``recorded`` workflow, which may come from anybody, as :func:`load_workflow` would from its graph.

    ``file`` is what holds the record. A value enters where it did, or where its placeholders stand. Raises what
    :func:`load_workflow` does about the content; pure.
    """
    slots = {kind: getattr(recorded.bindings, kind) for kind in KINDS}
    table = {
        kind: [f"{slot.node}.{slot.input}" for slot in own]
        for kind, own in slots.items()
        if not any(slot.placeholder for slot in own)
    }
    again = decode_workflow(msgspec.json.encode(recorded.graph), recorded.name, file, table)
    return msgspec.structs.replace(
        again, file=plain(recorded.file), warnings=tuple(plain(warning) for warning in recorded.warnings)
    )


def _sidecar(path: Path) -> dict[str, object]:
    """Return the ``[bindings]`` of the ``.toml`` file beside the workflow at ``path``; empty without one."""
    beside = path.with_suffix(".toml")
    if path.suffix.lower() == ".toml" or not beside.is_file():
        return {}
    data = document.read_bytes(beside, unreadable="workflow.unreadable")
    table = document.decode(data, "toml", file=str(beside), syntax="workflow.syntax")
    bindings = table.get("bindings", {}) if isinstance(table, dict) else {}
    if not isinstance(bindings, dict):
        raise Failure("workflow.shape", file=str(beside), place="bindings", why="a table of bindings is expected")
    return bindings


def _unreached(bound: Bindings) -> list[str]:
    checks = {NO_PROMPT: bound.positive, NO_PREFIX: bound.prefix, NO_SEED: bound.seed, NO_FRAMES: bound.frames}
    return [warning for warning, slots in checks.items() if not slots]


def _oddities(graph: Graph) -> list[str]:
    odd = [
        f"{plain(key, 80)}.{plain(name, 80)} holds {plain(word, 80)}, which is no placeholder; did you mean {near}?"
        for key, name, word, near in placeholders.misspelt(graph)
    ]
    saving = {graph[key]["class_type"] for key in outputs(graph) if "filename_prefix" in graph[key]["inputs"]}
    saving.discard(DONE_MARKER)
    if saving and saving <= _VIDEO_FILES:
        shown = ", ".join(sorted(saving))
        odd.append(f"A scene is saved as one file ({shown}), which counts as one frame: set the frame floor to 1")
    return odd


def check_story(workflow: Workflow, story: Story) -> tuple[str, ...]:
    """Return warnings about what the scenes of ``story`` say and ``workflow`` cannot use, or needs and they lack."""
    warnings = []
    bare = [scene.id for scene in story.scenes if scene.keyframe_file is None and scene.keyframe_path is None]
    if workflow.needs_keyframe and bare:
        names = ", ".join(bare[:3]) + (f" and {len(bare) - 3} more" if len(bare) > 3 else "")
        remedy = "it is drawn from the prompt; give the scene a keyframePath for a real one"
        warnings.append(f"Without a keyframe: {names}; {remedy}")
    if not workflow.needs_keyframe and any(scene.keyframe_path is not None for scene in story.scenes):
        warnings.append("The story has keyframes, but this workflow loads none")
    if not workflow.bindings.negative and any(scene.negative for scene in story.scenes):
        warnings.append("The negative prompt of the scene reaches no text input of this workflow")
    return tuple(warnings)


# --- rendering ---------------------------------------------------------------------------------------------------


def render(workflow: Workflow, values: Values) -> dict[str, Any]:
    """Return the prompt for one attempt: a new graph with ``values`` in every slot of ``workflow``.

    Numbers are fitted to what their input takes. Where a scene has no negative prompt or no keyframe, a placeholder
    becomes empty, and a text or picture that the workflow was saved with stays. Of several outputs without placeholder,
    all but the first get a prefix of their own: the attempt's with ``_n<node id>`` behind it. A node that writes done
    markers keeps the prefix that it shares with an output.
    """
    whole = templates(workflow, values)
    return {
        key: {
            **node,
            "inputs": {
                name: placeholders.filled(whole.get((key, name), value), _words(node, name, values))
                for name, value in node["inputs"].items()
            },
        }
        for key, node in workflow.graph.items()
    }


def templates(workflow: Workflow, values: Values) -> dict[Place, str]:
    """Return what stands in each input that ``values`` replace as a whole, as the placeholder of its value."""
    bound = workflow.bindings
    pairs = [(slot, "__SCENE_PROMPT__") for slot in bound.positive]
    pairs += [(slot, "__NEGATIVE_PROMPT__") for slot in bound.negative if values.negative]
    pairs += [(slot, "__KEYFRAME_IMAGE__") for slot in bound.keyframe if values.keyframe]
    pairs += [(slot, "__SEED__") for slot in bound.seed]
    pairs += [(slot, "__FRAME_COUNT__") for slot in bound.frames]
    pairs += _prefixes(workflow.graph, [slot for slot in bound.prefix if not slot.placeholder])
    return {(slot.node, slot.input): template for slot, template in pairs if not slot.placeholder}


def _prefixes(graph: Graph, slots: Sequence[Slot]) -> list[tuple[Slot, str]]:
    """Return each output's prefix, a different one for each; a marker's is that of the output it was saved with."""
    savers = [slot for slot in slots if graph[slot.node]["class_type"] != DONE_MARKER]
    # `_n` and not a digit: SaveImage reads the number behind `<prefix>_` as its frame counter (folder_paths.py).
    made = [(slot, f"__SCENE_PREFIX___n{file_name(slot.node, 40)}") for slot in savers[1:]]
    made = [(slot, "__SCENE_PREFIX__") for slot in savers[:1]] + made
    saved = {str(graph[slot.node]["inputs"].get(slot.input)): prefix for slot, prefix in reversed(made)}
    markers = [slot for slot in slots if slot not in savers]
    said = {slot: str(graph[slot.node]["inputs"].get(slot.input)) for slot in markers}
    return made + [(slot, saved.get(said[slot], "__SCENE_PREFIX__")) for slot in markers]


def _words(node: Node, name: str, values: Values) -> dict[str, str | int]:
    """Return what each placeholder becomes in input ``name`` of ``node``."""
    return {
        "__SCENE_PREFIX__": values.prefix,
        "__SCENE_PROMPT__": values.prompt,
        "__NEGATIVE_PROMPT__": values.negative,
        "__KEYFRAME_IMAGE__": values.keyframe,
        "__SEED__": fit_seed(node["class_type"], name, values.seed),
        "__FRAME_COUNT__": fit_frames(node["class_type"], name, values.frame_count),
    }


def digest(workflow: Workflow) -> str:
    """Return the SHA-256 of the workflow's graph and bindings, in hexadecimal, whatever order its file has them in."""
    canonical = msgspec.json.encode((workflow.graph, workflow.bindings), order="sorted")
    return hashlib.sha256(canonical).hexdigest()


def prefix_for(run_id: str, scene_folder: str, attempt: int, mark: str = "") -> str:
    """Return the file name prefix of one attempt, such as ``comfytui/20261123-031200-5f0c9a21/scene-001-a1``.

    Unique per run, scene and attempt, so that neither an old frame nor a cached result can be taken for a new one. Run
    ids are unique in one runs folder only: ``mark`` (:attr:`RunPlan.mark`) tells runs of the same second apart that
    share a server's output folder.
    """
    return f"comfytui/{file_name(marked(run_id, mark))}/{file_name(scene_folder)}-a{attempt}"


def marked(run_id: str, mark: str) -> str:
    """Return the name of a run that no other run has, wherever it was opened: its id and its ``mark``, if any."""
    return f"{run_id}-{mark}" if mark else run_id


def seed_for(seed: int | None, run_id: str, scene_id: str, attempt: int) -> int:
    """Return the seed of one attempt: the scene's own on the first, and a fresh one, always the same, on each other.

    Fresh seeds stay below 2**31, which every node takes: those of service nodes end there (``comfy_api_nodes``, ComfyUI
    0.3.64), others at 2**50, and ComfyUI's editor keeps seeds as JavaScript numbers.
    """
    if seed is not None and attempt == 1:
        return seed
    mixed = hashlib.sha256(f"{run_id}\0{scene_id}\0{attempt}".encode()).digest()
    return int.from_bytes(mixed[:8], "big") % 2**31
