"""One run as a line in a list, from what its folder holds. It raises nothing: what cannot be read is said in the line.

A run that came to its end is read from its metadata and the last lines of its journal; one that did not is folded.
"""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.model.catalog import RunEntry
from comfytui.model.envelope import Envelope, decode
from comfytui.model.fold import fold_all
from comfytui.model.shares import Contribution, contributions
from comfytui.model.state import Run, State
from comfytui.records import journal
from comfytui.records.outcome import recorded_attempt
from comfytui.records.report.fields import Fields
from comfytui.records.report.reading import read_metadata
from comfytui.records.rundir import RunDir
from comfytui.untrusted import plain

_END = 128 * 1024
"""Bytes at the end of a journal in which its end is told."""


def read_entry(run: RunDir) -> RunEntry:
    """Return the line of ``run``; whether it is driven now is not looked at."""
    ending = _ending(run.journal)
    metadata, why = read_metadata(run.metadata)
    if metadata is not None and (ending is not None or not run.journal.is_file()):
        return _recorded(run, metadata, ending)
    try:
        state = fold_all(journal.read(run.journal)) if run.journal.is_file() else State()
    except Failure as failure:
        return RunEntry(run_id=run.run_id, path=str(run.path), problem=failure.what)
    if state.run is not None:
        return _folded(run, state, state.run)
    problem = "it was never begun" if run.plan.is_file() and not run.journal.is_file() else why
    return RunEntry(run_id=run.run_id, path=str(run.path), problem=problem)


def read_contributions(run: RunDir) -> list[Contribution]:
    """Return what each of the servers of ``run`` did; nothing where it had only one, or its journal cannot be read."""
    try:
        lines = journal.read(run.journal)
        opened = next(iter(lines), None)
        if opened is None or not isinstance(opened.event, e.RunOpened) or not opened.event.servers:
            return []
        return contributions(fold_all(journal.read(run.journal)))
    except Failure:
        return []


def _recorded(run: RunDir, metadata: Fields, ending: Envelope | None) -> RunEntry:
    scenes = list(metadata.children("Scenes"))
    story, ended = metadata.child("Story"), ending.event if ending is not None else None
    planned = story.whole("SceneCount")
    return RunEntry(
        run_id=run.run_id,
        path=str(run.path),
        story=story.text("Id") or "",
        logline=story.text("Logline") or "",
        opened_at=_opened_at(run.journal) if ending is not None else None,
        ended_at=ending.at if ending is not None else metadata.moment("Timestamp"),
        outcome=ended.outcome if isinstance(ended, e.RunEnded) else None,
        exit_code=ended.exit_code if isinstance(ended, e.RunEnded) else None,
        planned=planned if planned is not None else len(scenes) or None,
        well=sum(each.flag("Success") is True and each.flag("MeetsFrameFloor") is True for each in scenes),
        frames=_total(each.whole("FrameCount") for each in scenes),
        requeues=_total(None if (tries := each.whole("AttemptsRun")) is None else max(0, tries - 1) for each in scenes),
        journalled=ending is not None,
    )


def _folded(run: RunDir, state: State, told: Run) -> RunEntry:
    kept = [recorded_attempt(scene) for scene in state.scenes]
    return RunEntry(
        run_id=run.run_id,
        path=str(run.path),
        story=plain(told.story.id, 200),
        logline=plain(told.story.logline, 400),
        opened_at=told.opened_at,
        ended_at=told.ended_at,
        outcome=told.outcome,
        exit_code=told.exit_code,
        planned=len(state.scenes),
        well=sum(scene.success and scene.meets_floor for scene in state.scenes),
        frames=sum(attempt.proven for attempt in kept if attempt is not None),
        requeues=sum(max(0, len(scene.attempts) - 1) for scene in state.scenes),
    )


def _total(told: Iterable[int | None]) -> int | None:
    """Return the sum of ``told``; ``None`` where one of them is not."""
    figures = list(told)
    known = [figure for figure in figures if figure is not None]
    return sum(known) if len(known) == len(figures) else None


def _opened_at(path: Path) -> datetime | None:
    """Return when the run was opened, from the first line of its journal."""
    try:
        first = next(iter(journal.read(path)), None)
    except Failure:
        return None
    return first.at if first is not None else None


def _ending(path: Path) -> Envelope | None:
    """Return the ``RunEnded`` that is the last word of the journal; ``None`` where the run was taken up since, or
    did not come to its end.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _END))
            lines = file.read(_END).split(b"\n")
    except OSError:
        return None
    for line in reversed(lines):
        if b'"run_ended"' not in line and b'"runner_started"' not in line:
            continue
        try:
            envelope = decode(line)
        except ValueError:
            continue
        if isinstance(envelope.event, e.RunEnded):
            return envelope
        if isinstance(envelope.event, e.RunnerStarted):
            return None
    return None
