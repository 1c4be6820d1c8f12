"""Facts about scenes and their attempts. Sizes are bytes, waits are seconds."""

from datetime import datetime
from typing import Literal

from msgspec import UNSET

from comfytui.model.events.base import Fact, Named
from comfytui.model.events.parts import Frame, Measurement
from comfytui.model.telemetry import ExecutionFailure, ExecutionStatus, HistoryExitReason, Telemetry

MomentWord = Literal["before", "after"]
HistoryWord = Literal["success", "pending", "error"]
NoteWord = Literal["note", "warning", "error"]
GivenUpWord = Literal["cancelled", "skipped"]
StallWord = Literal["look", "interrupt", "delete", "give_up", "moved"]


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
    server: Named = UNSET
    """The server that it is meant for, where there are several."""


class PromptQueued(AttemptFact, frozen=True, kw_only=True):
    """The server took the prompt under ``number``; ``warnings`` are node errors that came with its 200.

    ``prompt_id`` is the server's own where it did not take ours: older servers choose it themselves.
    """

    number: int | None
    prompt_id: str | None = None
    warnings: tuple[str, ...] = ()
    server: Named = UNSET
    """As in ``AttemptPlanned``."""


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
    ``skipped``: a person let it be passed over while it waited.
    """

    scene: str
    best: int
    success: bool
    meets_floor: bool
    frames: int
    cancelled: bool = False
    stopped: bool = False
    skipped: bool = False


class SceneGivenUp(Fact, frozen=True, kw_only=True):
    """A person wants no more of a scene: it ends as soon as nothing of it is on the server, and as what ``how`` says.

    Written down before the command is answered, so that whoever takes the run up again carries it out.
    """

    scene: str
    how: GivenUpWord


class SceneMoved(Fact, frozen=True, kw_only=True):
    """A person gave a waiting scene another place: see :func:`comfytui.model.queue.turn_of` for what ``turn`` means.

    ``before`` is the scene that was next behind it then; ``None``: it is the last one.
    """

    scene: str
    turn: float
    before: str | None = None


class SceneReopened(Fact, frozen=True, kw_only=True):
    """A scene that was over is rendered again: a person asked for it, or a resumed run found that it must be.

    ``seed`` and ``prompt`` replace the story's.
    """

    scene: str
    reason: str
    seed: int | None = None
    prompt: str | None = None
