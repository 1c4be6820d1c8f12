"""Facts about a run as a whole. Sizes are bytes."""

from typing import Literal

from msgspec import UNSET, UnsetType

from comfytui.model.artifact import SuiteRecord
from comfytui.model.events.base import Fact, Named
from comfytui.model.events.parts import SceneBrief, ServerBrief, StoryBrief, SweepPart, VaryingInput
from comfytui.model.policy import QueuePolicy


class RunOpened(Fact, frozen=True, kw_only=True):
    """A run began to exist: everything a reader needs to know what it is about."""

    run_id: str
    run_dir: str
    story: StoryBrief
    scenes: tuple[SceneBrief, ...]
    workflow: str
    server: str
    """The base URL of its server; of several, of the first."""
    servers: tuple[ServerBrief, ...] | UnsetType = UNSET
    """All of them, where there are several."""
    policy: QueuePolicy
    version: str
    inputs: tuple[VaryingInput, ...] = ()
    """Where prompt, seed and prefix enter the workflow; empty where that is not recorded."""
    sweep: SweepPart | None = None
    """Which run of a sweep this is."""


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
    server: Named = UNSET
    """The server that it is about, if any, where there are several."""


class RunSettled(Fact, frozen=True, kw_only=True):
    """No scene has anything left to do: from here on the records are completed, and nothing is rendered.

    It comes before the run is validated and archived, so that both see the whole summary; ``RunEnded`` comes last.
    """


class SuiteStarted(Fact, frozen=True, kw_only=True):
    """A check command was started as process ``pid``; the rest proves it to a runner after us, as ``ServerStarted``.

    It comes ``again`` when a launcher has put another program in its place.
    """

    label: str
    command: str
    pid: int
    created: float
    executable: str
    host: str
    again: bool = False


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
