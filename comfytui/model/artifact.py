"""What stays on disk beside the frames: ``artifact-metadata.json`` and each scene's ``scene.json``.

The names are those of the telemetry contract, version 1, to the letter.
"""

from typing import Any, Literal

from msgspec import UNSET, UnsetType, field

from comfytui.model.telemetry import CONTRACT_VERSION, ContractStruct, Moment, Telemetry


class FrameRecord(ContractStruct, frozen=True, kw_only=True):
    """A frame in a run folder: its file name, size in bytes and SHA-256; ``verified`` when it is proven whole."""

    name: str
    bytes: int
    sha256: str
    verified: bool


class HistoryPoll(ContractStruct, frozen=True, kw_only=True, omit_defaults=True):
    """One read of ``/history/<prompt_id>``."""

    attempt: int
    timestamp: Moment
    status: Literal["success", "pending", "error"]
    message: str | UnsetType = UNSET


class AttemptSummary(ContractStruct, frozen=True, kw_only=True):
    """The outcome of one attempt of a scene."""

    attempt: int
    timestamp: Moment
    frame_count: int
    duration_seconds: float
    success: bool
    meets_frame_floor: bool
    history_retrieved: bool
    warnings: tuple[str, ...]
    errors: tuple[str, ...]


class HistoryConfig(ContractStruct, frozen=True, kw_only=True):
    """The waiting policy of a scene, under the names of the old scripts. Seconds; 0 attempts = unbounded."""

    max_wait_seconds: int
    poll_interval_seconds: int
    max_attempts: int
    post_execution_timeout_seconds: int


class QueueConfig(ContractStruct, frozen=True, kw_only=True):
    """The waiting policy of the run. Seconds; 0 attempts = unbounded."""

    scene_retry_budget: int
    history_max_wait_seconds: int
    history_poll_interval_seconds: int
    history_max_attempts: int
    post_execution_timeout_seconds: int


class SceneArtifact(ContractStruct, frozen=True, kw_only=True):
    """A scene of the metadata. Its own fields and its ``Telemetry`` all come from ONE attempt: the best one."""

    scene_id: str
    prompt: str
    negative_prompt: str
    frame_floor: int
    frame_count: int
    frame_prefix: str
    duration_seconds: float
    success: bool
    meets_frame_floor: bool
    history_retrieved: bool
    history_retrieved_at: Moment | None
    history_attempts: int
    history_attempt_limit: int
    history_path: str | None
    history_poll_log: tuple[HistoryPoll, ...]
    history_errors: tuple[str, ...]
    history_error: str | None
    warnings: tuple[str, ...]
    errors: tuple[str, ...]
    attempts_run: int
    requeued: bool
    attempt_summaries: tuple[AttemptSummary, ...]
    scene_retry_budget: int
    history_config: HistoryConfig
    scene_output_dir: str
    generated_frames_dir: str | None
    keyframe_source: str | None
    story_title: str
    story_summary: str
    story_mood: str
    story_expected_frames: int
    story_camera_movement: str
    story_keyframe: str | None
    telemetry: Telemetry
    prompt_id: str
    server: str
    frames: tuple[FrameRecord, ...]


class StoryArtifact(ContractStruct, frozen=True, kw_only=True):
    """The story that was rendered. ``llm`` and ``health_check`` are null when no model was asked for one."""

    id: str
    logline: str
    directors_vision: str
    generator: str
    file: str
    scene_count: int
    story_dir: str
    llm: dict[str, Any] | None
    health_check: dict[str, Any] | None
    warnings: tuple[str, ...]


class SuiteRecord(ContractStruct, frozen=True, kw_only=True):
    """A check command that ran after the scenes. ``duration_ms`` in milliseconds."""

    label: str
    command: str
    exit_code: int
    duration_ms: int
    log_path: str
    started_at: Moment


class SuiteLogs(ContractStruct, frozen=True, kw_only=True):
    """Where the logs of the three suites are that old consumers look for."""

    comfy_ui: str | None = field(name="ComfyUI")
    e2e: str | None = field(name="E2E")
    scripts: str | None = field(name="Scripts")


class ArtifactMetadata(ContractStruct, frozen=True, kw_only=True):
    """The whole of ``artifact-metadata.json``."""

    run_id: str
    timestamp: Moment
    run_dir: str
    story: StoryArtifact
    queue_config: QueueConfig
    scenes: tuple[SceneArtifact, ...]
    suites: tuple[SuiteRecord, ...]
    vitest_logs: SuiteLogs
    archive: str | None
    contract_version: int = CONTRACT_VERSION
