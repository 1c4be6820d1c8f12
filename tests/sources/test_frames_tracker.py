"""What the looks at a frame add up to."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfytui.sources.frames.folder import Change, FrameSeen
from comfytui.sources.frames.tracker import FrameTrack, belongs, counter, judge, observe, sequence, settled
from comfytui.sources.frames.verify import Proof


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


def seen(size: int, mtime_ns: int = 0, change: Change = "changed") -> FrameSeen:
    return FrameSeen(path=Path("s_00001_.png"), name="s_00001_.png", bytes=size, mtime_ns=mtime_ns, change=change)


def grown(*looks: tuple[float, int]) -> FrameTrack:
    at, size = looks[0]
    track = observe(None, seen(size, int(at * 1e9), "added"), at)
    for at, size in looks[1:]:
        track = observe(track, seen(size, int(at * 1e9)), at)
    return track


def test_a_growing_file_has_a_rate() -> None:
    assert grown((0, 0)).rate is None
    assert grown((0, 0), (0.5, 65_536)).rate == 131_072
    assert grown((0, 0), (1, 100), (2, 400)).rate == 200
    track = grown((0, 0), (1, 100), (2, 400))
    assert (track.first_at, track.changed_at, track.bytes) == (0, 2, 400)


def test_a_shrinking_file_has_none_and_a_replaced_one_begins_anew() -> None:
    assert grown((0, 0), (1, 100), (2, 50)).rate is None
    again = observe(grown((0, 0), (1, 100)), seen(7, 9, "replaced"), 5)
    assert (again.first_at, again.changed_at, again.rate, again.bytes) == (5, 5, None, 7)


def test_a_deleted_file_is_gone_until_it_returns() -> None:
    track = observe(grown((0, 0), (1, 100)), seen(100, 1, "deleted"), 3)
    assert track.gone
    assert not settled(track, 99)
    back = observe(track, seen(100, 1, "added"), 5)
    assert (back.gone, back.first_at) == (False, 5)


def test_the_same_look_changes_nothing() -> None:
    track = grown((0, 0), (1, 100))
    assert observe(track, seen(100, int(1e9)), 8) is track


def test_settled_is_no_change_for_the_window() -> None:
    track = grown((0, 0), (1, 100))
    assert not settled(track, 2.99)
    assert settled(track, 3.0)
    assert settled(track, 1.5, window=0.5)
    assert not settled(grown((0, 0)), 100)


def proof(size: int, whole: bool = False, proven: bool = True, kind: str = "png") -> Proof:
    return Proof(kind=kind, whole=whole, proven=proven, bytes=size)


@pytest.mark.parametrize(
    ("given_proof", "at", "state"),
    [
        (None, 1, "writing"),
        (None, 99, "writing"),
        (proof(100, whole=True), 1, "proven"),
        (proof(60, whole=True), 99, "writing"),
        (proof(100), 1, "writing"),
        (proof(100), 3, "truncated"),
        (proof(100, proven=False), 2, "writing"),
        (proof(100, proven=False), 3, "unproven"),
        (proof(0, proven=False, kind="unreadable"), 3, "unproven"),
        (proof(0, kind="missing"), 1, "missing"),
    ],
)
def test_what_a_frame_is_worth(given_proof: Proof | None, at: float, state: str) -> None:
    assert judge(grown((0, 0), (1, 100)), given_proof, at) == state


def test_a_frame_that_is_not_there_is_missing() -> None:
    assert judge(None, None, 0) == "missing"
    gone = observe(grown((0, 0), (1, 100)), seen(100, 1, "deleted"), 3)
    assert judge(gone, proof(100, whole=True), 4) == "missing"
