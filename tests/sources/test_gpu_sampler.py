"""The sampler: once a second, from whoever answers; it falls back, recovers, and is never held up."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest

from comfytui.clock import system_clock
from comfytui.model.events import GpuFigures, GpuSampled
from comfytui.sources.gpu import sampler as module
from comfytui.sources.gpu import smi as smi_module
from comfytui.sources.gpu.local import LocalGpus
from comfytui.sources.gpu.nvml import Nvml
from comfytui.sources.gpu.reading import GpuReading
from comfytui.sources.gpu.sampler import RETRY, SERVER_RETRY, GpuSampler
from comfytui.sources.gpu.smi import NvidiaSmi
from tests.sources.driven_clock import DrivenClock
from tests.sources.fake_nvidia import CARD, GIB, FakeNvml, install_smi, path_with, smi_that_prints

STATS = {"devices": [{"name": "cuda:0 Far", "type": "cuda", "index": 0, "vram_total": 10, "vram_free": 4}]}
FAR = (GpuFigures(index=0, name="cuda:0 Far", vram_used=6, vram_total=10),)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Source:
    """A reader and a server whose answer the test changes; each question may take a while of the driven clock."""

    def __init__(self, clock: DrivenClock | None = None, name: str = "") -> None:
        self.clock, self.name = clock, name
        self.up = bool(name)
        self.takes = 0.0
        self.asked_at: list[float] = []
        self.closed = 0
        self.stats: dict[str, Any] | None = None

    def _asked(self) -> None:
        if self.clock is not None:
            self.asked_at.append(self.clock.monotonic())
            self.clock.advance(self.takes)

    async def read(self) -> tuple[GpuReading, ...] | None:
        self._asked()
        return (GpuReading(index=0, name=self.name, vram_used=1),) if self.up else None

    async def system_stats(self) -> dict[str, Any] | None:
        self._asked()
        return self.stats

    async def aclose(self) -> None:
        self.closed += 1


class Bench:
    """A sampler on a driven clock, with its three sources."""

    def __init__(self, local: bool = True, interval: float = 1.0) -> None:
        self.clock = DrivenClock()
        self.nvml, self.smi, self.server = (Source(self.clock, name) for name in ("by nvml", "by smi", ""))
        self.gpus = LocalGpus(self.nvml, self.smi)
        self.sampler = GpuSampler(self.server.system_stats, self.clock, local=local, interval=interval, gpus=self.gpus)

    async def next(self) -> tuple[float, str, str]:
        """Return when the next sample came, its source, and the name of its first device."""
        found: list[GpuSampled] = []

        async def take() -> None:
            found.append(await anext(self.sampler))

        async with anyio.create_task_group() as group:
            group.start_soon(take)
            with anyio.fail_after(20):
                while not found:
                    await anyio.wait_all_tasks_blocked()
                    if not found:
                        await self.clock.tick()
        return self.clock.monotonic(), found[0].source, found[0].devices[0].name if found[0].devices else ""


async def test_it_samples_at_once_and_then_every_interval() -> None:
    bench = Bench(interval=2.5)
    assert [await bench.next() for _ in range(3)] == [
        (0.0, "nvml", "by nvml"),
        (2.5, "nvml", "by nvml"),
        (5.0, "nvml", "by nvml"),
    ]
    assert bench.smi.asked_at == bench.server.asked_at == []


async def test_it_falls_back_in_order_and_recovers_without_spamming() -> None:
    bench = Bench()
    bench.nvml.up = False
    assert await bench.next() == (0.0, "nvidia-smi", "by smi")
    bench.smi.up = False
    bench.server.stats = STATS
    assert await bench.next() == (1.0, "system_stats", "cuda:0 Far")
    bench.nvml.up = True
    sources = [(await bench.next())[1] for _ in range(29)]
    assert sources == ["system_stats"] * 28 + ["nvml"]
    assert bench.nvml.asked_at == [0.0, RETRY]
    assert bench.smi.asked_at == [0.0, 1.0]


async def test_when_nobody_answers_it_says_so_once_and_then_is_silent() -> None:
    bench = Bench()
    bench.nvml.up = bench.smi.up = False
    assert await bench.next() == (0.0, "none", "")
    bench.clock.advance(0.4)
    bench.server.stats = STATS
    assert await bench.next() == (SERVER_RETRY, "system_stats", "cuda:0 Far")
    bench.server.stats = None
    assert (await bench.next())[1] == "none"


async def test_a_server_on_the_cpu_tells_nothing_once() -> None:
    bench = Bench(local=False)
    bench.server.stats = {"devices": [{"name": "cpu", "type": "cpu", "index": None, "vram_total": 9, "vram_free": 5}]}
    assert await bench.next() == (0.0, "system_stats", "")
    with anyio.move_on_after(0.05):
        async with anyio.create_task_group() as group:
            group.start_soon(anext, bench.sampler)
            for _ in range(5):
                await bench.clock.tick()
                await anyio.wait_all_tasks_blocked()
            assert len(bench.server.asked_at) == 6
            group.cancel_scope.cancel()


async def test_drivers_here_are_not_asked_about_a_server_elsewhere() -> None:
    bench = Bench(local=False)
    bench.server.stats = STATS
    assert await bench.next() == (0.0, "system_stats", "cuda:0 Far")
    assert bench.nvml.asked_at == bench.smi.asked_at == []


async def test_a_slow_source_is_asked_less_often_and_its_ticks_are_skipped() -> None:
    bench = Bench()
    bench.nvml.up = False
    bench.smi.takes = 1.5
    at = [(await bench.next())[0] for _ in range(4)]
    assert [round(later - earlier, 1) for earlier, later in pairwise(at)] == [7.5, 7.5, 7.5]
    assert bench.smi.asked_at == [0.0, 7.5, 15.0, 22.5]
    assert bench.server.asked_at == []


async def test_after_a_stall_missed_ticks_are_not_made_up_for() -> None:
    bench = Bench()
    await bench.next()
    bench.clock.advance(10.3)
    assert [(await bench.next())[0] for _ in range(2)] == [10.3, pytest.approx(11.3)]


async def test_a_silent_server_cannot_hold_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SERVER_PATIENCE", 0.05)

    async def never() -> dict[str, Any] | None:
        await anyio.sleep_forever()
        return None

    with anyio.fail_after(5):
        async with GpuSampler(never, DrivenClock(), local=False) as sampler:
            assert await anext(sampler) == GpuSampled(source="none", devices=())


async def test_drivers_of_its_own_are_closed_and_others_are_left() -> None:
    bench = Bench()
    async with bench.sampler:
        await bench.next()
    assert bench.nvml.closed == 0
    async with bench.gpus:
        pass
    assert (bench.nvml.closed, bench.smi.closed) == (1, 1)


async def test_its_own_drivers_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml, smi = Source(), Source()
    monkeypatch.setattr(module, "LocalGpus", lambda: LocalGpus(nvml, smi))
    async with GpuSampler(Source().system_stats, DrivenClock(), local=True) as sampler:
        assert (await anext(sampler)).source == "none"
    assert (nvml.closed, smi.closed) == (1, 1)


async def nothing() -> None:
    return None


async def test_nvml_gives_all_figures_of_each_device() -> None:
    gpus = LocalGpus(Nvml(lambda: FakeNvml(CARD, {"name": "Second", "total": 8 * GIB, "free": 8 * GIB})))
    async with gpus, GpuSampler(nothing, system_clock(), local=True, gpus=gpus) as sampler:
        assert await anext(sampler) == GpuSampled(
            source="nvml",
            devices=(
                GpuFigures(
                    index=0,
                    name="NVIDIA GeForce RTX 4090",
                    utilization=37.0,
                    vram_used=4 * GIB,
                    vram_total=24 * GIB,
                    temperature=61.0,
                    power=312.45,
                ),
                GpuFigures(index=1, name="Second", vram_used=0, vram_total=8 * GIB),
            ),
        )


async def test_a_hanging_nvidia_smi_makes_way_for_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", path_with(tmp_path))
    install_smi(tmp_path, "import threading; threading.Event().wait(30)")
    gpus = LocalGpus(Source(), NvidiaSmi(patience=0.2))

    async def answers() -> dict[str, Any] | None:
        return STATS

    with anyio.fail_after(10):
        async with gpus, GpuSampler(answers, system_clock(), local=True, interval=0.01, gpus=gpus) as sampler:
            for _ in range(3):
                assert await anext(sampler) == GpuSampled(source="system_stats", devices=FAR)


async def test_nvidia_smi_is_sampled_where_nvml_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", path_with(tmp_path))
    monkeypatch.setattr(smi_module, "_ELSEWHERE", ())
    smi_that_prints(tmp_path, "0, A100, 40960, 40000, 960, 5, 30, 55.2\n1, A100, 40960, 40000, 960, [N/A], 30, 1\n")
    gpus = LocalGpus(Source(), NvidiaSmi())
    async with gpus, GpuSampler(nothing, system_clock(), local=True, gpus=gpus) as sampler:
        sample = await anext(sampler)
    assert sample.source == "nvidia-smi"
    assert [(device.index, device.utilization, device.power) for device in sample.devices] == [
        (0, 5.0, 55.2),
        (1, None, 1.0),
    ]
