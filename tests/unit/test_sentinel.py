"""The sentinel: a marker for what is proven complete, never for what still grows; safe to be started again."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from comfytui.cli.commands import comfytui
from comfytui.clock import from_epoch
from comfytui.engine.frames import sentinel as sentinels
from comfytui.engine.frames.sentinel import Sentinel, Word
from comfytui.sources.frames import draft
from comfytui.sources.frames.markers import find_marker
from comfytui.sources.frames.naming import prefix_of
from tests.unit.test_marker_node import PNG

REST = 10.0


class Post:
    """A sentinel of a folder, and its time, which only passes when told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 100.0
        self.sentinel = Sentinel(folder, REST)

    def frame(self, number: int, content: bytes = PNG, name: str = "s", ending: str = ".png") -> Path:
        path = self.folder / f"{name}_{number:05}_{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def look(self, after: float = 0.0) -> list[str]:
        self.now += after
        return [f"{word.what} {word.sequence} {word.frames}" for word in self.words()]

    def words(self) -> list[Word]:
        return self.sentinel.look(self.now, datetime.now(UTC))

    def restarted(self) -> None:
        self.sentinel = Sentinel(self.folder, REST)

    def marker(self, name: str = "s") -> dict[str, Any] | None:
        path = self.folder / f"{name}.done"
        return json.loads(path.read_bytes()) if path.exists() else None


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path)


def test_a_sequence_at_rest_is_marked_once(post: Post) -> None:
    post.frame(1), post.frame(2)
    assert post.look() == []
    assert post.look(REST - 1) == [], "it has not rested long enough"
    assert post.look(1) == ["marked s 2"]
    told = post.marker()
    assert told is not None
    assert (told["FrameCount"], told["Latest"], told["Timestamp"][-1]) == (2, "s_00002_.png", "Z")
    assert post.look(REST) == post.look(REST) == []
    assert sorted(path.name for path in post.folder.iterdir()) == ["s.done", "s_00001_.png", "s_00002_.png"]
    assert post.sentinel.incomplete == 0


def test_its_marker_is_no_producers(post: Post) -> None:
    post.frame(1)
    post.look(), post.look(REST)
    assert post.marker() is not None
    assert find_marker(post.folder, "s", from_epoch(0)) is None


def test_what_still_grows_is_never_marked(post: Post) -> None:
    for number in range(1, 6):
        post.frame(number)
        assert post.look(REST - 0.5) == []
    growing = post.frame(6, PNG[:20])
    assert post.look(REST - 0.5) == []
    growing.write_bytes(PNG[:40])
    assert post.look(REST - 0.5) == []
    assert post.marker() is None
    growing.write_bytes(PNG)
    assert post.look(1) == []
    assert post.look(REST) == ["marked s 6"]


def test_a_marker_is_withdrawn_when_the_sequence_grows_after_all(post: Post) -> None:
    post.frame(1)
    post.look(), post.look(REST)
    post.frame(2)
    assert post.look(1) == ["withdrawn s 2"]
    assert post.marker() is None
    assert post.look(REST) == ["marked s 2"]


@pytest.mark.parametrize("change", ["gone", "rewritten"])
def test_a_marker_is_withdrawn_when_its_frames_are_others(post: Post, change: str) -> None:
    post.frame(1)
    last = post.frame(2)
    post.look(), post.look(REST)
    if change == "gone":
        last.unlink()
    else:
        later = (post.folder / "s.done").stat().st_mtime + 5
        last.write_bytes(PNG)
        os.utime(last, (later, later))
    assert post.look(1)[0].startswith("withdrawn s")


def test_a_truncated_frame_is_told_once_and_mended(post: Post) -> None:
    post.frame(1)
    broken = post.frame(2, PNG[:-4])
    post.look()
    post.now += REST
    (word,) = post.words()
    assert word.what == "incomplete" and "s_00002_.png is not proven whole" in word.why
    assert post.look(REST) == []
    assert post.marker() is None
    assert post.sentinel.incomplete == 1
    broken.write_bytes(PNG)
    post.look()
    assert post.look(REST) == ["marked s 2"]


def test_a_hole_is_no_complete_sequence_and_any_beginning_is(post: Post) -> None:
    post.frame(7), post.frame(9)
    post.look()
    post.now += REST
    (word,) = post.words()
    assert word.why == "1 counters are missing, the first is 8"
    post.frame(8)
    post.look()
    assert post.look(REST) == ["marked s 3"]


def test_what_no_structure_proves_is_not_marked(post: Post) -> None:
    post.frame(1, b"pixels", ending=".exr")
    post.look()
    assert post.look(REST) == ["incomplete s 1"]


def test_a_producers_marker_is_left_alone_however_old(post: Post) -> None:
    post.frame(1)
    theirs = post.folder / "s.done"
    theirs.write_text("theirs", encoding="utf-8")
    os.utime(theirs, (1, 1))
    assert post.look() == post.look(REST) == []
    assert theirs.read_text(encoding="utf-8") == "theirs"
    assert post.sentinel.incomplete == 0


def test_it_is_safe_to_be_started_again(post: Post) -> None:
    post.frame(1)
    post.look(), post.look(REST)
    before = (post.folder / "s.done").stat().st_mtime_ns
    post.restarted()
    assert post.look(REST) == post.look(REST) == []
    assert (post.folder / "s.done").stat().st_mtime_ns == before, "what is current is not written again"
    post.frame(2)
    post.restarted()
    assert post.look() == ["withdrawn s 2"], "it grew while nobody looked"
    assert post.look(REST - 1) == []
    assert post.look(1) == ["marked s 2"]


def test_folders_below_are_looked_at_and_sequences_told_apart(post: Post, tmp_path: Path) -> None:
    post.frame(1, name="a/s-1"), post.frame(1, name="a/s-1-a2"), post.frame(1, name="b/c/s-1")
    post.frame(1, name=".hidden/s")
    elsewhere = tmp_path.with_name(f"{tmp_path.name}-elsewhere")
    elsewhere.mkdir()
    (elsewhere / "x_00001_.png").write_bytes(PNG)
    (post.folder / "link").symlink_to(elsewhere, target_is_directory=True)
    post.look()
    assert post.look(REST) == ["marked a/s-1 1", "marked a/s-1-a2 1", "marked b/c/s-1 1"]
    assert (post.folder / "a" / "s-1.done").is_file()


def test_a_marker_that_cannot_be_written_is_told_once_and_tried_again(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    post.frame(1)
    post.look()
    with monkeypatch.context() as patch:
        patch.setattr(draft.os, "fsync", full)
        assert post.look(REST) == ["unwritable s 1"]
        assert post.look(1) == []
        assert post.sentinel.incomplete == 1
    assert post.look(1) == ["marked s 1"]
    assert sorted(path.name for path in post.folder.iterdir()) == ["s.done", "s_00001_.png"]


def test_what_moves_while_it_is_proven_is_not_marked(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    post.frame(1)
    post.look()
    prove = sentinels.prove

    def slowly(path: Path) -> Any:
        proof = prove(path)
        post.frame(2)
        return proof

    monkeypatch.setattr(sentinels, "prove", slowly)
    assert post.look(REST) == []
    assert post.marker() is None


def test_one_that_is_stopped_marks_nothing_that_is_not_proven(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    post.frame(1), post.frame(2), post.frame(1, name="t")
    post.look()
    prove, proven = sentinels.prove, []

    def once(path: Path) -> Any:
        proven.append(path.name)
        post.sentinel.stop()
        return prove(path)

    monkeypatch.setattr(sentinels, "prove", once)
    assert post.look(REST) == []
    assert proven == ["s_00001_.png"], "it ends after the frame at hand"
    assert post.marker() is None


def test_a_folder_that_went_away_is_no_fault(post: Post) -> None:
    post.frame(1, name="sub/s")
    post.look()
    for path in (post.folder / "sub").iterdir():
        path.unlink()
    (post.folder / "sub").rmdir()
    assert post.look(REST) == []


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("s_00001_.png", "s"), ("s-1_2_00001.mp4", "s-1_2"), ("s_00001-audio.mp4", "s"), ("s.png", None),
     ("s_00001_.txt", None), ("_00001_.png", None), ("s_x_.png", None)],
)  # fmt: skip
def test_prefixes(name: str, prefix: str | None) -> None:
    assert prefix_of(name) == prefix


# --- the command -----------------------------------------------------------------------------------------------------


def call(*arguments: str) -> Any:
    return CliRunner().invoke(comfytui, ["sentinel", *arguments], standalone_mode=False)


def test_once_marks_and_says_by_its_exit_code_whether_all_is_complete(post: Post) -> None:
    post.frame(1)
    done = call(str(post.folder), "--once", "--rest", "0")
    assert done.return_value == 0
    assert "marked      s: 1 frame, the latest is s_00001_.png" in done.output
    post.frame(1, PNG[:-1], name="t")
    again = call(str(post.folder), "--once", "--rest", "0", "--json")
    assert again.return_value == 1
    (line,) = again.output.splitlines()
    assert json.loads(line)["sentinel"]["what"] == "incomplete"


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "config.value" in str(call(str(tmp_path / "none")).exception)
