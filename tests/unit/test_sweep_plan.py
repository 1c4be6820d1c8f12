"""A sweep's plan: how many runs, which come next, what a matrix may change, and what is refused before anything."""

from datetime import UTC, datetime
from typing import Any

import click
import pytest
from click.testing import CliRunner
from msgspec import structs

from comfytui.cli.commands import comfytui
from comfytui.errors import Failure
from comfytui.model.events import SceneBrief, StoryBrief
from comfytui.model.matrix import cells, parse_matrix, with_cell
from comfytui.model.plan import RunPlan, ServerPlan
from comfytui.model.policy import QueuePolicy
from comfytui.model.sweep import SweepPlan, SweepProgress, SweepRun, begun, finished, next_turn, parse_count, run_plan
from comfytui.model.workflow import Workflow, load_workflow

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TXT2IMG = load_workflow("txt2img")


def plan(matrix: tuple[str, ...] = (), count: str = "3", **policy: Any) -> SweepPlan:
    least, most = parse_count(count)
    template = RunPlan(
        run_id="", created_at=NOW, version="test", story=StoryBrief(id="s"), workflow=TXT2IMG,
        scenes=tuple(SceneBrief(id=f"s{n}", folder=f"s{n}", floor=5, prompt="x", expected_frames=5) for n in (1, 2)),
        policy=QueuePolicy(**policy), server=ServerPlan(url="http://x"),
    )  # fmt: skip
    axes = parse_matrix(matrix, TXT2IMG)
    return SweepPlan(id="sweep-1", created_at=NOW, version="test", template=template, least=least, most=most, axes=axes)


def played(sweep: SweepPlan, *codes: int) -> list[SweepRun]:
    """Return the runs that a sweep begins when they exit with ``codes``, then with 0."""
    progress, left = SweepProgress(), list(codes)
    while (turn := next_turn(sweep, progress)) is not None:
        progress = begun(progress, SweepRun(number=turn[0], run_id=str(turn[0]), values=turn[1]))
        assert progress.open is not None
        progress = finished(progress, turn[0], left.pop(0) if left else 0)
        assert progress.open is None
    return list(progress.runs)


@pytest.mark.parametrize(("text", "told"), [("5", (5, 5)), ("5..10", (5, 10)), (" 1 ", (1, 1)), ("3..3", (3, 3))])
def test_counts(text: str, told: tuple[int, int]) -> None:
    assert parse_count(text) == told


@pytest.mark.parametrize("text", ["", "0", "-1", "ten", "5..", "..5", "10..5", "5...10", "1001", "5,10", "٣"])
def test_counts_that_are_none(text: str) -> None:
    with pytest.raises(Failure) as caught:
        parse_count(text)
    assert caught.value.code == "sweep.count"


def test_a_plain_count_runs_so_often_whatever_happens() -> None:
    assert len(played(plan(), 1, 1, 1)) == 3
    assert len(played(plan())) == 3


def test_a_range_goes_on_until_so_many_in_a_row_went_well() -> None:
    assert len(played(plan(count="3..9"))) == 3
    assert len(played(plan(count="3..9"), 0, 1)) == 5
    assert len(played(plan(count="3..9"), 1, 0, 0, 1)) == 7
    assert len(played(plan(count="3..9"), *[1] * 20)) == 9


def test_the_combinations_take_turns() -> None:
    runs = played(plan(("seed=1,2,steps=10,20",), count="2"))
    assert [tuple(run.values.values()) for run in runs] == [(1, 10), (1, 20), (2, 10), (2, 20)] * 2
    assert [run.number for run in runs] == list(range(1, 9))


def test_a_range_counts_whole_rounds() -> None:
    assert len(played(plan(("seed=1,2",), count="2..4"), 0, 1)) == 6, "two rounds after the one that did not go well"


def test_values_reach_scenes_and_workflow_and_nothing_else() -> None:
    sweep = plan(("seed=7,frames=2,steps=11,cfg=3,5.denoise=0.5,sampler_name=heun",))
    run = SweepRun(number=2, run_id="20260301-000000", values=cells(sweep.axes)[0])
    made = run_plan(sweep, run, NOW, "0badcafe")
    assert [(scene.seed, scene.expected_frames, scene.floor) for scene in made.scenes] == [(7, 2, 2)] * 2
    sampler = made.workflow.graph["5"]["inputs"]
    assert (sampler["steps"], sampler["cfg"], sampler["denoise"], sampler["sampler_name"]) == (11, 3.0, 0.5, "heun")
    assert TXT2IMG.graph["5"]["inputs"]["steps"] == 20, "the template stays as it was"
    assert (made.run_id, made.mark) == ("20260301-000000", "0badcafe")
    assert made.sweep is not None
    assert made.sweep.words == (
        "run 2 of 3, seed=7, frames=2, steps=11, cfg=3.0, 5.denoise=0.5, sampler_name=heun"
    )  # fmt: skip


def test_a_frame_floor_of_the_policy_stays() -> None:
    sweep = plan(("frames=9",), frame_floor=4)
    made = with_cell(sweep.template, sweep.axes, cells(sweep.axes)[0])
    assert {(scene.expected_frames, scene.floor) for scene in made.scenes} == {(9, 5)}


def test_ranges_and_axes_in_one_or_several() -> None:
    one = parse_matrix(("seed=1..3,steps=10,20",), TXT2IMG)
    assert one == parse_matrix(("seed=1,2,3", "steps=10,20"), TXT2IMG)
    assert len(cells(one)) == 6


def switchable() -> Workflow:
    graph = dict(TXT2IMG.graph)
    graph["7"] = {**graph["7"], "inputs": {**graph["7"]["inputs"], "tidy": True, "many": {"a": 1}, "width": 3}}
    return structs.replace(TXT2IMG, graph=graph)


def test_a_switch_is_a_switch() -> None:
    (axis,) = parse_matrix(("tidy=true,false",), switchable())
    assert axis.values == (True, False)


@pytest.mark.parametrize(
    ("matrix", "why"),
    [
        ("", "does not begin with a name"),
        ("5,6", "does not begin with a name"),
        ("=5", "a name is missing"),
        ("seed=", "a value of seed is empty"),
        ("seed=1,,2", "a value of seed is empty"),
        ("seed=1,seed=2", "seed is named twice"),
        ("steps=1,5.steps=2", "named twice"),
        ("seed=1,1", "the same value twice"),
        ("seed=x", "x of seed is not a whole number"),
        ("seed=-1", "out of range"),
        ("frames=0", "out of range"),
        ("seed=18446744073709551616", "out of range"),
        ("seed=3..1", "does not count up"),
        ("seed=1..1000", "does not count up, or has more than"),
        ("seed=1..50,steps=1..50", "more than 100 combinations"),
        ("stepps=5", "did you mean steps?"),
        ("99.steps=5", "no executed node has an input"),
        ("steps=1.5", "1.5 of steps is not a whole number"),
        ("cfg=high", "high of cfg is not a number"),
        ("cfg=nan", "nan of cfg is not a number"),
        ("text=hello", "text may be any of 2.text"),
        ("2.text=hello", "filled in from the scene"),
        ("5.seed=3", "filled in from the scene"),
        ("5.model=x", "takes the output of node 1"),
        ("tidy=maybe", "maybe of tidy is neither true nor false"),
        ("many=1", "holds neither a number"),
        ("width=8", "width may be any of 4.width"),
    ],
)
def test_a_matrix_that_cannot_be_used_is_refused_with_a_reason(matrix: str, why: str) -> None:
    with pytest.raises(Failure) as caught:
        parse_matrix((matrix,), switchable())
    assert caught.value.code == "sweep.matrix"
    assert why in caught.value.what


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["-n", "3"], "-n"), (["--matrix", "seed=1"], "--matrix"), (["--max-wait", "5"], "--max-wait"),
        (["--server", "sim"], "--server"), (["--no-done-marker"], "--done-marker"), (["--watch", "poll"], "--watch"),
    ],
)  # fmt: skip
def test_a_flag_that_would_change_a_planned_sweep_is_refused(words: list[str], flag: str) -> None:
    done = CliRunner().invoke(
        comfytui, ["sweep", "--headless", "--resume", *words], standalone_mode=False, env={"COMFYTUI_CONFIG": ""}
    )
    assert isinstance(done.exception, click.UsageError)
    assert f"as it was planned: {flag} cannot be given with --resume" in done.exception.message
