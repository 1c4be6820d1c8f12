"""What happens in a run: the typed events, and the envelope in which each of them travels and is journalled.

A :class:`Fact` is ordered, journalled and never dropped. A :class:`Sample` is latest-wins: a newer one of the same
:func:`sample_key` replaces an older one that nobody has read yet. Sizes are bytes, waits are seconds.
"""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from comfytui.model.artifact import SuiteRecord
from comfytui.model.policy import QueuePolicy
from comfytui.model.telemetry import ExecutionFailure, ExecutionStatus, GpuSource, HistoryExitReason, Telemetry

ENVELOPE_VERSION = 1

MomentWord = Literal["before", "after"]
HistoryWord = Literal["success", "pending", "error"]
NoteWord = Literal["note", "warning", "error"]
FrameWord = Literal["writing", "proven", "unproven", "truncated"]
SocketWord = Literal["open", "closed", "refused", "silent"]
StallWord = Literal["look", "interrupt", "delete", "give_up", "moved"]


def _tag(name: str) -> str:
    """Return ``AttemptPlanned`` as ``attempt_planned``."""
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))


class Fact(Struct, frozen=True, kw_only=True, tag_field="type", tag=_tag):
    """Something that happened. In order, on disk before anyone sees it, never dropped."""


class Sample(Struct, frozen=True, kw_only=True, tag_field="type", tag=_tag):
    """A reading that the next one replaces. Journalled at most once a second."""


# --- parts of events ---------------------------------------------------------------------------------------------


class StoryBrief(Struct, frozen=True, kw_only=True):
    """What a run remembers of its story as a whole."""

    id: str
    logline: str = ""
    directors_vision: str = ""
    generator: str = ""
    file: str = ""
    warnings: tuple[str, ...] = ()


class SceneBrief(Struct, frozen=True, kw_only=True):
    """What a run remembers of a scene; ``folder`` is its folder inside the run folder, ``floor`` its frame floor."""

    id: str
    folder: str
    floor: int
    prompt: str
    negative_prompt: str = ""
    title: str = ""
    summary: str = ""
    mood: str = ""
    camera_movement: str = ""
    palette: str = ""
    keyframe: str | None = None
    expected_frames: int = 25
    seed: int | None = None


class Device(Struct, frozen=True, kw_only=True):
    """A device as ``/system_stats`` lists it; memory in bytes."""

    name: str
    type: str | None = None
    index: int | None = None
    vram_total: int | None = None
    vram_free: int | None = None


class Measurement(Struct, frozen=True, kw_only=True):
    """One reading of VRAM at a moment of an attempt: who answered, the rendering device, all of them, and the notes."""

    source: GpuSource
    device: Device | None = None
    devices: tuple[Device, ...] = ()
    system: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()


class GpuFigures(Struct, frozen=True, kw_only=True):
    """One device at one moment: percent, bytes, degrees Celsius, watts; ``None`` where it does not tell."""

    index: int
    name: str
    utilization: float | None = None
    vram_used: int | None = None
    vram_total: int | None = None
    temperature: float | None = None
    power: float | None = None


class Frame(Struct, frozen=True, kw_only=True):
    """A frame in the run folder: file name, bytes, SHA-256, whether it is proven whole, and how it came here."""

    name: str
    bytes: int
    sha256: str
    verified: bool = True
    via: Literal["disk", "http"] = "disk"


# --- facts: the run ----------------------------------------------------------------------------------------------


class RunOpened(Fact, frozen=True, kw_only=True):
    """A run began to exist: everything a reader needs to know what it is about."""

    run_id: str
    run_dir: str
    story: StoryBrief
    scenes: tuple[SceneBrief, ...]
    workflow: str
    server: str
    policy: QueuePolicy
    version: str


class RunnerStarted(Fact, frozen=True, kw_only=True):
    """A runner process took the run up; ``started`` is its creation time in epoch seconds."""

    pid: int
    started: float
    host: str
    reason: Literal["run", "resume", "rerun", "observe"] = "run"


class RunNoted(Fact, frozen=True, kw_only=True):
    """Something worth a line that no other fact says; with the code and remedy when it is a failure."""

    text: str
    level: Literal["info", "warning", "error"] = "info"
    code: str | None = None
    remedy: str | None = None
    scene: str | None = None


class RunSettled(Fact, frozen=True, kw_only=True):
    """No scene has anything left to do: from here on the records are completed, and nothing is rendered.

    It comes before the run is validated and archived, so that both see the whole summary; ``RunEnded`` comes last.
    """


class SuiteRan(Fact, frozen=True, kw_only=True):
    """A check command ran over the rendered scenes."""

    suite: SuiteRecord


class RunEnded(Fact, frozen=True, kw_only=True):
    """The run came to rest. ``exit_code`` is what a headless run exits with.

    ``paused``: its disk failed, and it goes on where it stands when it is resumed.
    """

    outcome: Literal["finished", "interrupted", "failed", "paused"]
    exit_code: int


class RunValidated(Fact, frozen=True, kw_only=True):
    """The run folder was checked against the contract; ``findings`` is empty when it passed."""

    passed: bool
    findings: tuple[str, ...] = ()


class RunArchived(Fact, frozen=True, kw_only=True):
    """The archive was written."""

    path: str
    bytes: int


class QueueHeld(Fact, frozen=True, kw_only=True):
    """Submitting was held (or released) by a person."""

    held: bool


class CommandAnswered(Fact, frozen=True, kw_only=True):
    """A command was taken or refused, and why."""

    id: str
    command: str
    accepted: bool
    why: str = ""


# --- facts: the server -------------------------------------------------------------------------------------------


class ServerReached(Fact, frozen=True, kw_only=True):
    """The server answered. ``frames_by`` tells whether its output folder is read here or frames are fetched."""

    url: str
    version: str | None
    os: str | None = None
    python: str | None = None
    pytorch: str | None = None
    output_dir: str | None = None
    frames_by: Literal["disk", "http"] = "disk"
    devices: tuple[Device, ...] = ()
    managed: bool = False
    """Whether comfytui started this server itself."""


class ServerStarted(Fact, frozen=True, kw_only=True):
    """We started ComfyUI as process ``pid``; ``created`` (epoch seconds) and ``executable`` prove later that it is it.

    It comes at once, so that a runner after us knows the process again, and once more when it is ``ready``: by then a
    launcher may have put another program in its place. ``restarts`` counts the restarts of this run, with this one.
    """

    pid: int
    created: float
    executable: str
    host: str
    ready: bool = False
    restarts: int = 0


class ServerDied(Fact, frozen=True, kw_only=True):
    """The ComfyUI that we started as ``pid`` has ended without having been asked to."""

    pid: int
    why: str


class ServerStopped(Fact, frozen=True, kw_only=True):
    """The ComfyUI that we started as ``pid`` was ended, or ``skipped`` says why it was left alone."""

    pid: int
    skipped: str = ""


class ServerTroubled(Fact, frozen=True, kw_only=True):
    """The server gave a failure: code, what happened, what to do."""

    code: str
    what: str
    remedy: str


class ServerAway(Fact, frozen=True, kw_only=True):
    """The server does not answer: it just went (``away`` 0), or is still away after so many seconds.

    Told when it goes, then at most once a minute. ``next_try`` in seconds; ``wait`` is how long it is waited for in
    all, ``None`` without an end.
    """

    code: str
    what: str
    remedy: str
    away: float
    next_try: float
    wait: float | None = None


class ServerGivenUp(Fact, frozen=True, kw_only=True):
    """The server stayed away for as long as it is waited for: what is not rendered yet fails as lost."""

    away: float


class ServerBack(Fact, frozen=True, kw_only=True):
    """The server answers again, after ``away`` seconds."""

    away: float


class ServerRestarted(Fact, frozen=True, kw_only=True):
    """The server was restarted, and has forgotten every prompt it had; ``why`` we think so."""

    why: str


class SocketChanged(Fact, frozen=True, kw_only=True):
    """The WebSocket changed its state; ``silent`` is an open socket that no longer answers."""

    state: SocketWord
    why: str = ""


# --- facts: scenes and attempts ----------------------------------------------------------------------------------


class AttemptFact(Fact, frozen=True, kw_only=True):
    """Base of what happens to one attempt of one scene."""

    scene: str
    attempt: int


class AttemptPlanned(AttemptFact, frozen=True, kw_only=True):
    """Written ahead: this prompt will be posted. ``reason`` says why there is another attempt; empty for the first."""

    prompt_id: str
    prefix: str
    seed: int
    reason: str = ""
    prompt: str | None = None
    """The text prompt of a rerun that replaces the story's."""


class PromptQueued(AttemptFact, frozen=True, kw_only=True):
    """The server took the prompt under ``number``; ``warnings`` are node errors that came with its 200.

    ``prompt_id`` is the server's own where it did not take ours: older servers choose it themselves.
    """

    number: int | None
    prompt_id: str | None = None
    warnings: tuple[str, ...] = ()


class ExecutionStarted(AttemptFact, frozen=True, kw_only=True):
    """The prompt began to execute."""


class GpuMeasured(AttemptFact, frozen=True, kw_only=True):
    """VRAM was read as the prompt began to execute (``before``) or after it ended (``after``)."""

    moment: MomentWord
    measurement: Measurement


class HistoryRead(AttemptFact, frozen=True, kw_only=True):
    """``/history/<prompt_id>`` was read for the ``reads``-th time in this attempt.

    ``success``: the entry was there (and is saved), whatever it says about the prompt; ``pending``: not there yet;
    ``error``: the request failed, or its reply was of no use.
    """

    reads: int
    status: HistoryWord
    message: str = ""


class StallNoticed(AttemptFact, frozen=True, kw_only=True):
    """The executing prompt gave no sign of life for ``quiet`` seconds, more than the ``limit``: what is done about it.

    ``moved``: it did give one after all, and is left alone.
    """

    step: StallWord
    quiet: float
    limit: float


class ExecutionEnded(AttemptFact, frozen=True, kw_only=True):
    """The prompt is over on the server (or given up): the verdict so far, before the frames are in.

    ``success_at`` is the server's own time of success where it told one. ``expected`` counts the frames that history
    reports; ``None`` when it could not be read.
    """

    status: ExecutionStatus
    success_at: datetime | None = None
    error: ExecutionFailure | None = None
    expected: int | None = None


class FrameProven(AttemptFact, frozen=True, kw_only=True):
    """A frame was collected into the run folder, hashed and (``frame.verified``) proven whole."""

    frame: Frame


class FrameRefused(AttemptFact, frozen=True, kw_only=True):
    """A frame could not be taken: not whole, not there, or a name that leads out of the output folder."""

    name: str
    state: Literal["truncated", "missing", "unsafe"]
    why: str


class FrameLost(AttemptFact, frozen=True, kw_only=True):
    """A frame that was collected is not in the run folder any more, or is not what it was: it counts no longer."""

    name: str
    why: str


class DoneMarkerAwaited(AttemptFact, frozen=True, kw_only=True):
    """The wait for a producer's done marker ended, after ``waited`` seconds; ``path`` when there was one."""

    waited: float
    path: str | None = None


class CopyForced(AttemptFact, frozen=True, kw_only=True):
    """Frames were taken before they were proven whole; ``debug_path`` lists the candidates and why."""

    debug_path: str


class AttemptNoted(AttemptFact, frozen=True, kw_only=True):
    """A fallback note, warning or error of an attempt that no other fact says."""

    kind: NoteWord
    text: str


class AttemptEnded(AttemptFact, frozen=True, kw_only=True):
    """The attempt is over; its telemetry is complete."""

    telemetry: Telemetry
    exit_reason: HistoryExitReason
    status: ExecutionStatus


class SceneRequeued(Fact, frozen=True, kw_only=True):
    """Another attempt will be made: number ``next_attempt`` of ``attempts`` allowed, and why."""

    scene: str
    next_attempt: int
    attempts: int
    reason: str


class SceneEnded(Fact, frozen=True, kw_only=True):
    """The scene is over. Its figures are those of attempt ``best``.

    ``stopped``: it was cancelled because the whole run was stopped, so that resuming the run takes it up again.
    """

    scene: str
    best: int
    success: bool
    meets_floor: bool
    frames: int
    cancelled: bool = False
    stopped: bool = False


class SceneReopened(Fact, frozen=True, kw_only=True):
    """A scene that was over is rendered again: a person asked for it, or a resumed run found that it must be.

    ``seed`` and ``prompt`` replace the story's.
    """

    scene: str
    reason: str
    seed: int | None = None
    prompt: str | None = None


# --- samples -----------------------------------------------------------------------------------------------------


class Progress(Sample, frozen=True, kw_only=True):
    """How far the executing prompt is: the node at work, its steps, and how many nodes are done."""

    scene: str
    attempt: int
    node: str
    title: str
    value: float
    maximum: float
    nodes_done: int
    nodes_total: int


class FrameWriting(Sample, frozen=True, kw_only=True):
    """A frame is growing on the server's disk; ``bytes`` so far.

    Without a run there is no scene (empty) and no attempt (0), and nothing is collected: then ``state`` says what the
    file looked like when it had come to rest.
    """

    scene: str
    attempt: int
    name: str
    bytes: int
    state: FrameWord = "writing"


class QueueDepth(Sample, frozen=True, kw_only=True):
    """What the server has before it: prompts of ours and of others, running and pending."""

    ours: int
    others: int


class GpuSampled(Sample, frozen=True, kw_only=True):
    """The GPUs at this moment."""

    source: GpuSource
    devices: tuple[GpuFigures, ...]


class Pulse(Sample, frozen=True, kw_only=True):
    """The server answered an HTTP request within ``latency`` seconds; ``None`` when it did not.

    Then ``next_try`` is when it is asked again, in seconds.
    """

    latency: float | None
    next_try: float | None = None


class Unknown(Sample, frozen=True, kw_only=True):
    """An event of a newer comfytui; kept by name, never an error."""

    kind: str = ""


AnyFact = (
    RunOpened
    | RunnerStarted
    | RunNoted
    | SuiteRan
    | RunSettled
    | RunEnded
    | RunValidated
    | RunArchived
    | QueueHeld
    | CommandAnswered
    | ServerReached
    | ServerStarted
    | ServerDied
    | ServerStopped
    | ServerTroubled
    | ServerAway
    | ServerGivenUp
    | ServerBack
    | ServerRestarted
    | SocketChanged
    | AttemptPlanned
    | PromptQueued
    | ExecutionStarted
    | GpuMeasured
    | HistoryRead
    | StallNoticed
    | ExecutionEnded
    | FrameProven
    | FrameRefused
    | FrameLost
    | DoneMarkerAwaited
    | CopyForced
    | AttemptNoted
    | AttemptEnded
    | SceneRequeued
    | SceneEnded
    | SceneReopened
)
AnySample = Progress | FrameWriting | QueueDepth | GpuSampled | Pulse | Unknown
AnyEvent = AnyFact | AnySample


def sample_key(sample: AnySample) -> tuple[str, ...]:
    """Return what ``sample`` is a reading of: a newer sample of the same key replaces it."""
    match sample:
        case Progress(scene=scene):
            return ("progress", scene)
        case FrameWriting(scene=scene, name=name):
            return ("frame_writing", scene, name)
        case _:
            return (type(sample).__name__,)
