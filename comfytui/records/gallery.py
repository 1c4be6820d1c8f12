"""Frames of a run for those who want to look at them: read from the run folder, and from nowhere else."""

from pathlib import Path

from comfytui.errors import Failure
from comfytui.records.faults import why
from comfytui.records.rundir import RunDir
from comfytui.untrusted import inside

LARGEST = 64 * 1024 * 1024
"""Bytes of a frame above which it is not read: a frame of video models has a few MB."""


class RunGallery:
    """The frames that were collected into ``run``."""

    def __init__(self, run: RunDir) -> None:
        self._run = run

    def read(self, folder: str, attempt: int, name: str) -> bytes:
        """Return the bytes of frame ``name`` of ``attempt`` of the scene whose ``SceneBrief.folder`` that is.

        Names come from a journal, so the place is proven to be inside the run folder. May block on the disk. Raises
        ``Failure`` ``frame.unshowable`` when it is not there, cannot be read, is too large, or leads elsewhere.
        """
        place = self._place(folder, attempt, name)
        try:
            if not place.is_file():
                raise _unshowable(name, "it is not in the run folder")
            if (size := place.stat().st_size) > LARGEST:
                raise _unshowable(name, f"it has {size / 1048576:,.0f} MB, more than are read")
            return place.read_bytes()
        except OSError as fault:
            raise _unshowable(name, why(fault)) from None

    def _place(self, folder: str, attempt: int, name: str) -> Path:
        frames = inside(self._run.path, folder, self._run.frames(folder, attempt).name)
        place = inside(frames, "", name) if frames is not None else None
        if place is None:
            raise _unshowable(name, "its name leads out of the run folder")
        return place


def _unshowable(name: str, reason: str) -> Failure:
    return Failure("frame.unshowable", name=name, why=reason)
