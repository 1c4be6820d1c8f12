"""VRAM and GPU figures for the server that renders: at the moments that telemetry asks for, and once a second."""

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import msgspec

from comfytui.clock import Clock
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.sources.comfy.http import ComfyHttp
from comfytui.sources.gpu.local import LocalGpus
from comfytui.sources.gpu.measure import measure
from comfytui.sources.gpu.sampler import GpuSampler


class Gauges:
    """Reads the GPUs behind ``http``; with ``local`` they are in this machine, and its drivers may be asked too.

    An async context manager: it holds the drivers open.
    """

    def __init__(self, http: ComfyHttp, clock: Clock, *, local: bool, interval: float) -> None:
        self._http, self._clock, self._local, self._interval = http, clock, local, interval
        self._gpus = LocalGpus()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._gpus.aclose()

    async def measure(self, moment: e.MomentWord, like: e.Device | None = None) -> e.Measurement:
        """Return one reading of VRAM for the telemetry, with the notes on who had to be asked.

        ``like`` is the device of the reading before, so that both are of the same one.
        """
        return await measure(self._stats, moment, local=self._local, like=like, gpus=self._gpus)

    async def samples(self) -> AsyncIterator[e.GpuSampled]:
        """Yield a sample every interval, until cancelled."""
        async with GpuSampler(
            self._stats, self._clock, local=self._local, interval=self._interval, gpus=self._gpus
        ) as sampler:
            async for sample in sampler:
                yield sample

    async def _stats(self) -> dict[str, Any] | None:
        try:
            stats = await self._http.system_stats()
        except Failure:
            return None
        return {"system": stats.system, "devices": msgspec.to_builtins(stats.devices)}
