"""Validation: a good run passes; break any one thing that the contract wants, and the finding names it."""

import json
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.model.telemetry import ExecutionFailure
from comfytui.records.archive import write_archive
from comfytui.records.atomic import temporary
from comfytui.records.checks.finding import Finding
from comfytui.records.journal import Journal, read
from comfytui.records.rundir import RunDir
from comfytui.records.validate import exit_code, passed, report, validate_run, write_validation
from tests.records.scripted import Script, brief

Make = Callable[..., Script]
Json = dict[str, Any]


def told(run: Script | RunDir, **more: Any) -> list[str]:
    path = run.path if isinstance(run, RunDir) else run.run.path
    return [str(finding) for finding in validate_run(path, **more)]


def edit_metadata(run: RunDir, change: Callable[[Json], object]) -> None:
    """Change the metadata and, alike, the pieces: whoever forges one forges the other."""
    data = json.loads(run.metadata.read_bytes())
    change(data)
    run.metadata.write_bytes(msgspec.json.encode(data))
    for scene in data.get("Scenes", ()):
        if isinstance(scene, dict) and scene.get("SceneId") in ("scene-001", "scene-002"):
            run.scene_json(scene["SceneId"]).write_bytes(msgspec.json.encode(scene))


def edit_summary(run: RunDir, old: str, new: str) -> None:
    text = run.summary.read_text("utf-8")
    assert re.search(old, text, re.M), old
    run.summary.write_bytes(re.sub(old, new, text, count=1, flags=re.M).encode())


def frame(run: RunDir) -> Path:
    return run.path / "scene-001" / "generated-frames-attempt-1" / "scene-001-a1_00001_.png"


# --- what passes -------------------------------------------------------------------------------------------------


def test_a_good_run_has_no_findings(good_run: Script) -> None:
    assert told(good_run) == []
    good_run.publish(e.RunValidated(passed=True))
    good_run.publish(e.RunEnded(outcome="finished", exit_code=0))
    assert told(good_run) == []


def test_a_run_with_failed_and_short_scenes_can_be_a_valid_record(script: Make) -> None:
    run = script(3)
    error = ExecutionFailure(node_id="3", node_type="K", exception_type="E", message="boom", code="prompt.failed")
    run.attempt("scene-001", frames=0, status="error", error=error, reads=("error",), before=None, notes=("no VRAM",))
    run.end("scene-001")
    run.attempt("scene-002", frames=2, unproven=2, reads=("pending", "pending"), status="success")
    run.end("scene-002")
    run.attempt("scene-003")
    run.end("scene-003")
    run.settle()
    assert told(run) == []


def test_a_rerun_is_valid_again(good_run: Script) -> None:
    good_run.start("rerun")
    good_run.publish(e.SceneReopened(scene="scene-001", reason="by hand"))
    good_run.attempt("scene-001", 2, frames=4)
    good_run.end("scene-001")
    good_run.settle()
    assert told(good_run) == []


def test_odd_ids_and_texts_are_no_findings(tmp_path: Path) -> None:
    scenes = [
        brief(1, id="a] b [Scene", folder="a-b"),
        brief(2, id="a", folder="a"),
        brief(3, id="ünï 1", folder="uni"),
    ]
    run = Script(tmp_path / "runs", scenes)
    for scene in scenes:
        run.attempt(scene.id, notes=("a | b; c\nd", "x=y"))
        run.end(scene.id)
    run.settle()
    run.close()
    assert told(run) == []


def test_an_unpacked_archive_is_valid_elsewhere(good_run: Script, tmp_path: Path) -> None:
    good_run.publish(e.RunValidated(passed=True))
    with zipfile.ZipFile(write_archive(good_run.run)) as packed:
        packed.extractall(tmp_path / "elsewhere")
    good_run.close()
    shutil.rmtree(good_run.run.path)
    assert validate_run(tmp_path / "elsewhere" / good_run.run.run_id) == []


def test_leftovers_of_a_crash_are_no_frames(good_copy: RunDir) -> None:
    temporary(frame(good_copy)).write_bytes(b"half a frame")
    assert told(good_copy) == []


# --- what does not: the metadata ---------------------------------------------------------------------------------


def scene_field(name: str, value: Any) -> Callable[[Json], object]:
    return lambda m: m["Scenes"][0].__setitem__(name, value)


def telemetry_field(name: str, value: Any) -> Callable[[Json], object]:
    return lambda m: m["Scenes"][0]["Telemetry"].__setitem__(name, value)


def gpu_field(name: str, value: Any) -> Callable[[Json], object]:
    return lambda m: m["Scenes"][0]["Telemetry"]["GPU"].__setitem__(name, value)


def fallback_notes(*notes: str) -> Callable[[Json], object]:
    return lambda m: m["Scenes"][0]["Telemetry"]["System"].__setitem__("FallbackNotes", list(notes))


def both(*changes: Callable[[Json], object]) -> Callable[[Json], object]:
    return lambda m: [change(m) for change in changes]


METADATA: list[tuple[Callable[[Json], object], str]] = [
    # present and typed
    (lambda m: m.pop("RunId"), r"artifact-metadata.json: RunId is missing"),
    (lambda m: m.pop("Scenes"), r"artifact-metadata.json: Scenes is missing"),
    (lambda m: m.update(Scenes={}), r"artifact-metadata.json: Scenes is no list"),
    (lambda m: m.update(Timestamp="yesterday"), r"artifact-metadata.json Timestamp: Invalid"),
    (lambda m: m.update(Timestamp="2026-03-01T10:20:18"), r"artifact-metadata.json Timestamp: Expected"),
    (lambda m: m.update(Timestamp="2026-03-01T10:20:18+02:00"), r"Timestamp: .* is not UTC"),
    (lambda m: m["Story"].pop("Logline"), r"artifact-metadata.json Story: Logline is missing"),
    (lambda m: m["QueueConfig"].update(SceneRetryBudget="1"), r"QueueConfig SceneRetryBudget: Expected `int`"),
    (lambda m: m["Scenes"].append(5), r"Scenes\[2\]: is no JSON object"),
    (scene_field("SceneId", None), r"Scenes\[0\] SceneId: Expected `str`"),
    (scene_field("FrameCount", -1), r"Scenes\[0\] FrameCount: Expected `int` >= 0"),
    (scene_field("Telemetry", None), r"Scenes\[0\] Telemetry: Expected `object`"),
    (scene_field("Frames", [{"Name": "x"}]), r"Scenes\[0\] Frames\[0\]: Bytes is missing"),
    (lambda m: m["Scenes"][0]["Frames"][0].update(Sha256="beef"), r"Frames\[0\] Sha256: Expected `str` matching"),
    (lambda m: m["Scenes"][0]["Telemetry"].pop("QueueEnd"), r"Scenes\[0\] Telemetry: QueueEnd is missing"),
    (telemetry_field("HistoryExitReason", "bored"), r"Telemetry HistoryExitReason: Invalid enum value"),
    (telemetry_field("DoneMarkerDetected", 1), r"Telemetry DoneMarkerDetected: Expected `bool`"),
    (telemetry_field("QueueStart", "2026-03-01T12:20:01+02:00"), r"Telemetry QueueStart: .* is not UTC"),
    (gpu_field("Name", "  "), r"Telemetry GPU Name: Expected `str` matching"),
    (gpu_field("Source", "guess"), r"Telemetry GPU Source: Invalid enum value"),
    (lambda m: m["Scenes"][0]["Telemetry"]["System"].pop("FallbackNotes"), r"System: FallbackNotes is missing"),
    # the run
    (lambda m: m.update(RunId="latest"), r"RunId 'latest' is not yyyyMMdd-HHmmss"),
    (lambda m: m.update(RunDir="C:\\runs\\20200101-000000"), r"RunDir .* is not the folder of run"),
    (lambda m: m.update(ContractVersion=2), r"ContractVersion is 2, not 1"),
    (lambda m: m["Scenes"].pop(), r"SceneCount is 2, but 1 scenes have a record"),
    (lambda m: m["Scenes"].pop(), r"scene scene-002: is in the journal, and not"),
    (lambda m: m["Scenes"].append(m["Scenes"][0]), r"Scenes\[2\] has the SceneId 'scene-001' again"),
    (lambda m: m["Scenes"][0].update(SceneId="ghost"), r"scene ghost: is in the metadata, and not in the journal"),
    (lambda m: m["VitestLogs"].update(E2E="x.log"), r"VitestLogs does not tell the log of the suite Vitest e2e"),
    (
        lambda m: [scene.update(FrameCount=0, Frames=[]) for scene in m["Scenes"]],
        r"artifact-metadata.json: no frame of any scene is proven whole",
    ),
    (lambda m: m["Story"].update(Id="other"), r"events.jsonl: tells of another run than the metadata"),
    (lambda m: m["QueueConfig"].update(HistoryMaxAttempts=7), r"json: differs from the journal in QueueConfig$"),
    # a scene
    (scene_field("FrameCount", 2), r"FrameCount is 2, but 3 of the Frames are Verified"),
    (lambda m: m["Scenes"][0]["Frames"][0].update(Verified=False), r"FrameCount is 3, but 2 of the Frames are Verif"),
    (scene_field("Success", False), r"Success is False, which the frames .* do not bear out"),
    (scene_field("MeetsFrameFloor", False), r"MeetsFrameFloor is False with 3/3 frames"),
    (scene_field("FrameFloor", 9), r"MeetsFrameFloor is True with 3/9 frames"),
    (scene_field("DurationSeconds", 1.0), r"DurationSeconds is not that of the Telemetry"),
    (scene_field("GeneratedFramesDir", None), r"GeneratedFramesDir and Frames do not fit together"),
    (lambda m: m["Scenes"][0]["Frames"].append(m["Scenes"][0]["Frames"][0]), r"a frame is listed twice"),
    (both(scene_field("Success", False), scene_field("Errors", [])), r"the scene failed, but Errors does not say why"),
    (
        both(scene_field("MeetsFrameFloor", False), scene_field("FrameFloor", 9)),
        r"the frame floor was missed, but Warnings does not say so",
    ),
    (scene_field("HistoryAttempts", 1), r"HistoryAttempts is not that of the Telemetry"),
    (lambda m: m["Scenes"][0]["HistoryPollLog"].pop(), r"HistoryAttempts is 2, but HistoryPollLog has 1 entries"),
    (scene_field("HistoryRetrieved", False), r"HistoryRetrieved is not what HistoryPollLog tells"),
    (scene_field("HistoryErrors", ["x"]), r"HistoryErrors is not what HistoryPollLog tells"),
    (scene_field("HistoryRetrievedAt", None), r"HistoryRetrievedAt and HistoryPath do not fit HistoryRetrieved"),
    (scene_field("HistoryPath", None), r"HistoryRetrievedAt and HistoryPath do not fit HistoryRetrieved"),
    (scene_field("HistoryError", "x"), r"HistoryError does not fit HistoryRetrieved"),
    (scene_field("Requeued", True), r"Requeued is True after 1 attempts"),
    (scene_field("AttemptSummaries", []), r"AttemptSummaries has 0 entries for 1 attempts"),
    (
        lambda m: m["Scenes"][1]["AttemptSummaries"][0].update(FrameCount=9),
        r"scene scene-002: its figures are not those of attempt 1, which is the best",
    ),
    (telemetry_field("MaxWaitSeconds", 5), r"MaxWaitSeconds is not that of QueueConfig \(600\)"),
    (telemetry_field("PollIntervalSeconds", 5), r"PollIntervalSeconds is not that of QueueConfig \(2\)"),
    (telemetry_field("PostExecutionTimeoutSeconds", 5), r"PostExecutionTimeoutSeconds is not that of QueueConfig"),
    (scene_field("HistoryAttemptLimit", 5), r"HistoryAttemptLimit is not that of QueueConfig \(0\)"),
    (scene_field("SceneRetryBudget", 5), r"SceneRetryBudget is not that of QueueConfig \(1\)"),
    # its telemetry
    (telemetry_field("QueueEnd", "2026-03-01T10:00:00Z"), r"QueueEnd is before QueueStart"),
    (telemetry_field("DurationSeconds", 9.9), r"DurationSeconds is not QueueEnd - QueueStart"),
    (telemetry_field("ExecutionSuccessAt", None), r"ExecutionSuccessAt is missing although success was detected"),
    (telemetry_field("ExecutionSuccessDetected", False), r"HistoryExitReason is success, but no success was detected"),
    (telemetry_field("ExecutionStatus", "error"), r"ExecutionStatus is error, but success was detected"),
    (telemetry_field("HistoryExitReason", "postExecution"), r"TimeoutReached does not fit HistoryExitReason"),
    (telemetry_field("HistoryExitReason", "attemptLimit"), r"attemptLimit, but HistoryAttemptLimit is unbounded"),
    (telemetry_field("HistoryAttemptLimit", 1), r"HistoryAttempts is above HistoryAttemptLimit"),
    (telemetry_field("ForcedCopyDebugPath", "x"), r"ForcedCopyDebugPath is given, but no copy was forced"),
    (telemetry_field("DoneMarkerDetected", True), r"DoneMarkerPath is missing although a marker was detected"),
    (gpu_field("VramBeforeMB", 1.0), r"GPU.VramBeforeMB is not the bytes in MB"),
    (gpu_field("VramFreeAfter", 5), r"GPU.VramAfterMB is not the bytes in MB"),
    (gpu_field("VramDeltaMB", -2036.18), r"GPU.VramDeltaMB is not VramAfterMB - VramBeforeMB"),
    (gpu_field("VramBeforeMB", None), r"GPU.VramDeltaMB is given without both readings"),
    (gpu_field("Name", "Unknown"), r"is missing without a note in System.FallbackNotes"),
    # against the summary
    (gpu_field("Name", "Other"), r"Telemetry line has GPU='NVIDIA H100', and the metadata tell 'Other'"),
    (telemetry_field("DoneMarkerWaitSeconds", 0.3), r"line has DoneMarkerWaitSeconds='0.0s', and the metadata"),
    (telemetry_field("HistoryAttemptLimit", 5), r"line has pollLimit='unbounded', and the metadata tell '5'"),
    (telemetry_field("SceneRetryBudget", 0), r"line has SceneRetryBudget='1', and the metadata tell 'unbounded'"),
    (fallback_notes("quite another"), r"the Telemetry line lacks the fallback note 'quite another'"),
    (lambda m: m["QueueConfig"].update(HistoryMaxWaitSeconds=5), r"run-summary.txt: Queue policy: is 'sceneRetries=1"),
    (lambda m: m["Story"].update(Logline="Other"), r"Story logline: is 'A line', and the metadata tell 'Other'"),
    (lambda m: m["Story"].update(DirectorsVision=""), r"Director's vision: is 'Slow and wide', .* tell '\(none\)'"),
    (lambda m: m.update(Archive="/other.zip"), r"the Artifact Index has no line 'Archive: /other.zip'"),
    # against the files
    (lambda m: m["Scenes"][0]["Frames"][0].update(Bytes=1), r"_00001_.png' has \d+ bytes, not 1$"),
    (lambda m: m["Scenes"][0]["Frames"][0].update(Sha256="0" * 64), r"does not have the SHA-256 that is listed"),
    (lambda m: m["Scenes"][0]["Frames"].pop(), r"frame '.*_00003_.png' is on disk and not listed"),
    (lambda m: m["Scenes"][0]["Frames"][0].update(Name="no.png"), r"frame 'no.png' is listed and not on disk"),
    (lambda m: m["Scenes"][0]["Frames"][0].update(Name="../../a"), r"frame '../../a' has a name that leads out"),
    (lambda m: m["Scenes"][0]["Frames"][0].update(Name="/etc/passwd"), r"frame '/etc/passwd' has a name that leads"),
    (lambda m: m["Scenes"][0]["Frames"][0].update(Name="sub/x.png"), r"frame 'sub/x.png' has a name that leads out"),
    (scene_field("GeneratedFramesDir", "../.."), r"GeneratedFramesDir '../..' leads out of the run folder"),
    (scene_field("GeneratedFramesDir", "gone"), r"GeneratedFramesDir 'gone' cannot be read: No such file"),
    (scene_field("HistoryPath", "../x.json"), r"HistoryPath '../x.json' leads out of the run folder"),
    (scene_field("HistoryPath", "/etc/hosts"), r"HistoryPath '/etc/hosts' leads out of the run folder"),
    (scene_field("HistoryPath", "C:/x"), r"HistoryPath 'C:/x' leads out of the run folder"),
    (scene_field("HistoryPath", "gone.json"), r"HistoryPath 'gone.json' does not exist"),
    (scene_field("SceneOutputDir", "../scene-001"), r"SceneOutputDir '../scene-001' leads out of the run folder"),
    (scene_field("StoryKeyframe", "scene-001/keyframe.png"), r"StoryKeyframe 'scene-001/keyframe.png' does not exist"),
    (lambda m: m["Story"].update(File="story/gone.json"), r"Story.File 'story/gone.json' does not exist"),
    # against the journal
    (scene_field("Prompt", "another"), r"scene scene-001: the metadata differ from the journal in Prompt$"),
    (telemetry_field("PollIntervalSeconds", 3), r"the metadata differ from the journal in Telemetry$"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "finding"), METADATA, ids=[finding for _, finding in METADATA])
def test_metadata_that_are_wrong_are_found(good_copy: RunDir, change: Callable[[Json], object], finding: str) -> None:
    edit_metadata(good_copy, change)
    found = told(good_copy)
    assert any(re.search(finding, text) for text in found), found
    assert exit_code(validate_run(good_copy.path)) == 1


# --- the summary -------------------------------------------------------------------------------------------------

SUMMARY = [
    (r"^.*E2E Story-to-Video Run.*\n", "", r"the first line is not 'E2E Story-to-Video Run: "),
    (r"Run: 2026", "Run: 2025", r"the first line is not"),
    (r"^.*Story ready.*\n", "", r"there is no line 'Story ready'"),
    (r"\(scenes=2\)", "(scenes=3)", r"Story ready: is 'tale \(scenes=3\)', and the metadata tell"),
    (r"^.*Director's vision.*\n", "", r"there is no line \"Director's vision\""),
    (r"^.*Story logline.*\n", "", r"there is no line 'Story logline'"),
    (r"^.*Queue policy.*\n", "", r"there is no line 'Queue policy'"),
    (r"historyPollInterval=2s", "historyPollInterval=3s", r"Queue policy: is 'sceneRetries=1"),
    (r"^.*\[Scene scene-001\] Telemetry.*\n", "", r"scene scene-001: there are 0 Telemetry lines, not one"),
    (r"^(.*\[Scene scene-001\] Telemetry.*\n)", r"\1\1", r"scene scene-001: there are 2 Telemetry lines, not one"),
    (
        r"(\[Scene scene-001\] Telemetry.*)VRAMAfterMB=38923.8MB",
        r"\1VRAMAfterMB=38923.9MB",
        r"has VRAMAfterMB='38923.9MB'",
    ),
    (r"(\[Scene scene-001\] Telemetry.*) \| pollLimit=unbounded", r"\1", r"the Telemetry line has no pollLimit"),
    (r"(\[Scene scene-001\] Telemetry.*)DoneMarkerWaitSeconds=0.0s", r"\1DoneMarkerWaitSeconds=0.2s", r"'0.2s'"),
    (
        r"(\[Scene scene-001\] Telemetry.*)DoneMarkerWaitSeconds=0.0s",
        r"\1DoneMarkerWaitSeconds=x",
        r"has DoneMarkerWait",
    ),
    (r"(\[Scene scene-001\] Telemetry.*)HistoryAttempts=2", r"\1HistoryAttempts=1", r"has HistoryAttempts='1'"),
    (r"(\[Scene scene-002\] Telemetry.*) \| fallback=.*", r"\1", r"lacks the fallback note '/system_stats unavail"),
    (r"^.*\[Scene scene-002\] HISTORY WARNING.*\n", "", r"there is no HISTORY WARNING line"),
    (r"^.*\[Scene scene-001\] History saved.*\n", "", r"there is no line 'History saved: scene-001/history.json'"),
    (r"^.*\[Scene scene-002\]\[Attempt 1\].*\n", "", r"there is no line '\[Attempt 1\] Frames=1"),
    (r"Frames=3 Duration=4.3s", "Frames=4 Duration=4.3s", r"there is no line '\[Attempt 1\] Frames=3"),
    (r"^.*\[Attempt scene-002 2\] Telemetry.*\n", "", r"attempt 2 has no Telemetry line"),
    (r"^.*Scene summary.*\n", "", r"the Scene summary is missing"),
    (r"2/2 succeeded", "1/2 succeeded", r"the Scene summary is 'Scene summary: 1/2 succeeded"),
    (r"total frames=6", "total frames=7", r"the Scene summary is .*total frames=7"),
    (r"requeues=1", "requeues=0", r"the Scene summary is .*requeues=0"),
    (r"^## Artifact Index\n", "", r"## Artifact Index stands there 0 times"),
    (r"^(## Artifact Index\n)", r"\1\1", r"## Artifact Index stands there 2 times"),
    (r"^Scenes captured: 2\n", "", r"the Artifact Index has no line 'Scenes captured: 2'"),
    (r"^Total frames copied: 6$", "Total frames copied: 5", r"the Artifact Index has no line 'Total frames copied: 6'"),
    (r"^Archive: .*\n", "", r"the Artifact Index has no line 'Archive: "),
    (r"^(Story folder: story\n)", r"\1a stray line\n", r"the line 'a stray line' has no time"),
    (r"^\[10:20:00\] Workflow", "[25:20:00] Workflow", r"the line '\[25:20:00\] Workflow: smoke' has no time"),
    (r"^.*Runner started.*\n", "", r"run-summary.txt: line 7 is not what the journal tells"),
]


@pytest.mark.parametrize(("old", "new", "finding"), SUMMARY, ids=[finding for _, _, finding in SUMMARY])
def test_a_summary_that_is_wrong_is_found(good_copy: RunDir, old: str, new: str, finding: str) -> None:
    edit_summary(good_copy, old, new)
    found = told(good_copy)
    assert any(re.search(finding, text) for text in found), found


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        (
            r"^.*\[Scene scene-001\] WARNING: Frame count.*\n",
            r"there is no line 'WARNING: Frame count below floor \(0/3\)'",
        ),
        (r"^.*\[Scene scene-001\] ERROR.*\n", r"there is no ERROR line, though the scene failed"),
        (r"^.*\[Scene scene-001\] HISTORY WARNING.*\n", r"there is no HISTORY WARNING line"),
    ],
)
def test_a_failed_scene_without_its_line_is_found(script: Make, line: str, finding: str) -> None:
    run = script(2)
    run.attempt("scene-001", frames=0, status="lost", reads=("pending",), before=None, notes=("no VRAM",))
    run.end("scene-001")
    run.attempt("scene-002")
    run.end("scene-002")
    run.settle()
    assert told(run) == []
    edit_summary(run.run, line, "")
    found = told(run)
    assert any(re.search(finding, text) for text in found), found


def test_a_suite_without_its_lines_is_found(good_copy: RunDir) -> None:
    def add(m: Json) -> None:
        suite = {"Label": "Vitest e2e", "Command": "x", "ExitCode": 0, "DurationMs": 1, "LogPath": "logs/x.log"}
        m["Suites"].append({**suite, "StartedAt": "2026-03-01T10:20:18Z"})

    edit_metadata(good_copy, add)
    found = told(good_copy)
    assert "run-summary.txt: there is no line 'Vitest e2e exitCode=0'" in found
    assert "run-summary.txt: the Artifact Index has no line 'Vitest e2e log: logs/x.log'" in found
    assert "suite Vitest e2e: LogPath 'logs/x.log' does not exist" in found
    assert "artifact-metadata.json: VitestLogs does not tell the log of the suite Vitest e2e" in found


# --- files, journal, and a folder full of malice -----------------------------------------------------------------


def replaced_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


FILES: list[tuple[Callable[[RunDir], object], str]] = [
    (lambda r: frame(r).unlink(), r"_00001_.png' is listed and not on disk"),
    (lambda r: frame(r).write_bytes(b"short"), r"_00001_.png' has 5 bytes, not"),
    (lambda r: frame(r).write_bytes(frame(r).read_bytes()[::-1]), r"does not have the SHA-256 that is listed"),
    (lambda r: frame(r).with_name("stray.png").touch(), r"frame 'stray.png' is on disk and not listed"),
    (lambda r: replaced_by_folder(frame(r)), r"_00001_.png' is no plain file"),
    (lambda r: shutil.rmtree(frame(r).parent), r"GeneratedFramesDir '.*' does not exist|cannot be read: No such file"),
    (lambda r: r.history("scene-001").unlink(), r"HistoryPath 'scene-001/history.json' does not exist"),
    (lambda r: r.scene_json("scene-001").unlink(), r"scene scene-001: scene.json is missing"),
    (lambda r: r.scene_json("scene-001").write_bytes(b"{}"), r"scene scene-001 scene.json: SceneId is missing"),
    (
        lambda r: r.scene_json("scene-001").write_bytes(r.scene_json("scene-002").read_bytes()),
        r"scene.json differs from the metadata in SceneId, Prompt, ",
    ),
    (lambda r: r.metadata.unlink(), r"artifact-metadata.json: is missing"),
    (lambda r: r.metadata.write_bytes(b""), r"artifact-metadata.json: is no JSON object"),
    (lambda r: r.metadata.write_bytes(b"[" * 10_000), r"artifact-metadata.json: is no JSON object"),
    (lambda r: r.metadata.write_bytes(b'{"Scenes":' + b"[" * 10_000), r"artifact-metadata.json: is no JSON obj"),
    (lambda r: r.metadata.write_bytes(b"\xff\xfe"), r"artifact-metadata.json: is no JSON object"),
    (lambda r: replaced_by_folder(r.metadata), r"artifact-metadata.json: is no plain file"),
    (lambda r: r.summary.unlink(), r"run-summary.txt: is missing"),
    (lambda r: r.summary.write_bytes(b"\xff\xfe"), r"run-summary.txt: is not UTF-8 at byte 0"),
    (lambda r: r.summary.write_bytes(b""), r"run-summary.txt: the first line is not"),
    (lambda r: r.journal.unlink(), r"events.jsonl: is missing"),
    (lambda r: replaced_by_folder(r.journal), r"events.jsonl: is no plain file"),
    (lambda r: r.journal.write_bytes(b""), r"events.jsonl: tells of no run"),
    (lambda r: r.journal.write_bytes(b"[" * 10_000), r"events.jsonl: line 1: .*not an envelope"),
    (
        lambda r: r.journal.write_bytes(b"".join(r.journal.read_bytes().splitlines(True)[:-1])),
        r"events.jsonl: the run has not come to rest",
    ),
    (
        lambda r: r.journal.write_bytes(
            b"".join(line for n, line in enumerate(r.journal.read_bytes().splitlines(True)) if n not in (7, 8))
        ),
        r"events.jsonl: facts 8 to 9 are missing",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "finding"), FILES, ids=[finding for _, finding in FILES])
def test_files_that_are_wrong_are_found(good_copy: RunDir, change: Callable[[RunDir], object], finding: str) -> None:
    change(good_copy)
    found = told(good_copy)
    assert any(re.search(finding, text) for text in found), found
    assert not passed(validate_run(good_copy.path))


def test_without_hashes_a_frame_is_held_to_its_size(good_copy: RunDir) -> None:
    frame(good_copy).write_bytes(frame(good_copy).read_bytes()[::-1])
    assert told(good_copy, hashes=False) == []
    frame(good_copy).write_bytes(b"short")
    assert told(good_copy, hashes=False)


def test_a_torn_line_that_lost_nothing_is_a_warning(script: Make) -> None:
    run = script()
    run.attempt("scene-001")
    run.journal.close()
    with run.run.journal.open("ab") as file:
        file.write(b'{"seq":9,"at":"2026-')  # the machine died here, before anybody had seen that fact
    run.reopen()
    run.end("scene-001")
    run.settle()
    found = validate_run(run.run.path)
    assert [(f.place, f.level) for f in found] == [("events.jsonl", "warning")]
    assert passed(found) and exit_code(found) == 0
    assert report(found)[0].startswith("WARNING: events.jsonl: line ")
    assert report(found)[-1] == "run-summary validation: PASS"


def test_a_scene_that_was_never_tried_is_found(script: Make) -> None:
    run = script(2)
    run.attempt("scene-001")
    run.end("scene-001")
    run.publish(e.SceneEnded(scene="scene-002", best=0, success=False, meets_floor=False, frames=0, cancelled=True))
    run.settle()
    assert told(run) == [
        "artifact-metadata.json: Story.SceneCount is 2, but 1 scenes have a record",
        "scene scene-002: no attempt of it has ended, so it has no Telemetry",
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
@pytest.mark.parametrize("name", ["artifact-metadata.json", "run-summary.txt", "events.jsonl", "scene-001/scene.json"])
def test_nothing_outside_is_read_through_a_link(good_copy: RunDir, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    shutil.move(good_copy.path / name, outside)
    (good_copy.path / name).symlink_to(outside)
    assert any("is no plain file" in text or "leads out" in text for text in told(good_copy))


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes in folders on Windows")
@pytest.mark.parametrize("name", ["artifact-metadata.json", "run-summary.txt", "scene-001/scene.json", "frame"])
def test_a_pipe_does_not_hold_it_up(good_copy: RunDir, name: str) -> None:
    path = frame(good_copy) if name == "frame" else good_copy.path / name
    path.unlink()
    os.mkfifo(path)
    assert any("is no plain file" in text for text in told(good_copy))


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")
def test_frames_behind_a_link_are_not_read(good_copy: RunDir, tmp_path: Path) -> None:
    folder = frame(good_copy).parent
    shutil.move(folder, tmp_path / "outside")
    folder.symlink_to(tmp_path / "outside")
    assert any(
        "GeneratedFramesDir 'scene-001/generated-frames-attempt-1' leads out" in text for text in told(good_copy)
    )


def test_a_record_that_is_too_large_is_not_read(good_copy: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    from comfytui.records.checks import reading

    monkeypatch.setattr(reading, "LARGEST", 100)
    assert any("artifact-metadata.json: is larger than 100 bytes" in text for text in told(good_copy))


def test_a_folder_of_nothing_but_faults_gives_a_bounded_list(good_copy: RunDir) -> None:
    edit_metadata(good_copy, lambda m: m["Scenes"].extend([5] * 5000))
    found = told(good_copy)
    assert len(found) == 1001
    assert found[-1] == "run: there are more than 1000 findings; the others are not listed"


@pytest.mark.parametrize("place", ["", "none", "nul\0byte", "x" * 5000])
def test_what_is_no_run_is_a_failure_of_use(tmp_path: Path, place: str) -> None:
    with pytest.raises(Failure) as failure:
        validate_run(tmp_path / place)
    assert (failure.value.code, failure.value.exit_code) == ("run.not_found", 2)


def test_the_report_quotes_without_control_characters(good_copy: RunDir) -> None:
    edit_metadata(good_copy, scene_field("GeneratedFramesDir", "\x1b]0;evil\x07\n../" + "x" * 10_000))
    text = "\n".join(report(validate_run(good_copy.path)))
    assert "\x1b" not in text and "\x07" not in text
    assert all(len(line) < 600 for line in text.splitlines())


def test_the_report_ends_with_the_verdict(good_copy: RunDir) -> None:
    assert report([]) == ["run-summary validation: PASS"]
    found = [Finding("x", "is wrong"), Finding("y", "is odd", "warning")]
    assert report(found) == ["ERROR: x: is wrong", "WARNING: y: is odd", "run-summary validation: FAIL"]
    assert (exit_code([]), exit_code(found)) == (0, 1)
    write_validation(good_copy, found)
    assert good_copy.validation.read_text().splitlines() == report(found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_any_value_anywhere_gives_findings_and_never_an_exception(good_copy: RunDir, data: st.DataObject) -> None:
    """Replace one value, however deep in the metadata, by any JSON: never a traceback, and not unnoticed."""
    original, facts = good_copy.metadata.read_bytes(), good_copy.journal.read_bytes()
    try:
        document = json.loads(original)
        last = list(read(good_copy.journal))[-1]
        archived = e.RunArchived(path=document["Archive"], bytes=1)
        with Journal(good_copy.journal) as journal:
            journal.append(replace(last, seq=last.seq + 1, event=archived))
        place: Any = document
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = data.draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
                place = place[key]
                continue
            before, place[key] = place[key], data.draw(JSON)
            break
        good_copy.metadata.write_bytes(msgspec.json.encode(document))
        found = validate_run(good_copy.path)
        assert found or (type(before), before) == (type(place[key]), place[key])
    finally:
        good_copy.metadata.write_bytes(original)
        good_copy.journal.write_bytes(facts)


@given(junk=st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
def test_any_bytes_in_any_record_give_findings(good_copy: RunDir, junk: bytes) -> None:
    for path in (
        good_copy.metadata,
        good_copy.summary,
        good_copy.journal,
        good_copy.scene_json("scene-001"),
    ):
        original = path.read_bytes()
        path.write_bytes(junk)
        assert not passed(validate_run(good_copy.path)), path.name
        path.write_bytes(original)


def test_a_journal_that_goes_on_while_it_is_looked_at(good_run: Script) -> None:
    with Journal(good_run.run.journal) as journal:
        journal.append(good_run.envelopes[-1])  # a fact that is told twice changes nothing
    assert told(good_run) == []
