"""WriteDoneMarker: a ComfyUI node that says when the frames of a prefix are all on the disk (``<prefix>.done``).

Put there by ``comfytui node install``; one file for ``custom_nodes`` that needs nothing but ComfyUI (0.3.64 or newer).

Give it the images that the saving node is given, and the same ``filename_prefix``. SaveImage has no output that another
node could wait for, and ComfyUI promises no order among outputs. So this node waits by itself, asynchronously (ComfyUI
goes on with other nodes meanwhile), until as many frames as it was fed lie in the output folder under that prefix, each
written since this prompt began and complete (PNG, JPEG and WebP by their end mark, other files by their rest). Only
then the marker is written, whole or not at all. Where the frames do not come (a cached prompt writes none), there is no
marker, and the prompt still succeeds.
"""

import asyncio
import contextlib
import importlib
import json
import logging
import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

LOOK_EVERY = 0.1
"""Seconds between two looks at the folder."""
REST = 1.0
"""Seconds without a change after which a file without an end mark counts as complete."""

_log = logging.getLogger(__name__)
_FRAME = re.compile(r"_(\d+)(?:_|-audio)?\.(?!done$|tmp$|json$|txt$)(\w+)")


class _Anything(str):
    """A type that fits every other one: ComfyUI asks whether two types differ."""

    __slots__ = ()

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


class WriteDoneMarker:
    """Writes ``<filename_prefix>.done`` once the frames that were fed to it are saved."""

    DESCRIPTION = "Writes <filename_prefix>.done into the output folder once the frames are saved, complete."
    CATEGORY = "image/comfytui"
    FUNCTION = "write"
    RETURN_TYPES = ()
    OUTPUT_NODE = True
    INPUT_IS_LIST = True

    _began: ClassVar[dict[str, int]] = {}
    """When the prompt began that each node runs in: nanoseconds since the epoch."""

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """Return what the node takes. ``frame_count`` 0: as many as are fed to it."""
        return {
            "required": {
                "images": (_Anything("*"), {"tooltip": "What is saved: the images, or what a saving node gives on."}),
                "filename_prefix": ("STRING", {"default": "ComfyUI", "tooltip": "That of the node which saves."}),
            },
            "optional": {
                "frame_count": ("INT", {"default": 0, "min": 0, "max": 1_000_000, "tooltip": "0: as many as are fed."}),
                "patience": (
                    "FLOAT",
                    {"default": 60.0, "min": 0.0, "max": 86_400.0, "tooltip": "Seconds for a frame."},
                ),
            },
            "hidden": {"unique_id": "UNIQUE_ID"},
        }

    @classmethod
    def IS_CHANGED(cls, unique_id: list[str], **_: Any) -> float:
        """Return a value that was never there: a marker is of one prompt. ComfyUI asks before it executes any node."""
        now = time.time_ns()
        cls._began[str(unique_id[0])] = now
        return float(now)

    async def write(
        self,
        images: list[Any],
        filename_prefix: list[str],
        unique_id: list[str],
        frame_count: list[int] | None = None,
        patience: list[float] | None = None,
    ) -> dict[str, Any]:
        """Wait for the frames and write the marker; return what the editor shows. Each input comes as a list."""
        folder, stem = _place(filename_prefix[0])
        marker = folder / f"{stem}.done"
        marker.unlink(missing_ok=True)  # that of an earlier prompt
        wanted = (frame_count or [0])[0] or sum(map(frames_in, images))
        since = self._began.pop(str(unique_id[0]), None)
        names = await _complete(folder, stem, wanted, since, (patience or [30.0])[0])
        if not names:
            text = f"no marker: the frames of {stem} did not come"
            _log.warning("WriteDoneMarker: %s", text)
        else:
            write_marker(marker, len(names), names[-1])
            text = f"{marker.name}: {len(names)} frames"
        return {"ui": {"text": [text]}}


def frames_in(value: Any) -> int:
    """Return how many frames ``value`` holds: the batch of a tensor; 0 where that cannot be told."""
    shape = getattr(value, "shape", None)
    return int(shape[0]) if shape is not None and len(shape) == 4 else 0


async def _complete(folder: Path, stem: str, wanted: int, since: int | None, patience: float) -> list[str]:
    """Return the names of the frames, in order, once they are complete; none when nothing happened for too long."""
    rests: dict[str, tuple[tuple[int, int], float]] = {}
    changed = time.monotonic()
    while True:
        _stop_if_interrupted()
        found = frames_of(folder, stem, since)
        now = time.monotonic()
        for path in found:
            state = _state(path)
            if rests.get(path.name, (None, 0.0))[0] != state:
                rests[path.name], changed = (state, now), now
        whole = [path.name for path in found if is_complete(path, now - rests[path.name][1])]
        if len(whole) == len(found) and enough(len(found), wanted, known=since is not None):
            return whole
        if now - changed > patience:
            return []
        await asyncio.sleep(LOOK_EVERY)


def enough(found: int, wanted: int, *, known: bool) -> bool:
    """Tell whether ``found`` frames are all. Unless the prompt's beginning is ``known``, more are those of another."""
    if not wanted:
        return found > 0
    return found >= wanted if known else found == wanted


def frames_of(folder: Path, stem: str, since: int | None) -> list[Path]:
    """Return the frames of exactly this prefix that were written ``since`` then (nanoseconds), by their counter."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            tail = _FRAME.fullmatch(entry.name, len(stem)) if entry.name.startswith(stem) else None
            if tail and entry.is_file() and (since is None or not _older(entry.stat().st_mtime_ns, since)):
                found.append((int(tail[1]), entry.name))
    return [folder / name for _, name in sorted(found)]


def _older(mtime: int, since: int) -> bool:
    """Tell whether a file time lies before ``since``: FAT keeps two seconds, a kernel milliseconds."""
    grain = 2_000_000_000 if mtime % 2_000_000_000 == 0 else 20_000_000
    return mtime + grain < since


def is_complete(path: Path, rest: float) -> bool:
    """Tell whether a file is whole by its end mark, or, for a kind without one, by ``rest`` seconds unchanged."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 12))
            tail = file.read(12)
    except OSError:
        return False
    if head.startswith(b"\x89PNG"):
        return tail == b"\0\0\0\0IEND\xaeB`\x82"
    if head.startswith(b"\xff\xd8\xff"):
        return tail.endswith(b"\xff\xd9")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return size >= int.from_bytes(head[4:8], "little") + 8
    return size > 0 and rest >= REST


def write_marker(path: Path, count: int, latest: str) -> None:
    """Write the marker at ``path``, whole or not at all."""
    content = {
        "Timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "FrameCount": count,
        "Latest": latest,
    }
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_text(json.dumps(content, indent=2), encoding="utf-8")
        draft.replace(path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def _state(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (-1, -1)
    return found.st_size, found.st_mtime_ns


def _place(prefix: str) -> tuple[Path, str]:
    """Return folder and file name beginning of a prefix, as SaveImage would; ComfyUI refuses one that leads outside."""
    paths = importlib.import_module("folder_paths")
    folder, stem, *_ = paths.get_save_image_path(prefix, paths.get_output_directory())
    return Path(folder), stem


def _stop_if_interrupted() -> None:
    importlib.import_module("comfy.model_management").throw_exception_if_processing_interrupted()


NODE_CLASS_MAPPINGS = {"WriteDoneMarker": WriteDoneMarker}
NODE_DISPLAY_NAME_MAPPINGS = {"WriteDoneMarker": "Write Done Marker"}
