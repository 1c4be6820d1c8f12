"""What ``/system_stats`` says, and what a hostile or strange server may say instead."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfytui.model.events import Device, GpuFigures
from comfytui.sources.gpu.system_stats import devices_of, figures_of, system_of

CARD = {
    "name": "cuda:0 NVIDIA GeForce RTX 4090 : cudaMallocAsync",
    "type": "cuda",
    "index": 0,
    "vram_total": 25_393_692_672,
    "vram_free": 23_872_930_304,
    "torch_vram_total": 0,
    "torch_vram_free": 0,
}
CPU = {"name": "cpu", "type": "cpu", "index": None, "vram_total": 25_276_510_208, "vram_free": 24_318_078_976}


def test_the_devices_are_read() -> None:
    assert devices_of({"devices": [CARD, CPU]}) == (
        Device(
            name="cuda:0 NVIDIA GeForce RTX 4090 : cudaMallocAsync",
            type="cuda",
            index=0,
            vram_total=25_393_692_672,
            vram_free=23_872_930_304,
        ),
        Device(name="cpu", type="cpu", index=None, vram_total=25_276_510_208, vram_free=24_318_078_976),
    )


@pytest.mark.parametrize("bad", [None, "24000", -1, math.nan, math.inf, True, [], 1 << 64])
def test_what_is_no_count_of_bytes_is_none(bad: Any) -> None:
    (device,) = devices_of({"devices": [{**CARD, "vram_free": bad, "index": bad}]})
    assert device.vram_free is None
    assert device.vram_total == 25_393_692_672
    assert device.index in (None, 1 << 64)


@pytest.mark.parametrize("name", [None, "", "   ", "\x1b[2J", 5])
def test_a_nameless_device_is_unknown(name: Any) -> None:
    assert devices_of({"devices": [{**CARD, "name": name}]})[0].name == "Unknown"


@pytest.mark.parametrize("stats", [{}, {"devices": None}, {"devices": {"a": 1}}, {"devices": [1, "x", None]}])
def test_a_reply_without_devices_has_none(stats: dict[str, Any]) -> None:
    assert devices_of(stats) == ()
    assert figures_of(stats) == ()


def test_the_figures_of_a_sample_are_memory_only_and_never_ram() -> None:
    assert figures_of({"devices": [CPU, CARD, {**CARD, "index": None, "vram_free": None}]}) == (
        GpuFigures(index=0, name=CARD["name"], vram_used=1_520_762_368, vram_total=25_393_692_672),  # type: ignore[arg-type]
        GpuFigures(index=2, name=CARD["name"], vram_used=None, vram_total=25_393_692_672),  # type: ignore[arg-type]
    )


def test_the_system_part_is_kept_with_plain_texts() -> None:
    stats = {"system": {"os": "posix\x1b[31m", "ram_total": 5, "argv": ["main.py", "--cpu\n"], "x": {"y\0": None}}}
    assert system_of(stats) == {"os": "posix", "ram_total": 5, "argv": ["main.py", "--cpu"], "x": {"y": None}}
    again = system_of(json.loads(json.dumps(stats)))
    assert again is not None and again["argv"][0] is system_of(stats)["argv"][0]  # type: ignore[index]
    assert system_of({"system": "posix"}) is None
    assert system_of({}) is None


def test_what_is_nested_without_end_is_cut() -> None:
    deep: Any = "bottom"
    for _ in range(500):
        deep = [deep]
    system = system_of({"system": {"deep": deep, "wide": list(range(5000)), "nan": math.nan}})
    assert system is not None
    assert json.dumps(system).count("[") < 10
    assert len(system["wide"]) == 500
    assert system["nan"] is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=20,
)


@given(JSON, JSON)
def test_no_reply_breaks_the_reading(devices: Any, system: Any) -> None:
    stats = {"devices": devices, "system": system}
    devices_of(stats)
    figures_of(stats)
    json.dumps(system_of(stats), allow_nan=False)


@pytest.mark.parametrize("version", ["v0364", "v080"])
def test_the_replies_of_real_servers_are_read(version: str) -> None:
    recording = Path(__file__).parents[1] / "conformance" / "recordings" / version / "j_endpoints.json"
    events = json.loads(recording.read_text(encoding="utf-8"))["events"]
    stats = next(event["body"] for event in events if event.get("path") == "/system_stats")
    (device,) = devices_of(stats)
    assert (device.name, device.type, device.index) == ("cpu", "cpu", None)
    assert device.vram_free is not None
    system = system_of(stats)
    assert system == stats["system"]
