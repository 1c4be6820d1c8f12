"""The summary against the metadata: the lines that tools parse are there, and say the same."""

import re
from array import array
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from comfytui.model.artifact import ArtifactMetadata, SceneArtifact
from comfytui.model.llm import health_line
from comfytui.model.policy import unbounded
from comfytui.records.checks.finding import Finding, at, shown
from comfytui.records.checks.reading import Unreadable, opened
from comfytui.records.checks.record import Metadata
from comfytui.records.faults import why
from comfytui.records.summary import one_line, telemetry_text, value

PLACE = "run-summary.txt"
INDEX = "## Artifact Index"

MAX_ID = 1000
"""Characters of a line within which the id of its scene ends."""

_STAMPED = re.compile(r"\[(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\] (.*)")
_STAMP = len("[00:00:00] ")


class Told:
    """The lines that begin with a mark and the id of a scene, by that id; they stay in the file until asked for."""

    def __init__(self, file: BufferedReader, mark: str, end: str) -> None:
        """``end`` is what follows the id."""
        self._file, self._mark, self._end = file, mark, end
        self._places: dict[str, array[int]] = {}

    def takes(self, text: str, place: int, known: set[str]) -> bool:
        """Tell whether ``text``, of the line that begins at ``place``, is such a one of a scene that is ``known``."""
        if not text.startswith(self._mark) or (scene := _id_in(text, len(self._mark), self._end, known)) is None:
            return False
        self._places.setdefault(scene, array("Q")).append(place)
        return True

    def of(self, scene: str) -> list[str]:
        """Return the texts of a scene's lines, without mark and id."""
        return [self._text(place, len(self._mark) + len(scene) + 1) for place in self._places.get(scene, ())]

    def _text(self, place: int, begins: int) -> str:
        self._file.seek(place)
        line = self._file.readline().decode(errors="replace")
        return line[_STAMP + begins :].strip()


class Summary(NamedTuple):
    """The texts of a summary, in order: those of the run, those that begin ``[Scene ID]`` by id, the bare ones."""

    run: list[str]
    scenes: Told
    attempts: Told
    bare: list[str]


def check(path: Path, metadata: Metadata) -> Iterator[Finding]:
    """Yield what is wrong with the summary at ``path``, by itself and against ``metadata``."""
    try:
        file = opened(path)
    except Unreadable as fault:
        yield Finding(PLACE, str(fault))
        return
    with file:
        try:
            yield from _faults(file, metadata)
        except OSError as fault:
            yield Finding(PLACE, f"cannot be read: {why(fault)}")


def _faults(file: BufferedReader, metadata: Metadata) -> Iterator[Finding]:
    summary = Summary([], Told(file, "[Scene ", "]"), Told(file, "[Attempt ", " "), [])
    try:
        _sort_lines(file, metadata.scenes.keys(), summary)
    except _NotText as fault:
        yield Finding(PLACE, str(fault))
        return
    if metadata.head is not None:
        yield from at(PLACE, _run_faults(summary, metadata.head))
        yield from at(PLACE, _closing_faults(summary, metadata.head, metadata))
    for scene in metadata.scenes.values():
        place = f"{PLACE} scene {scene.scene_id}"
        told = summary.scenes.of(scene.scene_id)
        yield from at(place, _telemetry_faults(told, scene))
        yield from at(place, _warning_faults(told, scene))
        yield from at(place, _attempt_faults(told, summary.attempts.of(scene.scene_id), scene))


class _NotText(Exception):
    """The summary is not UTF-8; the words tell where."""


def _sort_lines(file: BufferedReader, scenes: Iterable[str], summary: Summary) -> None:
    """Put the lines of ``file`` where they belong in ``summary``; ``scenes`` are the ids that are known."""
    known = set(scenes)
    place = 0
    for line in file:
        try:
            text = line.decode().removesuffix("\n")
        except UnicodeDecodeError as fault:
            raise _NotText(f"is not UTF-8 at byte {place + fault.start}") from None
        stamped = _STAMPED.fullmatch(text)
        if stamped is None:
            summary.bare.append(text)
        elif not any(told.takes(stamped[1], place, known) for told in (summary.scenes, summary.attempts)):
            summary.run.append(stamped[1])
        place += len(line)


def _id_in(text: str, start: int, end: str, known: set[str]) -> str | None:
    """Return the longest id that begins at ``start`` and is followed by ``end``: it may hold that character itself."""
    found = None
    place = text.find(end, start)
    while 0 <= place <= start + MAX_ID:
        if text[start:place] in known:
            found = text[start:place]
        place = text.find(end, place + 1)
    return found


def _run_faults(summary: Summary, head: ArtifactMetadata) -> Iterator[str]:
    config, story = head.queue_config, head.story
    first = f"E2E Story-to-Video Run: {head.run_id}"
    if not summary.run or summary.run[0] != first:
        yield f"the first line is not {shown(first)}"
    policy = (
        f"sceneRetries={config.scene_retry_budget}, historyMaxWait={config.history_max_wait_seconds}s, "
        f"historyPollInterval={config.history_poll_interval_seconds}s, "
        f"historyMaxAttempts={unbounded(config.history_max_attempts)}, "
        f"postExecutionTimeout={config.post_execution_timeout_seconds}s"
    )
    for name, wanted in (
        ("Story ready: ", f"{one_line(story.id)} (scenes={story.scene_count})"),
        ("Director's vision: ", one_line(story.directors_vision) or "(none)"),
        ("Story logline: ", one_line(story.logline) or "(none)"),
        ("Queue policy: ", policy),
    ):
        told = next((text[len(name) :] for text in summary.run if text.startswith(name)), None)
        if told is None:
            yield f"there is no line {shown(name.rstrip(': '))}"
        elif told != wanted:
            yield f"{name.rstrip()} is {shown(told)}, and the metadata tell {shown(wanted)}"
    if story.health_check is not None and (wanted := one_line(health_line(story.health_check))) not in summary.run:
        yield f"there is no line {shown(wanted)}"
    for suite in head.suites:
        if not any(f"{suite.label} exitCode={suite.exit_code}" in text for text in summary.run):
            yield f"there is no line {shown(f'{suite.label} exitCode={suite.exit_code}')}"


def _closing_faults(summary: Summary, head: ArtifactMetadata, metadata: Metadata) -> Iterator[str]:
    figures = f"total frames={metadata.frames} | requeues={metadata.requeues}"
    closing = f"Scene summary: {metadata.succeeded}/{head.story.scene_count} succeeded | {figures}"
    told = [text for text in summary.run if text.startswith("Scene summary: ")]
    if told != [closing]:
        yield f"the Scene summary is {shown(told[0]) if told else 'missing'}, and the metadata tell {shown(closing)}"
    wanted = [
        INDEX,
        f"Story folder: {head.story.story_dir}",
        f"Scenes captured: {len(metadata.scenes)}",
        f"Total frames copied: {metadata.frames}",
        *(one_line(f"{suite.label} log: {suite.log_path}") for suite in head.suites),
        *([one_line(f"Archive: {head.archive}")] if head.archive else []),
    ]
    if summary.bare.count(INDEX) != 1:
        yield f"{INDEX} stands there {summary.bare.count(INDEX)} times, not once"
    for line in wanted[1:]:
        if line not in summary.bare:
            yield f"the Artifact Index has no line {shown(line)}"
    for line in summary.bare:
        planned = head.archive is None and line.startswith("Archive: ")  # the index is older than the archive
        if line not in wanted and not planned:
            yield f"the line {shown(line)} has no time and is not of the Artifact Index"


def _telemetry_faults(told: list[str], scene: SceneArtifact) -> Iterator[str]:
    lines = [text.removeprefix("Telemetry: ") for text in told if text.startswith("Telemetry: ")]
    if len(lines) != 1:
        yield f"there are {len(lines)} Telemetry lines, not one"
    if not lines:
        return
    given, wanted = _values(lines[0]), _values(telemetry_text(scene.telemetry))
    for name, right in wanted.items():
        if name == "fallback":
            continue
        if name not in given:
            yield f"the Telemetry line has no {name}"
        elif not _same(name, given[name], right):
            yield f"the Telemetry line has {name}={shown(given[name])}, and the metadata tell {shown(right)}"
    for note in scene.telemetry.system.fallback_notes:
        if value(note) not in given.get("fallback", ""):
            yield f"the Telemetry line lacks the fallback note {shown(note)}"


def _same(name: str, given: str, wanted: str) -> bool:
    if name != "DoneMarkerWaitSeconds":
        return given == wanted
    try:
        return abs(float(given.removesuffix("s")) - float(wanted.removesuffix("s"))) <= 0.1 + 1e-9
    except ValueError:
        return False


def _values(line: str) -> dict[str, str]:
    """Return the values of a Telemetry line by name."""
    parts = (part.partition("=") for part in line.split(" | "))
    return {name: word for name, _, word in parts}


def _warning_faults(told: list[str], scene: SceneArtifact) -> Iterator[str]:
    floored = f"WARNING: Frame count below floor ({scene.frame_count}/{scene.frame_floor})"
    if not scene.meets_frame_floor and floored not in told:
        yield f"there is no line {shown(floored)}"
    if (scene.history_error is not None or scene.history_errors) and not _begins(told, "HISTORY WARNING: "):
        yield "there is no HISTORY WARNING line, though history was missing or errored"
    if scene.history_path is not None and f"History saved: {scene.history_path}" not in told:
        yield f"there is no line {shown(f'History saved: {scene.history_path}')}"
    if not scene.success and not _begins(told, "ERROR: "):
        yield "there is no ERROR line, though the scene failed"


def _attempt_faults(told: list[str], tries: list[str], scene: SceneArtifact) -> Iterator[str]:
    for attempt in scene.attempt_summaries:
        line = (
            f"[Attempt {attempt.attempt}] Frames={attempt.frame_count} Duration={attempt.duration_seconds:.1f}s Prefix="
        )
        if not _begins(told, line):
            yield f"there is no line {shown(line)}"
        if not _begins(tries, f"{attempt.attempt}] Telemetry: "):
            yield f"attempt {attempt.attempt} has no Telemetry line"


def _begins(lines: list[str], start: str) -> bool:
    return any(line.startswith(start) for line in lines)
