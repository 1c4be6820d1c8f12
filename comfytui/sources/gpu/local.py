"""The GPUs of this machine: NVML first, then ``nvidia-smi``. To be asked only when the server runs here, too."""

from types import TracebackType
from typing import Literal

import anyio

from comfytui.sources.gpu.nvml import Nvml
from comfytui.sources.gpu.reading import GpuReading, Reader
from comfytui.sources.gpu.smi import NvidiaSmi

LocalSource = Literal["nvml", "nvidia-smi"]


class LocalGpus:
    """Both ways of asking, shared by whoever measures and samples; an async context manager, or :meth:`aclose`."""

    def __init__(self, nvml: Reader | None = None, smi: Reader | None = None) -> None:
        self.readers: tuple[tuple[LocalSource, Reader], ...] = (
            ("nvml", nvml or Nvml()),
            ("nvidia-smi", smi or NvidiaSmi()),
        )

    async def __aenter__(self) -> "LocalGpus":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Let go of the driver."""
        with anyio.CancelScope(shield=True):
            for _, reader in self.readers:
                await reader.aclose()

    async def read(self) -> tuple[LocalSource, tuple[GpuReading, ...]] | None:
        """Return who answered first, and the readings, of which at least one tells free memory; else ``None``."""
        for source, reader in self.readers:
            readings = await reader.read()
            if readings and any(reading.vram_free is not None for reading in readings):
                return source, readings
        return None
