"""The folder of a sweep: its plan and its progress, written ahead, and the report of its runs.

<runs-dir>/
  sweep-<yyyyMMdd-HHmmss>/
    sweep-plan.json        what the sweep was told to do, before its first run
    sweep-progress.json    which runs it has begun, each before the run's folder has a plan
    baseline.json          the report that its own compares with, as it was when the sweep began
    run.lock               who drives the sweep now
    sweep.log              what its process said
    story/                 the story as it was
    report.json, report.md, report.html, junit.xml
  <RunId>/                 its runs are runs like any others
"""

import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import Struct

from comfytui.clock import Clock
from comfytui.errors import Failure
from comfytui.records.atomic import write_atomic
from comfytui.records.faults import why, writing
from comfytui.records.rundir import RunDir, readable

if TYPE_CHECKING:
    from comfytui.model.sweep import SweepPlan, SweepProgress

_SWEEP_ID = re.compile(r"sweep-\d{8}-\d{6}")
_TRIES = 3600
_Read = TypeVar("_Read")


class SweepDir(Struct, frozen=True):
    """A sweep's folder: ``path`` is absolute. The properties name places in it; none of them touches the disk."""

    path: Path

    @property
    def sweep_id(self) -> str:
        """The sweep's id, which is the folder's name."""
        return self.path.name

    @property
    def plan(self) -> Path:
        """``sweep-plan.json``."""
        return self.path / "sweep-plan.json"

    @property
    def progress(self) -> Path:
        """``sweep-progress.json``."""
        return self.path / "sweep-progress.json"

    @property
    def baseline(self) -> Path:
        """``baseline.json``."""
        return self.path / "baseline.json"

    @property
    def log(self) -> Path:
        """``sweep.log``."""
        return self.path / "sweep.log"

    @property
    def report(self) -> Path:
        """``report.json``."""
        return self.path / "report.json"

    @property
    def locked_as(self) -> RunDir:
        """What is locked while a process drives the sweep."""
        return RunDir(self.path)

    def run(self, run_id: str) -> RunDir:
        """Return the folder of the run ``run_id``, which lies beside the sweep's."""
        return RunDir(self.path.parent / run_id)

    @property
    def drawn_keyframes(self) -> Path:
        """The folder with the keyframes that were drawn for scenes which had none."""
        return RunDir(self.path).drawn_keyframes

    def story_file(self, original: str) -> Path:
        """Return where the copy of the story file is."""
        return RunDir(self.path).story_file(original)


def is_sweep(path: Path) -> bool:
    """Tell whether ``path`` is the folder of a sweep."""
    try:
        return SweepDir(path).plan.is_file()
    except (OSError, ValueError):  # a name that no file system can hold
        return False


def create_sweep(runs_dir: Path, clock: Clock) -> SweepDir:
    """Make a sweep folder of an id that nobody has (UTC; taken: the next second). Raises ``run.unwritable``."""
    runs, moment = runs_dir.absolute(), clock.now()
    with writing(runs):
        runs.mkdir(parents=True, exist_ok=True)
        for ahead in range(_TRIES):
            folder = runs / f"sweep-{moment + timedelta(seconds=ahead):%Y%m%d-%H%M%S}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return SweepDir(folder)
    raise Failure("run.unwritable", place=str(runs), why=f"{_TRIES} names from sweep-{moment:%Y%m%d-%H%M%S} are taken")


def write_sweep(sweep: SweepDir, plan: "SweepPlan", story_file: bytes) -> None:
    """Write the story and then the plan of a sweep. Raises ``Failure`` ``run.unwritable``."""
    if plan.template.story.file:
        place = sweep.story_file(plan.template.story.file)
        with writing(sweep.path):
            place.parent.mkdir(exist_ok=True)
        write_atomic(place, story_file)
    write_atomic(sweep.plan, readable(plan))


def read_sweep(sweep: SweepDir) -> "SweepPlan":
    """Return the plan of ``sweep``. Raises ``Failure``: ``sweep.not_found`` without one, ``run.plan`` if unfit."""
    from comfytui.model.sweep import SweepPlan

    return _read(sweep.plan, SweepPlan)


def read_progress(sweep: SweepDir) -> "SweepProgress":
    """Return how far ``sweep`` is; nothing begun where nothing is told. Raises ``Failure`` ``run.plan``."""
    from comfytui.model.sweep import SweepProgress

    if not sweep.progress.exists():
        return SweepProgress()
    return _read(sweep.progress, SweepProgress)


def write_progress(sweep: SweepDir, progress: "SweepProgress") -> None:
    """Write how far ``sweep`` is, atomically and onto the disk. Raises ``Failure`` ``run.unwritable``."""
    write_atomic(sweep.progress, readable(progress))


def named_sweep(runs_dir: Path, wanted: str) -> SweepDir | None:
    """Return the sweep that ``wanted`` names: its id under ``runs_dir``, or its folder; ``None`` where it is none."""
    places = [runs_dir.absolute() / wanted] if _SWEEP_ID.fullmatch(wanted) else []
    return next((SweepDir(place) for place in (*places, Path(wanted).absolute()) if is_sweep(place)), None)


def find_sweep(runs_dir: Path, wanted: str | None) -> SweepDir:
    """Return the sweep that ``wanted`` names; ``None``: the latest. Raises ``Failure`` ``sweep.not_found``."""
    if wanted is not None:
        found = named_sweep(runs_dir, wanted)
    else:
        folders = sorted(runs_dir.absolute().glob("sweep-*"), reverse=True)
        found = next((SweepDir(folder) for folder in folders if is_sweep(folder)), None)
    if found is None:
        raise Failure("sweep.not_found", place=wanted or str(runs_dir))
    return found


def _read(file: Path, kind: type[_Read]) -> _Read:
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except FileNotFoundError:
        raise Failure("sweep.not_found", place=str(file.parent)) from None
    except (OSError, ValueError, RecursionError) as fault:
        words = why(fault) if isinstance(fault, OSError) else str(fault)
        raise Failure("run.plan", file=str(file), why=words) from fault
