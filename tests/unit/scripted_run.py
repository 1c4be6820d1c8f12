"""A scripted run of two scenes, as envelopes, for tests of what reads a feed."""

from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from comfytui.model import events as e
from comfytui.model.envelope import Envelope
from comfytui.model.feed import FeedItem
from comfytui.model.policy import QueuePolicy
from comfytui.model.telemetry import GpuTelemetry, SystemTelemetry, Telemetry

START = datetime(2026, 3, 1, 3, 0, 0, tzinfo=UTC)
RUN = "20260301-030000"


class Script:
    """Numbers and stamps events as a hub would: facts count up, samples carry the last fact's number."""

    def __init__(self, step: float = 1.0) -> None:
        self.seq = 0
        self.at = START
        self._step = timedelta(seconds=step)

    def seal(self, event: e.AnyEvent, after: float | None = None) -> Envelope:
        self.at += self._step if after is None else timedelta(seconds=after)
        self.seq += isinstance(event, e.Fact)
        return Envelope(seq=self.seq, at=self.at, run=RUN, event=event)

    def all(self, events: Iterable[e.AnyEvent]) -> Iterator[Envelope]:
        return (self.seal(event) for event in events)


def opened(*scenes: str, run_dir: str = "/runs/20260301-030000") -> e.RunOpened:
    return e.RunOpened(
        run_id=RUN, run_dir=run_dir, story=e.StoryBrief(id="dunes"),
        scenes=tuple(e.SceneBrief(id=s, folder=s, floor=2, prompt="dunes") for s in scenes or ("scene-001",)),
        workflow="smoke", server="http://127.0.0.1:8188", policy=QueuePolicy(), version="0.1.0",
    )  # fmt: skip


def started(reason: Any = "run") -> e.RunnerStarted:
    return e.RunnerStarted(pid=7, started=1.0, host="box", reason=reason)


def proven(scene: str, name: str, size: int = 1048576, verified: bool = True) -> e.FrameProven:
    return e.FrameProven(
        scene=scene, attempt=1, frame=e.Frame(name=name, bytes=size, sha256="0" * 64, verified=verified)
    )


def attempt_ended(scene: str, attempt: int = 1) -> e.AttemptEnded:
    telemetry = Telemetry(
        queue_start=START, queue_end=START + timedelta(seconds=4), duration_seconds=4.0, max_wait_seconds=600,
        poll_interval_seconds=2, post_execution_timeout_seconds=30, scene_retry_budget=1, history_attempts=1,
        history_attempt_limit=0, history_exit_reason="success", execution_success_detected=True,
        execution_success_at=START, history_post_execution_timeout_reached=False, execution_status="success",
        execution_error=None, done_marker_detected=False, done_marker_wait_seconds=0.0, done_marker_path=None,
        forced_copy_triggered=False, forced_copy_debug_path=None,
        gpu=GpuTelemetry(
            name="GPU", type=None, index=None, vram_total=None, vram_free_before=None, vram_free_after=None,
            vram_before_mb=None, vram_after_mb=None, vram_delta_mb=None, source="none",
        ),
        system=SystemTelemetry(before=None, after=None, fallback_notes=()),
    )  # fmt: skip
    return e.AttemptEnded(scene=scene, attempt=attempt, telemetry=telemetry, exit_reason="success", status="success")


def rendering(scene: str) -> list[e.AnyEvent]:
    """Return the facts of one good attempt with two frames."""
    return [
        e.AttemptPlanned(scene=scene, attempt=1, prompt_id=f"p-{scene}", prefix=f"x/{scene}-a1", seed=1),
        e.PromptQueued(scene=scene, attempt=1, number=3),
        e.ExecutionStarted(scene=scene, attempt=1),
        e.HistoryRead(scene=scene, attempt=1, reads=1, status="success"),
        e.ExecutionEnded(scene=scene, attempt=1, status="success", success_at=START, expected=2),
        proven(scene, "f1.png"),
        proven(scene, "f2.png"),
        attempt_ended(scene),
        e.SceneEnded(scene=scene, best=1, success=True, meets_floor=True, frames=2),
    ]


def ending(exit_code: int = 0) -> list[e.AnyEvent]:
    return [
        e.RunSettled(),
        e.RunValidated(passed=True),
        e.RunArchived(path="archives/x.zip", bytes=2097152),
        e.RunEnded(outcome="finished", exit_code=exit_code),
    ]


def whole_run(*scenes: str) -> list[e.AnyEvent]:
    names = scenes or ("scene-001",)
    return [opened(*names), started(), *(event for name in names for event in rendering(name)), *ending()]


async def feed(items: Iterable[FeedItem]) -> AsyncIterator[FeedItem]:
    for item in items:
        yield item
