"""NVIDIA's management library, by nvidia-ml-py: the first to be asked about GPUs of this machine."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from comfytui.sources.gpu.lane import Lane, Stuck
from comfytui.sources.gpu.reading import GpuReading
from comfytui.untrusted import plain

#: Seconds that one reading of all GPUs may take.
PATIENCE = 3.0


#: Where Linux shows that NVIDIA's driver is loaded; the last is WSL's way to the driver of Windows.
DRIVER_SIGNS = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg")


def load_pynvml() -> Any:
    """Return the module ``pynvml``; loaded only when it is needed, because it takes 40 to 150 ms.

    Raises ``ImportError`` where there is no driver that it could ask.
    """
    if "pynvml" not in sys.modules and not driver_may_be_here():
        raise ImportError("NVIDIA's driver is not loaded on this machine")
    import pynvml

    return pynvml


def driver_may_be_here() -> bool:
    """Return whether this machine may have NVIDIA's driver: as far as its system tells at no cost."""
    if sys.platform == "darwin":
        return False
    return sys.platform != "linux" or any(os.path.exists(sign) for sign in DRIVER_SIGNS)  # noqa: PTH110 - of devices


class Nvml:
    """Reads all GPUs by NVML. Initialised with the first reading, and again after it has failed."""

    def __init__(self, load: Callable[[], Any] = load_pynvml, patience: float = PATIENCE) -> None:
        self._load = load
        self._patience = patience
        self._lane = Lane("nvml")
        self._library: Any = None

    async def read(self) -> tuple[GpuReading, ...] | None:
        """Return one reading a GPU, or ``None`` without NVIDIA's driver, or when it does not answer in time."""
        try:
            return await self._lane.run(self._read, self._patience)
        except Stuck:
            return None

    async def aclose(self) -> None:
        """Shut NVML down, unless it is stuck."""
        with suppress(Stuck):
            await self._lane.run(self._shutdown, self._patience)

    def _read(self) -> tuple[GpuReading, ...] | None:
        if self._library is None and not self._initialise():
            return None
        library = self._library
        try:
            count = int(library.nvmlDeviceGetCount())
        except library.NVMLError:  # the driver was unloaded or exchanged: begin anew next time
            self._shutdown()
            return None
        readings = [reading for index in range(count) if (reading := _device(library, index)) is not None]
        if not readings:
            self._shutdown()
        return tuple(readings) or None

    def _initialise(self) -> bool:
        try:
            library = self._load()
        except (ImportError, OSError):
            return False
        try:
            library.nvmlInit()
        except (library.NVMLError, OSError):
            return False
        self._library = library
        return True

    def _shutdown(self) -> None:
        library, self._library = self._library, None
        if library is not None:
            with suppress(library.NVMLError):
                library.nvmlShutdown()


def _device(library: Any, index: int) -> GpuReading | None:
    """Return the reading of one GPU; what it refuses to tell (MIG, old cards, passed-through cards) is ``None``."""
    try:
        handle = library.nvmlDeviceGetHandleByIndex(index)
    except library.NVMLError:
        return None

    def ask(question: str, *arguments: Any) -> Any:
        try:
            return getattr(library, question)(handle, *arguments)
        except (library.NVMLError, AttributeError, ValueError):
            return None

    name = ask("nvmlDeviceGetName")
    memory = ask("nvmlDeviceGetMemoryInfo")
    rates = ask("nvmlDeviceGetUtilizationRates")
    milliwatts = ask("nvmlDeviceGetPowerUsage")
    temperature = _temperature(library, ask)
    if memory is None and rates is None and temperature is None and milliwatts is None:
        return None  # it is on the bus, but lost
    return GpuReading(
        index=index,
        name=plain(name.decode("utf-8", "replace") if isinstance(name, bytes) else name or "") or "Unknown",
        vram_total=None if memory is None else int(memory.total),
        vram_free=None if memory is None else int(memory.free),
        vram_used=None if memory is None else int(memory.used),
        utilization=None if rates is None else float(rates.gpu),
        temperature=temperature,
        power=None if milliwatts is None else milliwatts / 1000,
    )


def _temperature(library: Any, ask: Callable[..., Any]) -> float | None:
    """Return degrees Celsius: the call of today's drivers first, then the one that older ones know."""
    sensor = getattr(library, "NVML_TEMPERATURE_GPU", 0)
    for question in ("nvmlDeviceGetTemperatureV", "nvmlDeviceGetTemperature"):
        degrees = ask(question, sensor)
        if degrees is not None:
            return float(degrees)
    return None
