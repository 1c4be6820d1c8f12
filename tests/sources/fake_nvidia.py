"""Stand-ins for NVIDIA's library and program, for machines that have neither."""

import os
import stat
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    """As ``pynvml.NVMLError``."""


class FakeNvml:
    """A ``pynvml`` with the devices it is given: dicts of name, total, free, used, gpu, temperature, milliwatts.

    A figure that is missing from the dict raises :class:`NVMLError`, as NVML does for what a GPU does not tell.
    """

    NVMLError = NVMLError
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, *devices: dict[str, Any]) -> None:
        self.devices = list(devices)
        self.calls: list[str] = []
        self.init_fails = self.count_fails = False

    def nvmlInit(self) -> None:
        self.calls.append("init")
        if self.init_fails:
            raise NVMLError("Driver Not Loaded")

    def nvmlShutdown(self) -> None:
        self.calls.append("shutdown")

    def nvmlDeviceGetCount(self) -> int:
        if self.count_fails:
            raise NVMLError("GPU is lost")
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> dict[str, Any]:
        if self.devices[index].get("lost"):
            raise NVMLError("GPU is lost")
        return self.devices[index]

    def _figure(self, handle: dict[str, Any], key: str) -> Any:
        if key not in handle:
            raise NVMLError("Not Supported")
        return handle[key]

    def nvmlDeviceGetName(self, handle: dict[str, Any]) -> Any:
        return self._figure(handle, "name")

    def nvmlDeviceGetMemoryInfo(self, handle: dict[str, Any]) -> Any:
        return SimpleNamespace(
            total=self._figure(handle, "total"), free=handle["free"], used=handle["total"] - handle["free"]
        )

    def nvmlDeviceGetUtilizationRates(self, handle: dict[str, Any]) -> Any:
        return SimpleNamespace(gpu=self._figure(handle, "gpu"), memory=1)

    def nvmlDeviceGetTemperature(self, handle: dict[str, Any], sensor: int) -> int:
        assert sensor == self.NVML_TEMPERATURE_GPU
        return int(self._figure(handle, "temperature"))

    def nvmlDeviceGetPowerUsage(self, handle: dict[str, Any]) -> int:
        return int(self._figure(handle, "milliwatts"))


GIB = 1 << 30
CARD = {
    "name": "NVIDIA GeForce RTX 4090",
    "total": 24 * GIB,
    "free": 20 * GIB,
    "gpu": 37,
    "temperature": 61,
    "milliwatts": 312_450,
}


def install_smi(folder: Path, body: str) -> None:
    """Put a program ``nvidia-smi`` into ``folder`` that runs the Python code ``body``."""
    script = folder / "nvidia_smi_stand_in.py"
    script.write_text(textwrap.dedent(body), encoding="utf-8")
    if sys.platform == "win32":
        (folder / "nvidia-smi.cmd").write_text(f'@"{sys.executable}" -S "{script}" %*\r\n', encoding="utf-8")
    else:
        program = folder / "nvidia-smi"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{script}" "$@"\n', encoding="utf-8")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)


def smi_that_prints(folder: Path, answer: str, exit_code: int = 0) -> None:
    """Put a program ``nvidia-smi`` into ``folder`` that prints ``answer``."""
    install_smi(
        folder,
        f"""
        import sys
        sys.stdout.buffer.write({answer.encode()!r})
        sys.exit({exit_code})
        """,
    )


def path_with(folder: Path) -> str:
    """Return a search path that begins with ``folder``."""
    return os.pathsep.join([str(folder), "/usr/bin", "/bin"] if sys.platform != "win32" else [str(folder)])
