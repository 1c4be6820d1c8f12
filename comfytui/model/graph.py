"""A ComfyUI prompt graph in API format: its shape proven, its links followed.

``{node_id: {"class_type": str, "inputs": {name: value or link}, "_meta"?: {"title": str}}}``; a link is
``[node_id, output_index]`` (ComfyUI 0.3.64, ``execution.py``).
"""

import graphlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from comfytui.errors import Failure
from comfytui.untrusted import plain

Node = dict[str, Any]
Graph = dict[str, Node]
Link = list[Any]

Place = tuple[str, str]
"""A node id and the name of one of its inputs."""

# Core nodes that are certainly no outputs (no ``OUTPUT_NODE`` in ComfyUI 0.3.64); of others only the server knows.
_NO_OUTPUTS = frozenset(
    (
        *("KSampler", "KSamplerAdvanced", "KSamplerSelect", "SamplerCustom", "SamplerCustomAdvanced"),
        *("BasicScheduler", "BasicGuider", "CFGGuider", "RandomNoise"),
        *("CheckpointLoader", "CheckpointLoaderSimple", "ImageOnlyCheckpointLoader"),
        *("UNETLoader", "CLIPLoader", "DualCLIPLoader"),
        *("VAELoader", "LoraLoader", "LoraLoaderModelOnly", "ControlNetLoader", "CLIPVisionLoader"),
        *("CLIPTextEncode", "CLIPTextEncodeSDXL", "CLIPTextEncodeFlux"),
        *("CLIPTextEncodeSD3", "CLIPSetLastLayer", "CLIPVisionEncode"),
        *("FluxGuidance", "SVD_img2vid_Conditioning"),
        *("ConditioningCombine", "ConditioningConcat", "ConditioningAverage"),
        *("ConditioningZeroOut", "ControlNetApply", "ControlNetApplyAdvanced"),
        *("VAEDecode", "VAEDecodeTiled", "VAEEncode", "VAEEncodeTiled", "VAEEncodeForInpaint"),
        *("EmptyImage", "EmptyLatentImage", "EmptySD3LatentImage"),
        *("EmptyHunyuanLatentVideo", "LatentUpscale", "LatentUpscaleBy"),
        *("LoadImage", "LoadImageMask", "ImageScale", "ImageScaleBy", "ImageInvert"),
        *("PrimitiveString", "PrimitiveStringMultiline", "PrimitiveInt", "PrimitiveFloat", "PrimitiveBoolean"),
    )
)


def checked_graph(raw: object, file: str) -> Graph:
    """Return the graph that a decoded workflow ``raw`` holds, plain or as the ``prompt`` of a /prompt body.

    Raises :class:`Failure` ``workflow.gui_format`` for a workflow that was saved for the editor and
    ``workflow.shape``, with the place, for everything that a server would stumble over: a node without class or
    inputs, a link to a node that is not there, nodes that feed one another in a circle, no output.
    """
    if not isinstance(raw, dict):
        raise Failure("workflow.shape", file=file, place="the top level", why="a table of nodes is expected")
    if _is_gui(raw):
        raise Failure("workflow.gui_format", file=file)
    wrapped = raw.get("prompt")
    graph = wrapped if isinstance(wrapped, dict) and "class_type" not in wrapped else raw
    if _is_gui(graph):
        raise Failure("workflow.gui_format", file=file)
    if not graph:
        raise Failure("workflow.shape", file=file, place="the top level", why="it has no nodes")
    for key, node in graph.items():
        _check_node(key, node, file)
    for key in graph:
        _check_links(graph, key, file)
    _check_circles(graph, file)
    if not outputs(graph):
        why = "no node saves or shows anything, so a server has nothing to run"
        raise Failure("workflow.shape", file=file, place="the outputs", why=why)
    return graph


def is_link(value: object) -> bool:
    """Tell whether an input's ``value`` takes another node's output."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and _is_index(value[1])


def links(node: Node) -> Iterator[tuple[str, str]]:
    """Yield (input name, id of the node behind it) for each linked input of ``node``."""
    for name, value in node["inputs"].items():
        if is_link(value):
            yield name, value[0]


def outputs(graph: Graph) -> tuple[str, ...]:
    """Return the ids of the nodes that a server may run the graph for, in order.

    These are the nodes that take a file name prefix and those that no other node takes from, but for core nodes that
    are certainly no outputs. Which ones really are, ``output_node`` of /object_info/<class> tells.
    """
    taken = {source for node in graph.values() for _, source in links(node)}
    return tuple(
        key
        for key in in_order(graph)
        if "filename_prefix" in graph[key]["inputs"] or not (key in taken or graph[key]["class_type"] in _NO_OUTPUTS)
    )


def live(graph: Graph) -> frozenset[str]:
    """Return the ids of the nodes that are executed: the outputs and all they depend on."""
    return upstream(graph, outputs(graph))


def upstream(graph: Graph, ids: Iterable[str]) -> frozenset[str]:
    """Return ``ids`` and every node that they depend on: what the server executes for them."""
    reached, waiting = set[str](), list(ids)
    while waiting:
        key = waiting.pop()
        if key not in reached:
            reached.add(key)
            waiting.extend(source for _, source in links(graph[key]))
    return frozenset(reached)


def in_order(ids: Iterable[str]) -> list[str]:
    """Return node ids in the order people number them: 2 before 10, sub-graph ids such as ``12:3`` after 12."""
    return sorted(ids, key=lambda key: [_rank(part) for part in key.split(":")])


def title(graph: Mapping[str, Node], key: str) -> str:
    """Return what a person calls the node: its title, else its class; plain text."""
    meta = graph[key].get("_meta")
    named = meta.get("title") if isinstance(meta, dict) else None
    return (plain(named, 120).strip() if isinstance(named, str) else "") or plain(graph[key]["class_type"], 120)


def _rank(part: str) -> tuple[int, int, str]:
    number = part.isascii() and part.isdigit() and len(part) < 20
    return (0, int(part), "") if number else (1, 0, part)


def _is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_gui(raw: Mapping[str, object]) -> bool:
    return isinstance(raw.get("nodes"), list) and ("links" in raw or "last_node_id" in raw or "version" in raw)


def _check_node(key: str, node: object, file: str) -> None:
    place = plain(key, 80) or "a node without id"
    if not isinstance(node, dict):
        raise Failure("workflow.shape", file=file, place=place, why="a node with class_type and inputs is expected")
    kind = node.get("class_type")
    if not isinstance(kind, str) or not kind.strip():
        raise Failure("workflow.shape", file=file, place=f"{place}.class_type", why="the class of the node is missing")
    if not isinstance(node.get("inputs"), dict):
        raise Failure("workflow.shape", file=file, place=f"{place}.inputs", why="a table of inputs is expected")


def _check_links(graph: Graph, key: str, file: str) -> None:
    """Refuse links that lead nowhere; a list that is no link is a node's own value, for the server to judge."""
    for name, value in graph[key]["inputs"].items():
        place = f"{plain(key, 80)}.inputs.{plain(name, 80)}"
        if is_link(value) and value[0] not in graph:
            why = f"it links to node {plain(value[0], 80)!r}, which the workflow does not have"
            raise Failure("workflow.shape", file=file, place=place, why=why)
        if isinstance(value, list) and len(value) == 2 and _is_index(value[0]) and str(value[0]) in graph:
            why = f'the node of a link is text: write ["{value[0]}", {value[1]}]'
            raise Failure("workflow.shape", file=file, place=place, why=why)


def _check_circles(graph: Graph, file: str) -> None:
    sorter = graphlib.TopologicalSorter({key: {source for _, source in links(node)} for key, node in graph.items()})
    try:
        sorter.prepare()
    except graphlib.CycleError as fault:
        circle = fault.args[1]
        shown = " -> ".join(plain(key, 40) for key in circle[:6]) + (" -> ..." if len(circle) > 6 else "")
        why = f"these nodes feed one another in a circle: {shown}"
        raise Failure("workflow.shape", file=file, place=plain(circle[0], 80), why=why) from None
