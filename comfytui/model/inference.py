"""Bindings found in a graph that names none, by following its links from the samplers and outputs.

Node and input names are those of ComfyUI 0.3.64 (``nodes.py``, ``comfy_extras``) and of widespread node packages.
"""

import re
from collections.abc import Collection, Iterable

from comfytui.model.graph import Graph, Node, Place, in_order, is_link, links, title

_TEXT_INPUTS = (
    *("text", "text_g", "text_l", "prompt", "user_prompt", "clip_l", "clip_g", "t5xxl", "llama"),
    *("bert", "mt5xl", "tags"),
)
_TEXT_VALUE = re.compile(r"(value|text|string|str|prompt|part)[_ ]?([a-z]|\d{1,2})?", re.IGNORECASE)
_NUMBER_VALUES = ("value", "int", "integer", "number", "seed", "Value", "Number")
_FRAME_INPUTS = ("video_frames", "length", "frames_number", "num_frames", "frame_count", "frames")
_SAMPLES_FROM = re.compile(r"guider|sampler", re.IGNORECASE)
_NOT_CONDITIONING = re.compile(
    r"(.*model|clip|vae|.*images?|.*latents?|samples|.*mask|control_?net.*|clip_vision.*|noise|sampler|sigmas|guider"
    r"|audio.*|video.*|pixels|.*width|.*height|seed|steps|cfg|guidance|strength)",
    re.IGNORECASE,
)
_STARTS_FROM = re.compile(r"(init|start|first|key).*(image|frame)|pixels", re.IGNORECASE)
_RESHAPES = re.compile(r"scale|resize|crop|pad|preprocess", re.IGNORECASE)


def infer(
    graph: Graph, executed: Collection[str], kinds: Collection[str], taken: Collection[Place]
) -> tuple[dict[str, list[Place]], list[str]]:
    """Return the inputs found for each of ``kinds`` and warnings about doubtful choices.

    Only ``executed`` nodes count. Inputs in ``taken`` are never given out again, and one that both prompts reach (as
    where a negative is the positive, zeroed out) belongs to the positive one.
    """
    nodes = [key for key in in_order(graph) if key in executed]
    warnings: list[str] = []
    found: dict[str, list[Place]] = {}
    spoken_for = set(taken)
    for kind in kinds:
        match kind:
            case "positive" | "negative":
                places = _prompts(graph, nodes, kind)
            case "keyframe":
                places = _keyframe(graph, nodes, warnings)
            case "prefix":
                places = _named(graph, nodes, "filename_prefix", kind)
            case "seed":
                places = [*_named(graph, nodes, "seed", kind), *_named(graph, nodes, "noise_seed", kind)]
            case _:
                places = _frames(graph, nodes)
        found[kind] = [place for place in dict.fromkeys(places) if place not in spoken_for]
        spoken_for.update(found[kind])
    if len({key for key, _ in found.get("positive", ())}) > 1 and _combines(graph, nodes):
        shown = ", ".join(f"{key}.{name}" for key, name in found["positive"])
        warnings.append(
            f"The prompt replaces every text that is combined ({shown}); name one in [bindings] to keep the rest"
        )
    return found, warnings


def behind(graph: Graph, kind: str, source: str) -> list[Place]:
    """Return the inputs that hold the value of ``kind`` which a link to node ``source`` brings; may be empty."""
    if kind in ("positive", "negative"):
        return _texts_behind(graph, source, kind) or _one(_literal_behind(graph, source))
    if kind == "prefix":
        return _one(_literal_behind(graph, source))
    if kind == "keyframe":
        return [place for place in (_picture_behind(graph, source),) if place]
    return _one(_number_behind(graph, source))


def _one(place: Place | None) -> list[Place]:
    return [place] if place else []


# --- texts -------------------------------------------------------------------------------------------------------


def _prompts(graph: Graph, nodes: Iterable[str], role: str) -> list[Place]:
    """Return the text inputs behind the ``positive`` (or ``negative``) of every sampler and guider."""
    nodes = list(nodes)
    sources = [
        source for key in nodes for name, source in links(graph[key]) if _is_root(graph[key]["class_type"], name, role)
    ]
    found = [place for source in sources for place in _texts_behind(graph, source, role)]
    if found:
        return found
    # No sampler takes conditioning: one node does it all, as those that call a service over its API do.
    fallback = [key for key in nodes if any(_role(name) == role for name in graph[key]["inputs"])]
    if role == "positive":
        fallback += [key for key in nodes if "prompt" in graph[key]["inputs"]]
    return [place for key in fallback for place in _texts_of(graph, key, role) or ()]


def _is_root(kind: str, name: str, role: str) -> bool:
    if role == "positive" and _SAMPLES_FROM.search(kind) and name.startswith("cond"):
        return True
    return _role(name) == role or name == "text_embeds"


def _role(name: str) -> str | None:
    """Return which of the two prompts an input's ``name`` speaks of, as in ``positive_prompt`` or ``base_negative``."""
    return next((role for role in ("positive", "negative") if role in name.lower()), None)


def _texts_behind(graph: Graph, source: str, role: str) -> list[Place]:
    """Return the text inputs that node ``source`` is conditioned by, through any number of conditioning nodes."""
    found: list[Place] = []
    seen, waiting = set[str](), [source]
    while waiting:
        key = waiting.pop()
        if key in seen or graph[key]["class_type"] == "ConditioningZeroOut":  # whatever the text was, it is gone
            continue
        seen.add(key)
        texts = _texts_of(graph, key, role)
        if texts is None:
            waiting.extend(reversed(_onward(graph[key], role)))
        else:
            found.extend(texts)
    return found


def _texts_of(graph: Graph, key: str, role: str) -> list[Place] | None:
    """Return where the texts of one node come from, or None when it takes no text."""
    inputs = graph[key]["inputs"]
    own = [name for name in inputs if _role(name) == role and (isinstance(inputs[name], str) or _says_text(name))]
    names = own or [name for name in _TEXT_INPUTS if isinstance(inputs.get(name), str) or is_link(inputs.get(name))]
    if not names:
        return None
    places: list[Place] = []
    for name in names:
        value = inputs[name]
        places += _one(_literal_behind(graph, value[0])) if is_link(value) else [(key, name)]
    return places


def _says_text(name: str) -> bool:
    return "prompt" in name.lower() or "text" in name.lower()


def _onward(node: Node, role: str) -> list[str]:
    """Return the nodes that the conditioning of ``node`` comes from."""
    ways = list(links(node))
    if any(_role(name) for name, _ in ways):
        return [source for name, source in ways if _role(name) == role]
    conditioning = [source for name, source in ways if name.lower().startswith("cond")]
    return conditioning or [source for name, source in ways if not _NOT_CONDITIONING.fullmatch(name)]


def _literal_behind(graph: Graph, source: str) -> Place | None:
    """Return the text input that a linked text comes from: the first one, linked parts before written ones."""
    seen, waiting = set[str](), [(source, False)]
    while waiting:
        key, parts_done = waiting.pop()
        node = graph[key]
        if not parts_done:
            if key in seen:
                continue
            seen.add(key)
            waiting.append((key, True))
            waiting.extend((way, False) for name, way in reversed(list(links(node))) if _TEXT_VALUE.fullmatch(name))
            continue
        texts = [name for name, value in node["inputs"].items() if isinstance(value, str)]
        written = next((name for name in texts if _TEXT_VALUE.fullmatch(name)), None)
        if written:
            return key, written
        ways = [way for name, way in links(node) if not _NOT_CONDITIONING.fullmatch(name)]
        waiting.extend((way, False) for way in reversed(ways))
    return None


def _combines(graph: Graph, nodes: Iterable[str]) -> bool:
    return any(
        graph[key]["class_type"] in ("ConditioningCombine", "ConditioningConcat", "ConditioningAverage")
        for key in nodes
    )


# --- numbers, names and pictures ---------------------------------------------------------------------------------


def _named(graph: Graph, nodes: Iterable[str], name: str, kind: str) -> list[Place]:
    """Return the inputs called ``name``, or what is behind them; of the type that ``kind`` wants."""
    places: list[Place] = []
    for key in nodes:
        value = graph[key]["inputs"].get(name)
        if is_link(value):
            places += behind(graph, kind, value[0])
        elif isinstance(value, str) if kind == "prefix" else _is_whole(value):
            places.append((key, name))
    return places


def _frames(graph: Graph, nodes: Iterable[str]) -> list[Place]:
    """Return the inputs that say how many frames are made: of a video, else of a batch, else of a repetition."""
    nodes = list(nodes)
    makers = [key for key in nodes if "batch_index" not in graph[key]["inputs"]]  # those with one pick from a batch
    videos = [place for name in _FRAME_INPUTS for place in _named(graph, makers, name, "frames")]
    batches = [key for key in makers if {"width", "height"} <= graph[key]["inputs"].keys()]
    return videos or _named(graph, batches, "batch_size", "frames") or _named(graph, nodes, "amount", "frames")


def _number_behind(graph: Graph, source: str) -> Place | None:
    """Return the number input of its own that a linked number comes from; sums and other arithmetic have none."""
    seen = set[str]()
    while source not in seen:
        seen.add(source)
        inputs = graph[source]["inputs"]
        ways = [way for _, way in links(graph[source])]
        if not ways:
            name = next((name for name in _NUMBER_VALUES if _is_whole(inputs.get(name))), None)
            return (source, name) if name else None
        if len(inputs) > 1:
            return None
        source = ways[0]
    return None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _keyframe(graph: Graph, nodes: Iterable[str], warnings: list[str]) -> list[Place]:
    """Return the picture that a scene starts from: of several, the one that goes into a start image."""
    pictures = [(key, "image") for key in nodes if _loads_picture(graph[key])]
    if len(pictures) < 2:
        return pictures
    starts = {
        _picture_behind(graph, source)
        for key in nodes
        for name, source in links(graph[key])
        if _STARTS_FROM.fullmatch(name)
    }
    chosen = [picture for picture in pictures if picture in starts][:1] or pictures[:1]
    key = chosen[0][0]
    warnings.append(
        f"The workflow loads {len(pictures)} pictures; the keyframe goes to node {key} ({title(graph, key)})."
        " Name another in [bindings]"
    )
    return chosen


def _loads_picture(node: Node) -> bool:
    kind = node["class_type"]
    return kind.startswith("LoadImage") and "Mask" not in kind and isinstance(node["inputs"].get("image"), str)


def _picture_behind(graph: Graph, source: str) -> Place | None:
    """Return the picture that is loaded for a link to ``source``, through nodes that only reshape it."""
    seen = set[str]()
    while source not in seen:
        seen.add(source)
        node = graph[source]
        if _loads_picture(node):
            return source, "image"
        ways = [way for name, way in links(node) if "image" in name.lower() or "pixels" in name.lower()]
        if len(ways) != 1 or not (_RESHAPES.search(node["class_type"]) or len(node["inputs"]) == 1):
            return None
        source = ways[0]
    return None
