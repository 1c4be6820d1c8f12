"""Runs as they were recorded, from folders and from archives that may come from anybody."""

import sys
import zipfile
from pathlib import Path

import pytest

from comfytui.errors import Failure
from comfytui.records import recorded
from comfytui.records.archive import write_archive
from comfytui.records.recorded import RecordedArchive, RecordedFolder, keyframe_in
from comfytui.records.rundir import RunDir


def test_an_archive_tells_what_its_folder_tells(good_copy: RunDir) -> None:
    (good_copy.story / "tale.json").write_text("{}")
    archive, folder = RecordedArchive(write_archive(good_copy)), RecordedFolder(good_copy)
    assert archive.run_id == folder.run_id
    assert list(archive.journal()) == list(folder.journal()) != []
    assert archive.file("story/tale.json") == folder.file("story/tale.json") == b"{}"
    assert archive.file("story/other.json") is folder.file("story/other.json") is None


def test_the_copy_of_a_keyframe_is_found(good_copy: RunDir) -> None:
    good_copy.story_keyframe("/pictures/lamp.png").write_bytes(b"one")
    good_copy.scene_keyframe("scene-002", "/pictures/boat.jpg").write_bytes(b"two")
    for record in (RecordedFolder(good_copy), RecordedArchive(write_archive(good_copy))):
        assert keyframe_in(record, "/pictures/lamp.png", "scene-001") == b"one"
        assert keyframe_in(record, "/pictures/boat.jpg", "scene-002") == b"two"
        assert keyframe_in(record, "/pictures/none.png", "scene-001") is None


def zipped(path: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in entries.items():
            packed.writestr(name, content)
    return path


def damaged(path: Path, method: int) -> bytes:
    """Return an archive whose journal is packed by ``method``, with two bits of it turned round."""
    name = "20260301-102000/events.jsonl"
    with zipfile.ZipFile(path, "w", method) as packed:
        packed.writestr(name, b"{}\n" * 1000)
    content = bytearray(path.read_bytes())
    for place in (9, 15):
        content[30 + len(name) + place] ^= 0xFF
    return bytes(content)


def test_archives_that_are_none(tmp_path: Path, good_copy: RunDir) -> None:
    whole = write_archive(good_copy).read_bytes()
    inside = whole.index(b"/events.jsonl") + 200
    broken = {
        "text": b"no zip",
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "elsewhere": zipped(tmp_path / "slip", **{"../20260301-102000/events.jsonl": b"{}"}).read_bytes(),
        "absolute": zipped(tmp_path / "abs", **{"/20260301-102000/events.jsonl": b"{}"}).read_bytes(),
        "two": zipped(tmp_path / "two", **{"20260301-102000/a": b"", "20260301-102001/a": b""}).read_bytes(),
        "no journal": zipped(tmp_path / "none", **{"20260301-102000/a": b""}).read_bytes(),
        "lzma": damaged(tmp_path / "lzma", zipfile.ZIP_LZMA),
        "bzip2": damaged(tmp_path / "bzip2", zipfile.ZIP_BZIP2),
        "damaged": whole[:inside] + bytes(60) + whole[inside + 60 :],
    }
    for name, content in broken.items():
        path = tmp_path / f"{name}.zip"
        path.write_bytes(content)
        with pytest.raises(Failure) as caught:
            list(RecordedArchive(path).journal())
        assert caught.value.code == "archive.unreadable", name
    with pytest.raises(Failure) as caught:
        RecordedArchive(tmp_path / "nowhere.zip")
    assert caught.value.code == "archive.unreadable"


def test_an_archive_that_swells_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "LARGEST_JOURNAL", 1_000_000)
    monkeypatch.setattr(recorded, "LARGEST_FILE", 1_000_000)
    bomb = zipped(tmp_path / "bomb.zip", **{"20260301-102000/events.jsonl": (b"x" * 9_999 + b"\n") * 500})
    archive = RecordedArchive(bomb)
    with pytest.raises(Failure, match="exceeds"):
        list(archive.journal())
    with pytest.raises(Failure, match="more than"):
        archive.file("events.jsonl")


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_folder_of_somebody_else_leads_nowhere(good_copy: RunDir, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"not of this run")
    good_copy.story_keyframe("/pictures/lamp.png").symlink_to(secret)
    (good_copy.path / "outside").symlink_to(tmp_path)
    record = RecordedFolder(good_copy)
    assert keyframe_in(record, "/pictures/lamp.png", "scene-001") is None
    assert record.file("outside/secret") is record.file("../secret") is None
