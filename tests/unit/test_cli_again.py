"""A recorded plan that is taken up again: its seeds as they were rendered, and nothing that leads anywhere."""

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from comfytui.cli.again import checked, keyframes_of, plan_again
from comfytui.cli.planning import make_plan, order_sample
from comfytui.errors import Failure
from comfytui.model.fold import fold_all
from comfytui.model.plan import RunPlan
from comfytui.records.rundir import RunDir, write_plan
from comfytui.settings.merged import DEMO, load
from tests.records.scripted import T0, Script, brief

SETTINGS = load({}, {}, Path("/nowhere"), DEMO)
NAMES: dict[str, Any] = {"run_id": "20260301-102000", "created_at": T0, "simulator_speed": "instant"}


def old_plan(*scenes: Any) -> RunPlan:
    plan = make_plan(order_sample(SETTINGS), SETTINGS, **NAMES)
    return structs.replace(plan, scenes=scenes or (brief(1), brief(2)))


def test_each_scene_has_the_seed_and_the_prompt_of_its_best_attempt(tmp_path: Path) -> None:
    script = Script(tmp_path, [brief(1, seed=99), brief(2, seed=5)])
    script.attempt("scene-001")
    script.end("scene-001")
    script.close()
    plan = plan_again(
        old_plan(brief(1, seed=99), brief(2, seed=5)), fold_all(script.envelopes), SETTINGS, mark="abcd", **NAMES
    )
    assert [scene.seed for scene in plan.scenes] == [7, 5]
    assert plan.workflow == old_plan().workflow
    assert plan.mark == "abcd"


@pytest.mark.parametrize(
    "scenes",
    [
        (brief(1, folder="../../etc"),),
        (brief(1, folder="/etc"),),
        (brief(1, folder=""),),
        (brief(1), brief(2, folder="SCENE-001")),
        (brief(1), brief(1, folder="other")),
    ],
)
def test_a_plan_that_leads_out_of_its_run_is_refused(scenes: Any) -> None:
    with pytest.raises(Failure) as caught:
        checked(old_plan(*scenes), Path("a.zip"))
    assert caught.value.code == "run.plan"


def test_texts_become_plain_and_what_would_start_something_stays_behind() -> None:
    plan = checked(old_plan(brief(1, title="\x1b[31mred")), Path("a.zip"))
    assert plan.scenes[0].title == "red"
    evil = structs.replace(plan, server=structs.replace(plan.server, command=("rm",)))
    again = plan_again(evil, fold_all([]), SETTINGS, mark="", **NAMES)
    assert again.server.command == ()


class Holding:
    """A record that holds these files."""

    path, run_id = Path("a.zip"), "20260301-102000"

    def __init__(self, **files: bytes) -> None:
        self.files = files

    def file(self, name: str) -> bytes | None:
        return self.files.get(name)


def test_keyframes_come_from_the_record_and_never_from_this_disk(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"mine")
    plan = old_plan(brief(1, keyframe=str(secret)))
    with pytest.raises(Failure) as caught:
        keyframes_of(plan, Holding())  # type: ignore[arg-type]
    assert caught.value.code == "story.keyframe_missing"
    held = Holding(**{"scene-001/keyframe.png": b"theirs"})
    run = RunDir(tmp_path / "20260301-102000")
    run.path.mkdir()
    write_plan(run, plan, None, keyframes_of(plan, held))  # type: ignore[arg-type]
    assert run.story_keyframe(str(secret)).read_bytes() == b"theirs"
