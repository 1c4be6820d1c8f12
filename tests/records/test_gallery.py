"""Frames read for their picture: from inside the run folder, within bounds, or a failure in words."""

from pathlib import Path

import pytest

from comfytui.errors import Failure
from comfytui.records import gallery as galleries
from comfytui.records.gallery import RunGallery
from comfytui.records.rundir import RunDir


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    found = RunDir(tmp_path / "20260124-000000")
    frames = found.frames("scene-001", 2)
    frames.mkdir(parents=True)
    (frames / "a.png").write_bytes(b"picture")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (found.path / "generated-frames-attempt-2").mkdir()
    return found


def why(run: RunDir, folder: str = "scene-001", attempt: int = 2, name: str = "a.png") -> str:
    with pytest.raises(Failure) as found:
        RunGallery(run).read(folder, attempt, name)
    assert found.value.code == "frame.unshowable"
    return found.value.what


def test_a_frame_is_read(run: RunDir) -> None:
    assert RunGallery(run).read("scene-001", 2, "a.png") == b"picture"


def test_one_that_is_not_there_is_told(run: RunDir) -> None:
    assert "not in the run folder" in why(run, name="b.png")
    assert "not in the run folder" in why(run, attempt=1)
    assert "not in the run folder" in why(run, folder="scene-009")


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("scene-001", "../../../secret.png"),
        ("scene-001", "..\\..\\secret.png"),
        ("scene-001", "/etc/passwd"),
        ("scene-001", ""),
        ("scene-001", "a\x1b[2J.png"),
        ("../..", "secret.png"),
        ("../20260124-000000/scene-001", "a.png"),
        ("/etc", "passwd"),
        ("C:", "a.png"),
    ],
)
def test_names_that_lead_out_are_refused(run: RunDir, folder: str, name: str) -> None:
    assert "leads out of the run folder" in why(run, folder=folder, name=name)


def test_links_that_lead_out_are_refused(run: RunDir, tmp_path: Path) -> None:
    (run.frames("scene-001", 2) / "link.png").symlink_to(tmp_path / "secret.png")
    assert "leads out" in why(run, name="link.png")
    (run.path / "scene-002").symlink_to(tmp_path)
    (tmp_path / "generated-frames-attempt-1").mkdir()
    (tmp_path / "generated-frames-attempt-1" / "a.png").write_bytes(b"secret")
    assert "leads out" in why(run, folder="scene-002", attempt=1)


def test_a_huge_file_is_not_read(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(galleries, "LARGEST", 5)
    assert "more than are read" in why(run)


def test_a_disk_that_fails_is_told_in_its_own_words(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)
    assert "Input/output error" in why(run)
