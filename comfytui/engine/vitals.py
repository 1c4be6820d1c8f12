"""The readings that go on all the time: does the server answer, how long is its queue, what do the GPUs do."""

from collections.abc import AsyncIterator

from comfytui.clock import Clock
from comfytui.engine.hub import Hub
from comfytui.engine.router import queue_depth
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.sources.comfy.http import ComfyHttp

PULSE_INTERVAL = 5.0
"""Seconds between two ``GET /prompt``: 37 bytes that tell latency and queue length (ComfyUI 0.3.64 and 0.8.0)."""


async def pulse(hub: Hub, http: ComfyHttp, clock: Clock, interval: float = PULSE_INTERVAL) -> None:
    """Publish a pulse every ``interval`` seconds until cancelled; a trouble is a fact once, until it passes."""
    told = ""
    while True:
        began = clock.monotonic()
        try:
            remaining = await http.queue_remaining()
        except Failure as failure:
            hub.publish(e.Pulse(latency=None))
            if failure.code != told:
                hub.publish(e.ServerTroubled(code=failure.code, what=failure.what, remedy=failure.remedy))
            told = failure.code
        else:
            hub.publish(e.Pulse(latency=round(clock.monotonic() - began, 4)))
            hub.publish(queue_depth(hub, remaining))
            if told:
                hub.publish(e.RunNoted(text="The server answers again"))
            told = ""
        await clock.sleep(interval)


async def watch_gpus(hub: Hub, samples: AsyncIterator[e.GpuSampled]) -> None:
    """Publish each of ``samples``, until cancelled."""
    async for sample in samples:
        hub.publish(sample)
