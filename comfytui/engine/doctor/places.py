"""The folders of a run: whether they take what is written, and how much. Blocking: for a worker thread."""

import os
from collections.abc import Iterator
from pathlib import Path

from comfytui.engine.doctor.finding import Finding, fail, of_failure, ok, warn
from comfytui.engine.server.preflight import in_words, judged
from comfytui.errors import Failure
from comfytui.model.events import SceneBrief
from comfytui.model.space import estimate
from comfytui.model.state import Scene
from comfytui.model.workflow import Workflow
from comfytui.records.faults import why
from comfytui.records.room import free_bytes, is_folder, prove_writable, same_disk

LITTLE = 1 << 30
"""Bytes below which free space is little, where no story tells how much is needed."""


def runs_folder(runs: Path) -> Iterator[Finding]:
    """Yield whether run folders can be made in ``runs``; what is made to find out is taken away again."""
    made = [folder for folder in (runs, *runs.parents) if not is_folder(folder)]
    try:
        prove_writable(runs)
    except Failure as failure:
        yield fail("runs folder", failure.what, "Free space or correct its permissions, or choose another --runs-dir.")
    else:
        yield ok("runs folder", f"{runs} can be written")
    finally:
        for folder in made:
            try:
                folder.rmdir()
            except OSError:  # never made, or somebody else has put something into it
                break


def space(workflow: Workflow | None, scenes: tuple[SceneBrief, ...], runs: Path, output: Path | None) -> list[Finding]:
    """Return whether the disks have room for the ``scenes``; without any, how much room there is."""
    need = estimate(workflow, [Scene(brief=brief) for brief in scenes]) if workflow is not None and scenes else None
    shared = output is not None and same_disk(_there(runs), output)
    places = [(_there(runs), (need.runs + (need.frames if shared else 0)) if need else 0)]
    if output is not None and not shared:
        places.append((output, need.frames if need else 0))
    return [_judged(place, needed, need.basis if need else "") for place, needed in places]


def _judged(place: Path, needed: int, basis: str) -> Finding:
    free = free_bytes(place)
    remedy = "Free space there, or choose another disk with --runs-dir."
    try:
        doubt = judged(place, free, needed, basis or "a run that nobody named", run="RUN")
    except Failure as failure:
        return fail("disk space", failure.what, remedy)
    if doubt is not None:
        return warn("disk space", doubt, remedy)
    assert free is not None
    if not needed and free < LITTLE:
        return warn("disk space", f"only {in_words(free)} are free at {place}", remedy)
    told = f", about {in_words(needed)} are needed ({basis})" if needed else ""
    return ok("disk space", f"{in_words(free)} are free at {place}{told}")


def readable(output: Path) -> Finding | None:
    """Return why the files of the output folder cannot be listed; ``None``: they can."""
    try:
        with os.scandir(output) as entries:
            next(entries, None)
    except OSError as fault:
        failure = Failure("config.value", place=f"The output folder {output}", why=why(fault))
        return of_failure("output folder", failure)
    return None


def _there(folder: Path) -> Path:
    """Return the innermost folder on the way to ``folder`` that is there."""
    return next((one for one in (folder, *folder.parents) if is_folder(one)), folder)
