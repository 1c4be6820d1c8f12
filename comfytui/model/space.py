"""How much disk a run will need, estimated from what is known before it begins. Pure."""

from collections.abc import Iterable

from msgspec import Struct

from comfytui.model.state import Scene
from comfytui.model.workflow import Workflow

BYTES_A_PIXEL = 2.0
"""What a pixel takes in a PNG as SaveImage writes it (8-bit RGB, compress_level 4): 1.5 to 2 for rendered pictures."""

DEFAULT_PIXELS = 1024 * 1024
"""Pixels of a frame where the workflow does not tell its resolution."""

RECORDS = 8 * 1024 * 1024
"""Bytes for the journal, the logs and the records of a run, before any scene."""

RECORDS_A_SCENE = 128 * 1024
"""Bytes that each scene adds to them, its history and its facts."""

_SIDES = range(16, 32_769)


class Estimate(Struct, frozen=True, kw_only=True):
    """What a run will take, in bytes: one frame, the frames still to come, and everything in the run folder and zip.

    ``resolution`` is what the size of a frame was made from; ``None``: :data:`DEFAULT_PIXELS`.
    """

    resolution: tuple[int, int] | None
    frame: int
    frames: int
    """All frames that are still to come: what the server writes, and what is copied into the run folder."""
    runs: int
    """The frames to come once more for the run folder, all frames of the run for its archive, and the records."""

    @property
    def basis(self) -> str:
        """What the estimate rests on, in words."""
        size = "unknown resolution" if self.resolution is None else "{}x{}".format(*self.resolution)
        return f"{round(self.frames / self.frame)} frames to come of {size}"


def estimate(workflow: Workflow, scenes: Iterable[Scene]) -> Estimate:
    """Return what the rest of a run with these ``scenes`` needs; a scene that is over needs room in the archive only.

    Attempts beyond the first come on top: who has room for them is not warned.
    """
    found = resolution(workflow)
    frame = round((found[0] * found[1] if found else DEFAULT_PIXELS) * BYTES_A_PIXEL)
    to_come = packed = records = 0
    for scene in scenes:
        packed += scene.brief.expected_frames
        to_come += 0 if scene.over else scene.brief.expected_frames
        records += RECORDS_A_SCENE
    return Estimate(
        resolution=found, frame=frame, frames=to_come * frame, runs=(to_come + packed) * frame + RECORDS + records
    )


def resolution(workflow: Workflow) -> tuple[int, int] | None:
    """Return width and height of the largest picture that a node of ``workflow`` is told to make, if any is."""
    sides = [(node["inputs"].get("width"), node["inputs"].get("height")) for node in workflow.graph.values()]
    known = [(w, h) for w, h in sides if type(w) is int and type(h) is int and w in _SIDES and h in _SIDES]
    return max(known, key=lambda pair: pair[0] * pair[1], default=None)
