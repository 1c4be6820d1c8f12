"""``comfytui node``: the node WriteDoneMarker, put into a ComfyUI's folder of custom nodes and taken out again."""

import importlib.resources
from pathlib import Path

import click

from comfytui.errors import Failure
from comfytui.records.atomic import write_atomic
from comfytui.records.faults import why

FILE = "comfytui_done_marker.py"
_OURS = b'"""WriteDoneMarker: '
_RESTART = "Restart ComfyUI: it reads its custom nodes as it starts."


def install_node(comfy: Path) -> int:
    """Put the node into the ComfyUI at ``comfy``, say what to do next, and return 0.

    Raises ``Failure``: ``node.no_comfyui``, ``node.foreign``, ``node.unwritable``.
    """
    place, there = _found(comfy)
    ours = importlib.resources.files("comfytui").joinpath("bundled", "nodes", FILE).read_bytes()
    if there == ours:
        click.echo(f"WriteDoneMarker is there already: {place}")
        return 0
    try:
        write_atomic(place, ours)
    except Failure as fault:
        raise Failure("node.unwritable", file=str(place), why=fault.words["why"]) from None
    click.echo(f"WriteDoneMarker is {'new' if there is None else 'renewed'}: {place}\n{_RESTART}")
    return 0


def remove_node(comfy: Path) -> int:
    """Take the node out of the ComfyUI at ``comfy`` and return 0. Raises as :func:`install_node`."""
    place, there = _found(comfy)
    if there is None:
        click.echo(f"WriteDoneMarker is not there: {place.parent}")
        return 0
    try:
        place.unlink()
    except OSError as fault:
        raise Failure("node.unwritable", file=str(place), why=why(fault)) from None
    click.echo(f"WriteDoneMarker is gone: {place}\n{_RESTART}")
    return 0


def custom_nodes(comfy: Path) -> Path:
    """Return the folder of custom nodes of the ComfyUI at ``comfy``, or in the folder ``ComfyUI`` of it.

    That of its sources has ``main.py`` and ``nodes.py``, that of its desktop application ``models`` and ``user``.
    Raises ``Failure`` ``node.no_comfyui``.
    """
    try:
        for folder in (comfy, comfy / "ComfyUI"):
            nodes = folder / "custom_nodes"
            sources = (folder / "main.py").is_file() and (folder / "nodes.py").is_file()
            if nodes.is_dir() and (sources or ((folder / "models").is_dir() and (folder / "user").is_dir())):
                return nodes
        lacking = "it has no custom_nodes beside ComfyUI's own files" if comfy.is_dir() else "there is no such folder"
    except OSError as fault:
        lacking = why(fault)
    raise Failure("node.no_comfyui", folder=str(comfy), why=lacking)


def _found(comfy: Path) -> tuple[Path, bytes | None]:
    """Return where the node belongs, and what is there. Raises ``Failure`` where that is somebody else's."""
    place = custom_nodes(comfy.absolute()) / FILE
    try:
        there = place.read_bytes()
    except FileNotFoundError:
        return place, None
    except OSError as fault:
        raise Failure("node.unwritable", file=str(place), why=why(fault)) from None
    if not there.startswith(_OURS):
        raise Failure("node.foreign", file=str(place))
    return place, there
