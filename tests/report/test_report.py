"""Reports over runs of any origin: what is not recorded is unknown, gates are strict, texts are texts."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest

from comfytui.errors import Failure
from comfytui.faces.tui.panes.scene_order import SORTS
from comfytui.faces.tui.panes.scene_row import time_taken
from comfytui.model import commands as c
from comfytui.model.events import RunEnded
from comfytui.model.openmetrics import openmetrics
from comfytui.model.report import Report
from comfytui.records.report.fields import Fields
from comfytui.records.report.figures import MEANINGS, MEASURES
from comfytui.records.report.gate import parse_gate
from comfytui.records.report.gathering import report_on
from comfytui.records.report.junit import junit_xml
from comfytui.records.report.page import report_page
from comfytui.records.report.plots import plots
from comfytui.records.report.statistics import rate, spread
from comfytui.records.report.words import report_lines, report_markdown
from comfytui.records.report.writing import read_report, write_report
from tests.engine.playing import phase_is, playing
from tests.engine.stage import Stage, brief
from tests.records.conftest import play_well
from tests.records.scripted import Script
from tests.records.scripted import brief as scripted_brief

NOW = datetime(2026, 3, 2, tzinfo=UTC)
EVIL = "<script>alert(1)</script> & \x1b[31m|*"


def old_run(folder: Path, seconds: float = 41.5, **scene: Any) -> Path:
    """Write a run as the scripts of old left it: no journal, none of our fields, a byte order mark."""
    told = {
        "QueueStart": "2025-11-20T10:00:00Z", "QueueEnd": "2025-11-20T10:00:41Z", "DurationSeconds": seconds,
        "MaxWaitSeconds": 600, "PollIntervalSeconds": 2, "PostExecutionTimeoutSeconds": 30, "SceneRetryBudget": 1,
        "HistoryAttempts": 9, "HistoryAttemptLimit": 0, "HistoryExitReason": "success",
        "ExecutionSuccessDetected": True, "ExecutionSuccessAt": "2025-11-20T10:00:40Z",
        "HistoryPostExecutionTimeoutReached": False, "DoneMarkerDetected": False, "DoneMarkerWaitSeconds": 0,
        "DoneMarkerPath": None, "ForcedCopyTriggered": False, "ForcedCopyDebugPath": None,
        "GPU": {"Name": "NVIDIA GeForce RTX 3090", "VramBeforeMB": 24000.0, "VramAfterMB": 22600.0,
                "VramDeltaMB": -1400.0},
        "System": {"FallbackNotes": ["/system_stats unavailable before execution; used nvidia-smi fallback"]},
    }  # fmt: skip
    first = {
        "SceneId": "scene-001", "Success": True, "MeetsFrameFloor": True, "FrameCount": 25, "FrameFloor": 25,
        "AttemptsRun": 1, "DurationSeconds": seconds, "Telemetry": told, **scene,
    }  # fmt: skip
    folder.mkdir(parents=True)
    metadata = {
        "RunId": folder.name,
        "Timestamp": "2025-11-20T10:01:00Z",
        "Story": {"SceneCount": 1},
        "Scenes": [first],
    }
    (folder / "artifact-metadata.json").write_text(json.dumps(metadata), encoding="utf-8-sig")
    return folder


@pytest.fixture
def scripted(script: Callable[..., Script]) -> Path:
    """The folder of a run of two scenes, one of them requeued."""
    run = script(2)
    play_well(run)
    return run.run.path


# --- what is recorded, and what is not -----------------------------------------------------------------------------


def test_a_run_of_the_old_scripts_is_read_and_nothing_about_it_is_guessed(tmp_path: Path) -> None:
    report = report_on([old_run(tmp_path / "20251120-100000")], NOW)
    (run,), (scene,) = report.runs, report.scenes
    assert (run.origin, run.exit_code, run.well, run.planned) == ("scripts", None, True, 1)
    assert scene.status is None
    assert scene.seconds == 41.5
    assert set(report.parts) == {"queue", "execute", "save", "collect"}
    assert all(each.count == 0 and each.p50 is None for each in report.parts.values())
    assert report.statuses == {"not recorded": 1}
    assert report.notes == ("20251120-100000: no journal: durations are not split, and the exit code is unknown",)
    assert set(scene.telemetry.missing) == {
        "GPU.Type", "GPU.Index", "GPU.VramTotal", "GPU.VramFreeBefore", "GPU.VramFreeAfter", "System.Before",
        "System.After",
    }  # fmt: skip
    assert scene.telemetry.required == 30, "what the older form does not know is not asked of it"


def test_runs_of_old_and_of_ours_stand_in_one_report_in_the_order_of_time(tmp_path: Path, scripted: Path) -> None:
    old_run(scripted.parent / "20251120-100000")
    report = report_on([scripted.parent, scripted], NOW)
    assert [run.origin for run in report.runs] == ["scripts", "comfytui"]
    assert report.requeued.count == 1
    assert {device.gpu for device in report.vram} == {"NVIDIA GeForce RTX 3090", "NVIDIA H100"}
    write_report(report, tmp_path / "out")
    assert read_report(tmp_path / "out") is not None


def test_the_same_note_about_many_runs_is_told_once(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        old_run(tmp_path / name)
    (note,) = report_on([tmp_path], NOW).notes
    assert note.startswith("a and 2 more: no journal")


async def test_a_scene_that_was_never_sent_has_no_duration(stage: Stage) -> None:
    async with stage.simulator() as simulator:
        with stage.open(simulator, *(brief(number, 1) for number in range(1, 5))) as runner:
            async with playing(runner, simulator) as play:
                await play.until(phase_is(1, "executing"))
                assert play.ask(c.Skip, scenes=("scene-004",)).accepted
                assert play.ask(c.Cancel, scenes=("scene-003",)).accepted
            outcome = play.outcome
    report = report_on([outcome.run_dir.path], NOW)
    told = {scene.scene: scene.seconds for scene in report.scenes}
    assert [name for name, seconds in told.items() if seconds is None] == ["scene-003", "scene-004"]
    assert report.seconds.count == 2 and report.seconds.least
    assert "2 of 4 scenes have no duration: nothing of theirs was sent" in report.notes[0]
    assert report_lines(report, None)
    assert plots(report)["durations"].count("not split") == 0
    assert b'name="scene-004" time' not in junit_xml(report)
    durations = [line for line in openmetrics(outcome.state).splitlines() if line.startswith("comfytui_scene_duration")]
    assert ["scene-001" in durations[0], "scene-002" in durations[1], len(durations)] == [True, True, 2]
    scenes = outcome.state.scenes
    assert [time_taken(scene, NOW) != "" for scene in scenes] == [True, True, False, False]
    assert [SORTS["time"](scene, 0, 4) is not None for scene in scenes] == [True, True, False, False]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"RunId": 7, "Scenes": 3}', b'{"Scenes": [1, {"Telemetry": [], "Success": "yes"}]}', b"\xff"],
)
def test_metadata_of_any_shape_is_never_more_than_a_note(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "artifact-metadata.json").write_bytes(content)
    report = report_on([tmp_path], NOW)
    assert report.scene_success.count == 0
    assert report.notes
    assert report.seconds.p50 is None


def test_utf_16_is_read(tmp_path: Path) -> None:
    file = old_run(tmp_path / "old") / "artifact-metadata.json"
    file.write_bytes(file.read_text(encoding="utf-8-sig").encode("utf-16"))
    assert report_on([tmp_path / "old"], NOW).run_success.count == 1


def test_a_run_that_never_recorded_anything_is_told(script: Callable[..., Script]) -> None:
    run = Script(script(1).run.path.parent, [scripted_brief(1)])
    report = report_on([run.run.path], NOW)
    run.close()
    assert report.runs == ()
    assert "has not ended, or never began" in report.notes[0]


def test_the_scenes_of_a_run_that_could_not_begin_count(script: Callable[..., Script]) -> None:
    run = script(3)
    run.publish(RunEnded(outcome="failed", exit_code=2))
    report = report_on([run.run.path], NOW)
    assert (report.run_success.count, report.run_success.of) == (0, 1)
    assert (report.scene_success.count, report.scene_success.of) == (0, 3)
    assert report.runs[0].exit_code == 2
    assert report.notes == (f"{run.run.run_id}: it exited with 2 and recorded no scene",)


def test_a_scene_without_a_record_counts_as_one_that_did_not_go_well(tmp_path: Path) -> None:
    file = old_run(tmp_path / "old") / "artifact-metadata.json"
    told = json.loads(file.read_text(encoding="utf-8-sig"))
    told["Story"]["SceneCount"] = 3
    file.write_text(json.dumps(told))
    report = report_on([tmp_path / "old"], NOW)
    assert (report.scene_success.count, report.scene_success.of) == (1, 3)
    assert report.run_success.count == 0
    write_report(report, tmp_path / "out")
    suite = Xml.parse(tmp_path / "out" / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "0", "2")


def test_where_there_is_no_run_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        report_on([tmp_path], NOW)
    assert caught.value.code == "report.no_runs"


# --- statistics ----------------------------------------------------------------------------------------------------


def test_wilsons_interval_is_the_one_of_the_books() -> None:
    told = rate(81, 263)  # Newcombe 1998, table I
    assert (round(told.low or 0, 4), round(told.high or 0, 4)) == (0.2553, 0.3662)
    assert (rate(0, 20).low, round(rate(0, 20).high or 0, 4)) == (0.0, 0.1611)
    assert (round(rate(20, 20).low or 0, 4), rate(20, 20).high) == (0.8389, 1.0)
    assert rate(0, 0).rate is None


def test_percentiles_are_readings() -> None:
    told = spread([None, 5, 1, 4, 2, 3])
    assert (told.count, told.least, told.p50, told.p95, told.most) == (5, 1, 3, 5, 5)
    assert spread([7]).p95 == 7
    assert spread(range(1, 101)).p95 == 95
    assert spread([None]) == spread([])


# --- baseline and gate ---------------------------------------------------------------------------------------------


def two(tmp_path: Path, gate: str) -> Report:
    """Return the report over a slow run against a fast one."""
    fast, slow = old_run(tmp_path / "fast", 10.0), old_run(tmp_path / "slow", 15.0)
    return report_on([slow], NOW, baseline=fast, gate=gate)


@pytest.mark.parametrize(
    ("gate", "broken"),
    [
        ("p95>1.2x", True),
        ("p95>1.6x", False),
        ("p95 >= 1.5x", True),
        ("p50<15s", False),
        ("p50<=15", True),
        ("success<0.95", False),
        ("success<95%, p95>1.2x", True),
        ("requeues>0", False),
        ("execute.p95>100", True),
        ("vram<-1MB", True),
        ("fallbacks>0", True),
        ("", False),
    ],
)
def test_gates(gate: str, broken: bool, tmp_path: Path) -> None:
    assert two(tmp_path, gate).broken is broken


def test_a_condition_on_what_is_not_known_is_broken_and_says_so(tmp_path: Path) -> None:
    (verdict,) = two(tmp_path, "queue.p95>1x").gate
    assert verdict.broken
    assert verdict.why == "the baseline does not tell it"
    (verdict,) = two(tmp_path / "2", "queue.p95>1s").gate
    assert (verdict.broken, verdict.why) == (True, "it is not known")


@pytest.mark.parametrize(
    "gate",
    [
        "success", "success<", "<0.95", "success=0.95", "success==1", "success!<1", "success<0.95,", ",success<1",
        "success<0.95 p95>1", "succes<0.9", "p95>1.2xx", "p95>1,2x", "success<.5", "success<1e3", "success<inf",
        "success<0.9s", "p95>50%", "vram<1s", "fallbacks>3s", "p95>1MB", "__class__<1", "p95>1;import os", "é<1",
    ],
)  # fmt: skip
def test_a_gate_that_is_none_is_refused(gate: str) -> None:
    with pytest.raises(Failure) as caught:
        parse_gate(gate, baseline=True)
    assert caught.value.code == "gate.syntax"


def test_times_the_baseline_needs_one() -> None:
    with pytest.raises(Failure) as caught:
        parse_gate("p95>1.2x", baseline=False)
    assert "--baseline" in caught.value.what


def test_every_figure_has_a_meaning() -> None:
    assert list(MEANINGS) == list(MEASURES)


def test_changes_are_told_as_ratios(tmp_path: Path) -> None:
    changes = {change.name: change for change in two(tmp_path, "").changes}
    assert (changes["p95"].now, changes["p95"].then, changes["p95"].ratio) == (15.0, 10.0, 1.5)
    assert (changes["queue.p95"].now, changes["queue.p95"].ratio) == (None, None)
    assert changes["requeues"].ratio is None, "nothing is a multiple of 0"


def test_a_baseline_whose_runs_are_gone_is_its_report(tmp_path: Path) -> None:
    write_report(report_on([old_run(tmp_path / "fast", 10.0)], NOW), tmp_path / "kept")
    slow = old_run(tmp_path / "slow", 15.0)
    for place in (tmp_path / "kept", tmp_path / "kept" / "report.json"):
        assert report_on([slow], NOW, baseline=place, gate="p95>1.4x").broken
    (tmp_path / "kept" / "report.json").write_text("{}")
    with pytest.raises(Failure) as caught:
        report_on([slow], NOW, baseline=tmp_path / "kept")
    assert caught.value.code == "report.no_runs"


# --- the files -----------------------------------------------------------------------------------------------------


def evil_report(tmp_path: Path) -> Report:
    run = old_run(tmp_path / "evil", SceneId=EVIL, Success=False, Errors=[EVIL])
    file = run / "artifact-metadata.json"
    told = json.loads(file.read_text(encoding="utf-8-sig"))
    told["RunId"] = EVIL
    told["Scenes"][0]["Telemetry"]["HistoryExitReason"] = EVIL
    told["Scenes"][0]["Telemetry"]["GPU"]["Name"] = EVIL
    told["Scenes"][0]["Telemetry"]["System"]["FallbackNotes"] = [EVIL]
    file.write_text(json.dumps(told), encoding="utf-8")
    return report_on([run], NOW, title=EVIL)


def test_texts_of_others_are_texts_in_every_file(tmp_path: Path) -> None:
    report = evil_report(tmp_path)
    write_report(report, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page + report_markdown(report) + "\n".join(report_lines(report, None))
    rows = [line for line in report_markdown(report).splitlines() if line.startswith("| ") and "alert" in line]
    assert rows
    assert not any(re.search(r"(?<!\\)[<|*](?!$| )", row) for row in rows)
    cases = Xml.parse(tmp_path / "out" / "junit.xml").getroot().iter("testcase")
    assert "script" in str(next(iter(cases)).get("name"))


def test_the_page_needs_no_network_and_serves_light_and_dark(tmp_path: Path) -> None:
    report = report_on([old_run(tmp_path / "one"), old_run(tmp_path / "two")], NOW)
    write_report(report, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 3, "success, durations, VRAM; nothing is drawn of parts that nobody recorded"
    assert not re.findall(r"""(?:src|href)=["'](?!#)|url\((?!#)|@import""", page)
    assert "prefers-color-scheme: dark" in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert not re.search(r"#(0[1-9a])\1\1\b", page), "every colour is the page's own"
    assert "#000000" not in page


def test_a_terminal_without_unicode_gets_none(scripted: Path) -> None:
    report = report_on([scripted], NOW)
    assert any("█" in line for line in report_lines(report, None))
    assert all(line.isascii() for line in report_lines(report, None, ascii_only=True))


def test_a_page_without_a_single_reading() -> None:
    from comfytui.records.report.figures import figures
    from comfytui.records.report.plots import plots

    report = figures("nothing", [], NOW)
    assert plots(report) == {}
    assert "0 runs, 0 scenes" in report_page(report, {})
    assert report_lines(report, None)


def test_what_is_beyond_all_numbers_and_times_is_not_told() -> None:
    early, late = "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"
    told = Fields({"FrameCount": 10**400, "Timestamp": early, "Later": late})
    assert (told.number("FrameCount"), told.whole("FrameCount")) == (None, None)
    assert told.moment("Timestamp") is told.moment("Later") is None


def test_what_is_not_recorded_of_a_scene_is_no_figure_in_junit_either(tmp_path: Path) -> None:
    old_run(tmp_path / "old", Success=False, FrameCount=None, FrameFloor=None, Telemetry={})
    write_report(report_on([tmp_path / "old"], NOW), tmp_path / "out")
    failure = Xml.parse(tmp_path / "out" / "junit.xml").getroot().find(".//failure")
    assert failure is not None
    assert failure.get("message") == "?/? frames, exit reason ?"
