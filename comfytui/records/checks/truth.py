"""The journal: readable, without a gap, and telling the same as the metadata and the summary that were made from it."""

from collections.abc import Iterator
from contextlib import closing, suppress
from io import BufferedReader
from itertools import zip_longest
from pathlib import Path

from msgspec.structs import replace

from comfytui.errors import Failure
from comfytui.model.artifact import ArtifactMetadata
from comfytui.model.events import Fact
from comfytui.model.state import State
from comfytui.records import journal
from comfytui.records.checks.files import differences
from comfytui.records.checks.finding import Finding
from comfytui.records.checks.reading import Unreadable, is_plain_file, opened
from comfytui.records.checks.record import Metadata
from comfytui.records.metadata import metadata_head, scene_artifact
from comfytui.records.rundir import RunDir
from comfytui.records.summary import retold

PLACE = "events.jsonl"


def check(run: RunDir, metadata: Metadata) -> Iterator[Finding]:
    """Yield what is wrong with the journal of ``run``, and where its other records do not follow from it."""
    if not is_plain_file(run.journal):
        yield Finding(PLACE, "is missing" if not run.journal.exists() else "is no plain file")
        return
    try:
        with closing(_Summary(run.summary)) as summary:
            state, found = _folded(run.journal, summary)
            yield from found
            if any(finding.level == "error" for finding in found):
                return  # what follows from a journal with holes in it proves nothing
            yield from _metadata_faults(state, metadata)
            yield from summary.faults()
    except Failure as failure:
        yield Finding(PLACE, failure.what)


def _folded(path: Path, summary: "_Summary") -> tuple[State, list[Finding]]:
    """Return the state that the journal tells, and its own faults, and hold the ``summary`` to what it tells.

    A line that cannot be read lost nothing when the facts around it follow one another: it was torn as the machine
    died, before anybody had seen it. That is a warning; a gap is an error.
    """
    state, found = State(), []
    reading = journal.read(path)
    for envelope, after, piece in retold(path, reading):
        if isinstance(envelope.event, Fact) and envelope.seq > state.seq + 1:
            missing = f"{state.seq + 1} to {envelope.seq - 1}"
            found.append(Finding(PLACE, f"facts {missing} are missing"))
        state = after
        summary.told(piece)
    torn = [Finding(PLACE, f"line {line}: {why}", "warning") for line, why in reading.problems]
    if reading.corrupt > len(torn):
        torn.append(Finding(PLACE, f"{reading.corrupt} lines in all cannot be read", "warning"))
    if state.run is None:
        found.append(Finding(PLACE, "tells of no run"))
    elif state.run.settled_at is None:
        found.append(Finding(PLACE, "the run has not come to rest: it goes on, or its runner died"))
    return state, [*torn, *found]


def _metadata_faults(state: State, metadata: Metadata) -> Iterator[Finding]:
    run = state.run
    if run is None:
        return
    head = metadata.head
    if head is not None and (head.run_id, head.story.id) != (run.id, run.story.id):
        yield Finding(PLACE, "tells of another run than the metadata")
        return
    if head is not None and (names := _head_differences(head, metadata_head(state, run))):
        yield Finding("artifact-metadata.json", f"differs from the journal in {', '.join(names)}")
    if head is not None and head.archive is None and run.archive is not None:
        yield Finding("artifact-metadata.json", "names no archive, and the journal tells that one was written")
    for scene in state.scenes:
        place = f"scene {scene.id}"
        made, told = scene_artifact(scene, run), metadata.scenes.get(scene.id)
        if made is None:
            yield Finding(place, "no attempt of it has ended, so it has no Telemetry")
        elif told is None:
            yield Finding(place, "is in the journal, and not (or not legibly) in the metadata")
        elif made != told:
            yield Finding(place, f"the metadata differ from the journal in {', '.join(differences(made, told))}")
    for strange in metadata.scenes.keys() - state.index.keys():
        yield Finding(f"scene {strange}", "is in the metadata, and not in the journal")


def _head_differences(told: ArtifactMetadata, made: ArtifactMetadata) -> list[str]:
    """Return where the metadata's head differs; an archive that could not be written is told as null."""
    return differences(told, replace(made, archive=told.archive and made.archive))


class _Summary:
    """The summary of a run, held piece by piece to what its journal tells, in the file: it may be long."""

    def __init__(self, path: Path) -> None:
        self._lines = 0
        self._line: int | None = None
        self._file: BufferedReader | None = None
        with suppress(Unreadable):  # told where the summary itself is looked at
            self._file = opened(path)

    def told(self, piece: bytes) -> None:
        """Compare the next ``piece`` (whole lines, or nothing) that the journal tells."""
        if self._line is not None or (there := self._read(len(piece))) is None:
            return
        if there != piece:
            pairs = zip_longest(piece.split(b"\n"), there.split(b"\n"))
            same = next((number for number, (made, found) in enumerate(pairs) if made != found), 0)
            self._line = 1 + self._lines + same
        self._lines += piece.count(b"\n")

    def faults(self) -> Iterator[Finding]:
        """Yield where the summary is first not what the journal tells, once everything was told."""
        if self._line is None and self._read(1):
            self._line = 1 + self._lines
        if self._line is not None:
            yield Finding("run-summary.txt", f"line {self._line} is not what the journal tells")

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def _read(self, count: int) -> bytes | None:
        """Return the next ``count`` bytes, fewer at the end; ``None`` where the file cannot be read."""
        if self._file is None:
            return None
        try:
            return self._file.read(count)
        except OSError:
            self.close()
            self._file = None
            return None
