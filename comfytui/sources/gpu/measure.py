"""Free VRAM as a prompt begins to execute and after it ended: ``/system_stats``, NVML, ``nvidia-smi``, or nobody.

The notes are those of the telemetry contract, word for word: other tools look for them.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import anyio

from comfytui.errors import Failure
from comfytui.model.events import Device, Measurement
from comfytui.model.telemetry import GpuSource
from comfytui.sources.gpu.local import LocalGpus, LocalSource
from comfytui.sources.gpu.reading import GpuReading
from comfytui.sources.gpu.system_stats import devices_of, system_of

AskServer = Callable[[], Awaitable[dict[str, Any] | None]]
"""Asks for ``/system_stats`` and returns the decoded reply; ``None`` or a :class:`Failure` when there is none."""

#: Seconds that the server may take to answer (its garbage collection alone freezes it for half a second).
PATIENCE = 10.0


async def measure(
    ask_server: AskServer,
    moment: Literal["before", "after"],
    *,
    local: bool,
    like: Device | None = None,
    gpus: LocalGpus | None = None,
) -> Measurement:
    """Return who answered, the rendering device, all devices, the ``system`` part, and a note for each detour.

    ``local``: the server runs on this machine; if not, the drivers here are not asked, because their figures would be
    those of the wrong machine. ``like``: the device of the measurement before, so that on a machine of several GPUs
    the same one is chosen. ``gpus``: the drivers, when somebody holds them open anyway.
    """
    stats = await ask(ask_server)
    devices = devices_of(stats) if stats is not None else ()
    system = system_of(stats) if stats is not None else None
    first = devices[0] if devices else None
    if first is not None and first.vram_free is not None:
        unnamed = (f"/system_stats names no device {moment} execution",)
        notes = unnamed if first.name == "Unknown" else ()
        return Measurement(source="system_stats", device=first, devices=devices, system=system, notes=notes)

    trouble = "unavailable" if stats is None else "present but missing VRAM"
    note = f"/system_stats {trouble} {moment} execution"
    hint = first or like
    answer = await _ask_drivers(gpus) if local and _may_be_nvidia(hint) else None
    if answer is None:
        source: GpuSource = "none" if first is None else "system_stats"
        return Measurement(source=source, device=first, devices=devices, system=system, notes=(note,))

    fallback, readings = answer
    chosen, sure = choose(readings, hint)
    guess = f"the rendering GPU could not be identified {moment} execution; assumed GPU {chosen.index}"
    return Measurement(
        source=fallback,
        device=chosen.device(),
        devices=tuple(reading.device() for reading in readings),
        system=system,
        notes=(f"{note}; used {fallback} fallback", *(() if sure else (guess,))),
    )


def unavailable(moment: Literal["before", "after"]) -> Measurement:
    """Return the reading at that moment of a server that does not answer, without asking anybody."""
    return Measurement(source="none", notes=(f"/system_stats unavailable {moment} execution",))


async def ask(ask_server: AskServer, patience: float = PATIENCE) -> Mapping[str, Any] | None:
    """Return the server's reply, or ``None`` when it does not come within ``patience`` seconds or is no object."""
    try:
        with anyio.fail_after(patience):
            stats = await ask_server()
    except (Failure, TimeoutError):
        return None
    return stats if isinstance(stats, Mapping) else None


async def _ask_drivers(gpus: LocalGpus | None) -> tuple[LocalSource, tuple[GpuReading, ...]] | None:
    if gpus is not None:
        return await gpus.read()
    async with LocalGpus() as opened:
        return await opened.read()


def _may_be_nvidia(hint: Device | None) -> bool:
    """Tell whether the rendering device can be one that NVIDIA's drivers know; the CPU and other makers' are not."""
    return hint is None or hint.type in (None, "cuda")


def choose(readings: tuple[GpuReading, ...], hint: Device | None) -> tuple[GpuReading, bool]:
    """Return the reading of the device that ``hint`` describes, and whether there is no doubt about it.

    ComfyUI's names hold the GPU's (``cuda:0 NVIDIA GeForce RTX 4090 : cudaMallocAsync``); its index counts only the
    GPUs that are visible to it, so it is asked only to tell GPUs of one name apart.
    """
    if hint is None:
        known = [reading for reading in readings if reading.vram_free is not None]
        return (known or readings)[0], len(readings) == 1
    named = [reading for reading in readings if reading.name in hint.name]
    if len(named) == 1:
        return named[0], True
    by_index = [reading for reading in named or readings if reading.index == hint.index]
    return (by_index or named or readings)[0], bool(named and by_index)
