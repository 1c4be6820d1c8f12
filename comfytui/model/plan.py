"""What a runner process is told to do: everything about a run that is settled before its first prompt is sent.

The plan is written into the run folder (``run-plan.json``) by whoever opens the run, and read by every runner that
takes it up. It holds no secret: headers and tokens travel in the environment only.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from comfytui.model.events import SceneBrief, StoryBrief
from comfytui.model.policy import QueuePolicy
from comfytui.model.workflow import Workflow


class ServerPlan(Struct, frozen=True, kw_only=True):
    """The server that renders: where it is, where its frames are, and whether it is the built-in simulator."""

    url: str
    """Base URL without credentials; for the simulator it is known only once that runs: ``sim``."""
    output_dir: str | None = None
    """Its output folder as seen from here, when a person named it."""
    watch: Literal["auto", "events", "poll"] = "auto"
    simulator_speed: Literal["instant", "demo", "realistic"] | None = None
    """Set when the runner starts the built-in simulator for itself."""


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
