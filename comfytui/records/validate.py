"""Whether a run folder is what the telemetry contract says: ``comfytui validate RUN``.

Four witnesses are heard: the metadata by itself (typed, complete, free of contradictions), the summary and the files
that it names, and the journal from which all of it was made. A folder may be hostile: whatever is in it gives findings,
never an exception, and nothing outside of it is opened.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

from comfytui.errors import Failure
from comfytui.records.atomic import write_atomic
from comfytui.records.checks import files, lines, record, truth
from comfytui.records.checks.finding import Finding
from comfytui.records.checks.reading import Unreadable
from comfytui.records.checks.record import Metadata
from comfytui.records.rundir import RunDir, is_run

MOST = 1000
"""The most findings that are listed; a folder with more is not read to its end."""


def validate_run(path: Path, *, hashes: bool = True) -> list[Finding]:
    """Return what is wrong with the run in the folder ``path``, also one unpacked from its archive; empty is perfect.

    ``hashes=False`` compares frames by size only, which takes no longer for larger frames. Raises ``Failure``
    ``run.not_found`` when the folder is no run.
    """
    run = RunDir(path.absolute())
    if not is_run(run.path):
        raise Failure("run.not_found", place=str(path))
    findings = list(islice(_findings(run, hashes=hashes), MOST + 1))
    if len(findings) > MOST:
        findings[MOST:] = [Finding("run", f"there are more than {MOST} findings; the others are not listed")]
    return findings


def _findings(run: RunDir, *, hashes: bool) -> Iterator[Finding]:
    metadata = Metadata()
    try:
        metadata, wrong = record.load(run.metadata)
        yield from wrong
    except Unreadable as fault:
        yield Finding(record.PLACE, str(fault))
    with closing(metadata.scenes):
        try:
            yield from _held_to(run, metadata, hashes=hashes)
        except Unreadable as fault:
            yield Finding(record.PLACE, str(fault))


def _held_to(run: RunDir, metadata: Metadata, *, hashes: bool) -> Iterator[Finding]:
    """Yield where the run is not what ``metadata`` tell. Raises :class:`Unreadable` when those cannot be read on."""
    yield from record.check(metadata)
    yield from lines.check(run.summary, metadata)
    yield from files.check(run.path, metadata, hashes=hashes)
    yield from truth.check(run, metadata)


def passed(findings: Iterable[Finding]) -> bool:
    """Tell whether a run with these ``findings`` validates: warnings do not count against it."""
    return all(finding.level == "warning" for finding in findings)


def report(findings: Iterable[Finding]) -> list[str]:
    """Return what ``comfytui validate`` prints: a line for each finding, then the verdict."""
    found = list(findings)
    verdict = "PASS" if passed(found) else "FAIL"
    return [*(f"{finding.level.upper()}: {finding}" for finding in found), f"run-summary validation: {verdict}"]


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 0 for a run that validates, else 1. (2 is ``run.not_found``'s own.)"""
    return 0 if passed(findings) else 1


def write_validation(run: RunDir, findings: Iterable[Finding]) -> None:
    """Write what was found into ``validation.txt`` of the run. Raises ``Failure`` ``run.unwritable``."""
    write_atomic(run.validation, "".join(f"{line}\n" for line in report(findings)).encode())
