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
    sizes = {"width": (48, 64), "height": (48,)}
    axes = tuple(Axis(name=name, target="input", place=Slot("1", name), values=told) for name, told in sizes.items())
    async with stage.simulator(*FAULTS, speed=Speed(sampling_step=0.05, save_frame=0.5)) as simulator:
        sweep, plan = sweep_plan(stage, simulator.url, least=5, axes=axes)
        assert await swept(stage, plan, sweep, stop_before=4) == 130
        assert not read_progress(sweep).ended
        assert await swept(stage, plan, sweep) == 0
    baseline = sweep.run(read_progress(sweep).runs[0].run_id).path
    report = report_on([sweep.path], stage.clock.now(), title=sweep.sweep_id, baseline=baseline, gate=GATE)
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
    _rows(told, runs, records)
    _cells(told, runs, records)
    _changes(told, [(run, scene) for run, scene in records if run == runs[0]])
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
        assert told["frames"][name] == again.spread(frames)
    reasons = [scene["Telemetry"]["HistoryExitReason"] for scene in scenes]
    assert told["exit_reasons"] == again.counted(reasons)
    assert told["statuses"] == again.counted([scene["Telemetry"]["ExecutionStatus"] for scene in scenes])
    assert len(told["statuses"]) > 1


Records = list[tuple[Path, dict[str, Any]]]


def _well(scene: dict[str, Any]) -> bool:
    return bool(scene["Success"] and scene["MeetsFrameFloor"])


def _rows(told: dict[str, Any], runs: list[Path], records: Records) -> None:
    """Hold the row of each run and of each scene to its own folder."""
    for row, run in zip(told["runs"], runs, strict=True):
        own = [scene for its, scene in records if its == run]
        opened = next(line for line in again.journal(run) if line["event"]["type"] == "run_opened")
        assert (row["run_id"], row["dir"], row["origin"]) == (run.name, str(run), "comfytui")
        assert again.moment(row["started_at"]) == again.moment(opened["at"])
        assert row["values"] == opened["event"]["sweep"]["values"]
        assert (row["planned"], row["recorded"], row["well"]) == (3, len(own), row["exit_code"] == 0)
        assert row["scenes_well"] == sum(map(_well, own))
        assert row["requeued"] == sum(scene["AttemptsRun"] > 1 for scene in own)
    for row, (run, scene) in zip(told["scenes"], records, strict=True):
        telemetry, gpu = scene["Telemetry"], scene["Telemetry"]["GPU"]
        assert (row["run_id"], row["scene"]) == (run.name, scene["SceneId"])
        assert (row["success"], row["meets_floor"]) == (scene["Success"], scene["MeetsFrameFloor"])
        assert (row["frames"], row["floor"], row["attempts"]) == (
            scene["FrameCount"], scene["FrameFloor"], scene["AttemptsRun"],
        )  # fmt: skip
        assert (row["exit_reason"], row["status"]) == (telemetry["HistoryExitReason"], telemetry["ExecutionStatus"])
        assert row["seconds"] == telemetry["DurationSeconds"]
        assert again.moment(row["started_at"]) == again.moment(telemetry["QueueStart"])
        assert again.moment(row["ended_at"]) == again.moment(telemetry["QueueEnd"])
        assert row["fallback_notes"] == telemetry["System"]["FallbackNotes"]
        assert (row["gpu"], row["gpu_index"], row["server"]) == (gpu["Name"], gpu["Index"], scene["Server"])
        assert (row["vram_before_mb"], row["vram_after_mb"]) == (gpu["VramBeforeMB"], gpu["VramAfterMB"])
        error = telemetry["ExecutionError"]
        assert row["error"] == (error["Message"] if error else scene["Errors"][0] if scene["Errors"] else None)


def _cells(told: dict[str, Any], runs: list[Path], records: Records) -> None:
    """Hold the figures of each combination of the matrix to the runs that had it."""
    given = {run: again.journal(run)[0]["event"]["sweep"]["values"] for run in runs}
    assert [cell["values"] for cell in told["cells"]] == [
        {"width": "48", "height": "48"}, {"width": "64", "height": "48"},
    ]  # fmt: skip
    for cell in told["cells"]:
        its = [run for run in runs if given[run] == cell["values"]]
        scenes = [scene for run, scene in records if run in its]
        assert len(its) == 5
        _rate(cell["runs"], sum(again.exit_code(run) == 0 for run in its), 5)
        _rate(cell["scenes"], sum(map(_well, scenes)), 15)
        assert cell["seconds"] == again.spread([scene["Telemetry"]["DurationSeconds"] for scene in scenes])


def _changes(told: dict[str, Any], before: Records) -> None:
    """Hold the comparison to the run that is the baseline."""
    scenes = [scene for _, scene in before]
    seconds = [scene["Telemetry"]["DurationSeconds"] for scene in scenes]
    split = [again.parts(run, scene) for run, scene in before]
    known = {part: [value for each in split if (value := each[part]) is not None] for part in again.PARTS}
    by_end = sorted(scenes, key=lambda scene: again.moment(scene["Telemetry"]["QueueEnd"]))
    after = [mb for scene in by_end if (mb := scene["Telemetry"]["GPU"]["VramAfterMB"]) is not None]
    then: dict[str, float] = {
        "success": sum(map(_well, scenes)) / 3,
        "runs": float(again.exit_code(before[0][0]) == 0),
        "requeues": sum(scene["AttemptsRun"] > 1 for scene in scenes) / 3,
        "telemetry": sum(again.fields_present(scene["Telemetry"]) for scene in scenes) / (3 * again.FIELDS),
        "fallbacks": sum(len(scene["Telemetry"]["System"]["FallbackNotes"]) for scene in scenes),
        **{f"p{percent}": again.nearest_rank(seconds, percent) for percent in (50, 95)},
        **{
            f"{part}.p{percent}": again.nearest_rank(known[part], percent)
            for part in again.PARTS
            for percent in (50, 95)
            if known[part]
        },
        "vram": again.median_of_slopes(after),
    }
    now: dict[str, float] = {
        **{name: told[where]["rate"] for name, where in (
            ("success", "scene_success"), ("runs", "run_success"), ("requeues", "requeued"), ("telemetry", "telemetry"),
        )},
        "fallbacks": sum(told["fallback_notes"].values()),
        **{name: told["seconds"][name] for name in ("p50", "p95")},
        **{f"{part}.{mark}": told["parts"][part][mark] for part in again.PARTS for mark in ("p50", "p95")},
        "vram": told["vram"][0]["after_slope_mb"],
    }  # fmt: skip
    assert told["baseline"].endswith(before[0][0].name)
    assert [change["name"] for change in told["changes"]] == list(now)
    for change in told["changes"]:
        was, its = then.get(change["name"]), now[change["name"]]
        assert change["now"] == its
        assert change["then"] == (None if was is None else pytest.approx(was, abs=1e-3))
        if was and abs(was) > 0.01:
            assert change["ratio"] == pytest.approx(its / was, rel=0.1)
        else:
            assert was is not None or change["ratio"] is None


def _durations(told: dict[str, Any], records: list[tuple[Path, dict[str, Any]]]) -> None:
    assert told["seconds"] == again.spread([scene["Telemetry"]["DurationSeconds"] for _, scene in records])
    split = [again.parts(run, scene) for run, scene in records]
    for part in ("queue", "execute", "save", "collect"):
        known = [value for each in split if (value := each[part]) is not None]
        assert told["parts"][part]["count"] == len(known) > 0
        assert told["parts"][part] == pytest.approx(again.spread(known), abs=1e-3)
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
