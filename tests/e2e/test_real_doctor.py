"""The doctor and the node WriteDoneMarker on a real ComfyUI, named by COMFYTUI_TEST_SERVER."""

import json
from pathlib import Path

import pytest

from tests.e2e.command import comfytui
from tests.e2e.test_real_server import FRAMES, SERVER, ask, has_node, queued, run, workflow_file

pytestmark = [
    pytest.mark.real_server,
    pytest.mark.skipif(not SERVER, reason="needs a real ComfyUI at COMFYTUI_TEST_SERVER"),
]


def test_the_doctor_finds_the_server_well_and_leaves_nothing_there(tmp_path: Path) -> None:
    if queued():
        pytest.skip("the server is busy, which the doctor leaves alone")
    before = len(ask("/history"))
    done = comfytui("doctor", "--server", SERVER, "--workflow", "smoke", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = {one["check"]: one["verdict"] for one in json.loads(done.stdout)["doctor"]["findings"]}
    for check in ("server", "nodes", "models", "queue", "socket", "smoke prompt", "output folder", "clock", "vram"):
        assert found[check] == "ok", check
    assert "cleaning up" not in found
    assert len(ask("/history")) == before


@pytest.mark.parametrize("marker_id", ["2", "9"])
def test_the_node_marks_a_run_whether_comfyui_comes_to_it_before_or_after_saving(
    tmp_path: Path, marker_id: str
) -> None:
    if not has_node("WriteDoneMarker"):
        pytest.skip("the server has no WriteDoneMarker: comfytui node install")
    size = {"width": 512, "height": 512, "batch_size": "__FRAME_COUNT__", "color": "__SEED__"}
    saved = {"images": ["1", 0], "filename_prefix": "__SCENE_PREFIX__"}
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": size},
        "5": {"class_type": "SaveImage", "inputs": saved},
        marker_id: {"class_type": "WriteDoneMarker", "inputs": saved},
    }
    workflow = workflow_file(tmp_path, dict(sorted(graph.items())))
    done = run(tmp_path, "--done-marker", scenes=2, workflow=workflow)
    assert done.returncode == 0, done.stdout + done.stderr
    (metadata,) = (tmp_path / "runs").glob("*/artifact-metadata.json")
    for scene in json.loads(metadata.read_bytes())["Scenes"]:
        assert scene["Telemetry"]["DoneMarkerDetected"] is True
        marker = Path(scene["Telemetry"]["DoneMarkerPath"])
        frames = sorted(marker.parent.glob(f"{marker.stem}_*.png"))
        told = json.loads(marker.read_bytes())
        assert (told["FrameCount"], told["Latest"]) == (FRAMES, frames[-1].name)
        assert marker.stat().st_mtime_ns >= max(frame.stat().st_mtime_ns for frame in frames)
