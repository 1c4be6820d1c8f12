"""What every attempt on one server works with."""

from collections.abc import Callable
from typing import Protocol

import anyio
from msgspec import Struct, field

from comfytui.clock import Clock
from comfytui.engine.frames.collecting import FrameCollector
from comfytui.engine.frames.shelves import Shelf
from comfytui.engine.hub import HubLike
from comfytui.engine.prompt.gpu_activity import GpuActivity
from comfytui.engine.prompt.router import Router
from comfytui.engine.server.watch import ServerWatch
from comfytui.model.events import Device, Measurement, MomentWord
from comfytui.model.policy import QueuePolicy
from comfytui.model.workflow import Workflow
from comfytui.records.rundir import RunDir
from comfytui.sources.comfy.http import ComfyHttp


class Measure(Protocol):
    """Reads VRAM, of the device ``like`` the one that was read before."""

    async def __call__(self, moment: MomentWord, like: Device | None = None) -> Measurement:
        """Return the reading."""
        ...


class Desk(Struct, frozen=True):
    """The tools of a run at one server: hub, clock, folders and policy. Shared by all attempts that are made there."""

    hub: HubLike
    clock: Clock
    http: ComfyHttp
    server: ServerWatch
    router: Router
    shelf: Shelf
    measure: Measure
    policy: QueuePolicy
    workflow: Workflow
    run_dir: RunDir
    client_id: str
    name: str = ""
    """What the server is called; empty where it is the only one."""
    patience: Callable[[str], float | None] = lambda _: None
    """For how many seconds a scene stays with the server while that does not answer; ``None``: as long as it is waited
    for, because no other server could take it."""
    sent: anyio.Event = field(default_factory=anyio.Event)
    """Set once the server has answered to a prompt that was posted."""
    activity: GpuActivity = field(default_factory=GpuActivity)
    collectors: list[FrameCollector] = field(default_factory=list)
    """Those of the attempts under way: who wants to hear of files that change."""
