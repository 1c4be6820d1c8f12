"""What has become of the frames of scenes that are done: a scene whose frames are not all as they were is not done."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from comfytui.model.state import Scene, State
from comfytui.records import outcome
from comfytui.records.checks.files import frame_fault
from comfytui.records.rundir import RunDir


class LostFrame(NamedTuple):
    """A frame that was collected and is not in the run folder any more as it was: ``why`` follows its name."""

    scene: str
    attempt: int
    name: str
    why: str


def lost_frames(run: RunDir, state: State) -> list[LostFrame]:
    """Return the frames of the scenes that had succeeded, of each its best attempt's, that are missing or were changed.

    Every such frame is read, to be held to its SHA-256: blocking, for a worker thread. Raises nothing.
    """
    return [lost for scene in state.scenes if scene.success for lost in _lost_of(run, scene)]


def damage(lost: Iterable[LostFrame]) -> dict[str, str]:
    """Return in words what the scenes with a lost frame lack, by scene id."""
    by_scene: dict[str, list[LostFrame]] = {}
    for frame in lost:
        by_scene.setdefault(frame.scene, []).append(frame)
    words = {}
    for scene, frames in by_scene.items():
        others = f" (and {len(frames) - 1} more)" if len(frames) > 1 else ""
        words[scene] = f"frame {frames[0].name} {frames[0].why}{others}"
    return words


def _lost_of(run: RunDir, scene: Scene) -> Iterator[LostFrame]:
    best = outcome.recorded_attempt(scene)
    if best is None:
        return
    folder = run.frames(scene.brief.folder, best.number)
    for frame in sorted(best.frames, key=lambda frame: frame.name):
        path = folder / frame.name
        wrong = frame_fault(path, frame, hashes=True) if path.exists() else "is missing now"
        if wrong is not None:
            yield LostFrame(scene.id, best.number, frame.name, wrong)
