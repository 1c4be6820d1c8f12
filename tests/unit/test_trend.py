"""VRAM that leaks from scene to scene: told only when the fall is more than chance, and still going on."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from comfytui.model.events import Device, Measurement
from comfytui.model.state import Attempt
from comfytui.model.trend import Leak, chance_of_falling, leak, reading_after, slope_per_reading, words

MB = 1048576
START = datetime(2026, 1, 24, tzinfo=UTC)


def falling(scenes: int, mb: float = 85, first: int = 20_000, noise: float = 0, seed: int = 1) -> list[int]:
    chance = random.Random(seed)
    return [int((first - mb * n + chance.gauss(0, noise)) * MB) for n in range(scenes)]


def test_a_steady_leak_is_found_with_its_slope_and_the_room_left() -> None:
    found = leak(falling(10))
    assert found is not None
    assert found.bytes_per_scene == pytest.approx(85 * MB)
    assert (found.readings, found.free) == (10, (20_000 - 85 * 9) * MB)
    assert found.scenes_left == (20_000 - 85 * 9) // 85
    assert found.chance < 0.001


def test_a_leak_under_noise_is_found_near_its_slope() -> None:
    found = leak(falling(40, mb=50, noise=150))
    assert found is not None
    assert found.bytes_per_scene == pytest.approx(50 * MB, rel=0.25)


@pytest.mark.parametrize(
    "free",
    [
        [],
        falling(5),
        falling(30, mb=0),
        falling(30, mb=-85),
        falling(30, mb=0.5),
        [*falling(3, mb=4000), *falling(20, mb=0, first=8000)],
        [*falling(10, mb=0), *falling(10, mb=0, first=19_000)],
        [*falling(20, mb=85), *falling(40, mb=0, first=18_000)],
    ],
    ids=["none", "few", "flat", "rising", "tiny", "loading", "one step", "mended"],
)  # fmt: skip
def test_nothing_is_said_of(free: list[int]) -> None:
    assert leak(free) is None


def test_chance_alone_is_hardly_ever_called_a_leak() -> None:
    called = sum(leak(falling(24, mb=0, noise=300, seed=seed)) is not None for seed in range(400))
    assert called <= 4


def test_only_the_newest_readings_count() -> None:
    found = leak([*falling(40, mb=0, first=30_000), *falling(60, mb=20)])
    assert found is not None
    assert found.bytes_per_scene == pytest.approx(20 * MB, rel=1e-6)


def test_the_test_of_mann_and_kendall_as_the_textbook_has_it() -> None:
    """Ten falling readings: S = 45, Var S = 125, z = 44 / sqrt 125 = 3.935."""
    assert chance_of_falling(range(10, 0, -1)) == pytest.approx(4.15e-5, rel=0.01)
    assert chance_of_falling([5, 4, 4, 3]) == pytest.approx(0.0745, rel=0.01)  # S = 5, Var S = (156 - 18) / 18
    assert chance_of_falling([1, 2, 3]) == chance_of_falling([3, 3, 3]) == 1.0


def test_one_odd_reading_does_not_move_the_slope() -> None:
    assert slope_per_reading([10, 9, 80, 7, 6, 5]) == -1
    assert slope_per_reading([3]) == 0


def test_words_are_no_finer_than_the_estimate() -> None:
    def told(mb: float, left: int) -> str:
        return words(Leak(bytes_per_scene=mb * MB, chance=0.0, readings=10, free=1, scenes_left=left))

    assert told(84.6, 226) == "leaks ~85 MB a scene, will run out in ~220 scenes"
    assert told(1400, 1) == "leaks ~1,400 MB a scene, will run out in ~1 scene"
    assert told(1400, 0) == "leaks ~1,400 MB a scene, may run out in the next scene"
    assert told(2, 12_345) == "leaks ~2 MB a scene, will run out in ~12,000 scenes"


def attempt(number: int, seconds: int, free: int | None, server: str = "http://a", index: int | None = 0) -> Attempt:
    at = START + timedelta(seconds=seconds)
    device = Device(name="card", index=index, vram_free=free)
    return Attempt(
        number=number, server=server, prompt_id="p", prefix="x", seed=1, planned_at=START, executing_at=START,
        execution_ended_at=at, after=Measurement(source="system_stats", device=device),
    )  # fmt: skip


def test_a_reading_belongs_to_the_device_of_its_server() -> None:
    found = [reading_after(one) for one in (attempt(1, 30, 300), attempt(1, 5, 50, server="http://b", index=1))]
    assert [(key, reading.free) for key, reading in filter(None, found)] == [
        (("http://a", 0), 300),
        (("http://b", 1), 50),
    ]
    assert reading_after(attempt(2, 40, None)) is None
