"""A keyframe of a scene goes to the server before its prompt does, and is what the workflow loads."""

from pathlib import Path

from PIL import Image

from comfytui.model.workflow import load_workflow
from tests.engine.stage import Stage, brief


async def test_a_keyframe_is_uploaded_and_loaded(stage: Stage, tmp_path: Path) -> None:
    picture = tmp_path / "key.png"
    Image.new("RGB", (64, 48), (200, 120, 40)).save(picture)
    stage.workflow = load_workflow("svd")
    outcome = await stage.play(scenes=(brief(1, frames=4, keyframe=str(picture)),))
    assert outcome.exit_code == 0
    assert outcome.findings == []
    loaded = [node["inputs"]["image"] for node in outcome.posts()[0]["prompt"].values() if "LoadImage" in str(node)]
    assert loaded == [f"comfytui/{outcome.run_dir.run_id}-scene-001.png"]
    assert (outcome.run_dir.path / "scene-001" / "keyframe.png").read_bytes() == picture.read_bytes()
