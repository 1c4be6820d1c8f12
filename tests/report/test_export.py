"""A run for other programs: rows that are what the metadata says, metrics that Prometheus reads."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from comfytui.errors import Failure
from comfytui.records.export import COLUMNS, as_csv, as_openmetrics
from comfytui.records.rundir import RunDir
from tests.records.conftest import play_well
from tests.records.scripted import Script
from tests.report.test_report import old_run


def test_a_row_a_scene(script: Callable[..., Script]) -> None:
    run = script(2)
    play_well(run)
    rows = list(csv.DictReader(io.StringIO(as_csv(run.run))))
    scenes = json.loads(run.run.metadata.read_text())["Scenes"]
    assert [row["scene"] for row in rows] == [scene["SceneId"] for scene in scenes]
    for row, scene in zip(rows, scenes, strict=True):
        assert tuple(row) == COLUMNS
        assert row["frames"] == str(scene["FrameCount"])
        assert row["success"] == str(scene["Success"]).lower()
        assert float(row["seconds"]) == scene["Telemetry"]["DurationSeconds"]
        assert row["fallback_notes"] == "; ".join(scene["Telemetry"]["System"]["FallbackNotes"])
        assert float(row["vram_after_mb"]) == scene["Telemetry"]["GPU"]["VramAfterMB"]


def test_metrics_of_a_past_run(script: Callable[..., Script]) -> None:
    run = script(2)
    play_well(run)
    families = {family.name: family for family in text_string_to_metric_families(as_openmetrics(run.run))}
    assert [sample.value for sample in families["comfytui_requeues"].samples] == [1.0]
    assert len(families["comfytui_scene_frames"].samples) == 2


def test_what_old_scripts_did_not_record_is_empty_and_no_cell_is_a_formula(tmp_path: Path) -> None:
    run = RunDir(old_run(tmp_path / "old", SceneId="=HYPERLINK(0)"))
    (row,) = csv.DictReader(io.StringIO(as_csv(run)))
    assert row["scene"] == "'=HYPERLINK(0)"
    assert (row["status"], row["queue_seconds"], row["gpu_index"]) == ("", "", "")
    with pytest.raises(Failure) as caught:
        as_openmetrics(run)
    assert caught.value.code == "export.incomplete"


def test_a_run_without_a_record(tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        as_csv(RunDir(tmp_path))
    assert caught.value.code == "export.incomplete"
