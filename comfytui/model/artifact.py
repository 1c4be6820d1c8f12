"""What stays on disk beside the frames: ``artifact-metadata.json`` and each scene's ``scene.json``.

The names are those of the telemetry contract, version 1, to the letter.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field

from comfytui.model.llm import HealthCheck
from comfytui.model.telemetry import CONTRACT_VERSION, ContractStruct, Count, Moment, Seconds, Telemetry, says


class FrameRecord(ContractStruct, frozen=True, kw_only=True):
    """A frame in a run folder: its file name, size in bytes and SHA-256; ``verified`` when it is proven whole."""

    name: Annotated[str, says("file name in GeneratedFramesDir")]
    bytes: Annotated[Count, says("size", "bytes")]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$"), says("SHA-256 of the file, hex")]
    verified: Annotated[bool, says("it is proven whole")]


class HistoryPoll(ContractStruct, frozen=True, kw_only=True, omit_defaults=True):
    """One read of ``/history/<prompt_id>``."""

    attempt: Annotated[Count, says("which read it was, from 1")]
    timestamp: Annotated[Moment, says("when")]
    status: Annotated[
        Literal["success", "pending", "error"],
        says("`success`: the entry was there; `pending`: not yet; `error`: the request failed"),
    ]
    message: Annotated[str | UnsetType, says("what went wrong; left out where nothing did")] = UNSET


class AttemptSummary(ContractStruct, frozen=True, kw_only=True):
    """The outcome of one attempt of a scene."""

    attempt: Annotated[Count, says("its number, from 1")]
    timestamp: Annotated[Moment, says("when it ended")]
    frame_count: Annotated[Count, says("its frames proven whole")]
    duration_seconds: Annotated[Seconds, says("its DurationSeconds", "seconds")]
    success: Annotated[bool, says("as a scene's Success, for this attempt")]
    meets_frame_floor: Annotated[bool, says("FrameCount >= the scene's FrameFloor")]
    history_retrieved: Annotated[bool, says("its history entry was read")]
    warnings: Annotated[tuple[str, ...], says("what a person should look at")]
    errors: Annotated[tuple[str, ...], says("what made it fail")]


class HistoryConfig(ContractStruct, frozen=True, kw_only=True):
    """The waiting policy of a scene, under the names of the old scripts. Seconds; 0 attempts = unbounded."""

    max_wait_seconds: Annotated[Count, says("longest execution of a prompt", "seconds")]
    poll_interval_seconds: Annotated[Count, says("silence after which history is read", "seconds")]
    max_attempts: Annotated[Count, says("most reads of history; 0 = unbounded")]
    post_execution_timeout_seconds: Annotated[Count, says("from success to the last frame", "seconds")]


class QueueConfig(ContractStruct, frozen=True, kw_only=True):
    """The waiting policy of the run. Seconds; 0 attempts = unbounded."""

    scene_retry_budget: Annotated[Count, says("attempts beyond the first")]
    history_max_wait_seconds: Annotated[Count, says("longest execution of a prompt", "seconds")]
    history_poll_interval_seconds: Annotated[Count, says("silence after which history is read", "seconds")]
    history_max_attempts: Annotated[Count, says("most reads of history; 0 = unbounded")]
    post_execution_timeout_seconds: Annotated[Count, says("from success to the last frame", "seconds")]


class SceneArtifact(ContractStruct, frozen=True, kw_only=True):
    """A scene of the metadata. Its own fields and its ``Telemetry`` all come from ONE attempt: the best one."""

    scene_id: Annotated[str, says("its id in the story")]
    prompt: Annotated[str, says("the text that was rendered")]
    negative_prompt: Annotated[str, says("what was to be avoided")]
    frame_floor: Annotated[Count, says("proven frames that the scene needs")]
    frame_count: Annotated[Count, says("frames proven whole")]
    frame_prefix: Annotated[str, says("the prefix of its files on the server")]
    duration_seconds: Annotated[Seconds, says("the attempt's DurationSeconds", "seconds")]
    success: Annotated[bool, says("ComfyUI reported success for the attempt, and at least one frame is proven whole")]
    meets_frame_floor: Annotated[bool, says("FrameCount >= FrameFloor")]
    history_retrieved: Annotated[bool, says("the history entry was read")]
    history_retrieved_at: Annotated[Moment | None, says("when")]
    history_attempts: Annotated[Count, says("`/history/<prompt_id>` requests really made")]
    history_attempt_limit: Annotated[Count, says("most such requests; 0 = unbounded")]
    history_path: Annotated[str | None, says("the entry as the server gave it")]
    history_poll_log: Annotated[tuple[HistoryPoll, ...], says("every read of history")]
    history_errors: Annotated[tuple[str, ...], says("what went wrong in those reads, in order")]
    history_error: Annotated[str | None, says("why the entry is missing; null when it is there")]
    warnings: Annotated[tuple[str, ...], says("what a person should look at")]
    errors: Annotated[tuple[str, ...], says("what made it fail; empty when nothing did")]
    attempts_run: Annotated[Count, says("attempts of the scene in all")]
    requeued: Annotated[bool, says("there was more than one")]
    attempt_summaries: Annotated[tuple[AttemptSummary, ...], says("the outcome of every attempt")]
    scene_retry_budget: Annotated[Count, says("attempts beyond the first")]
    history_config: Annotated[HistoryConfig, says("the policy of waiting")]
    scene_output_dir: Annotated[str, says("the scene's folder")]
    generated_frames_dir: Annotated[str | None, says("where its frames are; null when there are none")]
    keyframe_source: Annotated[str | None, says("the keyframe that the story names, absolute")]
    story_title: Annotated[str, says("from the story")]
    story_summary: Annotated[str, says("from the story")]
    story_mood: Annotated[str, says("from the story")]
    story_expected_frames: Annotated[Count, says("from the story")]
    story_camera_movement: Annotated[str, says("from the story")]
    story_keyframe: Annotated[str | None, says("the run's copy of the keyframe")]
    telemetry: Annotated[Telemetry, says("the record of the attempt")]
    prompt_id: Annotated[str, says("its id on the server")]
    server: Annotated[str, says("base URL of the server that it was sent to")]
    frames: Annotated[tuple[FrameRecord, ...], says("every frame that was collected, by name")]


class StoryArtifact(ContractStruct, frozen=True, kw_only=True):
    """The story that was rendered. ``llm`` and ``health_check`` are null when no model was asked for one."""

    id: Annotated[str, says("storyId")]
    logline: Annotated[str, says("one sentence")]
    directors_vision: Annotated[str, says("how it should look")]
    generator: Annotated[str, says("who wrote it")]
    file: Annotated[str, says("the run's copy of the story file; empty for none")]
    scene_count: Annotated[Count, says("scenes in the story, rendered or not")]
    story_dir: Annotated[str, says("where the copies are")]
    llm: Annotated[
        dict[str, Any] | None,
        says(
            "the model that was asked for the story, as older story files tell it: enabled, status (success, error), "
            "providerUrl, requestFormat, model, seed, temperature, scenesRequested, scenesReceived, structuredOutput "
            "(json_schema, plain), error, startedAt, completedAt, durationMs; the unknown is left out; null for none"
        ),
    ]
    health_check: Annotated[HealthCheck | None, says("the model's health; null when none was asked")]
    warnings: Annotated[tuple[str, ...], says("what is odd about the story")]


class SuiteRecord(ContractStruct, frozen=True, kw_only=True):
    """A check command that ran after the scenes. ``duration_ms`` in milliseconds."""

    label: Annotated[str, says("its name")]
    command: Annotated[str, says("what was run")]
    exit_code: Annotated[int, says("0 = passed")]
    duration_ms: Annotated[Count, says("how long it took", "milliseconds")]
    log_path: Annotated[str, says("its output")]
    started_at: Annotated[Moment, says("when it began")]


class SuiteLogs(ContractStruct, frozen=True, kw_only=True):
    """Where the logs of the three suites are that old consumers look for."""

    comfy_ui: Annotated[str | None, says("log of the suite `Vitest comfyUI`")] = field(name="ComfyUI")
    e2e: Annotated[str | None, says("log of the suite `Vitest e2e`")] = field(name="E2E")
    scripts: Annotated[str | None, says("log of the suite `Vitest scripts`")] = field(name="Scripts")


class ArtifactMetadata(ContractStruct, frozen=True, kw_only=True):
    """The whole of ``artifact-metadata.json``."""

    run_id: Annotated[str, says("yyyyMMdd-HHmmss, unique in its runs folder")]
    timestamp: Annotated[Moment, says("when nothing was left to render")]
    run_dir: Annotated[str, says("the run folder, absolute; other paths are relative to it")]
    story: Annotated[StoryArtifact, says("what was rendered")]
    queue_config: Annotated[QueueConfig, says("the policy of the run")]
    scenes: Annotated[
        tuple[SceneArtifact, ...], says("every scene of which an attempt has ended, in the order of the story")
    ]
    suites: Annotated[tuple[SuiteRecord, ...], says("check commands that ran after the scenes")]
    vitest_logs: Annotated[SuiteLogs, says("their logs, under the names that old tools look for")]
    archive: Annotated[str | None, says("where the zip is written, absolute")]
    contract_version: Annotated[Count, says("of this contract")] = CONTRACT_VERSION
