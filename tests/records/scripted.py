"""Runs that were never rendered: scripted events through the real journal, fold, summary and metadata, real files."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from comfytui.model import events as e
from comfytui.model.best import best_attempt
from comfytui.model.envelope import Envelope
from comfytui.model.fold import fold
from comfytui.model.policy import QueuePolicy
from comfytui.model.state import State
from comfytui.model.telemetry import (
    ExecutionFailure,
    ExecutionStatus,
    GpuTelemetry,
    HistoryExitReason,
    SystemTelemetry,
    Telemetry,
    to_mb,
    vram_delta_mb,
)
from comfytui.records.journal import Journal
from comfytui.records.metadata import build_metadata, write_scene
from comfytui.records.rundir import RunDir, create_run, prepare_scene
from comfytui.records.summary import SummaryWriter

T0 = datetime(2026, 3, 1, 10, 20, 0, tzinfo=UTC)
GIB = 1024**3

PATIENT = QueuePolicy()

SYSTEM = {"os": "posix", "comfyui_version": "0.8.0", "ram_total": 64 * GIB, "argv": ["main.py"]}


class Stopped:
    """A clock that stands still."""

    def now(self) -> datetime:
        return T0

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        return


def brief(number: int, **changes: Any) -> e.SceneBrief:
    fields: dict[str, Any] = {
        "id": f"scene-{number:03d}",
        "folder": f"scene-{number:03d}",
        "floor": 3,
        "prompt": f"prompt {number}",
        "negative_prompt": "blurry",
        "title": f"Title {number}",
        "expected_frames": 3,
    }
    return e.SceneBrief(**{**fields, **changes})


def measured(free: int | None, *notes: str) -> e.Measurement:
    device = e.Device(name="NVIDIA H100", type="cuda", index=0, vram_total=80 * GIB, vram_free=free)
    return e.Measurement(source="system_stats", device=device, devices=(device,), system=SYSTEM, notes=notes)


def png(scene: str, attempt: int, number: int) -> bytes:
    """Return bytes that stand for a frame; every frame has its own."""
    return b"\x89PNG\r\n\x1a\n" + f"{scene} {attempt} {number}".encode() * 50


def telemetry(
    began: datetime = T0,
    ended: datetime = T0 + timedelta(seconds=4.5),
    *,
    success_at: datetime | None = T0 + timedelta(seconds=4),
    status: ExecutionStatus = "success",
    reads: int = 1,
    before: int | None = 40 * GIB,
    after: int | None = 38 * GIB,
    error: ExecutionFailure | None = None,
    notes: Sequence[str] = (),
    policy: QueuePolicy = PATIENT,
) -> Telemetry:
    """Return a complete and consistent record of an attempt."""
    reason: HistoryExitReason = "success" if success_at else "unknown"
    return Telemetry(
        queue_start=began,
        queue_end=ended,
        duration_seconds=round((ended - began).total_seconds(), 1),
        max_wait_seconds=policy.max_wait_seconds,
        poll_interval_seconds=policy.poll_interval_seconds,
        post_execution_timeout_seconds=policy.post_execution_timeout_seconds,
        scene_retry_budget=policy.scene_retry_budget,
        history_attempts=reads,
        history_attempt_limit=policy.history_max_attempts,
        history_exit_reason=reason,
        execution_success_detected=success_at is not None,
        execution_success_at=success_at,
        history_post_execution_timeout_reached=False,
        execution_status=status,
        execution_error=error,
        done_marker_detected=False,
        done_marker_wait_seconds=0.0,
        done_marker_path=None,
        forced_copy_triggered=False,
        forced_copy_debug_path=None,
        gpu=GpuTelemetry(
            name="NVIDIA H100",
            type="cuda",
            index=0,
            vram_total=80 * GIB,
            vram_free_before=before,
            vram_free_after=after,
            vram_before_mb=to_mb(before),
            vram_after_mb=to_mb(after),
            vram_delta_mb=vram_delta_mb(before, after),
            source="system_stats",
        ),
        system=SystemTelemetry(before=SYSTEM, after=SYSTEM, fallback_notes=tuple(notes)),
    )


class Script:
    """A run as it is written: publish events, and its folder follows as the runner makes it follow."""

    def __init__(
        self, runs: Path, scenes: Sequence[e.SceneBrief] | None = None, policy: QueuePolicy | None = None
    ) -> None:
        self.run = create_run(runs, Stopped())
        self.policy = policy or QueuePolicy()
        self.at = T0
        self.state = State()
        self.envelopes: list[Envelope] = []
        self.journal = Journal(self.run.journal)
        self.summary = SummaryWriter(self.run)
        story = e.StoryBrief(id="tale", logline="A line", directors_vision="Slow\nand wide", generator="test")
        self.publish(
            e.RunOpened(
                run_id=self.run.run_id,
                run_dir=str(self.run.path),
                story=story,
                scenes=tuple(scenes or [brief(1)]),
                workflow="smoke",
                server="http://127.0.0.1:8188",
                policy=self.policy,
                version="0",
            )
        )
        self.start()

    def publish(self, event: e.AnyEvent, seconds: float = 0.5) -> State:
        self.at += timedelta(seconds=seconds)
        seq = self.state.seq + isinstance(event, e.Fact)
        envelope = Envelope(seq=seq, at=self.at, run=self.run.run_id, event=event)
        self.journal.append(envelope)
        self.envelopes.append(envelope)
        self.state = fold(self.state, envelope)
        self.summary.take(envelope, self.state)
        if isinstance(event, e.SceneEnded):
            write_scene(self.run, self.state, event.scene)
        return self.state

    def start(self, reason: Any = "run") -> None:
        self.publish(e.RunnerStarted(pid=4711, started=1.0, host="box", reason=reason))
        self.publish(e.ServerReached(url="http://127.0.0.1:8188", version="0.8.0", output_dir="/out"))

    def attempt(
        self,
        scene: str,
        number: int = 1,
        *,
        frames: int = 3,
        unproven: int = 0,
        status: ExecutionStatus = "success",
        reads: Sequence[str] = ("pending", "success"),
        error: ExecutionFailure | None = None,
        notes: Sequence[str] = (),
        before: int | None = 40 * GIB,
        after: int | None = 38 * GIB + 12345678,
        **changes: Any,
    ) -> None:
        """Publish one whole attempt and put its frames and history entry into the run folder."""
        names: dict[str, Any] = {"scene": scene, "attempt": number}
        planned = e.AttemptPlanned(**names, prompt_id=f"id-{scene}-{number}", prefix=f"run/{scene}-a{number}", seed=7)
        began = self.publish(planned).at
        assert began is not None
        found = self.state.scene(scene)
        assert found is not None
        folder = found.brief.folder
        self.publish(e.PromptQueued(**names, number=number))
        self.publish(e.ExecutionStarted(**names))
        self.publish(e.GpuMeasured(**names, moment="before", measurement=measured(before)))
        for read, said in enumerate(reads, 1):
            message = "server.timeout: no answer" if said == "error" else ""
            self.publish(e.HistoryRead(**names, reads=read, status=said, message=message))  # type: ignore[arg-type]
        if "success" in reads:
            prepare_scene(self.run, found.brief)
            self.run.attempt_history(folder, number).write_bytes(b'{"id": {"status": %d}}' % number)
        succeeded = status in ("success", "cached", "partial")
        success_at = self.at if succeeded else None
        self.publish(e.ExecutionEnded(**names, status=status, success_at=success_at, error=error, expected=frames))
        for frame in range(frames + unproven):
            self._frame(folder, scene, number, frame, verified=frame < frames)
        self.publish(e.GpuMeasured(**names, moment="after", measurement=measured(after)))
        self.at += timedelta(seconds=0.5)
        told = telemetry(
            began, self.at, success_at=success_at, status=status, reads=len(reads), before=before, after=after,
            error=error, notes=notes, policy=self.policy,
        )  # fmt: skip
        told = replace(told, **changes)
        self.publish(e.AttemptEnded(**names, telemetry=told, exit_reason=told.history_exit_reason, status=status), 0)

    def _frame(self, folder: str, scene: str, attempt: int, number: int, *, verified: bool) -> None:
        data, name = png(scene, attempt, number), f"{scene}-a{attempt}_{number + 1:05d}_.png"
        place = self.run.frames(folder, attempt)
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
        frame = e.Frame(name=name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), verified=verified)
        self.publish(e.FrameProven(scene=scene, attempt=attempt, frame=frame), 0.1)

    def requeue(self, scene: str, next_attempt: int, reason: str = "frame count below floor (1/3)") -> None:
        self.publish(e.SceneRequeued(scene=scene, next_attempt=next_attempt, attempts=2, reason=reason))

    def end(self, scene: str) -> None:
        """End the scene as the planner does."""
        found = self.state.scene(scene)
        assert found is not None
        best = best_attempt(found.attempts)
        meets = best.proven >= found.brief.floor
        self.publish(
            e.SceneEnded(
                scene=scene, best=best.number, success=best.succeeded, meets_floor=meets, frames=best.proven
            )
        )  # fmt: skip

    def settle(self) -> None:
        """Bring the run to rest and write its metadata."""
        self.publish(e.RunSettled())
        build_metadata(self.run, self.state)

    def reopen(self) -> RunDir:
        """Let the runner die (nothing more is written by it) and another take the run up."""
        self.journal.close()
        self.journal = Journal(self.run.journal)
        self.summary = SummaryWriter(self.run)
        return self.run

    def close(self) -> None:
        self.journal.close()

    @property
    def lines(self) -> list[str]:
        return self.run.summary.read_text("utf-8").splitlines()
