"""A sweep of ten runs on a simulator that misbehaves: every figure of its report follows from the run folders."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from comfytui.engine.runner import Reason, Runner
from comfytui.engine.server.credentials import Credentials
from comfytui.engine.sweep import RunResult, drive_sweep
from comfytui.model.bindings import Slot
from comfytui.model.matrix import Axis
from comfytui.model.plan import RunPlan
from comfytui.model.policy import QueuePolicy
from comfytui.model.sweep import SweepPlan
from comfytui.records.report.gathering import report_on
from comfytui.records.report.writing import FILES, read_report, write_report
from comfytui.records.rundir import RunDir
from comfytui.records.sweepdir import SweepDir, create_sweep, read_progress, write_sweep
from comfytui.simulator import Fault, Speed
from comfytui.simulator.faults import (
    Answered,
    FewerFrames,
    NodeError,
    OutOfMemory,
    StatsWithoutVram,
    TruncatedFrame,
    VramLeak,
)
from tests.engine.stage import LONGEST, Stage, brief
from tests.report import recomputed as again

GATE = "success<0.95,runs<10%,p95>0.001s,vram<-1000MB,save.p95>1000s"

FAULTS: tuple[Fault, ...] = (
    NodeError(nth=2, times=1),
    NodeError(nth=5, times=2),
    NodeError(nth=6, times=1),
    OutOfMemory(nth=9, times=1),
    TruncatedFrame(nth=13, frame=2, times=1),
    FewerFrames(nth=17, keep=1, times=1),
    VramLeak(size=64 * 1024 * 1024),
    StatsWithoutVram(times=7),
    Answered(path="/history/*", status=500, times=2),
)  # fmt: skip


async def swept(stage: Stage, plan: SweepPlan, sweep: SweepDir, stop_before: int = 0) -> int:
    """Drive ``sweep`` on ``simulator``; before run ``stop_before`` its process is as good as dead."""
    driven: list[str] = []

    async def drive(run: RunDir, its_plan: RunPlan, reason: Reason) -> RunResult:
        driven.append(run.run_id)
        if len(driven) == stop_before:
            return RunResult(130, finished=False)
        with Runner(run, its_plan, stage.clock, Credentials(), reason) as runner, anyio.fail_after(LONGEST):
            code = await runner.drive()
            state = runner.hub.state.run
            return RunResult(code, finished=state is not None and state.outcome == "finished")

    return await drive_sweep(sweep, plan, stage.clock, drive)


def sweep_plan(stage: Stage, url: str, scenes: int = 3, least: int = 10, **more: Any) -> tuple[SweepDir, SweepPlan]:
    sweep = create_sweep(stage.runs, stage.clock)
    template = stage.plan(RunDir(sweep.path), url, tuple(brief(number, frames=3) for number in range(1, scenes + 1)))
    fields = {"least": least, "most": least, **more}
    plan = SweepPlan(
        id=sweep.sweep_id, created_at=stage.clock.now(), version="test", template=template, fail_on=GATE, **fields
    )
    write_sweep(sweep, plan, b"{}")
    return sweep, plan


async def report_folder(stage: Stage) -> Path:
    """Return the folder of a sweep of ten runs of three scenes, cut once in its middle, with its report."""
    stage.policy = QueuePolicy(scene_retry_budget=1, post_execution_timeout_seconds=2)
    small = {name: Slot("1", name) for name in ("width", "height")}
    axes = tuple(Axis(name=name, target="input", place=place, values=(48,)) for name, place in small.items())
    async with stage.simulator(*FAULTS, speed=Speed(sampling_step=0.05, save_frame=0.5)) as simulator:
        sweep, plan = sweep_plan(stage, simulator.url, axes=axes)
        assert await swept(stage, plan, sweep, stop_before=4) == 130
        assert not read_progress(sweep).ended
        assert await swept(stage, plan, sweep) == 0
    report = report_on([sweep.path], stage.clock.now(), title=sweep.sweep_id, gate=GATE)
    write_report(report, sweep.path)
    return sweep.path


async def test_every_figure_follows_from_the_run_folders(stage: Stage, tmp_path: Path) -> None:
    folder = await report_folder(stage)
    told = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    runs = [folder.parent / run["run_id"] for run in json.loads((folder / "sweep-progress.json").read_text())["runs"]]
    assert len(set(runs)) == len(runs) == 10, "the run that was cut is the one that was gone on with"
    records = [(run, scene) for run in runs for scene in again.metadata(run)["Scenes"]]
    scenes = [scene for _, scene in records]
    assert len(scenes) == 30
    _scenes_and_runs(told, runs, records)
    _durations(told, records)
    _telemetry(told, scenes)
    _vram(told, scenes)
    _gate(told)
    _written_alike(folder, tmp_path / "again")


def _rate(told: dict[str, Any], count: int, of: int) -> None:
    low, high = again.wilson(count, of)
    assert (told["count"], told["of"]) == (count, of)
    assert told["rate"] == pytest.approx(count / of, abs=1e-6)
    assert (told["low"], told["high"]) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))


def _scenes_and_runs(told: dict[str, Any], runs: list[Path], records: list[tuple[Path, dict[str, Any]]]) -> None:
    scenes = [scene for _, scene in records]
    well = [scene["Success"] and scene["MeetsFrameFloor"] for scene in scenes]
    assert 0 < sum(well) < 30, "the faults must be seen"
    _rate(told["scene_success"], sum(well), 30)
    codes = [again.journal(run)[-1]["event"]["exit_code"] for run in runs]
    assert {0, 1} == set(codes)
    _rate(told["run_success"], codes.count(0), 10)
    assert [run["exit_code"] for run in told["runs"]] == codes
    requeued = [scene["AttemptsRun"] > 1 for scene in scenes]
    assert 0 < sum(requeued) < 30
    _rate(told["requeued"], sum(requeued), 30)
    assert told["attempts"] == sum(scene["AttemptsRun"] for scene in scenes)
    assert [run["frames"] for run in told["runs"]] == [
        sum(scene["FrameCount"] for own, scene in records if own == run) for run in runs
    ]
    for name in ("scene-001", "scene-002", "scene-003"):
        frames = sorted(scene["FrameCount"] for scene in scenes if scene["SceneId"] == name)
        spread = told["frames"][name]
        assert (spread["least"], spread["most"], spread["count"]) == (frames[0], frames[-1], 10)
        assert spread["p50"] == again.nearest_rank(frames, 50)
    reasons = [scene["Telemetry"]["HistoryExitReason"] for scene in scenes]
    assert told["exit_reasons"] == again.counted(reasons)
    assert told["statuses"] == again.counted([scene["Telemetry"]["ExecutionStatus"] for scene in scenes])
    assert len(told["statuses"]) > 1


def _durations(told: dict[str, Any], records: list[tuple[Path, dict[str, Any]]]) -> None:
    seconds = [scene["Telemetry"]["DurationSeconds"] for _, scene in records]
    for percent in (50, 95):
        assert told["seconds"][f"p{percent}"] == again.nearest_rank(seconds, percent)
    split = [again.parts(run, scene) for run, scene in records]
    for part in ("queue", "execute", "save", "collect"):
        known = [value for each in split if (value := each[part]) is not None]
        assert told["parts"][part]["count"] == len(known) > 0
        for percent in (50, 95):
            assert told["parts"][part][f"p{percent}"] == pytest.approx(again.nearest_rank(known, percent), abs=1e-3)
    for each, (_, scene) in zip(told["scenes"], records, strict=True):
        assert each["scene"] == scene["SceneId"]
        whole = sum(value or 0.0 for value in each["parts"].values())
        if each["parts"]["queue"] is not None:
            assert whole == pytest.approx(scene["Telemetry"]["DurationSeconds"], abs=0.06)


def _telemetry(told: dict[str, Any], scenes: list[dict[str, Any]]) -> None:
    present = [again.fields_present(scene["Telemetry"]) for scene in scenes]
    assert min(present) < again.FIELDS
    assert [each["telemetry"]["present"] for each in told["scenes"]] == present
    assert {each["telemetry"]["required"] for each in told["scenes"]} == {again.FIELDS}
    _rate(told["telemetry"], sum(present), 30 * again.FIELDS)
    notes = [note for scene in scenes for note in scene["Telemetry"]["System"]["FallbackNotes"]]
    assert notes
    assert told["fallback_notes"] == again.counted(notes)


def _vram(told: dict[str, Any], scenes: list[dict[str, Any]]) -> None:
    by_end = sorted(scenes, key=lambda scene: again.moment(scene["Telemetry"]["QueueEnd"]))
    named = [scene["Telemetry"]["GPU"] for scene in by_end if scene["Telemetry"]["GPU"]["Name"] != "Unknown"]
    (trend,) = told["vram"]
    for moment in ("before", "after"):
        readings = [gpu[f"Vram{moment.capitalize()}MB"] for gpu in named]
        known = [mb for mb in readings if mb is not None]
        assert trend[f"{moment}_readings"] == len(known)
        assert trend[f"{moment}_slope_mb"] == pytest.approx(again.median_of_slopes(known), abs=1e-3)
    assert trend["after_slope_mb"] < -10
    assert trend["leak"] is not None


def _gate(told: dict[str, Any]) -> None:
    broken = {verdict["condition"]: verdict["broken"] for verdict in told["gate"]}
    assert broken == {
        "success<0.95": told["scene_success"]["count"] / 30 < 0.95,
        "runs<10%": False,
        "p95>0.001s": True,
        "vram<-1000MB": False,
        "save.p95>1000s": False,
    }


def _written_alike(folder: Path, elsewhere: Path) -> None:
    """The same report gives the same bytes, pictures and all, also once it has been read back."""
    report = read_report(folder)
    assert report is not None
    write_report(report, elsewhere)
    for name in FILES:
        assert (elsewhere / name).read_bytes() == (folder / name).read_bytes(), name
