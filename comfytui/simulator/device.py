"""A fake GPU with consistent figures: its memory sinks while a prompt runs, and mostly comes back.

Its name says that it is simulated, so that nobody takes a figure of it for a real one.
"""

from __future__ import annotations

from typing import Any, Literal

Json = dict[str, Any]

MIB = 1 << 20
GIB = 1 << 30
VRAM_TOTAL = 24 * GIB
RAM_TOTAL = 32 * GIB
IDLE = 700 * MIB
SCRATCH = 192 * MIB
KEPT_BY_THE_ALLOCATOR = 48 * MIB

CHECKPOINTS = {
    "svd.safetensors": 9 * GIB,
    "svd_xt.safetensors": 9 * GIB,
    "sd_xl_base_1.0.safetensors": 6 * GIB + 600 * MIB,
    "v1-5-pruned-emaonly-fp16.safetensors": 2 * GIB + 120 * MIB,
}


class Device:
    """The memory of the device, in bytes; `kind` cpu shows what a server without a GPU shows."""

    def __init__(self, kind: Literal["cuda", "cpu"]) -> None:
        self.kind = kind
        self.leaked = 0
        self._models: dict[str, int] = {}
        self._working = 0
        self._reserved = 0

    def resident(self, model: str) -> bool:
        """Return whether a checkpoint is in memory already."""
        return model in self._models

    def load(self, model: str) -> None:
        """Bring a checkpoint in; the oldest ones make room."""
        self._models[model] = CHECKPOINTS[model]
        while sum(self._models.values()) > VRAM_TOTAL // 2 and len(self._models) > 1:
            self._models.pop(next(iter(self._models)))

    def unload(self) -> None:
        """Take all checkpoints out, and hand the reserved memory back (POST /free, out of memory)."""
        self._models.clear()
        self._reserved = 0

    def work(self, width: int, height: int, count: int) -> None:
        """A node works on `count` images of this size: about 50 bytes a pixel, on top of the scratch."""
        self._working = max(self._working, SCRATCH + min(width * height * count * 50, 8 * GIB))

    def rest(self) -> None:
        """The prompt is over: its memory is free again, but for a little that the allocator keeps."""
        if self._working:
            self._working = 0
            self._reserved = KEPT_BY_THE_ALLOCATOR

    @property
    def free(self) -> int:
        """Return the free bytes."""
        used = IDLE + sum(self._models.values()) + self._working + self._reserved + self.leaked
        return max(VRAM_TOTAL - used, 64 * MIB)

    def stats(self) -> Json:
        """Return the device as GET /system_stats lists it."""
        if self.kind == "cpu":
            free = self.ram_free()
            figures = dict.fromkeys(("vram_total", "torch_vram_total"), RAM_TOTAL)
            figures |= dict.fromkeys(("vram_free", "torch_vram_free"), free)
            order = ("vram_total", "vram_free", "torch_vram_total", "torch_vram_free")
            return {"name": "cpu", "type": "cpu", "index": None, **{name: figures[name] for name in order}}
        torch_total = sum(self._models.values()) + self._working + self._reserved
        return {
            "name": "cuda:0 Simulated GPU",
            "type": "cuda",
            "index": 0,
            "vram_total": VRAM_TOTAL,
            "vram_free": self.free,
            "torch_vram_total": torch_total,
            "torch_vram_free": self._reserved,
        }

    def ram_free(self) -> int:
        """Return the free bytes of main memory; on a CPU server the prompt works there."""
        return RAM_TOTAL - 4 * GIB - (self._working + self.leaked if self.kind == "cpu" else 0)
