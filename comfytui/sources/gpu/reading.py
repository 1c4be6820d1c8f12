"""What one GPU of this machine tells at one moment, whoever was asked."""

from typing import Protocol

from msgspec import Struct

from comfytui.model.events import Device, GpuFigures


class GpuReading(Struct, frozen=True, kw_only=True):
    """One GPU: memory in bytes, percent, degrees Celsius, watts; ``None`` for what it does not tell."""

    index: int
    name: str
    vram_total: int | None = None
    vram_free: int | None = None
    vram_used: int | None = None
    utilization: float | None = None
    temperature: float | None = None
    power: float | None = None

    def device(self) -> Device:
        """Return it as a device, in the way ``/system_stats`` lists one; NVIDIA's are of type ``cuda``."""
        return Device(
            name=self.name, type="cuda", index=self.index, vram_total=self.vram_total, vram_free=self.vram_free
        )

    def figures(self) -> GpuFigures:
        """Return it as the figures of a sample."""
        return GpuFigures(
            index=self.index,
            name=self.name,
            utilization=self.utilization,
            vram_used=self.vram_used,
            vram_total=self.vram_total,
            temperature=self.temperature,
            power=self.power,
        )


class Reader(Protocol):
    """Somebody who can be asked for all GPUs of this machine."""

    async def read(self) -> tuple[GpuReading, ...] | None:
        """Return one reading a GPU, or ``None`` when there is no answer (in bounded time)."""
        ...

    async def aclose(self) -> None:
        """Let go of the driver."""
        ...
