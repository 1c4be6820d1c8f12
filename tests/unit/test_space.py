"""How much disk a run is taken to need, and what is said of a disk with more or less than that."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from comfytui.engine.server.preflight import in_words, judged
from comfytui.errors import Failure
from comfytui.model import space
from comfytui.model.events import SceneBrief
from comfytui.model.state import Scene
from comfytui.model.workflow import Workflow, load_workflow

MB = 2**20


def scene(name: str, frames: int = 10, **fields: object) -> Scene:
    return Scene(brief=SceneBrief(id=name, folder=name, floor=1, prompt="", expected_frames=frames), **fields)  # type: ignore[arg-type]


def with_inputs(**inputs: object) -> Workflow:
    return replace(load_workflow("smoke"), graph={"1": {"class_type": "X", "inputs": inputs}})  # type: ignore[typeddict-item]


def test_bundled_workflows_tell_their_resolution() -> None:
    assert {name: space.resolution(load_workflow(name)) for name in ("smoke", "txt2img", "svd")} == {
        "smoke": (512, 288), "txt2img": (512, 288), "svd": (1024, 576),
    }  # fmt: skip


@pytest.mark.parametrize(
    "inputs",
    [{}, {"width": 512}, {"width": "512", "height": "512"}, {"width": ["3", 0], "height": 512},
     {"width": True, "height": True}, {"width": 0, "height": 0}, {"width": -64, "height": 64},
     {"width": 10**9, "height": 10**9}],
)  # fmt: skip
def test_a_resolution_that_is_not_told_is_not_guessed(inputs: dict[str, object]) -> None:
    workflow = with_inputs(**inputs)
    assert space.resolution(workflow) is None
    assert space.estimate(workflow, [scene("a")]).frame == 2 * MB


def test_frames_count_once_for_the_run_and_once_for_its_archive() -> None:
    found = space.estimate(with_inputs(width=1024, height=1024), [scene("a"), scene("b", 5)])
    assert (found.frame, found.frames) == (2 * MB, 30 * MB)
    assert found.runs == 2 * 30 * MB + space.RECORDS + 2 * space.RECORDS_A_SCENE
    assert found.basis == "15 frames to come of 1024x1024"


def test_scenes_that_are_over_need_room_in_the_archive_only() -> None:
    found = space.estimate(with_inputs(width=1024, height=1024), [scene("a", phase="done"), scene("b", 5)])
    assert found.frames == 10 * MB
    assert found.runs == (5 + 15) * 2 * MB + space.RECORDS + 2 * space.RECORDS_A_SCENE


def test_a_run_without_frames_to_come_still_needs_its_records() -> None:
    found = space.estimate(with_inputs(), [])
    assert (found.frames, found.runs, found.basis) == (0, space.RECORDS, "0 frames to come of unknown resolution")


def test_a_disk_is_fit_tight_unknown_or_too_small() -> None:
    place = Path("disk")
    assert judged(place, 200 * MB, 100 * MB, "b", run="r") is None
    assert (
        judged(place, 150 * MB, 100 * MB, "b", run="r")
        == "Space is tight at disk: 150 MB free, about 100 MB needed (b)"
    )
    assert "cannot be told" in (judged(place, None, 100 * MB, "b", run="r") or "")
    with pytest.raises(Failure) as told:
        judged(place, 100 * MB - 1, 200 * MB, "20 frames to come of 512x512", run="runs/1")
    assert told.value.code == "disk.space"
    assert told.value.exit_code == 2
    assert "100 MB are free, about 200 MB are needed (20 frames to come of 512x512)" in told.value.what
    assert "comfytui resume runs/1" in told.value.remedy


def test_large_sizes_are_in_gigabytes() -> None:
    assert [in_words(n) for n in (0, 5 * MB, 10240 * MB, 123456 * MB)] == ["0 MB", "5 MB", "10.0 GB", "120.6 GB"]
