"""VRAM and GPU figures for the server that renders: at the moments that telemetry asks for, and once a second."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from comfytui.clock import Clock
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.sources.comfy.http import ComfyHttp
from comfytui.sources.gpu.measure import measure
from comfytui.sources.gpu.sampler import GpuSampler


class Gauges:
    """Reads the GPUs behind ``http``; with ``local`` they are in this machine, and its drivers may be asked too."""

    def __init__(self, http: ComfyHttp, clock: Clock, *, local: bool, interval: float) -> None:
        self._http, self._clock, self._local, self._interval = http, clock, local, interval

    async def measure(self, moment: e.MomentWord) -> e.Measurement:
        """Return one reading of VRAM for the telemetry, with the notes on who had to be asked."""
        return await measure(self._stats, moment, local=self._local)

    async def samples(self) -> AsyncIterator[e.GpuSampled]:
        """Yield a sample every interval, until cancelled."""
        async with GpuSampler(self._stats, self._clock, local=self._local, interval=self._interval) as sampler:
            async for sample in sampler:
                yield sample

    async def _stats(self) -> dict[str, Any] | None:
        try:
            stats = await self._http.system_stats()
        except Failure:
            return None
        return {"system": stats.system, "devices": msgspec.to_builtins(stats.devices)}
