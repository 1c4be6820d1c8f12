"""What is known of a run at one moment: the one immutable picture that the planner decides on and faces draw.

It is made by :mod:`comfytui.model.fold` from the stream of events and by nothing else. A part that an event does not
touch stays the very same object, so ``old.scenes is new.scenes`` tells a face that it has nothing to redraw.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from comfytui.model.artifact import SuiteRecord
from comfytui.model.events import (
    Device,
    Frame,
    GivenUpWord,
    GpuFigures,
    Measurement,
    OthersPrompt,
    Progress,
    SceneBrief,
    StoryBrief,
    SweepPart,
    VaryingInput,
)
from comfytui.model.frame_rows import FrameRows
from comfytui.model.paged import Paged
from comfytui.model.policy import QueuePolicy
from comfytui.model.telemetry import ExecutionFailure, ExecutionStatus, GpuSource, HistoryExitReason, Telemetry

AttemptPhase = Literal["planned", "queued", "executing", "collecting", "ended"]
ScenePhase = Literal[
    "waiting", "planned", "queued", "executing", "collecting", "done", "failed", "cancelled", "skipped"
]
SocketState = Literal["unknown", "open", "closed", "refused", "silent"]

RECENT_NOTES = 400
GPU_SAMPLES = 600


class HistoryLook(Struct, frozen=True, kw_only=True):
    """One read of ``/history/<prompt_id>``: when, what it said."""

    at: datetime
    status: Literal["success", "pending", "error"]
    message: str = ""


class Refusal(Struct, frozen=True, kw_only=True):
    """A frame that could not be taken, and why."""

    name: str
    state: Literal["truncated", "missing", "unsafe"]
    why: str


class Steps(Struct, frozen=True, kw_only=True):
    """When the first and the newest sampling step of an attempt were told. In a journal they stand a second apart."""

    first: datetime
    last: datetime


class Attempt(Struct, frozen=True, kw_only=True):
    """One prompt for one scene, from the write-ahead intent to its telemetry."""

    number: int
    server: str = ""
    """The URL of the server that it was meant for."""
    server_name: str = ""
    """Its name; empty where the run has only one."""
    prompt_id: str
    prefix: str
    seed: int
    planned_at: datetime
    phase: AttemptPhase = "planned"
    reason: str = ""
    prompt: str | None = None
    queued_at: datetime | None = None
    executing_at: datetime | None = None
    execution_ended_at: datetime | None = None
    steps: Steps | None = None
    """Known once it has ended, where any step was told."""
    ended_at: datetime | None = None
    status: ExecutionStatus | None = None
    success_at: datetime | None = None
    error: ExecutionFailure | None = None
    expected: int | None = None
    history: tuple[HistoryLook, ...] = ()
    before: Measurement | None = None
    after: Measurement | None = None
    frames: tuple[Frame, ...] = ()
    refused: tuple[Refusal, ...] = ()
    marker_waited: float = 0.0
    marker_path: str | None = None
    forced_debug_path: str | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    exit_reason: HistoryExitReason | None = None
    telemetry: Telemetry | None = None

    @property
    def proven(self) -> int:
        """How many of its frames are proven whole."""
        return [frame.verified for frame in self.frames].count(True)

    @property
    def unsent(self) -> bool:
        """Whether nothing of it was ever sent: a person skipped or stopped it before, and it took no time."""
        return self.queued_at is None and self.executing_at is None and self.execution_ended_at is None

    @property
    def succeeded(self) -> bool:
        """Whether ComfyUI reported success and at least one frame is proven whole."""
        told = self.telemetry.execution_success_detected if self.telemetry else self.success_at is not None
        return told and self.proven > 0


class Scene(Struct, frozen=True, kw_only=True):
    """One scene of the story and everything that was tried for it."""

    brief: SceneBrief
    phase: ScenePhase = "waiting"
    attempts: Sequence[Attempt] = ()
    """From the first; those of a scene that is over are packed (:mod:`comfytui.model.packed`)."""
    best: int | None = None
    success: bool = False
    meets_floor: bool = False
    frames: int = 0
    next_reason: str = ""
    """Why the next attempt is due; empty before the first."""
    extra_attempts: int = 0
    """Attempts that people asked for, beyond the budget."""
    seed: int | None = None
    prompt: str | None = None
    """Seed and prompt of a rerun, replacing the story's."""
    stopped: bool = False
    """It was cancelled because the whole run was stopped."""
    given_up: GivenUpWord | None = None
    """A person wants no more of it; it ends as that."""
    turn: float | None = None
    """Its place among the waiting ones, where a person gave it one: see ``comfytui.model.queue``."""

    @property
    def id(self) -> str:
        """The scene's id in the story."""
        return self.brief.id

    @property
    def latest(self) -> Attempt | None:
        """The newest attempt, if any."""
        return self.attempts[-1] if self.attempts else None

    @property
    def over(self) -> bool:
        """Whether nothing more happens to this scene by itself."""
        return self.phase in ("done", "failed", "cancelled", "skipped")

    def attempt(self, number: int) -> Attempt | None:
        """Return attempt ``number`` (from 1), or ``None``."""
        for attempt in self.attempts:
            if attempt.number == number:
                return attempt
        return None

    @property
    def chosen(self) -> Attempt | None:
        """The best attempt of a scene that is over, else the newest."""
        return self.attempt(self.best) if self.best is not None else self.latest


class GpuMoment(Struct, frozen=True, kw_only=True):
    """The GPUs at one moment of the last minutes."""

    at: datetime
    devices: tuple[GpuFigures, ...]


class OwnProcess(Struct, frozen=True, kw_only=True):
    """What proves that a process is one that this run started: see ``ServerStarted`` and ``SuiteStarted``."""

    pid: int
    created: float
    executable: str
    host: str


class Trouble(Struct, frozen=True, kw_only=True):
    """A trouble of the server that was told at ``at``, and what to do about it."""

    at: datetime
    what: str
    code: str = ""
    remedy: str = ""


class LogTail(Struct, frozen=True, kw_only=True):
    """The end of the server's log as it was read at ``at``; ``why`` when it could not be."""

    at: datetime
    lines: tuple[str, ...] = ()
    why: str = ""


class Server(Struct, frozen=True, kw_only=True):
    """What is known of a ComfyUI server of the run."""

    name: str = ""
    """Empty where the run has only one."""
    url: str = ""
    tags: tuple[str, ...] = ()
    weight: float = 1.0
    reached: bool = False
    left_out: bool = False
    """It could not be used when it was last tried, and takes no part; ``trouble`` says why, ``next_try`` when again."""
    version: str | None = None
    os: str | None = None
    python: str | None = None
    pytorch: str | None = None
    output_dir: str | None = None
    frames_by: Literal["disk", "http"] | None = None
    managed: bool = False
    own: OwnProcess | None = None
    """The ComfyUI that this run started and has not ended, as far as the facts tell."""
    restarts: int = 0
    """How often this run started ComfyUI again because it had died."""
    devices: tuple[Device, ...] = ()
    socket: SocketState = "unknown"
    socket_why: str = ""
    answering: bool | None = None
    latency: float | None = None
    pulse_at: datetime | None = None
    ours: int | None = None
    others: int | None = None
    listed: tuple[OthersPrompt, ...] = ()
    """The prompts of others, as far as they have been asked for; ``more`` are behind them."""
    more: int = 0
    away_since: datetime | None = None
    """Since when it does not answer."""
    away_wait: float | None = None
    """Seconds for which it is waited for in all; ``None`` without an end."""
    next_try: float | None = None
    """Seconds after ``pulse_at`` at which it is asked again."""
    lost: bool = False
    """It has been away for longer than that."""
    trouble: str = ""
    trouble_code: str = ""
    remedy: str = ""
    last_trouble: Trouble | None = None
    """The newest one, over or not."""
    gpu: tuple[GpuMoment, ...] = ()
    """Oldest first, at most ``GPU_SAMPLES``."""
    gpu_source: GpuSource | None = None
    log: LogTail | None = None
    """What was read of its log when somebody asked."""


class Note(Struct, frozen=True, kw_only=True):
    """A line of the log."""

    at: datetime
    seq: int
    level: Literal["info", "warning", "error"]
    text: str
    scene: str | None = None


class Run(Struct, frozen=True, kw_only=True):
    """What the run is about, and how it stands as a whole."""

    id: str
    dir: str
    story: StoryBrief
    workflow: str
    policy: QueuePolicy
    version: str
    opened_at: datetime
    inputs: tuple[VaryingInput, ...] = ()
    runner_pid: int | None = None
    runner_started: float | None = None
    runner_host: str | None = None
    observing: bool = False
    settled_at: datetime | None = None
    """When nothing was left to render: since then the records are being completed, or are complete."""
    suites: tuple[SuiteRecord, ...] = ()
    suite: OwnProcess | None = None
    """The check suite that was started and has not ended, as far as the facts tell."""
    ended_at: datetime | None = None
    outcome: Literal["finished", "interrupted", "failed", "paused"] | None = None
    exit_code: int | None = None
    validated: bool | None = None
    findings: tuple[str, ...] = ()
    archive: str | None = None
    held: bool = False
    sweep: SweepPart | None = None
    """Which run of a sweep this is."""


class State(Struct, frozen=True, kw_only=True):
    """Everything that is known of a run after fact ``seq``. ``at`` is the time of the newest event."""

    seq: int = 0
    at: datetime | None = None
    run: Run | None = None
    servers: tuple[Server, ...] = (Server(),)
    """Those that render, at least one, in the order in which they were named."""
    scenes: Paged[Scene] = Paged()
    example: bytes = b""
    """What the attempts of scenes that are over are packed by."""
    index: dict[str, int] = {}
    """Where each scene id stands in ``scenes``. Shared between states and never changed in place."""
    progress: dict[str, Progress] = {}
    """Progress of the scenes that execute, by scene id. Replaced, never changed in place."""
    steps: dict[str, Steps] = {}
    """The steps of the scenes that execute, by scene id. Replaced, never changed in place."""
    frames: FrameRows = FrameRows()
    """The newest frames first."""
    notes: tuple[Note, ...] = ()
    """Oldest first, at most ``RECENT_NOTES``."""

    def scene(self, scene_id: str) -> Scene | None:
        """Return the scene with that id, or ``None``."""
        place = self.index.get(scene_id)
        return None if place is None else self.scenes[place]

    @property
    def several(self) -> bool:
        """Whether more than one server renders: then each has a name."""
        return len(self.servers) > 1

    @property
    def server(self) -> Server:
        """The server; of several, the first."""
        return self.servers[0]

    def server_called(self, name: str) -> Server:
        """Return the server of that name; the first where none is called so, as where a run has only one."""
        return next((server for server in self.servers if server.name == name), self.servers[0])

    @property
    def gpu(self) -> tuple[GpuMoment, ...]:
        """The GPUs of the (first) server in the last minutes, oldest first."""
        return self.server.gpu

    @property
    def gpu_source(self) -> GpuSource | None:
        """Who told of them."""
        return self.server.gpu_source

    @property
    def server_log(self) -> LogTail | None:
        """What was read of the (first) server's log when somebody asked."""
        return self.server.log
