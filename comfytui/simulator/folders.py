"""The server's folders: where frames go, how they are numbered, and what a client may not reach.

Every function here touches the disk and is called in a worker thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from comfytui.simulator.counters import Counters

FolderType = Literal["output", "input", "temp"]


class OutsideFolder(Exception):
    """A prefix or name that leads out of the folder it belongs to; the text is the server's own."""


@dataclass(frozen=True, kw_only=True)
class Folders:
    """The three folders of a ComfyUI server, absolute."""

    output: Path
    input: Path
    temp: Path

    def base(self, kind: str) -> Path | None:
        """Return the folder called `kind` (output, input, temp), or None for another name."""
        return {"output": self.output, "input": self.input, "temp": self.temp}.get(kind)

    def create(self) -> None:
        """Make sure that the three folders exist."""
        for folder in (self.output, self.input, self.temp):
            folder.mkdir(parents=True, exist_ok=True)

    def has_input(self, name: str) -> bool:
        """Return whether the input folder has a file of that name, in a subfolder too: what LoadImage accepts."""
        path = inside(self.input, name)
        return path is not None and path.is_file()

    def input_names(self) -> list[str]:
        """Return the names of the files in the input folder, sorted, as LoadImage offers them."""
        return sorted(path.name for path in self.input.iterdir() if path.is_file())


@dataclass(frozen=True)
class FrameNames:
    """Where the frames of one save go: `{name}_{counter:05}_.png` in `folder`, told as `subfolder`."""

    folder: Path
    name: str
    counter: int
    subfolder: str

    def file(self, index: int, suffix: str = ".png") -> str:
        """Return the name of the frame number `index` (0-based)."""
        name = self.name.replace("%batch_num%", str(index))
        return f"{name}_{self.counter + index:05}_{suffix}"


def frame_names(prefix: str, base: Path, size: tuple[int, int], now: float, counters: Counters) -> FrameNames:
    """Return the names for a `filename_prefix`, and create the subfolder; the counter is the largest there + 1.

    `size` is (width, height) and `now` epoch seconds: both may be written into the name by %width%, %year% etc.
    The subfolder has the separators of the server's own system, as ComfyUI tells it.
    Raises OutsideFolder for a prefix that leads out of `base`.
    """
    prefix = _filled_in(prefix, size, now)
    inner = Path(prefix)
    folder = (base / inner.parent).resolve()
    if not folder.is_relative_to(base.resolve()):
        raise OutsideFolder(
            "**** ERROR: Saving image outside the output folder is not allowed."
            f"\n full_output_folder: {folder}\n         output_dir: {base}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    subfolder = "" if inner.parent == Path() else str(inner.parent)
    return FrameNames(folder, inner.name, counters.largest(folder, inner.name) + 1, subfolder)


def _filled_in(prefix: str, size: tuple[int, int], now: float) -> str:
    moment = datetime.fromtimestamp(now)  # local time, as the server itself writes it
    values = {
        "width": str(size[0]),
        "height": str(size[1]),
        "year": str(moment.year),
        "month": f"{moment.month:02}",
        "day": f"{moment.day:02}",
        "hour": f"{moment.hour:02}",
        "minute": f"{moment.minute:02}",
        "second": f"{moment.second:02}",
    }
    for name, value in values.items():
        prefix = prefix.replace(f"%{name}%", value)
    return prefix


def inside(base: Path, *parts: str) -> Path | None:
    """Return `base` joined with `parts`, or None when that leads out of `base`."""
    path = base.joinpath(*parts).resolve()
    return path if path.is_relative_to(base.resolve()) else None
