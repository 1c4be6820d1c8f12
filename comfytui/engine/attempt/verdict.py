"""The verdict over an attempt, from its three witnesses, and the telemetry that records it. Pure.

The socket only hints; ``/history`` tells how the prompt ended; the disk tells which frames are whole.
"""

from collections.abc import Sequence
from datetime import datetime

from comfytui.model.policy import QueuePolicy
from comfytui.model.state import Attempt
from comfytui.model.telemetry import (
    ExecutionStatus,
    GpuTelemetry,
    HistoryExitReason,
    SystemTelemetry,
    Telemetry,
    to_mb,
    vram_delta_mb,
)

UNSEEN_BEFORE = "VRAM before execution not read: the start of the execution was not seen"
UNSEEN_AFTER = "VRAM after execution not read: the prompt never executed"


def exit_reason(attempt: Attempt, *, gave_up: str | None, frames_timed_out: bool) -> HistoryExitReason:
    """Return why waiting for ``attempt`` ended, in the contract's words.

    ``gave_up`` is the reason that :func:`comfytui.engine.prompt.waiting.next_step` gave, if it did;
    ``frames_timed_out`` tells that frames were still missing when the post-execution timeout ran out.
    """
    if gave_up in ("maxWait", "totalWait"):
        return "maxWait"
    if gave_up == "attemptLimit":
        return "attemptLimit"
    if attempt.success_at is None or (gave_up == "cancelled" and frames_timed_out):
        return "unknown"
    return "postExecution" if frames_timed_out else "success"


def final_status(attempt: Attempt, *, frames_timed_out: bool) -> ExecutionStatus:
    """Return the verdict once the frames are in: a success that lacks reported frames is only ``partial``."""
    status = attempt.status or "lost"
    return "partial" if status == "success" and frames_timed_out else status


def telemetry_of(
    attempt: Attempt, policy: QueuePolicy, ended_at: datetime, reason: HistoryExitReason, status: ExecutionStatus
) -> Telemetry:
    """Return the complete record of ``attempt``, which ends at ``ended_at`` (never before it began)."""
    succeeded = attempt.success_at is not None
    ended_at = max(ended_at, attempt.planned_at)
    return Telemetry(
        queue_start=attempt.planned_at,
        queue_end=ended_at,
        duration_seconds=round((ended_at - attempt.planned_at).total_seconds(), 1),
        max_wait_seconds=policy.max_wait_seconds,
        poll_interval_seconds=policy.poll_interval_seconds,
        post_execution_timeout_seconds=policy.post_execution_timeout_seconds,
        scene_retry_budget=policy.scene_retry_budget,
        history_attempts=len(attempt.history),
        history_attempt_limit=policy.history_max_attempts,
        history_exit_reason=reason,
        execution_success_detected=succeeded,
        execution_success_at=attempt.success_at,
        history_post_execution_timeout_reached=reason == "postExecution",
        execution_status=status,
        execution_error=attempt.error,
        done_marker_detected=attempt.marker_path is not None,
        done_marker_wait_seconds=round(attempt.marker_waited, 1),
        done_marker_path=attempt.marker_path,
        forced_copy_triggered=attempt.forced_debug_path is not None,
        forced_copy_debug_path=attempt.forced_debug_path,
        gpu=_gpu(attempt),
        system=SystemTelemetry(
            before=attempt.before.system if attempt.before else None,
            after=attempt.after.system if attempt.after else None,
            fallback_notes=_notes(attempt),
        ),
    )


def _gpu(attempt: Attempt) -> GpuTelemetry:
    before = attempt.before.device if attempt.before else None
    after = attempt.after.device if attempt.after else None
    known = after or before
    free_before = before.vram_free if before else None
    free_after = after.vram_free if after else None
    measured = attempt.after if attempt.after and attempt.after.device else attempt.before
    return GpuTelemetry(
        name=(known.name.strip() if known else "") or "Unknown",
        type=known.type if known else None,
        index=known.index if known else None,
        vram_total=known.vram_total if known else None,
        vram_free_before=free_before,
        vram_free_after=free_after,
        vram_before_mb=to_mb(free_before),
        vram_after_mb=to_mb(free_after),
        vram_delta_mb=vram_delta_mb(free_before, free_after),
        source=measured.source if measured else "none",
    )


def _notes(attempt: Attempt) -> tuple[str, ...]:
    notes: list[str] = []
    moments = (("before", attempt.before, UNSEEN_BEFORE), ("after", attempt.after, UNSEEN_AFTER))
    for moment, measurement, unseen in moments:
        if measurement is None:
            notes.append(unseen)
            continue
        device = measurement.device
        told = device is not None and device.vram_free is not None and device.name.strip() not in ("", "Unknown")
        notes += measurement.notes or ([] if told else [f"VRAM or the GPU's name not told {moment} execution"])
    return _distinct([*notes, *attempt.notes])


def _distinct(notes: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(notes))
