"""Staged connect: is it ComfyUI, which one, and where does it write? Before anything is queued there."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath, PurePosixPath, PureWindowsPath

from msgspec import Struct

from comfytui.sources.comfy.failures import TransportFailure
from comfytui.sources.comfy.http import ComfyHttp
from comfytui.sources.comfy.replies import SystemStats

_ALSO_IN_OUTPUT = ("checkpoints", "loras", "vae")
"""Kinds of models that ComfyUI looks for in its output folder too (0.3.64 and 0.8.0), each in a folder of its name."""


class ServerFacts(Struct, frozen=True, kw_only=True):
    """What a server told about itself; ``output_dir`` is a path on the SERVER's machine, ``None`` if it cannot be told.

    ``notes``: what did not go the first way, for the user.
    """

    stats: SystemStats
    output_dir: str | None = None
    notes: tuple[str, ...] = ()


async def check_server(http: ComfyHttp, stats: SystemStats | None = None) -> ServerFacts:
    """Return what the server tells about itself; raises TransportFailure when it is not there or is no ComfyUI.

    ``stats`` is what it told a moment ago, where it has been asked.
    """
    if stats is None:
        stats = await http.system_stats()
    if found := output_folder(stats, None):
        return ServerFacts(stats=stats, output_dir=found)
    try:
        paths = await http.folder_paths()
    except TransportFailure as failure:
        note = f"the server's output folder is not known ({failure.what})"
        return ServerFacts(stats=stats, notes=(note,))
    found = output_folder(stats, paths)
    notes = () if found else ("the server does not tell its output folder",)
    return ServerFacts(stats=stats, output_dir=found, notes=notes)


def output_folder(stats: SystemStats, folder_paths: Mapping[str, Sequence[str]] | None) -> str | None:
    """Return the server's output folder: an absolute path on its machine, or ``None``.

    ``--output-directory`` and ``--base-directory`` of its command line tell, unless they are relative to a folder that
    is not told. Else GET /internal/folder_paths tells, which does not list the output folder itself, but the folders
    in it where models are looked for.
    """
    argv = stats.argv
    if (given := _option(argv, "--output-directory")) is not None:
        return given if _is_absolute(given) else _from_models(folder_paths)
    base = _option(argv, "--base-directory")
    if base is not None and _is_absolute(base):
        return str(_path(base) / "output")
    return _from_models(folder_paths)


def _option(argv: Sequence[str], name: str) -> str | None:
    """Return the value of the last ``name VALUE`` or ``name=VALUE``; ComfyUI's parser takes shortened names too."""
    found = None
    for word, after in zip(argv, [*argv[1:], ""], strict=False):
        given, equals, value = word.partition("=")
        if len(given) >= len("--base") and name.startswith(given):
            found = value if equals else after
    return found or None


def _from_models(folder_paths: Mapping[str, Sequence[str]] | None) -> str | None:
    """Return the one folder that holds just those kinds of models which ComfyUI also looks for in its output folder."""
    if not folder_paths:
        return None
    homes = {kind: {str(_path(one).parent) for one in paths} for kind, paths in folder_paths.items()}
    ours = [
        {str(_path(one).parent) for one in folder_paths.get(kind, ()) if _path(one).name == kind}
        for kind in _ALSO_IN_OUTPUT
    ]
    elsewhere = set[str]().union(*(homes.get(kind, set()) for kind in ("embeddings", "controlnet", "upscale_models")))
    candidates = set.intersection(*ours) - elsewhere
    return candidates.pop() if len(candidates) == 1 else None


def _is_absolute(path: str) -> bool:
    return PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()


def _path(path: str) -> PurePath:
    """Return a path of the server's kind, whatever machine this is."""
    return PurePosixPath(path) if path.startswith("/") else PureWindowsPath(path)
