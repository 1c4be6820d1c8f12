"""The telemetry contract, version 1: one :class:`Telemetry` for every scene and every attempt, failed ones included.

The names are exact, since other tools parse them: ``PascalCase`` with ``MB`` and ``GPU`` in capitals. Times are
UTC and end in ``Z``; MB are bytes / 1048576 rounded to one decimal. What could not be read is ``null`` with a note
in ``System.FallbackNotes``; a number is never invented. Every field is required, so the JSON Schema that is printed
from these structs (``comfytui contract --schema``) says what a complete record is.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

CONTRACT_VERSION = 1

HistoryExitReason = Literal["success", "maxWait", "attemptLimit", "postExecution", "unknown"]
"""Why waiting for a prompt ended."""

ExecutionStatus = Literal[
    "success", "cached", "partial", "error", "interrupted", "rejected", "lost", "stalled", "timeout"
]
"""The typed verdict over one attempt, drawn from the three witnesses: socket, HTTP, disk."""

GpuSource = Literal["system_stats", "nvml", "nvidia-smi", "none"]
"""Who was asked for VRAM."""

Moment = Annotated[datetime, Meta(tz=True)]
Seconds = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]

_CAPITALS = {"gpu": "GPU", "mb": "MB", "llm": "LLM"}


def contract_name(field: str) -> str:
    """Return the contract's name of a struct field: ``vram_before_mb`` -> ``VramBeforeMB``."""
    return "".join(_CAPITALS.get(part, part.capitalize()) for part in field.split("_"))


class ContractStruct(Struct, frozen=True, kw_only=True, rename=contract_name):
    """Base of everything that is written under the contract's names."""


class ExecutionFailure(ContractStruct, frozen=True, kw_only=True):
    """What went wrong on the server: the node and its exception where known, and a code of the error registry."""

    node_id: str | None
    node_type: str | None
    exception_type: str | None
    message: str
    code: str


class GpuTelemetry(ContractStruct, frozen=True, kw_only=True):
    """The device that rendered, and its FREE memory when the prompt began to execute and after it ended."""

    name: Annotated[str, Meta(pattern=r"\S")]
    type: str | None
    index: int | None
    vram_total: Count | None
    vram_free_before: Count | None
    vram_free_after: Count | None
    vram_before_mb: float | None
    vram_after_mb: float | None
    vram_delta_mb: float | None
    source: GpuSource


class SystemTelemetry(ContractStruct, frozen=True, kw_only=True):
    """The ``system`` part of ``/system_stats`` (ComfyUI 0.3.64 and 0.8.0) at both moments, and the fallback notes."""

    before: dict[str, Any] | None
    after: dict[str, Any] | None
    fallback_notes: tuple[str, ...]


class Telemetry(ContractStruct, frozen=True, kw_only=True):
    """The record of one attempt (and, for a scene, of its best attempt)."""

    queue_start: Moment
    queue_end: Moment
    duration_seconds: Seconds
    max_wait_seconds: Count
    poll_interval_seconds: Count
    post_execution_timeout_seconds: Count
    scene_retry_budget: Count
    history_attempts: Count
    history_attempt_limit: Count
    history_exit_reason: HistoryExitReason
    execution_success_detected: bool
    execution_success_at: Moment | None
    history_post_execution_timeout_reached: bool
    execution_status: ExecutionStatus
    execution_error: ExecutionFailure | None
    done_marker_detected: bool
    done_marker_wait_seconds: Seconds
    done_marker_path: str | None
    forced_copy_triggered: bool
    forced_copy_debug_path: str | None
    gpu: GpuTelemetry
    system: SystemTelemetry


def to_mb(size: int | None) -> float | None:
    """Return ``size`` bytes as MB (bytes / 1048576), rounded to one decimal; ``None`` stays ``None``."""
    return None if size is None else round(size / 1048576, 1)


def vram_delta_mb(before: int | None, after: int | None) -> float | None:
    """Return the change of free VRAM in MB between two readings in bytes: negative means memory taken.

    It is the difference of the two rounded figures, so that a reader who subtracts them finds the same.
    """
    first, last = to_mb(before), to_mb(after)
    return None if first is None or last is None else round(last - first, 1)


def inconsistencies(telemetry: Telemetry) -> list[str]:
    """Return one sentence for each way in which the fields of ``telemetry`` contradict one another."""
    t, found = telemetry, []
    if t.queue_end < t.queue_start:
        found.append("QueueEnd is before QueueStart")
    if abs((t.queue_end - t.queue_start).total_seconds() - t.duration_seconds) > 0.1:
        found.append("DurationSeconds is not QueueEnd - QueueStart")
    if t.execution_success_detected and t.execution_success_at is None:
        found.append("ExecutionSuccessAt is missing although success was detected")
    if t.history_exit_reason == "success" and not t.execution_success_detected:
        found.append("HistoryExitReason is success, but no success was detected")
    if t.execution_success_detected and t.execution_status in ("error", "interrupted", "rejected"):
        found.append(f"ExecutionStatus is {t.execution_status}, but success was detected")
    if (t.history_exit_reason == "postExecution") != t.history_post_execution_timeout_reached:
        found.append("HistoryPostExecutionTimeoutReached does not fit HistoryExitReason")
    if t.history_attempt_limit and t.history_attempts > t.history_attempt_limit:
        found.append("HistoryAttempts is above HistoryAttemptLimit")
    if t.forced_copy_debug_path is not None and not t.forced_copy_triggered:
        found.append("ForcedCopyDebugPath is given, but no copy was forced")
    if t.done_marker_detected and t.done_marker_path is None:
        found.append("DoneMarkerPath is missing although a marker was detected")
    return found + _vram_inconsistencies(t)


def _vram_inconsistencies(t: Telemetry) -> list[str]:
    found = []
    gpu = t.gpu
    for name, size, shown in (
        ("VramBeforeMB", gpu.vram_free_before, gpu.vram_before_mb),
        ("VramAfterMB", gpu.vram_free_after, gpu.vram_after_mb),
    ):
        if to_mb(size) != shown:
            found.append(f"GPU.{name} is not the bytes in MB")
    before, after, delta = gpu.vram_before_mb, gpu.vram_after_mb, gpu.vram_delta_mb
    if before is not None and after is not None:
        if delta is None or abs(delta - (after - before)) > 0.01 + 1e-9:
            found.append("GPU.VramDeltaMB is not VramAfterMB - VramBeforeMB")
    elif delta is not None:
        found.append("GPU.VramDeltaMB is given without both readings")
    unread = before is None or after is None or gpu.name == "Unknown"
    if unread and not t.system.fallback_notes:
        found.append("A VRAM figure or the GPU's name is missing without a note in System.FallbackNotes")
    return found
