"""The metadata by itself: everything present and typed, and nothing in it contradicts the rest. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

import msgspec
from msgspec import Raw

from comfytui.model.artifact import ArtifactMetadata, QueueConfig, SceneArtifact
from comfytui.model.telemetry import CONTRACT_VERSION, inconsistencies
from comfytui.records.checks.finding import Finding, at, shown
from comfytui.records.checks.laid_out import Pieces, laid_out
from comfytui.records.checks.reading import Unreadable, content
from comfytui.records.checks.typed import decoded, fields
from comfytui.records.metadata import SUITE_LOGS

PLACE = "artifact-metadata.json"


class Scenes(Mapping[str, SceneArtifact]):
    """The scenes that could be understood, by id. Each is decoded when it is asked for: 10,000 would weigh too much."""

    def __init__(self, places: Mapping[str, int], pieces: Sequence[bytes | Raw]) -> None:
        """``places`` tells which of ``pieces`` each scene is."""
        self._places, self._pieces = places, pieces

    def __getitem__(self, scene_id: str) -> SceneArtifact:
        """Return the scene. Raises ``KeyError``, and :class:`Unreadable` when the file is not what it was."""
        try:
            return msgspec.json.decode(self._pieces[self._places[scene_id]], type=SceneArtifact)
        except ValueError:
            raise Unreadable("is written to while it is read") from None

    def raw(self, scene_id: str) -> bytes:
        """Return the JSON of that scene as it stands in the metadata. Raises as the scene itself."""
        return bytes(self._pieces[self._places[scene_id]])

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def close(self) -> None:
        """Let go of the file that they are read from."""
        if isinstance(self._pieces, Pieces):
            self._pieces.close()


class Metadata(NamedTuple):
    """Metadata as far as they could be understood: the head without scenes, and the scenes."""

    head: ArtifactMetadata | None = None
    scenes: Scenes = Scenes({}, ())
    total: int = 0
    """Scenes listed, understood or not."""
    frames: int = 0
    succeeded: int = 0
    requeues: int = 0
    """What the understood ones add up to."""


def load(path: Path) -> tuple[Metadata, list[Finding]]:
    """Return the metadata at ``path`` as far as they can be understood, and what is wrong with their form.

    Their scenes have to be closed in the end. Raises :class:`Unreadable`.
    """
    if (laid := laid_out(path)) is not None:
        head, mark, pieces = laid
        given, found = fields(head, PLACE)
        if not found and bytes(given.get("Scenes", b"")) == mark:
            metadata, found = _understood(given, pieces)
            if not found:
                return metadata, []
        pieces.close()
    return load_whole(content(path))


def load_whole(data: bytes) -> tuple[Metadata, list[Finding]]:
    """Return the same of the metadata in ``data``."""
    given, found = fields(data, PLACE)
    listed: list[Raw] = []
    if not found:
        try:
            listed = msgspec.json.decode(given.get("Scenes", Raw(b"null")), type=list[Raw])
        except (ValueError, RecursionError):
            found.append(Finding(PLACE, "Scenes is no list" if "Scenes" in given else "Scenes is missing"))
    metadata, wrong = _understood(given, listed)
    return metadata, found + wrong


def _understood(given: Mapping[str, Raw], listed: Sequence[bytes | Raw]) -> tuple[Metadata, list[Finding]]:
    """Return what the fields ``given``, and the scenes ``listed``, tell, and what is wrong with them."""
    head, found = None, list[Finding]()
    if given:
        bare = msgspec.json.encode({**given, "Scenes": Raw(b"[]")})
        head, wrong = decoded(bare, ArtifactMetadata, PLACE)
        found += wrong
    places: dict[str, int] = {}
    frames = succeeded = requeues = 0
    for number, raw in enumerate(listed):
        scene, wrong = decoded(raw, SceneArtifact, f"{PLACE} Scenes[{number}]")
        found += wrong
        if scene is None:
            continue
        if scene.scene_id in places:
            found.append(Finding(PLACE, f"Scenes[{number}] has the SceneId {shown(scene.scene_id)} again"))
            continue
        places[scene.scene_id] = number
        frames += scene.frame_count
        succeeded += scene.success
        requeues += max(0, scene.attempts_run - 1)
    return Metadata(head, Scenes(places, listed), len(listed), frames, succeeded, requeues), found


def check(metadata: Metadata) -> Iterator[Finding]:
    """Yield what in the metadata contradicts the contract, or the rest of it."""
    if metadata.head is not None:
        yield from at(PLACE, _run_faults(metadata.head, metadata))
    for scene in metadata.scenes.values():
        place = f"scene {scene.scene_id}"
        yield from at(place, inconsistencies(scene.telemetry))
        yield from at(place, _scene_faults(scene))
        yield from at(place, _history_faults(scene))
        yield from at(place, _attempt_faults(scene))
        if metadata.head is not None:
            yield from at(place, _policy_faults(scene, metadata.head.queue_config))


def _run_faults(head: ArtifactMetadata, metadata: Metadata) -> Iterator[str]:
    if not re.fullmatch(r"\d{8}-\d{6}", head.run_id):
        yield f"RunId {shown(head.run_id)} is not yyyyMMdd-HHmmss"
    if PureWindowsPath(head.run_dir).name != head.run_id:
        yield f"RunDir {shown(head.run_dir)} is not the folder of run {shown(head.run_id)}"
    if head.contract_version != CONTRACT_VERSION:
        yield f"ContractVersion is {head.contract_version}, not {CONTRACT_VERSION}"
    if head.story.scene_count != metadata.total:
        yield f"Story.SceneCount is {head.story.scene_count}, but {metadata.total} scenes have a record"
    if metadata.frames == 0:
        yield "no frame of any scene is proven whole"
    logs = {suite.label: suite.log_path for suite in head.suites}
    for name, label in SUITE_LOGS.items():
        if getattr(head.vitest_logs, name) != logs.get(label):
            yield f"VitestLogs does not tell the log of the suite {label}"


def _scene_faults(scene: SceneArtifact) -> Iterator[str]:
    proven, telemetry = sum(frame.verified for frame in scene.frames), scene.telemetry
    if scene.frame_count != proven:
        yield f"FrameCount is {scene.frame_count}, but {proven} of the Frames are Verified"
    if scene.success != (telemetry.execution_success_detected and proven > 0):
        yield f"Success is {scene.success}, which the frames and ExecutionSuccessDetected do not bear out"
    if scene.meets_frame_floor != (scene.frame_count >= scene.frame_floor):
        yield f"MeetsFrameFloor is {scene.meets_frame_floor} with {scene.frame_count}/{scene.frame_floor} frames"
    if scene.duration_seconds != telemetry.duration_seconds:
        yield "DurationSeconds is not that of the Telemetry"
    if (scene.generated_frames_dir is None) != (not scene.frames):
        yield "GeneratedFramesDir and Frames do not fit together"
    if len({frame.name for frame in scene.frames}) != len(scene.frames):
        yield "a frame is listed twice"
    if not scene.success and not scene.errors:
        yield "the scene failed, but Errors does not say why"
    if not scene.meets_frame_floor and not any("below floor" in warning for warning in scene.warnings):
        yield "the frame floor was missed, but Warnings does not say so"


def _history_faults(scene: SceneArtifact) -> Iterator[str]:
    read = [poll.status for poll in scene.history_poll_log]
    if scene.history_attempts != scene.telemetry.history_attempts:
        yield "HistoryAttempts is not that of the Telemetry"
    if scene.history_attempts != len(read):
        yield f"HistoryAttempts is {scene.history_attempts}, but HistoryPollLog has {len(read)} entries"
    if scene.history_retrieved != ("success" in read):
        yield "HistoryRetrieved is not what HistoryPollLog tells"
    if len(scene.history_errors) != read.count("error"):
        yield "HistoryErrors is not what HistoryPollLog tells"
    known = scene.history_retrieved
    if (scene.history_retrieved_at is not None) != known or (scene.history_path is not None) != known:
        yield "HistoryRetrievedAt and HistoryPath do not fit HistoryRetrieved"
    if (scene.history_error is None) != known:
        yield "HistoryError does not fit HistoryRetrieved"


def _attempt_faults(scene: SceneArtifact) -> Iterator[str]:
    told = scene.attempt_summaries
    if scene.requeued != (scene.attempts_run > 1):
        yield f"Requeued is {scene.requeued} after {scene.attempts_run} attempts"
    if not told or len(told) > scene.attempts_run:
        yield f"AttemptSummaries has {len(told)} entries for {scene.attempts_run} attempts"
        return
    best = max(told, key=lambda attempt: (attempt.frame_count, attempt.success, -attempt.attempt))
    ours = (scene.frame_count, scene.success, scene.meets_frame_floor, scene.duration_seconds, scene.history_retrieved)
    if ours != (best.frame_count, best.success, best.meets_frame_floor, best.duration_seconds, best.history_retrieved):
        yield f"its figures are not those of attempt {best.attempt}, which is the best"


def _policy_faults(scene: SceneArtifact, policy: QueueConfig) -> Iterator[str]:
    told, config = scene.telemetry, scene.history_config
    limits = (told.history_attempt_limit, scene.history_attempt_limit, config.max_attempts)
    places: Iterable[tuple[str, int, tuple[int, ...]]] = (
        ("MaxWaitSeconds", policy.history_max_wait_seconds, (told.max_wait_seconds, config.max_wait_seconds)),
        (
            "PollIntervalSeconds",
            policy.history_poll_interval_seconds,
            (told.poll_interval_seconds, config.poll_interval_seconds),
        ),
        (
            "PostExecutionTimeoutSeconds",
            policy.post_execution_timeout_seconds,
            (told.post_execution_timeout_seconds, config.post_execution_timeout_seconds),
        ),
        ("HistoryAttemptLimit", policy.history_max_attempts, limits),
        ("SceneRetryBudget", policy.scene_retry_budget, (told.scene_retry_budget, scene.scene_retry_budget)),
    )
    for name, wanted, given in places:
        if any(value != wanted for value in given):
            yield f"{name} is not that of QueueConfig ({wanted})"
