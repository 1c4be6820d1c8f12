"""Driving a sweep: whatever its process dies between, whoever goes on does so where it was; no run is done twice."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from comfytui.engine.runner import Reason
from comfytui.engine.sweep import RunResult, all_well, drive_sweep
from comfytui.errors import Failure
from comfytui.model.events import SceneBrief, StoryBrief
from comfytui.model.plan import RunPlan, ServerPlan
from comfytui.model.policy import QueuePolicy
from comfytui.model.sweep import SweepPlan, SweepProgress, SweepRun
from comfytui.model.workflow import load_workflow
from comfytui.records.rundir import RunDir, read_plan
from comfytui.records.sweepdir import (
    SweepDir,
    create_sweep,
    find_sweep,
    named_sweep,
    read_progress,
    read_sweep,
    write_progress,
    write_sweep,
)
from tests.engine.stage import LoopClock

NOW = datetime(2026, 3, 1, tzinfo=UTC)
STORY = b'{"scenes": [{"prompt": "x"}]}'


class Died(Exception):
    """The process is gone."""


class Runs:
    """Runs that end as told: an exit code, one that leaves the run open (negative), or the death of the process."""

    def __init__(self, *ends: int | None) -> None:
        self.ends = list(ends)
        self.driven: list[tuple[str, Reason]] = []

    async def drive(self, run: RunDir, plan: RunPlan, reason: Reason) -> RunResult:
        self.driven.append((run.run_id, reason))
        assert plan == read_plan(run), "the plan is on the disk before the run begins"
        assert (run.story / "story.json").read_bytes() == STORY
        run.journal.touch()
        end = self.ends.pop(0) if self.ends else 0
        if end is None:
            raise Died
        return RunResult(abs(end), finished=end >= 0)


@pytest.fixture
async def sweep(tmp_path: Path) -> SweepDir:
    folder = create_sweep(tmp_path / "runs", LoopClock())
    template = RunPlan(
        run_id="", created_at=NOW, version="test", story=StoryBrief(id="s", file="/elsewhere/story.json"),
        scenes=(SceneBrief(id="a", folder="a", floor=1, prompt="x"),), workflow=load_workflow("smoke"),
        policy=QueuePolicy(), server=ServerPlan(url="http://x"),
    )  # fmt: skip
    plan = SweepPlan(id=folder.sweep_id, created_at=NOW, version="test", template=template, least=3, most=3)
    write_sweep(folder, plan, STORY)
    return folder


async def go_on(sweep: SweepDir, runs: Runs) -> int:
    return await drive_sweep(sweep, read_sweep(sweep), LoopClock(), runs.drive)


async def test_runs_follow_one_another_whatever_they_end_with(sweep: SweepDir) -> None:
    runs = Runs(0, 1, 0)
    assert await go_on(sweep, runs) == 0
    progress = read_progress(sweep)
    assert [run.exit_code for run in progress.runs] == [0, 1, 0]
    assert progress.ended
    assert not all_well(progress)
    assert [reason for _, reason in runs.driven] == ["run"] * 3
    marks = {read_plan(sweep.run(run.run_id)).mark for run in progress.runs}
    assert len(marks) == 3, "no two runs share a place on the server"
    assert await go_on(sweep, Runs(None)) == 0, "a sweep that is over begins nothing"


@pytest.mark.parametrize("code", [2, 1, 130])
async def test_a_run_that_stays_open_ends_the_sweep_for_now(sweep: SweepDir, code: int) -> None:
    assert await go_on(sweep, Runs(0, -code)) == code
    cut = read_progress(sweep).open
    assert cut is not None
    again = Runs()
    assert await go_on(sweep, again) == 0
    assert again.driven[0] == (cut.run_id, "resume")
    assert len(read_progress(sweep).runs) == 3


async def test_death_in_a_run(sweep: SweepDir) -> None:
    with pytest.raises(Died):
        await go_on(sweep, Runs(0, None))
    again = Runs()
    assert await go_on(sweep, again) == 0
    assert [reason for _, reason in again.driven] == ["resume", "run"]
    assert len({run.run_id for run in read_progress(sweep).runs}) == 3


async def test_death_before_a_run_has_its_plan(sweep: SweepDir) -> None:
    write_progress(sweep, SweepProgress(runs=(SweepRun(number=1, run_id="20260301-000000"),)))
    runs = Runs()
    assert await go_on(sweep, runs) == 0
    assert runs.driven[0] == ("20260301-000000", "run")


async def test_death_before_the_run_was_written_down(sweep: SweepDir) -> None:
    (sweep.path.parent / "20260301-000000").mkdir()
    runs = Runs()
    assert await go_on(sweep, runs) == 0
    assert "20260301-000000" not in {run_id for run_id, _ in runs.driven}


async def test_a_sweep_is_found_by_its_id_its_folder_or_as_the_latest(sweep: SweepDir) -> None:
    runs_dir = sweep.path.parent
    (runs_dir / "sweep-99991231-235959").mkdir()
    for wanted in (None, sweep.sweep_id, str(sweep.path)):
        assert find_sweep(runs_dir, wanted) == sweep
    assert named_sweep(runs_dir, "../" + sweep.sweep_id) is None
    with pytest.raises(Failure) as caught:
        find_sweep(runs_dir, "20260301-000000")
    assert caught.value.code == "sweep.not_found"


@pytest.mark.parametrize("name", ["sweep-plan.json", "sweep-progress.json"])
async def test_a_damaged_file_is_named(sweep: SweepDir, name: str) -> None:
    (sweep.path / name).write_text('{"id": 3')
    with pytest.raises(Failure) as caught:
        await go_on(sweep, Runs())
    assert caught.value.code == "run.plan"
    assert name in caught.value.what


async def test_a_story_that_is_gone_is_told_of_in_words(sweep: SweepDir) -> None:
    sweep.story_file("story.json").unlink()
    with pytest.raises(Failure) as caught:
        await go_on(sweep, Runs())
    assert caught.value.code == "story.unreadable"
    assert str(sweep.story_file("story.json")) in caught.value.what
