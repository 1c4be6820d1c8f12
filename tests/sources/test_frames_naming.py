"""What the name of a frame says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfytui.sources.frames.naming import belongs, counter, sequence


@pytest.mark.parametrize(
    "name",
    [
        "scene-1_00001_.png",
        "scene-1_123456_.png",
        "scene-1_00001_.WEBP",
        "scene-1_00001.mp4",
        "scene-1_00001-audio.mp4",
        "scene-1.gif",
    ],
)
def test_a_frame_of_the_prefix(name: str) -> None:
    assert belongs(name, "scene-1")


@pytest.mark.parametrize(
    "name",
    [
        "scene-10_00001_.png",
        "scene-1-a2_00001_.png",
        "scene-1_2_00001_.png",
        "scene-1_00001_00002_.png",
        "xscene-1_00001_.png",
        "Scene-1_00001_.png",
        "scene-1.done",
        "scene-1.done.tmp",
        "scene-1_00001_.png.part",
        "scene-1_00001_.json",
        "scene-1_00001_.png\n",
        "scene-1_٠٠٠٠١_.png",
        "scene-1_00001_",
        "scene-1",
        "",
    ],
)
def test_no_frame_of_the_prefix(name: str) -> None:
    assert not belongs(name, "scene-1")


def test_an_empty_prefix_owns_nothing() -> None:
    assert not belongs("_00001_.png", "")


@given(st.text("abc-_1", min_size=1, max_size=8), st.text("abc-_1", min_size=1, max_size=8), st.integers(1, 99_999))
def test_a_saved_frame_belongs_to_no_other_prefix(mine: str, other: str, number: int) -> None:
    name = f"{mine}_{number:05}_.png"
    assert belongs(name, mine)
    if other != mine:
        assert not belongs(name, other)


def test_the_counter_is_read_from_the_name() -> None:
    assert counter("s_00042_.png", "s") == 42
    assert counter("s_00042-audio.mp4", "s") == 42
    assert counter("s.png", "s") is None
    assert counter("s_x.png", "s") is None


def test_gaps_in_the_sequence_are_told() -> None:
    names = [f"s_{n:05}_.png" for n in (2, 3, 6)] + ["s_00003_.webp", "other_00004_.png"]
    found = sequence(names, "s")
    assert (found.present, found.last, found.gaps, found.missing) == (3, 6, 3, (1, 4, 5))
    assert sequence(["s_00000.mp4", "s_00001.mp4"], "s").gaps == 0
    assert sequence([], "s").last is None


def test_an_absurd_counter_costs_nothing() -> None:
    found = sequence(["s_00001_.png", "s_999999999_.png"], "s")
    assert (found.gaps, len(found.missing), found.missing[0]) == (999_999_997, 1000, 2)
