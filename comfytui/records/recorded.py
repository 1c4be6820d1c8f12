"""A run as it was recorded, read from its folder or straight from its archive: the same questions, the same answers.

An archive may come from anybody. It is read in place and never unpacked: its entries are looked up by the names that
:mod:`comfytui.records.archive` gives them, so that none can lead anywhere, and what an entry holds is counted while it
is read, whatever size it claims.
"""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

import msgspec

from comfytui.errors import Failure
from comfytui.model.envelope import Envelope
from comfytui.model.plan import RunPlan
from comfytui.records.checks.reading import within
from comfytui.records.faults import why
from comfytui.records.journal import JournalReading
from comfytui.records.rundir import RunDir, find_run, is_run_id, picture_suffix, read_plan

LARGEST_FILE = 256 * 1024 * 1024
"""Bytes of one file (a plan, a keyframe) that are read."""

LARGEST_JOURNAL = 4 * 1024 * 1024 * 1024
"""Bytes of a journal in an archive that are read; memory does not grow with them."""

MOST_ENTRIES = 2_000_000


class Recorded(Protocol):
    """A recorded run."""

    run_id: str
    path: Path

    def journal(self) -> JournalReading:
        """Return its journal, for one iteration."""
        ...

    def plan(self) -> RunPlan:
        """Return its plan. Raises ``Failure`` ``run.plan``, ``run.not_found``, ``archive.unreadable``."""
        ...

    def file(self, name: str) -> bytes | None:
        """Return what the file ``name`` (relative, with ``/``) holds; ``None`` without one. Raises as :meth:`plan`."""
        ...


class RecordedFolder:
    """A run folder, which may be somebody else's archive, unpacked: what leads out of it is not there."""

    def __init__(self, run: RunDir) -> None:
        self.run_id, self.path, self._run = run.run_id, run.path, run

    def journal(self) -> JournalReading:
        """Return its journal."""
        return JournalReading(self._run.journal)

    def plan(self) -> RunPlan:
        """Return its plan. Raises ``Failure`` ``run.not_found``, ``run.plan``."""
        return read_plan(self._run)

    def file(self, name: str) -> bytes | None:
        """Return what the file holds. Raises ``Failure`` ``run.plan`` for one that cannot be read."""
        place = within(self.path, name)
        if place is None:
            return None
        try:
            return place.read_bytes() if place.is_file() and place.stat().st_size <= LARGEST_FILE else None
        except OSError as fault:
            raise Failure("run.plan", file=str(place), why=why(fault)) from fault


class RecordedArchive:
    """An archive, as :func:`comfytui.records.archive.write_archive` leaves them.

    Raises ``Failure`` ``archive.unreadable`` when it is none, here and wherever it turns out to be damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        with self._open() as packed:
            entries = packed.infolist()
            if len(entries) > MOST_ENTRIES:
                raise self._unreadable(f"it has {len(entries)} entries")
            tops = {entry.filename.split("/", 1)[0] for entry in entries}
        if len(tops) != 1 or not is_run_id(top := tops.pop()):
            raise self._unreadable("it is no archive of a run: everything in one must be in the folder of its run id")
        self.run_id = top

    def journal(self) -> JournalReading:
        """Return its journal, read in place."""
        return _PackedJournal(self)

    def plan(self) -> RunPlan:
        """Return its plan. Raises ``Failure`` ``run.plan``, ``archive.unreadable``."""
        content = self.file("run-plan.json")
        if content is None:
            raise self._unreadable("it holds no run-plan.json")
        try:
            return msgspec.json.decode(content, type=RunPlan)
        except (ValueError, RecursionError) as fault:
            raise Failure("run.plan", file=f"{self.path}: run-plan.json", why=str(fault)) from fault

    def file(self, name: str) -> bytes | None:
        """Return what the entry holds. Raises ``Failure`` ``archive.unreadable``."""
        with self.entry(name) as found:
            if found is None:
                return None
            content = found.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise self._unreadable(f"{name} has more than {LARGEST_FILE} bytes")
        return content

    @contextmanager
    def entry(self, name: str) -> Iterator[IO[bytes] | None]:
        """Open the entry of the run's file ``name``; ``None`` where there is none. Raises as :meth:`file`."""
        with self._open() as packed:
            try:
                found = packed.getinfo(f"{self.run_id}/{name}")
            except KeyError:
                yield None
                return
            with packed.open(found) as content:
                yield content

    @contextmanager
    def _open(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self.path) as packed:
                yield packed
        except Failure:
            raise
        except OSError as fault:
            raise self._unreadable(why(fault)) from fault
        except Exception as fault:
            raise self._unreadable(str(fault) or "it ends too early") from fault

    def _unreadable(self, reason: str) -> Failure:
        return Failure("archive.unreadable", file=str(self.path), why=reason)


class _Counted:
    """The bytes of an entry, line by line, up to a limit."""

    def __init__(self, content: IO[bytes], archive: RecordedArchive) -> None:
        self._content, self._archive, self._left = content, archive, LARGEST_JOURNAL

    def readline(self, limit: int) -> bytes:
        line = self._content.readline(limit)
        self._left -= len(line)
        if self._left < 0:
            raise Failure(
                "archive.unreadable", file=str(self._archive.path), why=f"its journal exceeds {LARGEST_JOURNAL} bytes"
            )
        return line


class _PackedJournal(JournalReading):
    """The journal in an archive."""

    def __init__(self, archive: RecordedArchive) -> None:
        super().__init__(archive.path)
        self._archive = archive

    def __iter__(self) -> Iterator[Envelope]:
        """Yield every line that holds an envelope. Raises ``Failure`` ``archive.unreadable``."""
        with self._archive.entry("events.jsonl") as content:
            if content is None:
                raise Failure("archive.unreadable", file=str(self.path), why="it holds no events.jsonl")
            yield from self._envelopes(_Counted(content, self._archive))


def recorded_as(name: str | None, runs_dir: Path) -> Recorded:
    """Return the record called ``name``: an id, a folder, a zip, the id of a run of which only that is left, or the
    latest.

    Raises ``Failure`` ``run.not_found``, ``archive.unreadable``, and ``journal.unreadable`` for one without a journal.
    """
    if name is not None and os.path.isfile(name):  # noqa: PTH113  (it raises for no name)
        return RecordedArchive(Path(name))
    try:
        run = find_run(runs_dir, name)
    except Failure:
        archive = RunDir(runs_dir.absolute() / Path(name or "").name).archive
        if name is None or not os.path.isfile(archive):  # noqa: PTH113  (as above)
            raise
        return RecordedArchive(archive)
    if not run.journal.is_file():
        raise Failure("journal.unreadable", file=str(run.journal), why="there is none: another program made this run")
    return RecordedFolder(run)


def keyframe_in(record: Recorded, original: str, folder: str) -> bytes | None:
    """Return the run's copy of the keyframe ``original``, from ``story/`` or else from the scene's ``folder``."""
    run = RunDir(Path("/"))
    shared = record.file(f"story/{run.story_keyframe(original).name}")
    return shared if shared is not None else record.file(f"{folder}/keyframe{picture_suffix(original)}")
