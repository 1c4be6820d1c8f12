"""What ComfyUI's ``/system_stats`` says about devices (0.3.64 and 0.8.0): the first to be asked, wherever it runs."""

import math
import sys
from collections.abc import Mapping
from typing import Any

from comfytui.model.events import Device, GpuFigures
from comfytui.untrusted import plain

_DEEPEST, _WIDEST = 6, 500


def devices_of(stats: Mapping[str, Any]) -> tuple[Device, ...]:
    """Return the devices of a decoded reply, the rendering one first, as ComfyUI lists them; bytes or ``None``.

    On CPU ComfyUI reports RAM as VRAM, type ``cpu`` and index null: kept as it says. A device without a name is
    called ``Unknown``.
    """
    listed = stats.get("devices")
    if not isinstance(listed, (list, tuple)):
        return ()
    return tuple(_device(entry) for entry in listed[:_WIDEST] if isinstance(entry, Mapping))


def _device(entry: Mapping[str, Any]) -> Device:
    name, kind, index = entry.get("name"), entry.get("type"), entry.get("index")
    return Device(
        name=(plain(name).strip() if isinstance(name, str) else "") or "Unknown",
        type=plain(kind) if isinstance(kind, str) else None,
        index=index if isinstance(index, int) and not isinstance(index, bool) and index >= 0 else None,
        vram_total=_bytes(entry.get("vram_total")),
        vram_free=_bytes(entry.get("vram_free")),
    )


def _bytes(value: Any) -> int | None:
    """Return a count of bytes as it is; anything else (a string, a negative number, NaN) is ``None``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1 << 63:
        return None
    return int(value)


def figures_of(stats: Mapping[str, Any]) -> tuple[GpuFigures, ...]:
    """Return the figures of a sample: memory only. A ``cpu`` device is left out: its VRAM is RAM."""
    figures = []
    for place, device in enumerate(devices_of(stats)):
        if device.type != "cpu":
            total, free = device.vram_total, device.vram_free
            used = max(0, total - free) if total is not None and free is not None else None
            index = device.index if device.index is not None else place
            figures.append(GpuFigures(index=index, name=device.name, vram_used=used, vram_total=total))
    return tuple(figures)


def system_of(stats: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the ``system`` part of a decoded reply with its texts made plain, or ``None`` when there is none.

    Two of them are kept of every attempt and say nearly the same: their texts are shared (interned).
    """
    system = stats.get("system")
    return _plain_object(system, _DEEPEST) if isinstance(system, Mapping) else None


def _plain_object(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    return {sys.intern(plain(str(key))): _plain(item, depth - 1) for key, item in list(value.items())[:_WIDEST]}


def _plain(value: Any, depth: int) -> Any:
    """Return ``value`` with every text made plain; what is nested too deeply, or is no JSON value, becomes ``None``."""
    if isinstance(value, str):
        return sys.intern(plain(value))
    if isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if depth and isinstance(value, (list, tuple)):
        return [_plain(item, depth - 1) for item in value[:_WIDEST]]
    if depth and isinstance(value, Mapping):
        return _plain_object(value, depth)
    return None
