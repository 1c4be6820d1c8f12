"""The telemetry contract, version 1: one :class:`Telemetry` for every scene and every attempt, failed ones included.

The names are exact, since other tools parse them: ``PascalCase`` with ``MB`` and ``GPU`` in capitals. Times are
UTC and end in ``Z``; MB are bytes / 1048576 rounded to one decimal. What could not be read is ``null`` with a note
in ``System.FallbackNotes``; a number is never invented. Every field is required, and says here what it means and in
which unit: ``comfytui contract`` prints that, as Markdown and as JSON Schema, from these structs.
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

FALLBACK_NOTES = tuple(
    f"/system_stats {trouble} {moment} execution{used}"
    for moment in ("before", "after")
    for trouble, answers in (
        ("unavailable", ("", "; used nvidia-smi fallback", "; used nvml fallback")),
        ("present but missing VRAM", ("; used nvidia-smi fallback", "; used nvml fallback")),
    )
    for used in answers
)
"""The fallback notes that other tools know, word for word; there may be others."""

Moment = Annotated[datetime, Meta(tz=True)]
Seconds = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]


def says(meaning: str, unit: str | None = None) -> Meta:
    """Return what a field of the contract means, and its unit where it has one, for ``Annotated``."""
    return Meta(description=meaning, extra_json_schema={"unit": unit} if unit else None)


_CAPITALS = {"gpu": "GPU", "mb": "MB", "llm": "LLM"}


def contract_name(field: str) -> str:
    """Return the contract's name of a struct field: ``vram_before_mb`` -> ``VramBeforeMB``."""
    return "".join(_CAPITALS.get(part, part.capitalize()) for part in field.split("_"))


class ContractStruct(Struct, frozen=True, kw_only=True, rename=contract_name):
    """Base of everything that is written under the contract's names."""


class ExecutionFailure(ContractStruct, frozen=True, kw_only=True):
    """What went wrong on the server: the node and its exception where known, and a code of the error registry."""

    node_id: Annotated[str | None, says("the node that failed, where the server told it")]
    node_type: Annotated[str | None, says("its class")]
    exception_type: Annotated[str | None, says("the exception as Python names it, e.g. `torch.OutOfMemoryError`")]
    message: Annotated[str, says("what the server said, or what went wrong here, on one line")]
    code: Annotated[str, says("the code of the error registry, e.g. `prompt.failed`")]


class GpuTelemetry(ContractStruct, frozen=True, kw_only=True):
    """The device that rendered, and its FREE memory when the prompt began to execute and after it ended."""

    name: Annotated[str, Meta(pattern=r"\S"), says("never blank; `Unknown` only with a note")]
    type: Annotated[str | None, says("`cuda`, `cpu`, ... as the server names it")]
    index: Annotated[int | None, says("which of the server's devices; null on CPU")]
    vram_total: Annotated[Count | None, says("all of its memory", "bytes")]
    vram_free_before: Annotated[Count | None, says("FREE memory when the prompt began to execute", "bytes")]
    vram_free_after: Annotated[Count | None, says("FREE memory after it ended", "bytes")]
    vram_before_mb: Annotated[float | None, says("VramFreeBefore in MB", "MB")]
    vram_after_mb: Annotated[float | None, says("VramFreeAfter in MB", "MB")]
    vram_delta_mb: Annotated[
        float | None, says("VramAfterMB - VramBeforeMB, of the rounded figures; negative = memory taken", "MB")
    ]
    source: Annotated[GpuSource, says("who was asked")]


class SystemTelemetry(ContractStruct, frozen=True, kw_only=True):
    """The ``system`` part of ``/system_stats`` (ComfyUI 0.3.64 and 0.8.0) at both moments, and the fallback notes."""

    before: Annotated[
        dict[str, Any] | None, says("the `system` part of `/system_stats` when the prompt began to execute")
    ]
    after: Annotated[dict[str, Any] | None, says("the same after it ended")]
    fallback_notes: Annotated[
        tuple[str, ...], says("one note for each thing that did not go the first way; may be empty")
    ]


class Telemetry(ContractStruct, frozen=True, kw_only=True):
    """The record of one attempt (and, for a scene, of its best attempt)."""

    queue_start: Annotated[Moment, says("just before the prompt is posted")]
    queue_end: Annotated[Moment, says("after the last frame is collected, or the attempt is given up")]
    duration_seconds: Annotated[Seconds, says("QueueEnd - QueueStart, one decimal", "seconds")]
    max_wait_seconds: Annotated[Count, says("the policy: longest execution of a prompt", "seconds")]
    poll_interval_seconds: Annotated[Count, says("the policy: silence after which history is read", "seconds")]
    post_execution_timeout_seconds: Annotated[Count, says("the policy: from success to the last frame", "seconds")]
    scene_retry_budget: Annotated[Count, says("the policy: attempts beyond the first")]
    history_attempts: Annotated[Count, says("`/history/<prompt_id>` requests really made")]
    history_attempt_limit: Annotated[Count, says("the policy: most such requests; 0 = unbounded")]
    history_exit_reason: Annotated[HistoryExitReason, says("why waiting for the prompt ended")]
    execution_success_detected: Annotated[
        bool, says("ComfyUI reported success for this prompt; an errored or interrupted entry is none")
    ]
    execution_success_at: Annotated[Moment | None, says("when; never null where success was detected")]
    history_post_execution_timeout_reached: Annotated[
        bool, says("frames were still lacking when PostExecutionTimeoutSeconds ran out")
    ]
    execution_status: Annotated[ExecutionStatus, says("the typed verdict of socket, HTTP and disk")]
    execution_error: Annotated[ExecutionFailure | None, says("what went wrong, where something did")]
    done_marker_detected: Annotated[
        bool, says("a producer's marker was there; one that we write ourselves does not count")
    ]
    done_marker_wait_seconds: Annotated[Seconds, says("how long it was awaited", "seconds")]
    done_marker_path: Annotated[str | None, says("where it was")]
    forced_copy_triggered: Annotated[bool, says("frames were taken before they were proven complete")]
    forced_copy_debug_path: Annotated[str | None, says("the dump that says which candidates there were and why")]
    gpu: Annotated[GpuTelemetry, says("the device that rendered")]
    system: Annotated[SystemTelemetry, says("the server's machine, and the fallback notes")]


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
    if not t.execution_success_detected:
        if t.execution_success_at is not None:
            found.append("ExecutionSuccessAt is given, but no success was detected")
        if t.history_exit_reason in ("success", "postExecution"):
            found.append(f"HistoryExitReason is {t.history_exit_reason}, but no success was detected")
        if t.execution_status in ("success", "cached", "partial"):
            found.append(f"ExecutionStatus is {t.execution_status}, but no success was detected")
    if t.execution_success_detected and t.execution_status in ("error", "interrupted", "rejected"):
        found.append(f"ExecutionStatus is {t.execution_status}, but success was detected")
    if (t.history_exit_reason == "postExecution") != t.history_post_execution_timeout_reached:
        found.append("HistoryPostExecutionTimeoutReached does not fit HistoryExitReason")
    if t.history_exit_reason == "attemptLimit" and not t.history_attempt_limit:
        found.append("HistoryExitReason is attemptLimit, but HistoryAttemptLimit is unbounded")
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
