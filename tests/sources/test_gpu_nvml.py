"""NVML as the driver behaves: absent, failing, refusing single figures, hanging, coming back."""

import sys
import threading
from typing import Any

import anyio
import pytest

from comfytui.sources.gpu import nvml as module
from comfytui.sources.gpu.lane import Lane, Stuck
from comfytui.sources.gpu.nvml import Nvml, load_pynvml
from comfytui.sources.gpu.reading import GpuReading
from tests.sources.fake_nvidia import CARD, GIB, FakeNvml


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in CARD.items() if key not in keys}


async def test_two_devices_are_read_with_all_their_figures() -> None:
    library = FakeNvml(CARD, {**CARD, "name": b"NVIDIA RTX A2000", "free": 0, "gpu": 100})
    assert await Nvml(lambda: library).read() == (
        GpuReading(
            index=0,
            name="NVIDIA GeForce RTX 4090",
            vram_total=24 * GIB,
            vram_free=20 * GIB,
            vram_used=4 * GIB,
            utilization=37.0,
            temperature=61.0,
            power=312.45,
        ),
        GpuReading(
            index=1,
            name="NVIDIA RTX A2000",
            vram_total=24 * GIB,
            vram_free=0,
            vram_used=24 * GIB,
            utilization=100.0,
            temperature=61.0,
            power=312.45,
        ),
    )


@pytest.mark.parametrize(
    ("missing", "empty"),
    [
        ("total", ("vram_total", "vram_free", "vram_used")),
        ("gpu", ("utilization",)),
        ("temperature", ("temperature",)),
        ("milliwatts", ("power",)),
    ],
)
async def test_a_figure_that_is_refused_is_none_and_the_others_stay(missing: str, empty: tuple[str, ...]) -> None:
    readings = await Nvml(lambda: FakeNvml(without(missing))).read()
    assert readings is not None
    figures = {field: getattr(readings[0], field) for field in readings[0].__struct_fields__}
    assert {field for field, value in figures.items() if value is None} == set(empty)


async def test_a_nameless_device_is_called_unknown_and_a_hostile_name_made_plain() -> None:
    readings = await Nvml(lambda: FakeNvml(without("name"), {**CARD, "name": "A\x1b[2J100"})).read()
    assert readings is not None
    assert [reading.name for reading in readings] == ["Unknown", "A100"]


async def test_the_newer_call_for_the_temperature_is_preferred() -> None:
    class Newer(FakeNvml):
        def nvmlDeviceGetTemperatureV(self, handle: dict[str, Any], sensor: int) -> int:
            return 55

    readings = await Nvml(lambda: Newer(CARD)).read()
    assert readings is not None
    assert readings[0].temperature == 55.0


async def test_a_lost_device_is_left_out() -> None:
    library = FakeNvml({**CARD, "lost": True}, without("total", "gpu", "temperature", "milliwatts"), CARD)
    readings = await Nvml(lambda: library).read()
    assert readings is not None
    assert [reading.index for reading in readings] == [2]


async def test_without_the_library_there_is_no_answer() -> None:
    def absent() -> Any:
        raise ImportError("No module named 'pynvml'")

    nvml = Nvml(absent)
    assert await nvml.read() is None
    await nvml.aclose()


async def test_without_the_driver_there_is_no_answer_until_it_is_loaded() -> None:
    library = FakeNvml(CARD)
    library.init_fails = True
    nvml = Nvml(lambda: library)
    assert await nvml.read() is None
    library.init_fails = False
    assert await nvml.read() is not None


async def test_it_is_initialised_once_and_shut_down_once() -> None:
    library = FakeNvml(CARD)
    nvml = Nvml(lambda: library)
    for _ in range(3):
        await nvml.read()
    await nvml.aclose()
    await nvml.aclose()
    assert library.calls == ["init", "shutdown"]


async def test_a_driver_that_was_exchanged_is_initialised_anew() -> None:
    library = FakeNvml(CARD)
    nvml = Nvml(lambda: library)
    await nvml.read()
    library.count_fails = True
    assert await nvml.read() is None
    library.count_fails = False
    assert await nvml.read() is not None
    assert library.calls == ["init", "shutdown", "init"]


async def test_a_machine_without_gpus_gives_no_answer() -> None:
    assert await Nvml(FakeNvml).read() is None


async def test_a_hanging_driver_is_left_behind_and_asked_again_when_it_returns() -> None:
    release = threading.Event()

    class Hanging(FakeNvml):
        def nvmlDeviceGetCount(self) -> int:
            release.wait(20)
            return super().nvmlDeviceGetCount()

    nvml = Nvml(lambda: Hanging(CARD), patience=0.05)
    assert await nvml.read() is None
    with anyio.fail_after(0.04):  # at once: nothing waits for a driver that hangs
        assert await nvml.read() is None
        await nvml.aclose()
    hanging = [thread for thread in threading.enumerate() if thread.name == "nvml"]
    assert len(hanging) == 1
    assert hanging[0].daemon
    release.set()
    with anyio.fail_after(10):
        while await nvml.read() is None:
            await anyio.lowlevel.checkpoint()


async def test_a_lane_runs_one_call_at_a_time_in_turn() -> None:
    lane, at_work, most = Lane("test"), 0, 0
    lock = threading.Lock()

    def call() -> int:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        with lock:
            at_work -= 1
        return 7

    results: list[int] = []

    async def ask() -> None:
        results.append(await lane.run(call, 10))

    async with anyio.create_task_group() as group:
        for _ in range(12):
            group.start_soon(ask)
    assert (results, most) == ([7] * 12, 1)


async def test_a_lane_raises_what_its_call_raises_and_goes_on() -> None:
    lane = Lane("test")

    def fails() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await lane.run(fails, 10)
    assert await lane.run(lambda: 1, 10) == 1


async def test_a_cancelled_wait_does_not_let_two_calls_meet() -> None:
    lane, release, began = Lane("test"), threading.Event(), anyio.Event()

    async def ask() -> None:
        await lane.run(lambda: release.wait(20), 10)

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    with pytest.raises(Stuck):
        await lane.run(began.set, 0.02)
    assert not began.is_set()
    release.set()


def test_importing_the_source_does_not_load_pynvml(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "pynvml" not in vars(module)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(ImportError):
        load_pynvml()


async def test_the_real_library_is_quiet_on_any_machine() -> None:
    nvml = Nvml()
    readings = await nvml.read()
    assert readings is None or all(reading.name for reading in readings)
    await nvml.aclose()
