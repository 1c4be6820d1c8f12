"""A run leaves an archive; from that alone it is replayed, and rendered once more with the same pictures."""

import io
import json
import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from comfytui.records.rundir import find_run
from tests.e2e.command import comfytui, story


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the archive of a run whose folder is gone."""
    folder = tmp_path_factory.mktemp("first")
    ended = comfytui("run", str(story(folder)), "--server", "sim", "--workflow", "txt2img", "--headless", cwd=folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    run = find_run(folder / "runs")
    kept = shutil.copy(run.archive, folder / "kept.zip")
    shutil.rmtree(folder / "runs")
    return Path(kept)


def pictures(run: zipfile.Path | Path) -> dict[tuple[str, int], bytes]:
    """Return the pixels of each frame; the files also hold their prompts, and with these the prefixes."""
    found = {}
    for scene in ("scene-001", "scene-002"):
        frames = sorted((run / scene / "generated-frames-attempt-1").iterdir(), key=lambda place: place.name)
        for number, frame in enumerate(frames):
            with Image.open(io.BytesIO(frame.read_bytes())) as picture:
                found[scene, number] = picture.tobytes()
    return found


def test_it_is_rendered_again_with_the_same_pictures(archive: Path, tmp_path: Path) -> None:
    ended = comfytui("run", "--from", str(archive), "--server", "sim", "--headless", cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    run = find_run(tmp_path / "runs")
    before = pictures(next(zipfile.Path(archive).iterdir()))
    assert len(before) == 6
    assert pictures(run.path) == before
    assert (run.story / "story.toml").is_file()
    told = comfytui("replay", "--json", str(archive), cwd=tmp_path)
    assert told.returncode == 0, "it went well, though its archive was packed before its last word"
    events = [json.loads(line).get("event", {}).get("type") for line in told.stdout.splitlines()]
    assert events[0] == "run_opened"
    assert events.count("scene_ended") == 2


def test_what_cannot_be_replayed_is_told(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.zip").write_bytes(archive.read_bytes()[:5000])
    for command in (("replay", "--headless"), ("run", "--server", "sim", "--headless", "--from")):
        told = comfytui(*command, "cut.zip", cwd=tmp_path)
        assert (told.returncode, "archive.unreadable" in told.stderr) == (2, True)
    assert not (tmp_path / "runs").exists()
    both = comfytui("run", "--from", "cut.zip", "story.toml", cwd=tmp_path)
    assert (both.returncode, "either" in both.stderr) == (2, True)
