"""The run folder: where everything of a run is, how a new one comes to be, and how an old one is found.

    <runs-dir>/
      latest-run.json              which run was opened last
      archives/comfyui-e2e-<RunId>.zip
      <RunId>/
        events.jsonl               the journal: the truth, everything below is made from it and from the frames
        run-plan.json              what the run was told to do
        run-summary.txt            for people and their scripts
        artifact-metadata.json     for other tools
        validation.txt             what `comfytui validate` said when the run came to rest
        run.lock                   who drives the run now
        story/                     the story as it was, and its keyframes
        logs/                      of the runner and of a server that it started
        <scene>/                   SceneBrief.folder
          scene.json               the scene's part of the metadata
          keyframe.png             (or the suffix that it has)
          history-attempt-<n>.json what /history/<prompt_id> said, for each attempt
          history.json             the same of the best attempt
          generated-frames-attempt-<n>/
          forced-copy-attempt-<n>.txt
          queue-error-debug.txt

Paths in the records are relative to the run folder and written with ``/``, so that a run can be moved, or unpacked
from its archive elsewhere, and stays whole; only ``RunDir`` itself, and what lies outside, is absolute.
"""

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path, PurePath, PureWindowsPath
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from comfytui.clock import Clock
from comfytui.errors import Failure
from comfytui.records.atomic import clean_leftovers, copy_atomic, write_atomic
from comfytui.records.faults import why, writing
from comfytui.untrusted import file_name

if TYPE_CHECKING:
    from comfytui.model.events import SceneBrief
    from comfytui.model.plan import RunPlan

_RUN_ID = re.compile(r"\d{8}-\d{6}")
_TRIES = 3600


class RunDir(Struct, frozen=True):
    """A run folder: ``path`` is absolute. The methods name places in it; none of them touches the disk."""

    path: Path

    @property
    def run_id(self) -> str:
        """The run's id, which is the folder's name."""
        return self.path.name

    @property
    def journal(self) -> Path:
        """``events.jsonl``."""
        return self.path / "events.jsonl"

    @property
    def plan(self) -> Path:
        """``run-plan.json``."""
        return self.path / "run-plan.json"

    @property
    def summary(self) -> Path:
        """``run-summary.txt``."""
        return self.path / "run-summary.txt"

    @property
    def metadata(self) -> Path:
        """``artifact-metadata.json``."""
        return self.path / "artifact-metadata.json"

    @property
    def validation(self) -> Path:
        """``validation.txt``."""
        return self.path / "validation.txt"

    @property
    def lock(self) -> Path:
        """``run.lock``."""
        return self.path / "run.lock"

    @property
    def story(self) -> Path:
        """The folder with the story and its keyframes."""
        return self.path / "story"

    @property
    def drawn_keyframes(self) -> Path:
        """The folder with the keyframes that were drawn for scenes which had none."""
        return self.story / "drawn"

    @property
    def logs(self) -> Path:
        """The folder of logs."""
        return self.path / "logs"

    def suite_log(self, label: str) -> Path:
        """Return where the output of the check suite ``label`` is kept."""
        return self.logs / f"{file_name(label).lower()}.log"

    @property
    def archive(self) -> Path:
        """The run's zip, beside the runs."""
        return self.path.parent / "archives" / f"comfyui-e2e-{self.run_id}.zip"

    def scene(self, folder: str) -> Path:
        """Return the folder of the scene whose ``SceneBrief.folder`` that is."""
        return self.path / folder

    def scene_json(self, folder: str) -> Path:
        """Return the scene's part of the metadata."""
        return self.path / folder / "scene.json"

    def frames(self, folder: str, attempt: int) -> Path:
        """Return the folder into which the frames of ``attempt`` (from 1) are collected."""
        return self.path / folder / f"generated-frames-attempt-{attempt}"

    def attempt_history(self, folder: str, attempt: int) -> Path:
        """Return where the history entry of ``attempt`` is saved as the server gave it."""
        return self.path / folder / f"history-attempt-{attempt}.json"

    def history(self, folder: str) -> Path:
        """Return where the history entry of the best attempt is once the scene ended."""
        return self.path / folder / "history.json"

    def forced_copy_debug(self, folder: str, attempt: int) -> Path:
        """Return where a forced copy tells which candidates there were and why."""
        return self.path / folder / f"forced-copy-attempt-{attempt}.txt"

    def queue_error_debug(self, folder: str) -> Path:
        """Return where an unexpected error of the scene is dumped."""
        return self.path / folder / "queue-error-debug.txt"

    def story_file(self, original: str) -> Path:
        """Return where the copy of the story file ``original`` is."""
        return self.story / file_name(base_name(original))

    def story_keyframe(self, original: str) -> Path:
        """Return where the run's one copy of the keyframe ``original`` (an absolute path) is, however many share it."""
        import hashlib

        mark = hashlib.sha256(original.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        return self.story / f"keyframe-{mark}-{file_name(base_name(original))}"

    def scene_keyframe(self, folder: str, original: str) -> Path:
        """Return where the keyframe ``original`` lies in the scene's folder."""
        return self.path / folder / f"keyframe{picture_suffix(original)}"

    def relative(self, path: str | PurePath) -> str:
        """Return ``path`` relative to the run folder and with ``/`` where it is inside, else as it is."""
        try:
            return PurePath(path).relative_to(self.path).as_posix()
        except ValueError:
            return str(path)


def base_name(path: str) -> str:
    """Return the last part of a path of any platform."""
    return PureWindowsPath(path).name


def picture_suffix(path: str) -> str:
    """Return the suffix of a picture's name in lower case, ``.png`` when it has none that a file name may carry."""
    suffix = PureWindowsPath(path).suffix.lower()
    return suffix if re.fullmatch(r"\.[a-z0-9]{1,8}", suffix) else ".png"


# --- a new run ---------------------------------------------------------------------------------------------------


class LatestRun(Struct, frozen=True, kw_only=True, rename="pascal"):
    """``latest-run.json``: the run opened last. Only ``RunId`` is read again, so that the runs may be moved."""

    run_id: str
    run_dir: str
    metadata_path: str
    summary_path: str


def create_run(runs_dir: Path, clock: Clock) -> RunDir:
    """Make a run folder of an id that nobody has (yyyyMMdd-HHmmss, UTC; taken: the next second) and point to it.

    Two processes that ask in the same second get two folders. Raises ``Failure`` ``run.unwritable``.
    """
    runs = runs_dir.absolute()
    moment = clock.now()
    with writing(runs):
        runs.mkdir(parents=True, exist_ok=True)
        for ahead in range(_TRIES):
            run = RunDir(runs / (moment + timedelta(seconds=ahead)).strftime("%Y%m%d-%H%M%S"))
            try:
                run.path.mkdir()
            except FileExistsError:
                continue
            run.logs.mkdir()
            run.story.mkdir()
            point_to(run)
            return run
    raise Failure("run.unwritable", place=str(runs), why=f"{_TRIES} run ids from {moment:%Y%m%d-%H%M%S} on are taken")


def point_to(run: RunDir) -> None:
    """Write ``latest-run.json`` beside the runs, atomically. Raises ``Failure`` ``run.unwritable``."""
    latest = LatestRun(
        run_id=run.run_id, run_dir=str(run.path), metadata_path=str(run.metadata), summary_path=str(run.summary)
    )
    clean_leftovers(run.path.parent)
    write_atomic(run.path.parent / "latest-run.json", readable(latest))


def readable(value: object) -> bytes:
    """Return ``value`` as JSON that people can read too: indented, with a line break at its end."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def write_plan(
    run: RunDir, plan: "RunPlan", story_file: bytes | None = None, keyframes: Mapping[str, bytes] | None = None
) -> None:
    """Write ``run-plan.json``, and put the story file and the keyframes of its scenes into ``story/``.

    ``story_file`` is what the file held (a bundled story has no path); ``keyframes``, where they are given, hold all
    that there are, by their original paths, and no other file is read. Raises ``Failure`` ``story.keyframe_missing``
    when a keyframe has gone since the story was read, and ``run.unwritable``.
    """
    with writing(run.story):
        run.story.mkdir(exist_ok=True)
    if story_file is not None and plan.story.file:
        write_atomic(run.story_file(plan.story.file), story_file)
    copied = set()
    for scene in plan.scenes:
        if scene.keyframe is None or scene.keyframe in copied:
            continue
        if keyframes is not None:
            write_atomic(run.story_keyframe(scene.keyframe), keyframes[scene.keyframe])
            copied.add(scene.keyframe)
            continue
        try:
            copy_atomic(Path(scene.keyframe), run.story_keyframe(scene.keyframe))
        except OSError as fault:
            place = f"{scene.keyframe} ({why(fault)})"
            raise Failure("story.keyframe_missing", scene=scene.id, file=plan.story.file, path=place) from fault
        copied.add(scene.keyframe)
    write_atomic(run.plan, readable(plan))


def read_plan(run: RunDir) -> "RunPlan":
    """Return the plan of ``run``. Raises ``Failure``: ``run.not_found`` without one, ``run.plan`` for an unfit one."""
    from comfytui.model.plan import RunPlan

    try:
        return msgspec.json.decode(run.plan.read_bytes(), type=RunPlan)
    except FileNotFoundError:
        raise Failure("run.not_found", place=str(run.path)) from None
    except (OSError, ValueError, RecursionError) as fault:
        words = why(fault) if isinstance(fault, OSError) else str(fault)
        raise Failure("run.plan", file=str(run.plan), why=words) from fault


def prepare_scene(run: RunDir, brief: "SceneBrief") -> Path:
    """Make the folder of a scene, with its keyframe in it, and return it; what is there stays.

    The keyframe is a link to the run's own copy where the disk has links, for many scenes may share one. Raises
    ``Failure`` ``run.unwritable``.
    """
    folder = run.scene(brief.folder)
    with writing(folder):
        folder.mkdir(exist_ok=True)
        if brief.keyframe is not None:
            source, place = run.story_keyframe(brief.keyframe), run.scene_keyframe(brief.folder, brief.keyframe)
            if source.is_file() and not place.exists():
                _link_or_copy(source, place)
    return folder


def _link_or_copy(source: Path, place: Path) -> None:
    try:
        place.hardlink_to(source)
    except OSError:  # FAT, some network shares
        copy_atomic(source, place)


# --- an old run --------------------------------------------------------------------------------------------------


def is_run_id(name: str) -> bool:
    """Tell whether ``name`` has the form of a run id: yyyyMMdd-HHmmss."""
    return _RUN_ID.fullmatch(name) is not None


def is_run(path: Path) -> bool:
    """Tell whether ``path`` is the folder of a run: it has a plan, a journal or metadata. Raises nothing."""
    run = RunDir(path)
    try:
        return any(file.is_file() for file in (run.journal, run.plan, run.metadata))
    except (OSError, ValueError):  # a name that no file system can hold, a folder that may not be looked into
        return False


LATEST = "latest"


def find_run(runs_dir: Path, wanted: str | Path | None = None) -> RunDir:
    """Return the run that is ``wanted``: a run id under ``runs_dir``, a run folder's path, ``latest``, or ``None``.

    ``latest`` and ``None`` are the one that ``latest-run.json`` names, else the newest folder. Raises ``Failure``
    ``run.not_found``.
    """
    runs = runs_dir.absolute()
    if wanted is None or wanted == LATEST:
        found = _latest(runs)
        place = runs
    else:
        place = Path(wanted).absolute()
        under = [runs / wanted] if _RUN_ID.fullmatch(str(wanted)) else []
        found = next((RunDir(path) for path in (*under, place) if is_run(path)), None)
    if found is None:
        raise Failure("run.not_found", place=str(place))
    return found


def run_names(runs_dir: Path) -> list[str]:
    """Return the names under ``runs_dir`` that runs have, the newest first, whatever they stand for; none where nothing
    can be read.
    """
    try:
        names = os.listdir(runs_dir)  # noqa: PTH208  (10,000 of them)
        return sorted((name for name in names if _RUN_ID.fullmatch(name)), reverse=True)
    except OSError:
        return []


def list_runs(runs_dir: Path) -> list[RunDir]:
    """Return the runs under ``runs_dir``, the newest first; none when it does not exist or cannot be read."""
    runs = (RunDir(runs_dir.absolute() / name) for name in run_names(runs_dir))
    return [run for run in runs if is_run(run.path)]


def _latest(runs: Path) -> RunDir | None:
    try:
        latest = msgspec.json.decode((runs / "latest-run.json").read_bytes(), type=LatestRun)
    except (OSError, ValueError, RecursionError):  # absent, torn or foreign: the folders tell
        latest = None
    if latest is not None and _RUN_ID.fullmatch(latest.run_id) and is_run(runs / latest.run_id):
        return RunDir(runs / latest.run_id)
    return next(iter(list_runs(runs)), None)
