"""Who is asked for VRAM, in which order, and with which words the detours are noted."""

from typing import Any, Literal

import anyio
import pytest

from comfytui.errors import Failure
from comfytui.model.events import Device, Measurement
from comfytui.sources.gpu import measure as module
from comfytui.sources.gpu.local import LocalGpus
from comfytui.sources.gpu.measure import choose, measure
from comfytui.sources.gpu.reading import GpuReading

GIB = 1 << 30
CARD = {"name": "cuda:0 NVIDIA GeForce RTX 4090 : native", "type": "cuda", "index": 0, "vram_total": 24 * GIB}
SYSTEM = {"os": "posix", "comfyui_version": "0.8.0"}
Moment = Literal["before", "after"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def gpu(index: int = 0, name: str = "NVIDIA GeForce RTX 4090", free: int | None = 20 * GIB) -> GpuReading:
    return GpuReading(index=index, name=name, vram_total=24 * GIB, vram_free=free)


class Answers:
    """A reader that gives these readings, and counts."""

    def __init__(self, *readings: GpuReading) -> None:
        self.readings = readings
        self.asked = self.closed = 0

    async def read(self) -> tuple[GpuReading, ...] | None:
        self.asked += 1
        return self.readings or None

    async def aclose(self) -> None:
        self.closed += 1


async def take(
    stats: dict[str, Any] | Exception | None,
    moment: Moment = "before",
    *,
    nvml: Answers | None = None,
    smi: Answers | None = None,
    local: bool = True,
    like: Device | None = None,
) -> Measurement:
    async def ask_server() -> dict[str, Any] | None:
        if isinstance(stats, Exception):
            raise stats
        return stats

    gpus = LocalGpus(nvml or Answers(), smi or Answers())
    return await measure(ask_server, moment, local=local, like=like, gpus=gpus)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("stats", "trouble"),
    [
        (None, "/system_stats unavailable"),
        ({"system": SYSTEM, "devices": []}, "/system_stats present but missing VRAM"),
        ({"system": SYSTEM, "devices": [CARD]}, "/system_stats present but missing VRAM"),
        ({"system": SYSTEM, "devices": [{**CARD, "vram_free": "?"}]}, "/system_stats present but missing VRAM"),
    ],
)
async def test_the_notes_are_those_of_the_contract(stats: Any, trouble: str, moment: Moment) -> None:
    by_nvml = await take(stats, moment, nvml=Answers(gpu()), smi=Answers(gpu()))
    assert (by_nvml.source, by_nvml.notes) == ("nvml", (f"{trouble} {moment} execution; used nvml fallback",))
    by_smi = await take(stats, moment, smi=Answers(gpu()))
    assert (by_smi.source, by_smi.notes) == ("nvidia-smi", (f"{trouble} {moment} execution; used nvidia-smi fallback",))
    nobody = await take(stats, moment)
    assert nobody.notes == (f"{trouble} {moment} execution",)
    assert nobody.device is None or nobody.device.vram_free is None
    elsewhere = await take(stats, moment, nvml=Answers(gpu()), local=False)
    assert elsewhere.notes == (f"{trouble} {moment} execution",)


async def test_the_words_of_the_contract_to_the_letter() -> None:
    smi = Answers(gpu())
    assert [
        *(await take(None, "before")).notes,
        *(await take(None, "after")).notes,
        *(await take(None, "before", smi=smi)).notes,
        *(await take(None, "after", nvml=Answers(gpu()))).notes,
        *(await take({"devices": [CARD]}, "before", smi=smi)).notes,
        *(await take({"devices": [CARD]}, "after", nvml=Answers(gpu()))).notes,
    ] == [
        "/system_stats unavailable before execution",
        "/system_stats unavailable after execution",
        "/system_stats unavailable before execution; used nvidia-smi fallback",
        "/system_stats unavailable after execution; used nvml fallback",
        "/system_stats present but missing VRAM before execution; used nvidia-smi fallback",
        "/system_stats present but missing VRAM after execution; used nvml fallback",
    ]


async def test_the_server_is_believed_first_and_nobody_else_is_asked() -> None:
    nvml, smi = Answers(gpu()), Answers(gpu())
    found = await take({"system": SYSTEM, "devices": [{**CARD, "vram_free": 22 * GIB}]}, nvml=nvml, smi=smi)
    device = Device(
        name="cuda:0 NVIDIA GeForce RTX 4090 : native",
        type="cuda",
        index=0,
        vram_total=24 * GIB,
        vram_free=22 * GIB,
    )
    assert found == Measurement(source="system_stats", device=device, devices=(device,), system=SYSTEM, notes=())
    assert (nvml.asked, smi.asked) == (0, 0)


async def test_nvml_is_asked_before_nvidia_smi() -> None:
    nvml, smi = Answers(gpu(free=None)), Answers(gpu(free=5 * GIB))
    found = await take(None, nvml=nvml, smi=smi)
    assert (found.source, nvml.asked, smi.asked) == ("nvidia-smi", 1, 1)
    assert found.device is not None
    assert (found.device.vram_free, found.device.type, found.system) == (5 * GIB, "cuda", None)


async def test_with_no_answer_at_all_nothing_is_invented() -> None:
    assert await take(None) == Measurement(source="none", notes=("/system_stats unavailable before execution",))
    silent = await take({"system": SYSTEM, "devices": [CARD]})
    assert (silent.source, silent.system) == ("system_stats", SYSTEM)
    assert silent.device is not None
    assert (silent.device.name, silent.device.vram_free) == (CARD["name"], None)


async def test_drivers_here_are_not_asked_about_a_server_elsewhere() -> None:
    nvml = Answers(gpu())
    assert (await take(None, nvml=nvml, local=False)).source == "none"
    assert nvml.asked == 0


@pytest.mark.parametrize("kind", ["cpu", "mps", "xpu"])
async def test_nvidias_drivers_are_not_asked_about_other_devices(kind: str) -> None:
    nvml = Answers(gpu())
    entry = {"name": kind, "type": kind, "index": None}
    assert (await take({"devices": [entry]}, nvml=nvml)).source == "system_stats"
    assert (await take(None, nvml=nvml, like=Device(name=kind, type=kind))).source == "none"
    assert nvml.asked == 0


async def test_ram_that_the_server_calls_vram_is_kept_as_it_says() -> None:
    entry = {"name": "cpu", "type": "cpu", "index": None, "vram_total": 8 * GIB, "vram_free": 7 * GIB}
    found = await take({"system": SYSTEM, "devices": [entry]}, nvml=Answers(gpu()))
    assert found.source == "system_stats"
    assert found.device == Device(name="cpu", type="cpu", index=None, vram_total=8 * GIB, vram_free=7 * GIB)
    assert found.notes == ()


async def test_a_server_that_names_no_device_is_noted() -> None:
    found = await take({"devices": [{**CARD, "name": None, "vram_free": 1}]})
    assert found.device is not None
    assert found.device.name == "Unknown"
    assert found.notes == ("/system_stats names no device before execution",)


async def test_a_failing_a_silent_and_a_raving_server_are_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = Failure("server.timeout", server="s", request="/system_stats", seconds=5)
    assert (await take(failure)).notes == ("/system_stats unavailable before execution",)
    assert (await take([1, 2])).notes == ("/system_stats unavailable before execution",)  # type: ignore[arg-type]

    async def never() -> dict[str, Any] | None:
        await anyio.sleep_forever()
        return None

    monkeypatch.setattr(module.ask, "__defaults__", (0.02,))
    with anyio.fail_after(5):
        found = await measure(never, "after", local=False)
    assert found.notes == ("/system_stats unavailable after execution",)


async def test_a_fault_of_our_own_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        await take(ZeroDivisionError())


async def test_the_guess_among_several_gpus_is_noted() -> None:
    found = await take(None, nvml=Answers(gpu(0), gpu(1, free=3)))
    assert found.device is not None
    assert found.device.index == 0
    assert found.notes == (
        "/system_stats unavailable before execution; used nvml fallback",
        "the rendering GPU could not be identified before execution; assumed GPU 0",
    )
    assert len(found.devices) == 2


async def test_the_device_of_the_measurement_before_is_found_again() -> None:
    like = Device(name="cuda:0 NVIDIA RTX A2000 : native", type="cuda", index=0)
    found = await take(None, "after", nvml=Answers(gpu(0), gpu(1, "NVIDIA RTX A2000", 7)), like=like)
    assert found.device is not None
    assert (found.device.index, found.device.vram_free) == (1, 7)
    assert found.notes == ("/system_stats unavailable after execution; used nvml fallback",)


def test_the_choice_by_name_then_index() -> None:
    two = (gpu(0, "A"), gpu(1, "A"))
    assert choose(two, Device(name="cuda:1 A", index=1)) == (two[1], True)
    assert choose(two, Device(name="cuda:5 A", index=5)) == (two[0], False)
    assert choose(two, Device(name="something else", index=1)) == (two[1], False)
    assert choose((gpu(0, "A", None), gpu(1, "B")), None) == (gpu(1, "B"), False)
    assert choose((gpu(0, "A"),), Device(name="something else")) == (gpu(0, "A"), False)
    assert choose((gpu(3, "A"),), None) == (gpu(3, "A"), True)


async def test_drivers_of_its_own_are_closed_after_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml, smi = Answers(gpu()), Answers()
    monkeypatch.setattr(module, "LocalGpus", lambda: LocalGpus(nvml, smi))

    async def nobody() -> None:
        return None

    assert (await measure(nobody, "before", local=True)).source == "nvml"
    assert (nvml.asked, nvml.closed, smi.closed) == (1, 1, 1)
