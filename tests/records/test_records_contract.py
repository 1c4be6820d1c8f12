"""The printed contract: every name of the design, every field explained, and a schema that a real record passes."""

import json
from typing import Any

import jsonschema  # type: ignore[import-untyped,unused-ignore]
import pytest
from msgspec import structs

from comfytui.model.telemetry import FALLBACK_NOTES, Telemetry
from comfytui.records.contract import SECTIONS, contract_markdown, contract_schema
from comfytui.records.rundir import RunDir

NAMES = {
    "Telemetry": """
        QueueStart QueueEnd DurationSeconds MaxWaitSeconds PollIntervalSeconds PostExecutionTimeoutSeconds
        SceneRetryBudget HistoryAttempts HistoryAttemptLimit HistoryExitReason ExecutionSuccessDetected
        ExecutionSuccessAt HistoryPostExecutionTimeoutReached ExecutionStatus ExecutionError DoneMarkerDetected
        DoneMarkerWaitSeconds DoneMarkerPath ForcedCopyTriggered ForcedCopyDebugPath GPU System""",
    "GpuTelemetry": """
        Name Type Index VramTotal VramFreeBefore VramFreeAfter VramBeforeMB VramAfterMB VramDeltaMB Source""",
    "SystemTelemetry": "Before After FallbackNotes",
    "ExecutionFailure": "NodeId NodeType ExceptionType Message Code",
    "ArtifactMetadata": """
        RunId Timestamp RunDir Story QueueConfig Scenes Suites VitestLogs Archive ContractVersion""",
    "StoryArtifact": "Id Logline DirectorsVision Generator File SceneCount StoryDir LLM HealthCheck Warnings",
    "HealthCheck": "Status Url Override Models Error Timestamp Skipped SkipReason",
    "QueueConfig": """
        SceneRetryBudget HistoryMaxWaitSeconds HistoryPollIntervalSeconds HistoryMaxAttempts
        PostExecutionTimeoutSeconds""",
    "SceneArtifact": """
        SceneId Prompt NegativePrompt FrameFloor FrameCount FramePrefix DurationSeconds Success MeetsFrameFloor
        HistoryRetrieved HistoryRetrievedAt HistoryAttempts HistoryAttemptLimit HistoryPath HistoryPollLog HistoryErrors
        HistoryError Warnings Errors AttemptsRun Requeued AttemptSummaries SceneRetryBudget HistoryConfig SceneOutputDir
        GeneratedFramesDir KeyframeSource StoryTitle StorySummary StoryMood StoryExpectedFrames StoryCameraMovement
        StoryKeyframe Telemetry PromptId Server Frames""",
    "HistoryPoll": "Attempt Timestamp Status Message",
    "AttemptSummary": """
        Attempt Timestamp FrameCount DurationSeconds Success MeetsFrameFloor HistoryRetrieved Warnings Errors""",
    "HistoryConfig": "MaxWaitSeconds PollIntervalSeconds MaxAttempts PostExecutionTimeoutSeconds",
    "FrameRecord": "Name Bytes Sha256 Verified",
    "SuiteRecord": "Label Command ExitCode DurationMs LogPath StartedAt",
    "SuiteLogs": "ComfyUI E2E Scripts",
}
"""The names of the design, struct by struct."""


def test_the_names_are_exact() -> None:
    assert {shape.__name__: list(shape.__struct_encode_fields__) for _, shape in SECTIONS} == {
        name: words.split() for name, words in NAMES.items()
    }


def test_every_field_is_in_the_tables_with_type_and_meaning() -> None:
    text = contract_markdown()
    tables = text.split("\n## ")
    for title, shape in SECTIONS:
        table = next(part for part in tables if part.startswith(f"{title}\n"))
        for field in structs.fields(shape):
            row = next(line for line in table.splitlines() if line.startswith(f"| {field.encode_name} |"))
            _, _, words, unit, meaning, _ = row.replace("\\|", "/").split("|")
            assert words.strip() and meaning.strip(), row
            assert bool(unit.strip()) == any(mark in field.encode_name for mark in UNITS), row


UNITS = ("Seconds", "MB", "Vram", "Bytes", "DurationMs")


def test_the_markdown_says_it_as_the_design_does() -> None:
    text = contract_markdown()
    for row in (
        "| DurationSeconds | float >= 0 | seconds | QueueEnd - QueueStart, one decimal |",
        "| HistoryExitReason | `success`, `maxWait`, `attemptLimit`, `postExecution`, `unknown` |  | why waiting",
        "| ExecutionSuccessAt | time or null |  | when;",
        "| VramTotal | int >= 0 or null | bytes | all of its memory |",
        "| Index | int or null |",
        "| FallbackNotes | list of string |",
        "| Before | object or null |",
        "| GPU | GpuTelemetry |",
        "| Frames | list of FrameRecord |",
        "the most frames proven whole, then success over failure, then the earliest",
    ):
        assert row in text
    for note in FALLBACK_NOTES:
        assert f"\n- `{note}`\n" in text + "\n"


def test_the_fallback_notes_are_those_that_other_tools_know() -> None:
    assert set(FALLBACK_NOTES) == {
        "/system_stats unavailable before execution",
        "/system_stats unavailable before execution; used nvidia-smi fallback",
        "/system_stats unavailable before execution; used nvml fallback",
        "/system_stats unavailable after execution",
        "/system_stats unavailable after execution; used nvidia-smi fallback",
        "/system_stats unavailable after execution; used nvml fallback",
        "/system_stats present but missing VRAM before execution; used nvidia-smi fallback",
        "/system_stats present but missing VRAM before execution; used nvml fallback",
        "/system_stats present but missing VRAM after execution; used nvidia-smi fallback",
        "/system_stats present but missing VRAM after execution; used nvml fallback",
    }


def telemetry_checker() -> jsonschema.Draft202012Validator:
    schema = contract_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator({**schema, "$ref": "#/$defs/Telemetry"})


def test_a_real_record_passes_the_schema(good_folder: Any) -> None:
    metadata = json.loads(RunDir(good_folder).metadata.read_bytes())
    jsonschema.Draft202012Validator(contract_schema()).validate(metadata)
    for scene in metadata["Scenes"]:
        telemetry_checker().validate(scene["Telemetry"])


@pytest.mark.parametrize("name", Telemetry.__struct_encode_fields__)
def test_a_telemetry_that_lacks_a_field_does_not(good_folder: Any, name: str) -> None:
    telemetry = json.loads(RunDir(good_folder).metadata.read_bytes())["Scenes"][0]["Telemetry"]
    del telemetry[name]
    with pytest.raises(jsonschema.ValidationError, match=f"'{name}' is a required property"):
        telemetry_checker().validate(telemetry)


@pytest.mark.parametrize(
    ("name", "value"),
    [("HistoryExitReason", "bored"), ("DurationSeconds", -1), ("DoneMarkerDetected", 1), ("QueueStart", None)],
)
def test_a_telemetry_of_wrong_types_does_not(good_folder: Any, name: str, value: object) -> None:
    telemetry = json.loads(RunDir(good_folder).metadata.read_bytes())["Scenes"][0]["Telemetry"]
    with pytest.raises(jsonschema.ValidationError):
        telemetry_checker().validate({**telemetry, name: value})


def test_the_schema_tells_units_and_meanings() -> None:
    fields = contract_schema()["$defs"]["GpuTelemetry"]["properties"]
    assert fields["VramTotal"]["unit"] == "bytes"
    assert fields["VramBeforeMB"] == {
        "description": "VramFreeBefore in MB",
        "unit": "MB",
        "anyOf": [{"type": "number"}, {"type": "null"}],
    }
    assert json.dumps(contract_schema())
