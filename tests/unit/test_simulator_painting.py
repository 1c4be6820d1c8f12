"""The painter: the same words give the same picture, other words another one, and everything moves."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from comfytui.simulator.painting.camera import filmed
from comfytui.simulator.painting.composition import SCENERIES, compose
from comfytui.simulator.painting.painter import Style, paint
from comfytui.simulator.painting.palette import PALETTES, WORDS, chosen, words_of

SIZE = (256, 144)


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return the mean difference of two pictures, from 0 to 255."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


@pytest.mark.parametrize("scenery", list(SCENERIES))
def test_frames_move_and_are_reproducible(scenery: str) -> None:
    style = Style(prompt=f"a {SCENERIES[scenery].split()[0]}", seed=5)
    assert compose(style).scenery == scenery
    frames = [paint(style, SIZE, index) for index in range(4)]
    compose.cache_clear()
    assert all(paint(style, SIZE, index).tobytes() == frame.tobytes() for index, frame in enumerate(frames))
    for before, after in itertools.pairwise(frames):
        assert 0.4 < difference(before, after) < 25
    assert difference(frames[0], paint(style, SIZE, 24)) > difference(frames[0], frames[1])


def test_prompts_and_seeds_look_different() -> None:
    styles = [Style(f"scene {number}", 0) for number in range(6)] + [Style("scene 0", 1), Style("scene 0", 2)]
    frames = [paint(style, SIZE, 0) for style in styles]
    assert all(difference(one, other) > 3 for one, other in itertools.combinations(frames, 2))


@pytest.mark.parametrize("size", [(8, 8), (64, 36), (36, 64), (512, 512), (1024, 576), (1, 1)])
def test_any_size(size: tuple[int, int]) -> None:
    assert paint(Style("night sea", 1), size, 3).size == size


def test_words_choose_the_colours() -> None:
    assert set(WORDS) == set(PALETTES)
    for name, known in WORDS.items():
        assert chosen(words_of(f"A {known.split()[0].upper()}, far away"), WORDS, 0) == name
    night, noon = (ImageStat.Stat(paint(Style(f"hills, {word}", 1), SIZE, 0)).mean for word in ("midnight", "noon"))
    assert sum(night) * 2 < sum(noon)


def test_camera_moves_over_a_keyframe(tmp_path: Path) -> None:
    file = tmp_path / "key.png"
    paint(Style("harbor", 1), (300, 300), 0).save(file)
    still = filmed(file, SIZE, None)
    assert still.size == SIZE
    assert difference(still, filmed(file, SIZE, None)) == 0
    shots = [filmed(file, SIZE, index) for index in range(3)]
    assert all(difference(before, after) > 0.3 for before, after in itertools.pairwise(shots))
