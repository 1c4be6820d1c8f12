"""``nvidia-smi``: asked about GPUs of this machine where NVML cannot be loaded."""

import math
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from comfytui.sources.gpu.lane import Lane, Stuck
from comfytui.sources.gpu.reading import GpuReading
from comfytui.untrusted import plain

#: Seconds that one call may take; on a machine of many GPUs without persistence mode it takes one or two.
PATIENCE = 5.0

_QUERY = (
    "index",
    "name",
    "memory.total",
    "memory.free",
    "memory.used",
    "utilization.gpu",
    "temperature.gpu",
    "power.draw",
)
_MIB = 1 << 20
_REAP = 1.0  # seconds for a killed program to be gone

#: Where it lies when it is not on the path: under WSL, and with old drivers on Windows.
_ELSEWHERE = ("/usr/lib/wsl/lib/nvidia-smi", r"C:\Program Files\NVIDIA Corporation\NVSMI\nvidia-smi.exe")


class NvidiaSmi:
    """Reads all GPUs by ``nvidia-smi --query-gpu``, a process of its own each time."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._lane = Lane("nvidia-smi")

    async def read(self) -> tuple[GpuReading, ...] | None:
        """Return one reading a GPU, or ``None`` where there is no ``nvidia-smi``, no GPU, or no answer in time."""
        call = _Call(self._patience)
        try:
            answer = await self._lane.run(call.run, self._patience + 2 * _REAP)
        except Stuck:
            return None
        finally:
            call.kill()
        return parse(answer.decode("utf-8", "replace")) or None if answer else None

    async def aclose(self) -> None:
        """Nothing is held: a call ends with the one who waits for it."""


class _Call:
    """One run of the program."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> bytes | None:
        """Return what it prints, whatever its exit code: one lost GPU makes that an error. ``None`` if it is late."""
        program = find_program()
        if program is None:
            return None
        try:
            process = self._process = subprocess.Popen(
                [program, f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader,nounits"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "LC_ALL": "C", "LANG": "C"},
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError:
            return None
        try:
            return process.communicate(timeout=self._patience)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            with suppress(subprocess.TimeoutExpired):  # a child of it may hold the pipe, or the kernel the process
                process.communicate(timeout=_REAP)
            return None
        finally:
            self._process = None
            if process.stdout is not None:
                process.stdout.close()

    def kill(self) -> None:
        """End the program if it still runs."""
        process = self._process
        if process is not None:
            with suppress(OSError):
                process.kill()


def find_program() -> str | None:
    """Return the path of ``nvidia-smi`` on this machine, or ``None``."""
    found = shutil.which("nvidia-smi")
    if found is None and sys.platform != "darwin":
        found = next((place for place in _ELSEWHERE if Path(place).is_file()), None)
    return found


def parse(answer: str) -> tuple[GpuReading, ...]:
    """Return the readings in the CSV lines of ``answer``; lines that are no GPU (warnings, MIG lists) are passed over.

    Figures that a GPU does not tell (``[N/A]``, ``[Not Supported]``, ``ERR!``) are ``None``; MiB become bytes.
    """
    readings: dict[int, GpuReading] = {}
    for line in answer.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == len(_QUERY) + 1 and fields[-1].isdecimal() and fields[-2].isdecimal():
            fields[-2:] = [f"{fields[-2]}.{fields[-1]}"]  # watts with a decimal comma
        if len(fields) < 3 or not (fields[0].isdecimal() and len(fields[0]) < 6):
            continue
        total, free, used, utilization, temperature, power = [*map(_number, fields[2:8]), *[None] * 6][:6]
        reading = GpuReading(
            index=int(fields[0]),
            name=plain(fields[1]) or "Unknown",
            vram_total=_bytes(total),
            vram_free=_bytes(free),
            vram_used=_bytes(used),
            utilization=utilization,
            temperature=temperature,
            power=power,
        )
        readings.setdefault(reading.index, reading)
    return tuple(readings.values())


def _number(field: str) -> float | None:
    """Return the number that ``field`` begins with, be there a unit after it or not."""
    try:
        value = float(field.split(maxsplit=1)[0])
    except (ValueError, IndexError):
        return None
    return value if math.isfinite(value) and 0 <= value < 1e12 else None


def _bytes(mebibytes: float | None) -> int | None:
    return None if mebibytes is None else int(mebibytes * _MIB)
