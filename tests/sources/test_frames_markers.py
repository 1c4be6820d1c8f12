"""Done markers: a producer's counts, an old one and our own do not."""

import errno
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from comfytui.errors import Failure
from comfytui.sources.frames import markers
from comfytui.sources.frames.markers import find_marker, marker_path, write_marker

QUEUED = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


def put(folder: Path, content: bytes, at: datetime = QUEUED + timedelta(seconds=61), name: str = "s-1.done") -> Path:
    path = folder / name
    path.write_bytes(content)
    ns = int(at.timestamp() * 1000) * 1_000_000
    os.utime(path, ns=(ns, ns))
    return path


def test_a_producers_marker_is_found(tmp_path: Path) -> None:
    path = put(tmp_path, json.dumps({"Timestamp": "x", "FrameCount": 25, "Latest": "s-1_00025_.png"}).encode())
    found = find_marker(tmp_path, "s-1", QUEUED)
    assert found is not None
    assert (found.path, found.frame_count, found.latest) == (path, 25, "s-1_00025_.png")
    assert found.timestamp == QUEUED + timedelta(seconds=61)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"done",
        b"[1, 2]",
        b"\xff\xff\x00",
        b'{"FrameCount": -3, "Latest": 5}',
        b'{"FrameCount": true}',
        b'{"FrameCount": "25"}',
        b"[" * 60_000,
        b'{"FrameCount": 25, "pad": "' + b"x" * 70_000 + b'"}',
    ],
)
def test_any_content_is_a_marker(tmp_path: Path, content: bytes) -> None:
    put(tmp_path, content)
    found = find_marker(tmp_path, "s-1", QUEUED)
    assert found is not None
    assert (found.frame_count, found.latest) == (None, None)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_powershell_writes_is_read(tmp_path: Path, encoding: str) -> None:
    put(tmp_path, '{"FrameCount": 3, "Latest": "é\\u001b[2J"}'.encode(encoding))
    found = find_marker(tmp_path, "s-1", QUEUED)
    assert found is not None
    assert (found.frame_count, found.latest) == (3, "é")


def test_a_stale_marker_never_counts(tmp_path: Path) -> None:
    put(tmp_path, b"{}", QUEUED - timedelta(seconds=1))
    assert find_marker(tmp_path, "s-1", QUEUED) is None
    put(tmp_path, b"{}", QUEUED - timedelta(milliseconds=25))
    assert find_marker(tmp_path, "s-1", QUEUED) is None


def test_a_coarse_file_time_is_no_stale_marker(tmp_path: Path) -> None:
    put(tmp_path, b"{}", QUEUED + timedelta(milliseconds=-4))
    assert find_marker(tmp_path, "s-1", QUEUED) is not None
    put(tmp_path, b"{}", QUEUED)  # FAT cuts to two seconds
    assert find_marker(tmp_path, "s-1", QUEUED + timedelta(seconds=1.9)) is not None
    assert find_marker(tmp_path, "s-1", QUEUED + timedelta(seconds=2.1)) is None


def test_only_the_marker_of_this_prefix_counts(tmp_path: Path) -> None:
    put(tmp_path, b"{}", name="s-10.done")
    put(tmp_path, b"{}", name="s-1.done.tmp")
    (tmp_path / "s-2.done").mkdir()
    assert find_marker(tmp_path, "s-1", QUEUED) is None
    assert find_marker(tmp_path, "s-2", QUEUED) is None
    assert find_marker(tmp_path / "none", "s-1", QUEUED) is None


def test_a_marker_that_cannot_be_read_yet_counts_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, b"{}")

    def held(_: Path) -> None:
        raise PermissionError(errno.EACCES, "held by its writer")

    monkeypatch.setattr(markers, "open_source", held)
    assert find_marker(tmp_path, "s-1", QUEUED) is None


def test_our_own_marker_never_counts(tmp_path: Path) -> None:
    written = write_marker(tmp_path, "s-1", at=QUEUED, frame_count=25, latest="s-1_00025_.png")
    assert written == marker_path(tmp_path, "s-1")
    content = json.loads(written.read_bytes())
    assert content["Timestamp"] == "2026-03-01T03:00:00Z"
    assert (content["FrameCount"], content["Latest"]) == (25, "s-1_00025_.png")
    assert find_marker(tmp_path, "s-1", QUEUED - timedelta(days=9999)) is None
    assert [entry.name for entry in tmp_path.iterdir()] == ["s-1.done"]


def test_our_own_marker_is_renewed_and_a_producers_is_left(tmp_path: Path) -> None:
    write_marker(tmp_path, "s-1", at=QUEUED, frame_count=1, latest=None)
    assert write_marker(tmp_path, "s-1", at=QUEUED, frame_count=2, latest=None) is not None
    assert json.loads((tmp_path / "s-1.done").read_bytes())["FrameCount"] == 2
    theirs = put(tmp_path, b"theirs")
    assert write_marker(tmp_path, "s-1", at=QUEUED, frame_count=3, latest=None) is None
    assert theirs.read_bytes() == b"theirs"


def test_a_folder_that_cannot_be_written_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Failure, match=r"run\.unwritable"):
        write_marker(tmp_path / "none", "s-1", at=QUEUED, frame_count=1, latest=None)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Failure, match="No space left on device"):
        write_marker(tmp_path, "s-1", at=QUEUED, frame_count=1, latest=None)
    assert list(tmp_path.iterdir()) == []
