"""The numbers in the names of frames, and what is missing between them."""

import pytest

from comfytui.model.frame_numbers import gap_words, gaps, number_of


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("20260124-000000_scene-005_a2_00013_.png", ("20260124-000000_scene-005_a2_*_.png", 13)),
        ("a_00001_.png", ("a_*_.png", 1)),
        ("frame7.webp", ("frame*.webp", 7)),
        ("clip_00012.mp4", ("clip_*.mp4", 12)),
        ("v1.5_00003_.mp4", ("v1.5_*_.mp4", 3)),
        ("picture.png", None),
        ("film.mp4", None),
        ("", None),
        ("9" * 40, ("*", 999_999_999)),
    ],
)
def test_number_of(name: str, found: tuple[str, int] | None) -> None:
    assert number_of(name) == found


@pytest.mark.parametrize(
    ("numbers", "words"),
    [((), ""), ((1, 2, 3), ""), ((5, 6), ""), ((1, 3), "2"), ((1, 2, 6, 7, 9), "3-5, 8"), ((9, 1, 2), "3-8")],
)
def test_gaps(numbers: tuple[int, ...], words: str) -> None:
    assert gap_words(gaps(f"a_{number:05d}_.png" for number in numbers)) == words


def test_families_do_not_fill_the_gaps_of_others() -> None:
    assert gaps(["a_1_.png", "a_3_.png", "b_2_.png", "odd.png"]) == [(2, 2)]


def test_a_clip_that_is_missing_is_seen_whatever_digits_the_suffix_has() -> None:
    assert gaps(["clip_00001.mp4", "clip_00003.mp4"]) == [(2, 2)]
