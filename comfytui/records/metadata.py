"""``artifact-metadata.json`` and each scene's ``scene.json``, made from the folded state and nothing else.

A scene's own fields and its Telemetry come from ONE attempt, the best (:mod:`comfytui.model.best`); the state comes
from the journal, so both can be made again at any time and are the same to the byte. A scene of which no attempt has
ended has no Telemetry and is in neither: ``Story.SceneCount`` tells that it is missing.

Paths are relative to ``RunDir`` and written with ``/``; ``RunDir`` itself and what lies outside of it (the original
keyframe, the archive) are absolute. ``HistoryPath`` is null when no history entry was read, ``GeneratedFramesDir``
when no frame was collected. ``Requeued`` and ``AttemptsRun`` count people's reruns too.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from comfytui.model.artifact import (
    ArtifactMetadata,
    AttemptSummary,
    FrameRecord,
    HistoryConfig,
    HistoryPoll,
    QueueConfig,
    SceneArtifact,
    StoryArtifact,
    SuiteLogs,
    SuiteRecord,
)
from comfytui.model.policy import QueuePolicy
from comfytui.model.state import Attempt, Run, Scene, State
from comfytui.model.telemetry import Telemetry
from comfytui.records import outcome
from comfytui.records.atomic import link_atomic, write_atomic
from comfytui.records.faults import writing
from comfytui.records.rundir import RunDir, prepare_scene, readable

SUITE_LOGS = {"comfy_ui": "Vitest comfyUI", "e2e": "Vitest e2e", "scripts": "Vitest scripts"}


# --- a scene -----------------------------------------------------------------------------------------------------


def scene_artifact(scene: Scene, run: Run) -> SceneArtifact | None:
    """Return the record of ``scene``, from its best attempt; ``None`` while none has ended. Pure."""
    best = outcome.recorded_attempt(scene)
    if best is None or best.telemetry is None:
        return None
    brief, told = scene.brief, best.telemetry
    run_dir = RunDir(Path(run.dir))
    retrieved = [look for look in best.history if look.status == "success"]
    return SceneArtifact(
        scene_id=scene.id,
        prompt=brief.prompt if best.prompt is None else best.prompt,
        negative_prompt=brief.negative_prompt,
        frame_floor=brief.floor,
        frame_count=best.proven,
        frame_prefix=best.prefix,
        duration_seconds=told.duration_seconds,
        success=best.succeeded,
        meets_frame_floor=best.proven >= brief.floor,
        history_retrieved=bool(retrieved),
        history_retrieved_at=retrieved[-1].at if retrieved else None,
        history_attempts=told.history_attempts,
        history_attempt_limit=told.history_attempt_limit,
        history_path=run_dir.relative(run_dir.history(brief.folder)) if retrieved else None,
        history_poll_log=tuple(_polls(best)),
        history_errors=outcome.history_errors(best),
        history_error=outcome.history_error(best),
        warnings=outcome.warnings_of(best, brief.floor),
        errors=outcome.errors_of(best),
        attempts_run=len(scene.attempts),
        requeued=len(scene.attempts) > 1,
        attempt_summaries=tuple(
            _attempt_summary(attempt, attempt.telemetry, brief.floor) for attempt in scene.attempts if attempt.telemetry
        ),
        scene_retry_budget=told.scene_retry_budget,
        history_config=HistoryConfig(
            max_wait_seconds=told.max_wait_seconds,
            poll_interval_seconds=told.poll_interval_seconds,
            max_attempts=told.history_attempt_limit,
            post_execution_timeout_seconds=told.post_execution_timeout_seconds,
        ),
        scene_output_dir=brief.folder,
        generated_frames_dir=run_dir.relative(run_dir.frames(brief.folder, best.number)) if best.frames else None,
        keyframe_source=brief.keyframe,
        story_title=brief.title,
        story_summary=brief.summary,
        story_mood=brief.mood,
        story_expected_frames=brief.expected_frames,
        story_camera_movement=brief.camera_movement,
        story_keyframe=run_dir.relative(run_dir.scene_keyframe(brief.folder, brief.keyframe))
        if brief.keyframe
        else None,
        telemetry=told,
        prompt_id=best.prompt_id,
        server=best.server,
        frames=tuple(
            FrameRecord(name=frame.name, bytes=frame.bytes, sha256=frame.sha256, verified=frame.verified)
            for frame in sorted(best.frames, key=lambda frame: frame.name)
        ),
    )


def _polls(attempt: Attempt) -> Iterator[HistoryPoll]:
    for number, look in enumerate(attempt.history, 1):
        message = look.message or msgspec.UNSET
        yield HistoryPoll(attempt=number, timestamp=look.at, status=look.status, message=message)


def _attempt_summary(attempt: Attempt, telemetry: Telemetry, floor: int) -> AttemptSummary:
    return AttemptSummary(
        attempt=attempt.number,
        timestamp=telemetry.queue_end,
        frame_count=attempt.proven,
        duration_seconds=telemetry.duration_seconds,
        success=attempt.succeeded,
        meets_frame_floor=attempt.proven >= floor,
        history_retrieved=outcome.history_retrieved(attempt),
        warnings=outcome.warnings_of(attempt, floor),
        errors=outcome.errors_of(attempt),
    )


def write_scene(run_dir: RunDir, state: State, scene_id: str) -> SceneArtifact | None:
    """Write ``scene.json`` of the scene, and ``history.json`` beside it, and return what it says.

    ``history.json`` is what was saved as the best attempt's history entry. Nothing is written while no attempt of the
    scene has ended. Raises ``Failure`` ``run.unwritable``.
    """
    scene = state.scene(scene_id)
    if scene is None or state.run is None or (artifact := scene_artifact(scene, state.run)) is None:
        return None
    with writing(run_dir.path):
        _write_piece(run_dir, scene, artifact)
    return artifact


def _write_piece(run_dir: RunDir, scene: Scene, artifact: SceneArtifact) -> bytes:
    """Bring what is on disk of a scene to what the state tells, and return its JSON; an equal file is left alone."""
    folder = prepare_scene(run_dir, scene.brief).name
    best = outcome.recorded_attempt(scene)
    if artifact.history_path is not None and best is not None:
        with contextlib.suppress(FileNotFoundError):  # validation tells of it
            link_atomic(run_dir.attempt_history(folder, best.number), run_dir.history(folder))
    piece = readable(artifact)
    if _content(run_dir.scene_json(folder)) != piece:
        write_atomic(run_dir.scene_json(folder), piece)
    return piece


def _content(path: Path) -> bytes | None:
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    return None


# --- the whole ---------------------------------------------------------------------------------------------------


def build_metadata(run_dir: RunDir, state: State, *, archived: bool = True) -> None:
    """Write ``artifact-metadata.json``, scene by scene, so that memory does not grow with their number.

    ``Archive`` names the zip that is written after this; ``archived=False`` says that there is none.

    Each scene goes in as its ``scene.json`` says; a piece that is missing, corrupt or not what the journal tells is
    written anew first. Raises ``Failure`` ``run.unwritable``, and ``ValueError`` for a state without a run.
    """
    if state.run is None:
        raise ValueError("there is no run in this state")
    run = state.run

    def pieces() -> Iterator[bytes]:
        for scene in state.scenes:
            if (artifact := scene_artifact(scene, run)) is not None:
                yield _write_piece(run_dir, scene, artifact)

    with writing(run_dir.path):
        write_atomic(run_dir.metadata, spliced(metadata_head(state, run, archived=archived), pieces()))


def metadata_head(state: State, run: Run, *, archived: bool = True) -> ArtifactMetadata:
    """Return the metadata of the run without its scenes; not ``archived``: no archive could be written. Pure."""
    return ArtifactMetadata(
        run_id=run.id,
        timestamp=run.settled_at or state.at or run.opened_at,
        run_dir=run.dir,
        story=_story(state, run),
        queue_config=queue_config(run.policy),
        scenes=(),
        suites=run.suites,
        vitest_logs=_suite_logs(run.suites),
        archive=str(RunDir(Path(run.dir)).archive) if archived else None,
    )


def spliced(head: ArtifactMetadata, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the JSON of ``head`` with ``pieces`` as its ``Scenes``."""
    before, after = readable(head).rsplit(b'"Scenes": []', 1)  # what a story says of its model comes before it
    yield before + b'"Scenes": ['
    comma = b"\n"
    for piece in pieces:
        yield comma + piece.rstrip(b"\n")
        comma = b",\n"
    yield b"]" + after


def queue_config(policy: QueuePolicy) -> QueueConfig:
    """Return ``QueueConfig`` as ``policy`` has it."""
    return QueueConfig(
        scene_retry_budget=policy.scene_retry_budget,
        history_max_wait_seconds=policy.max_wait_seconds,
        history_poll_interval_seconds=policy.poll_interval_seconds,
        history_max_attempts=policy.history_max_attempts,
        post_execution_timeout_seconds=policy.post_execution_timeout_seconds,
    )


def _story(state: State, run: Run) -> StoryArtifact:
    run_dir = RunDir(Path(run.dir))
    return StoryArtifact(
        id=run.story.id,
        logline=run.story.logline,
        directors_vision=run.story.directors_vision,
        generator=run.story.generator,
        file=run_dir.relative(run_dir.story_file(run.story.file)) if run.story.file else "",
        scene_count=len(state.scenes),
        story_dir=run_dir.relative(run_dir.story),
        llm=run.story.llm,
        health_check=run.story.health,
        warnings=run.story.warnings,
    )


def _suite_logs(suites: tuple[SuiteRecord, ...]) -> SuiteLogs:
    logs = {suite.label: suite.log_path for suite in suites}
    return SuiteLogs(**{name: logs.get(label) for name, label in SUITE_LOGS.items()})
