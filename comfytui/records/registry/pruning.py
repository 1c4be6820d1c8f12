"""Clearing old runs away: what stays is decided first and purely; what goes is taken out of sight, then removed.

A run goes only while nobody drives it, and only as it was when it was judged: its lock is held from the last look until
its folder has another name, so that a runner which takes it up in between finds no run rather than half of one. Links
are never followed.
"""

import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from comfytui.errors import Failure
from comfytui.model.catalog import RunEntry
from comfytui.records.archive import is_link
from comfytui.records.faults import why, writing
from comfytui.records.lock import RunLock
from comfytui.records.registry.entry import read_entry
from comfytui.records.rundir import RunDir

DAY = 86400.0

_GOING = re.compile(r"\.\d{8}-\d{6}\.going")
"""The name of a run folder that is being removed."""


class Pruned(Struct, frozen=True, kw_only=True):
    """What became of one run, or would: it goes, or it stays and ``why``."""

    run_id: str
    goes: bool
    why: str


def judge(
    entries: Sequence[RunEntry],
    now: datetime,
    *,
    keep_last: int | None,
    keep_days: int | None,
    unfinished: bool = False,
) -> list[Pruned]:
    """Return for each of ``entries`` (the newest first) whether it goes. Pure.

    A run goes when it is neither among the ``keep_last`` newest nor younger than ``keep_days`` days; a limit that is
    ``None`` keeps nothing. Without any limit nothing goes. Runs that are under way stay; so do those that can be
    resumed, unless ``unfinished``.
    """
    judged = []
    for place, entry in enumerate(entries):
        at = entry.ended_at or entry.opened_at
        reason = ""
        if keep_last is None and keep_days is None:
            reason = "no limit was named"
        elif keep_last is not None and place < keep_last:
            reason = f"one of the {keep_last} newest"
        elif keep_days is not None and at is None:
            reason = "nothing tells how old it is"
        elif keep_days is not None and at is not None and (now - at).total_seconds() < keep_days * DAY:
            reason = f"younger than {keep_days} days"
        elif entry.driven:
            reason = "under way"
        elif entry.open and not unfinished:
            reason = f"{entry.word}: it can be resumed"
        judged.append(Pruned(run_id=entry.run_id, goes=not reason, why=reason or "old"))
    return judged


def prune(runs_dir: Path, entries: Sequence[RunEntry], judged: Sequence[Pruned]) -> Iterator[Pruned]:
    """Remove the runs of ``judged`` that go, and yield what became of each of them.

    ``entries`` are what the judgement rests on. What an earlier removal left unfinished is removed too.
    """
    folder = runs_dir.absolute()
    _finish(folder)
    known = {entry.run_id: entry for entry in entries}
    for one in judged:
        yield _remove(folder, known[one.run_id]) if one.goes else one


def _remove(folder: Path, entry: RunEntry) -> Pruned:
    run = RunDir(folder / entry.run_id)
    kept = _not_removable(run)
    if not kept:
        try:
            with RunLock.acquire(run):
                if read_entry(run) != entry:
                    return Pruned(run_id=entry.run_id, goes=False, why="it changed in the meantime")
                going = folder / f".{run.run_id}.going"
                with writing(run.path):
                    run.path.rename(going)
            with writing(going):
                shutil.rmtree(going)
        except Failure as failure:
            kept = failure.what
    return Pruned(run_id=entry.run_id, goes=not kept, why=kept or "removed")


def _not_removable(run: RunDir) -> str:
    try:
        facts = run.path.lstat()
    except OSError as fault:
        return why(fault)
    if is_link(facts):
        return "it is a link to another place"
    return "" if stat.S_ISDIR(facts.st_mode) else "it is no folder"


def _finish(folder: Path) -> None:
    """Remove what a removal that was cut off has left."""
    with writing(folder):
        for path in folder.iterdir():
            if _GOING.fullmatch(path.name) and path.is_dir() and not is_link(path.lstat()):
                shutil.rmtree(path)
