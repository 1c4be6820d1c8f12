"""When the steps of each attempt happened, from the journal of a run: the one place that knows durations finely."""

from datetime import datetime
from pathlib import Path

from msgspec import Struct

from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.model.envelope import Envelope
from comfytui.model.report import Parts
from comfytui.records import journal


class Steps:
    """The times of one attempt; ``server`` is the name of its server, where the run had several."""

    def __init__(self, planned_at: datetime, server: str = "") -> None:
        self.planned_at = planned_at
        self.server = server
        self.queued = False
        self.executing_at: datetime | None = None
        self.first_frame_at: datetime | None = None
        self.execution_ended_at: datetime | None = None
        self.ended_at: datetime | None = None

    @property
    def unsent(self) -> bool:
        """Whether it ended before its prompt was sent, so that it took no time: a person skipped or stopped it."""
        return not self.queued and self.executing_at is None and self.execution_ended_at is None


class Timeline(Struct, frozen=True, kw_only=True):
    """What the journal tells beside the metadata: each attempt's steps by its prompt id, and how the run ended."""

    steps: dict[str, Steps] = {}
    opened_at: datetime | None = None
    server: str = ""
    """The server as it was named, which for the built-in simulator is ``sim``: each run has one of its own."""
    planned: int = 0
    """Scenes of the story."""
    exit_code: int | None = None
    values: dict[str, str] = {}
    problems: int = 0


def read_timeline(path: Path) -> Timeline | None:
    """Return what the journal at ``path`` tells; ``None`` where there is none or it cannot be read."""
    if not path.is_file():
        return None
    reading = _Reading()
    lines = journal.read(path)
    try:
        for envelope in lines:
            reading.take(envelope)
    except Failure:
        return None
    return reading.timeline(lines.corrupt)


class _Reading:
    def __init__(self) -> None:
        self._steps: dict[tuple[str, int], Steps] = {}
        self._prompts: dict[tuple[str, int], str] = {}
        self._opened_at: datetime | None = None
        self._server, self._planned = "", 0
        self._exit_code: int | None = None
        self._values: dict[str, str] = {}

    def take(self, envelope: Envelope) -> None:
        """Take note of the steps that ``envelope`` tells of."""
        at, event = envelope.at, envelope.event
        match event:
            case e.RunOpened():
                self._opened_at, self._server, self._planned = at, event.server, len(event.scenes)
                self._values = dict(event.sweep.values) if event.sweep else {}
            case e.RunnerStarted():
                self._exit_code = None  # whoever took it up may not have come to its end
            case e.RunEnded():
                self._exit_code = event.exit_code
            case e.AttemptPlanned():
                self._steps[event.scene, event.attempt] = Steps(at, e.named(event.server))
                self._prompts[event.scene, event.attempt] = event.prompt_id
            case e.AttemptFact():
                self._step(event, at)

    def _step(self, event: e.AttemptFact, at: datetime) -> None:
        key = (event.scene, event.attempt)
        steps = self._steps.get(key)
        if steps is None:
            return
        match event:
            case e.PromptQueued():
                self._prompts[key] = event.prompt_id or self._prompts[key]
                steps.queued = True
            case e.ExecutionStarted():
                steps.executing_at = steps.executing_at or at
            case e.FrameProven():
                steps.first_frame_at = steps.first_frame_at or at
            case e.ExecutionEnded():
                steps.execution_ended_at = at
            case e.AttemptEnded():
                steps.ended_at = event.telemetry.queue_end

    def timeline(self, problems: int) -> Timeline:
        return Timeline(
            steps={self._prompts[key]: steps for key, steps in self._steps.items()}, opened_at=self._opened_at,
            server=self._server, planned=self._planned,
            exit_code=self._exit_code, values=self._values, problems=problems,
        )  # fmt: skip


def parts_of(steps: Steps) -> Parts:
    """Return the parts of an attempt's duration in seconds; null where a step was never seen. Pure."""
    began, over, ended = steps.executing_at, steps.execution_ended_at, steps.ended_at
    collect = _seconds(over, ended)
    if began is None:
        return Parts(collect=collect)
    frame = steps.first_frame_at
    saving = frame is not None and over is not None and began <= frame < over
    return Parts(
        queue=_seconds(steps.planned_at, began), execute=_seconds(began, frame if saving else over),
        save=_seconds(frame, over) if saving else None, collect=collect,
    )  # fmt: skip


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else round((end - start).total_seconds(), 3)
