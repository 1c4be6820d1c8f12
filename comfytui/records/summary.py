"""``run-summary.txt``: what happened, for people and for the scripts that parse it (telemetry contract, version 1).

:func:`lines` is a pure function of one fact and the state after it. The summary is written with it while the run goes
on, at a cost that does not grow, and :func:`rebuilt` makes the same bytes from the journal alone.

**Whose lines they are.** Lines that begin ``[Attempt scene-001 2]`` tell of that attempt, as it ends. Lines that begin
``[Scene scene-001]`` tell of the scene, as it ends, and come from ONE attempt: its best. (``[Scene scene-001][Attempt
2] Frames=`` and the requeue are the two that the contract words otherwise.)

**A run that is taken up again.** Parsers take the first match, so each scene's Telemetry line and the closing part
(Scene summary, Artifact Index) may stand there only once. When a scene ends again, an attempt loses a frame after its
end, a check suite runs again, or the run settles again, the section that was written before is *superseded*. The file
is a log while the run goes on: the new section is appended. When the run settles (``RunSettled``), and a section was
superseded, the whole file is rebuilt from the journal without the superseded ones, and replaced atomically. So at rest
the file always equals :func:`rebuilt`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from comfytui.clock import in_zone
from comfytui.model import events as e
from comfytui.model.envelope import Envelope
from comfytui.model.fold import fold
from comfytui.model.llm import health_line
from comfytui.model.narrate import narrate
from comfytui.model.policy import QueuePolicy, unbounded
from comfytui.model.state import Attempt, Run, Scene, State
from comfytui.model.telemetry import Telemetry
from comfytui.records import journal, outcome
from comfytui.records.atomic import write_atomic
from comfytui.records.faults import writing
from comfytui.records.rundir import RunDir
from comfytui.untrusted import plain

MAX_TEXT = 100_000
"""The longest text of a line, in characters: what a story may hold is not cut."""

CLOSING: Literal["closing"] = "closing"


def lines(envelope: Envelope, state: State) -> list[str]:
    """Return the lines that the fact in ``envelope`` adds to the summary, given the ``state`` after it."""
    at, event = envelope.at, envelope.event
    match event:
        case e.RunOpened() if state.run is not None:
            return [stamped(at, text) for text in _opening(state.run, event)]
        case e.AttemptFact():
            scene = state.scene(event.scene)
            attempt = scene.attempt(event.attempt) if scene else None
            if scene is None or attempt is None:
                return []
            return [stamped(at, text) for text in _attempt_lines(event, scene, attempt)]
        case e.SceneRequeued():
            text = f"Requeue requested (next attempt {event.next_attempt}/{event.attempts}) reason: {event.reason}"
            return [stamped(at, f"[Scene {event.scene}] {text}")]
        case e.SceneEnded():
            scene = state.scene(event.scene)
            return [stamped(at, f"[Scene {event.scene}] {text}") for text in _scene_lines(scene)] if scene else []
        case e.RunSettled() if state.run is not None:
            told = [stamped(at, text) for text in (_scene_summary(state), *_server_lines(state))]
            return told + [one_line(text) for text in _artifact_index(state, state.run)]
        case e.SuiteRan(suite=suite):
            return [stamped(at, f"{suite.label} exitCode={suite.exit_code}")]
        case e.RunValidated():
            verdict = "passed" if event.passed else f"failed ({len(event.findings)} findings)"
            return [stamped(at, f"[Validation] run-summary validation {verdict}")]
        case _:
            return [stamped(at, text) for text in _told(event)]


def section(event: e.AnyEvent) -> tuple[str, ...] | None:
    """Return the section that ``event`` writes, of which only the newest may stand in the file; else ``None``."""
    match event:
        case e.SceneEnded(scene=scene):
            return ("scene", scene)
        case e.AttemptEnded(scene=scene, attempt=number) | e.FrameLost(scene=scene, attempt=number):
            return ("attempt", scene, str(number))
        case e.SuiteRan(suite=suite):
            return ("suite", suite.label)
        case e.RunSettled():
            return (CLOSING,)
        case _:
            return None


def rebuilt(path: Path) -> Iterator[bytes]:
    """Yield the summary of the run whose journal is at ``path``, piece by piece. Raises ``Failure``."""
    return (piece for _, _, piece in retold(path, journal.read(path)))


def retold(path: Path, reading: Iterable[Envelope]) -> Iterator[tuple[Envelope, State, bytes]]:
    """Yield the envelopes of ``reading``, which reads the journal at ``path``, each with the state after it and with
    the piece of the summary that it adds. Raises ``Failure``.
    """
    newest: dict[tuple[str, ...], int] = {}
    for envelope in journal.read(path):
        if (key := section(envelope.event)) is not None:
            newest[key] = envelope.seq
    state = State()
    for envelope in reading:
        seen = state.seq
        state = fold(state, envelope)
        # What the validator said of an earlier rest goes with it.
        key = (CLOSING,) if isinstance(envelope.event, e.RunValidated) else section(envelope.event)
        told = envelope.is_fact and envelope.seq > seen and (key is None or envelope.seq >= newest.get(key, 0))
        yield envelope, state, _bytes(lines(envelope, state)) if told else b""


class SummaryWriter:
    """Keeps ``run-summary.txt`` up to date: hand it every new fact with the state after it.

    It is made before the first new fact is journalled; for a run that has a journal already, the file is then rebuilt
    once, since its last writer may have died between the journal and the summary.
    """

    def __init__(self, run: RunDir) -> None:
        """Raises ``Failure`` ``run.unwritable`` or ``journal.unreadable``."""
        self._run = run
        self._told: set[int] = set()
        """The hashes of the sections that were written: a long story has many, and their names are long."""
        self._superseded = False
        if run.journal.exists():
            self._told = {hash(key) for envelope in journal.read(run.journal) if (key := section(envelope.event))}
            self.rebuild()

    def take(self, envelope: Envelope, state: State) -> None:
        """Append what the fact in ``envelope``, which is in the journal already, adds, given the ``state`` after it.

        Raises ``Failure`` ``run.unwritable``.
        """
        if not envelope.is_fact:
            return
        key = section(envelope.event)
        if key is not None:
            self._superseded |= hash(key) in self._told
            self._told.add(hash(key))
        if key == (CLOSING,) and self._superseded:
            self.rebuild()
        elif added := _bytes(lines(envelope, state)):
            self._append(added)

    def _append(self, added: bytes) -> None:
        whole = False
        try:
            with writing(self._run.path), self._run.summary.open("ab") as file:
                file.write(added)
            whole = True
        finally:
            self._superseded |= not whole  # a disk that was full for a while leaves no half line behind

    def rebuild(self) -> None:
        """Replace the file by what the journal tells. Raises ``Failure``."""
        write_atomic(self._run.summary, rebuilt(self._run.journal))
        self._superseded = False


# --- words -------------------------------------------------------------------------------------------------------


def stamped(at: datetime, text: str) -> str:
    """Return ``[HH:mm:ss] text`` (UTC), folded to one line."""
    return f"[{clock_time(at)}] {one_line(text)}"


def clock_time(at: datetime) -> str:
    """Return ``at`` as the summary shows times: HH:mm:ss, UTC."""
    return f"{in_zone(at, UTC):%H:%M:%S}"


def one_line(text: str) -> str:
    """Return ``text`` as it stands in the summary: plain, on one line."""
    return plain(text, MAX_TEXT)


def queue_policy_line(policy: QueuePolicy) -> str:
    """Return the ``Queue policy:`` line's text."""
    return (
        f"Queue policy: sceneRetries={policy.scene_retry_budget}, historyMaxWait={policy.max_wait_seconds}s, "
        f"historyPollInterval={policy.poll_interval_seconds}s, "
        f"historyMaxAttempts={unbounded(policy.history_max_attempts)}, "
        f"postExecutionTimeout={policy.post_execution_timeout_seconds}s"
    )


def telemetry_text(t: Telemetry) -> str:
    """Return what follows ``Telemetry: ``. What is unknown reads ``n/a``; ``fallback`` stands where notes are."""
    gpu = t.gpu
    succeeded_at = "n/a" if t.execution_success_at is None else clock_time(t.execution_success_at)
    parts = {
        "DurationSeconds": f"{t.duration_seconds:.1f}s",
        "MaxWaitSeconds": f"{t.max_wait_seconds}s",
        "PollIntervalSeconds": f"{t.poll_interval_seconds}s",
        "HistoryAttempts": str(t.history_attempts),
        "pollLimit": unbounded(t.history_attempt_limit),
        "SceneRetryBudget": unbounded(t.scene_retry_budget),
        "PostExecutionTimeoutSeconds": f"{t.post_execution_timeout_seconds}s",
        "ExecutionSuccessDetected": _flag(t.execution_success_detected),
        "ExecutionSuccessAt": succeeded_at,
        "HistoryExitReason": t.history_exit_reason,
        "GPU": value(gpu.name),
        "VRAMBeforeMB": _mb(gpu.vram_before_mb),
        "VRAMAfterMB": _mb(gpu.vram_after_mb),
        "VRAMDeltaMB": _mb(gpu.vram_delta_mb),
        "DoneMarkerWaitSeconds": f"{t.done_marker_wait_seconds:.1f}s",
        "DoneMarkerDetected": _flag(t.done_marker_detected),
        "ForcedCopyTriggered": _flag(t.forced_copy_triggered),
    }
    if t.system.fallback_notes:
        parts["fallback"] = "; ".join(value(note) for note in t.system.fallback_notes)
    return " | ".join(f"{name}={word}" for name, word in parts.items())


def value(text: str) -> str:
    """Return ``text`` as a value of the Telemetry line: on one line, and without the bar that parts its values."""
    return one_line(text).replace("|", "/")


def _mb(size: float | None) -> str:
    return "n/a" if size is None else f"{size:.1f}MB"


def _flag(yes: bool) -> str:
    return "true" if yes else "false"


def _bytes(texts: list[str]) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode()


def _opening(run: Run, opened: e.RunOpened) -> Iterator[str]:
    yield f"E2E Story-to-Video Run: {run.id}"
    yield f"Story ready: {run.story.id} (scenes={len(opened.scenes)})"
    yield f"Director's vision: {run.story.directors_vision or '(none)'}"
    yield f"Story logline: {run.story.logline or '(none)'}"
    yield queue_policy_line(run.policy)
    if run.story.health is not None:
        yield health_line(run.story.health)
    yield f"Workflow: {run.workflow}"
    if opened.servers:
        yield f"Servers: {', '.join(f'{server.name} ({server.url})' for server in opened.servers)}"


def _attempt_lines(event: e.AttemptFact, scene: Scene, attempt: Attempt) -> Iterator[str]:
    mark = f"[Attempt {scene.id} {attempt.number}]"
    match event:
        case e.AttemptPlanned():
            again = f", {event.reason}" if event.reason else ""
            on = f" on {event.server}" if event.server else ""
            yield f"{mark} Prompt {event.prompt_id} seed={event.seed}{on}{again}"
        case e.StallNoticed() if (told := narrate(event)) is not None:
            yield f"{mark} {told[1]}"
        case e.AttemptEnded() | e.FrameLost() if (telemetry := attempt.telemetry) is not None:
            seconds = f"{telemetry.duration_seconds:.1f}s"
            frames = f"Frames={attempt.proven} Duration={seconds} Prefix={attempt.prefix}"
            yield f"[Scene {scene.id}][Attempt {attempt.number}] {frames}"
            yield f"{mark} Telemetry: {telemetry_text(telemetry)}"
            for warning in outcome.warnings_of(attempt, scene.brief.floor):
                yield f"{mark} WARNING: {warning}"
            for error in outcome.errors_of(attempt):
                yield f"{mark} ERROR: {error}"


def _scene_lines(scene: Scene) -> Iterator[str]:
    best = outcome.recorded_attempt(scene)
    if best is None or best.telemetry is None:
        yield "ERROR: ended before any attempt was made"
        return
    if outcome.history_retrieved(best):
        yield f"History saved: {scene.brief.folder}/history.json"
    if warning := outcome.history_warning(best):
        yield f"HISTORY WARNING: {warning} (attempts={len(best.history)})"
    for warning in outcome.warnings_of(best, scene.brief.floor):
        yield f"WARNING: {warning}"
    for error in outcome.errors_of(best):
        yield f"ERROR: {error}"
    yield f"Telemetry: {telemetry_text(best.telemetry)}"


def _scene_summary(state: State) -> str:
    succeeded = sum(scene.success for scene in state.scenes)
    requeues = sum(max(0, len(scene.attempts) - 1) for scene in state.scenes)
    frames = f"total frames={total_frames(state)}"
    return f"Scene summary: {succeeded}/{len(state.scenes)} succeeded | {frames} | requeues={requeues}"


def _server_lines(state: State) -> Iterator[str]:
    """Yield what each server contributed, where there are several."""
    if not state.several:
        return
    scenes, frames, seconds = Counter[str](), Counter[str](), dict.fromkeys((s.name for s in state.servers), 0.0)
    for best in filter(None, map(outcome.recorded_attempt, state.scenes)):
        if best.server_name not in seconds:  # given up before a server was chosen for it
            continue
        scenes[best.server_name] += 1
        frames[best.server_name] += best.proven
        seconds[best.server_name] += _executed(best)
    for name, executed in seconds.items():
        yield f"Server {name}: scenes={scenes[name]} | frames={frames[name]} | executed={executed:.1f}s"


def _executed(attempt: Attempt) -> float:
    began, ended = attempt.executing_at, attempt.execution_ended_at
    return (ended - began).total_seconds() if began and ended else 0.0


def total_frames(state: State) -> int:
    """Return the proven frames of all scenes, of each the best attempt's."""
    return sum(best.proven for scene in state.scenes if (best := outcome.recorded_attempt(scene)))


def _artifact_index(state: State, run: Run) -> Iterator[str]:
    yield "## Artifact Index"
    yield "Story folder: story"
    yield f"Scenes captured: {sum(outcome.recorded_attempt(scene) is not None for scene in state.scenes)}"
    yield f"Total frames copied: {total_frames(state)}"
    for suite in run.suites:
        yield f"{suite.label} log: {suite.log_path}"
    yield f"Archive: {RunDir(Path(run.dir)).archive}"


def _told(event: e.AnyEvent) -> Iterator[str]:
    """What else a person at 3 a.m. wants to find in the summary: in the words of the log pane."""
    match event:
        case e.RunEnded(outcome="finished") | e.RunArchived():
            return  # they come after the archive, whose copy of the summary would then be an older one
        case _ if (told := narrate(event)) is not None:
            level, text, scene = told
            yield f"{f'[Scene {scene}] ' if scene else ''}{'' if level == 'info' else f'{level.upper()}: '}{text}"
