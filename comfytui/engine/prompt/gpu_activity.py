"""When a GPU was last seen at work: a sign of life of a node that tells no progress."""

from comfytui.model.events import GpuFigures, GpuSampled

BUSY = 5.0
"""Percent of load from which a GPU works; a desktop alone keeps it at some percent."""
MOVED = 16 * 1024 * 1024
"""Bytes by which used memory differs between two samples when somebody loads or computes."""


class GpuActivity:
    """Remembers when (monotonic seconds) any GPU was at work, as far as its samples tell.

    Any GPU counts: which one renders is not always known, and a prompt that works must not be taken for a dead one.
    """

    def __init__(self) -> None:
        self.at = float("-inf")
        self._before: dict[int, GpuFigures] = {}

    def take(self, sample: GpuSampled, now: float) -> None:
        """Learn of ``sample``, which was taken at ``now``."""
        if any(self._works(device) for device in sample.devices):
            self.at = now
        self._before = {device.index: device for device in sample.devices}

    def _works(self, device: GpuFigures) -> bool:
        if device.utilization is not None and device.utilization >= BUSY:
            return True
        before = self._before.get(device.index)
        if before is None or before.vram_used is None or device.vram_used is None:
            return False
        return abs(device.vram_used - before.vram_used) >= MOVED
