"""From story, workflow and settings to a plan."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from comfytui.cli.keyframes import with_keyframes
from comfytui.cli.planning import make_plan, order_sample, order_story
from comfytui.clock import system_clock
from comfytui.errors import Failure
from comfytui.model.plan import RunPlan
from comfytui.records.rundir import create_run
from comfytui.settings.layers import from_flags
from comfytui.settings.merged import DEMO, Settings, load, merge

AT = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


def settings(tmp_path: Path, **flags: str) -> Settings:
    return merge([DEMO, from_flags(flags, tmp_path)], tmp_path)


def test_the_plan_of_the_demo(tmp_path: Path) -> None:
    chosen = settings(tmp_path, max_wait="50")
    order = order_sample(chosen)
    plan = make_plan(order, chosen, run_id="r", created_at=AT, simulator_speed="demo")
    assert [scene.id for scene in plan.scenes] == ["scene-001", "scene-002", "scene-003"]
    assert {scene.floor for scene in plan.scenes} == {25}
    assert all(scene.prompt and scene.negative_prompt and scene.folder for scene in plan.scenes)
    assert plan.policy.max_wait_seconds == 50
    assert (plan.server.url, plan.server.simulator_speed, plan.server.output_dir) == ("sim", "demo", None)
    assert plan.story.file == "sample-story.json"
    assert msgspec.json.decode(order.story_file)["storyId"] == plan.story.id
    assert msgspec.json.decode(msgspec.json.encode(plan), type=RunPlan) == plan


def test_a_floor_of_settings_wins_over_the_story(tmp_path: Path) -> None:
    chosen = settings(tmp_path, frame_floor="3", server="http://box", output_dir="out")
    plan = make_plan(order_sample(chosen), chosen, run_id="r", created_at=AT, simulator_speed="demo")
    assert {scene.floor for scene in plan.scenes} == {3}
    assert {scene.expected_frames for scene in plan.scenes} == {25}
    assert plan.server.output_dir == str(tmp_path / "out")
    assert plan.server.simulator_speed is None


def test_a_keyframe_goes_along_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "key.png").write_bytes(b"x")
    story = tmp_path / "story.json"
    story.write_text('{"scenes": [{"prompt": "a", "keyframePath": "key.png", "palette": ["red", "blue"]}]}')
    chosen = settings(tmp_path, workflow="svd")
    order = order_story(story, chosen)
    plan = make_plan(order, chosen, run_id="r", created_at=AT, simulator_speed="instant")
    assert plan.scenes[0].keyframe == str((tmp_path / "key.png").resolve())
    assert plan.scenes[0].palette == "red, blue"
    assert plan.story.file == str(story)
    assert order.story_file == story.read_bytes()


def test_scenes_without_a_keyframe_get_one_that_is_drawn_from_their_prompt(tmp_path: Path) -> None:
    (tmp_path / "key.png").write_bytes(b"x")
    story = tmp_path / "story.json"
    story.write_text(
        '{"scenes": [{"prompt": "a fox", "keyframePath": "key.png"}, {"prompt": "a hill"}, {"prompt": "sea"}]}'
    )
    run = create_run(tmp_path / "runs", system_clock())
    order = with_keyframes(order_story(story, settings(tmp_path, workflow="svd")), run.drawn_keyframes)
    given, *drawn = (Path(scene.keyframe_file or "") for scene in order.story.scenes)
    assert given == (tmp_path / "key.png").resolve()
    assert drawn == [run.drawn_keyframes / "scene-002.png", run.drawn_keyframes / "scene-003.png"]
    for picture in drawn:
        with Image.open(picture) as opened:
            assert (opened.size, opened.format) == ((1024, 576), "PNG")
    assert drawn[0].read_bytes() != drawn[1].read_bytes()
    assert order.story.warnings == (
        "Without a keyframe: scene-002, scene-003; "
        "it is drawn from the prompt; give the scene a keyframePath for a real one",
    )


def test_no_keyframe_is_drawn_where_none_is_used(tmp_path: Path) -> None:
    order = order_sample(settings(tmp_path, workflow="txt2img"))
    assert with_keyframes(order, tmp_path / "drawn") is order
    assert not (tmp_path / "drawn").exists()


@pytest.mark.parametrize(("name", "hint"), [("smok", "; did you mean smoke?"), ("zzz", ""), ("x" * 300, "")])
def test_a_workflow_that_is_misspelt_is_told_with_the_one_that_was_meant(name: str, hint: str, tmp_path: Path) -> None:
    settings = load({"workflow": name}, {"COMFYTUI_CONFIG": ""}, tmp_path)
    with pytest.raises(Failure) as caught:
        order_sample(settings)
    assert caught.value.code == "workflow.unreadable"
    assert f"it is neither a bundled workflow nor a file{hint}" in caught.value.what
