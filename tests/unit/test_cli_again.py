"""A recorded plan that is taken up again: its seeds as they were rendered, and nothing that leads anywhere."""

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from comfytui.cli.again import checked, keyframes_of, plan_again
from comfytui.cli.planning import make_plan, order_sample
from comfytui.errors import Failure
from comfytui.model.bindings import Bindings, Slot
from comfytui.model.fold import fold_all
from comfytui.model.plan import RunPlan
from comfytui.model.workflow import BUNDLED, load_workflow
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


def deep(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


SAVE = {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["1", 0]}}
EMPTY = {"class_type": "EmptyImage", "inputs": {"width": 64, "color": 0}}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"graph": {}}, "workflow.shape"),
        ({"graph": {"1": {"class_type": "SaveImage"}}}, "workflow.shape"),
        ({"graph": {"1": {"inputs": {}}}}, "workflow.shape"),
        ({"graph": {"2": SAVE}}, "workflow.shape"),
        ({"graph": {"1": {"class_type": "Odd", "inputs": {"a": ["1", 0]}}, "2": SAVE}}, "workflow.shape"),
        ({"graph": {"1": {**EMPTY, "inputs": {"odd": deep(300)}}, "2": SAVE}}, "workflow.syntax"),
        ({"bindings": Bindings(seed=(Slot("9", "seed"),))}, "workflow.binding"),
        ({"bindings": Bindings(seed=(Slot("1", "nothing"),))}, "workflow.binding"),
        ({"bindings": Bindings(seed=(Slot("2", "filename_prefix"),))}, "workflow.binding"),
        ({"bindings": Bindings(positive=(Slot("1", "width"),))}, "workflow.binding"),
    ],
)
def test_a_recorded_workflow_that_no_server_could_run_is_refused_as_one_from_a_file_is(
    changes: dict[str, Any], code: str
) -> None:
    plan = old_plan()
    workflow = structs.replace(plan.workflow, graph={"1": EMPTY, "2": SAVE}, bindings=Bindings())
    with pytest.raises(Failure) as caught:
        checked(structs.replace(plan, workflow=structs.replace(workflow, **changes)), Path("a.zip"))
    assert caught.value.code == code
    assert caught.value.what.startswith(("The workflow in a.zip is", "The binding "))


@pytest.mark.parametrize("name", BUNDLED)
def test_a_workflow_is_what_it_was_and_what_a_record_says_of_it_is_looked_up_in_its_graph(name: str) -> None:
    plan = structs.replace(old_plan(), workflow=load_workflow(name))
    assert checked(plan, Path("a.zip")) == plan
    lies = structs.replace(
        plan.workflow, name="\x1b[31mred", classes=(), outputs=("9",), node_titles={"9": "\x07"}, warnings=("\x07!",)
    )
    told = checked(structs.replace(plan, workflow=lies), Path("a.zip")).workflow
    assert (told.name, told.warnings) == ("red", ("!",))
    assert structs.replace(told, name=name, warnings=plan.workflow.warnings) == plan.workflow


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
