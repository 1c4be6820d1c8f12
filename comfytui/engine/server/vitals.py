"""The readings of the GPUs that go on all the time."""

from collections.abc import AsyncIterator

from comfytui.clock import Clock
from comfytui.engine.hub import HubLike
from comfytui.engine.prompt.gpu_activity import GpuActivity
from comfytui.model import events as e


async def watch_gpus(hub: HubLike, samples: AsyncIterator[e.GpuSampled], activity: GpuActivity, clock: Clock) -> None:
    """Publish each of ``samples`` and let ``activity`` learn of it, until cancelled."""
    async for sample in samples:
        activity.take(sample, clock.monotonic())
        hub.publish(sample)
