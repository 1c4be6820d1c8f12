"""What a runner process is told to do: everything about a run that is settled before its first prompt is sent.

The plan is written into the run folder (``run-plan.json``) by whoever opens the run, and read by every runner that
takes it up. It holds no secret: headers and tokens travel in the environment only, and what the configuration adds to
the environment of a ComfyUI that we start is read from there again by each runner.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from comfytui.model.events import SceneBrief, StoryBrief, SweepPart
from comfytui.model.failure_classes import FailureClass, RetryRule
from comfytui.model.news import NEWS_KINDS, NewsKind
from comfytui.model.policy import QueuePolicy
from comfytui.model.workflow import Workflow


class ServerPlan(Struct, frozen=True, kw_only=True):
    """The server that renders: where it is, where its frames are, and whether it is the built-in simulator."""

    url: str
    """Base URL without credentials; for the simulator it is known only once that runs: ``sim``."""
    name: str = ""
    """What it is called where there are several; empty where it is the only one."""
    tags: tuple[str, ...] = ()
    """What scenes may ask for."""
    weight: float = 1.0
    """Of servers that are free the heaviest gets a scene first."""
    headers_file: str | None = None
    """The configuration file whose ``[[servers]] headers`` it is sent; the values are never written here."""
    output_dir: str | None = None
    """Its output folder as seen from here, when a person named it."""
    watch: Literal["auto", "events", "poll"] = "auto"
    simulator_speed: Literal["instant", "demo", "realistic"] | None = None
    """Set when the runner starts the built-in simulator for itself."""
    command: tuple[str, ...] = ()
    """What starts ComfyUI where nothing answers at ``url``; empty: nothing is started."""
    cwd: str | None = None
    """The folder in which it is started."""
    env_file: str | None = None
    """The configuration file whose ``env`` for it is added to its environment; the values are never written here."""
    ready_timeout: float = 300.0
    """Seconds in which it must answer."""
    stop_grace: float = 10.0
    """Seconds from being asked to end until it is killed."""


class SuitePlan(Struct, frozen=True, kw_only=True):
    """A check command that runs after the scenes: words without a shell, a folder, and a time limit in seconds."""

    label: str
    command: tuple[str, ...]
    cwd: str
    timeout: float = 600.0


class RunPlan(Struct, frozen=True, kw_only=True):
    """One run: its story, its workflow, its server and its patience."""

    run_id: str
    created_at: datetime
    version: str
    story: StoryBrief
    scenes: tuple[SceneBrief, ...]
    workflow: Workflow
    policy: QueuePolicy
    server: ServerPlan
    more_servers: tuple[ServerPlan, ...] = ()
    """Those that render beside it, where there are several."""
    mark: str = ""
    """Eight random hexadecimal digits: run ids of two machines that share a server may be the same, marks are not."""
    retry: dict[FailureClass, RetryRule] = {}
    """What is changed of the table of failure classes (``[retry]``)."""
    suites: tuple[SuitePlan, ...] = ()
    """What is run once every scene is over."""
    sweep: SweepPart | None = None
    """Which run of a sweep this is."""
    news: tuple[NewsKind, ...] = NEWS_KINDS
    """What a webhook is told."""
    notify_file: str | None = None
    """The configuration file in which the webhook's address stands; the address itself is never written here."""

    @property
    def servers(self) -> tuple[ServerPlan, ...]:
        """All of its servers, in the order in which they were named."""
        return (self.server, *self.more_servers)
