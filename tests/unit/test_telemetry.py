"""The telemetry's own arithmetic, its names, and the contradictions that it knows."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from comfytui.model.telemetry import (
    Telemetry,
    contract_name,
    inconsistencies,
    to_mb,
    vram_delta_mb,
)
from tests.records.scripted import T0, telemetry

BYTES = st.none() | st.integers(0, 2**40)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("queue_start", "QueueStart"),
        ("vram_before_mb", "VramBeforeMB"),
        ("gpu", "GPU"),
        ("llm", "LLM"),
        ("sha256", "Sha256"),
    ],
)
def test_the_contract_names_fields_its_own_way(field: str, name: str) -> None:
    assert contract_name(field) == name


@pytest.mark.parametrize(
    ("size", "shown"), [(None, None), (0, 0.0), (1048576, 1.0), (1600000, 1.5), (25165824000, 24000.0), (52429, 0.1)]
)
def test_mb_are_bytes_over_1048576_with_one_decimal(size: int | None, shown: float | None) -> None:
    assert to_mb(size) == shown


@given(before=BYTES, after=BYTES)
def test_the_delta_is_the_difference_of_the_rounded_figures(before: int | None, after: int | None) -> None:
    delta, first, last = vram_delta_mb(before, after), to_mb(before), to_mb(after)
    if first is None or last is None:
        assert delta is None
    else:
        assert delta == round(last - first, 1)
        assert abs(delta - (last - first)) < 0.01


@given(before=BYTES, after=BYTES)
def test_figures_made_here_never_contradict_one_another(before: int | None, after: int | None) -> None:
    made = telemetry(before=before, after=after, notes=("a note",))
    assert inconsistencies(made) == []
    unread = before is None or after is None
    assert bool(inconsistencies(telemetry(before=before, after=after))) == unread


def test_a_failed_attempt_is_consistent() -> None:
    assert inconsistencies(telemetry(success_at=None, status="error")) == []
    assert inconsistencies(telemetry()) == []


LATER = T0.replace(hour=23)

CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"queue_start": LATER}, "QueueEnd is before QueueStart"),
    ({"duration_seconds": 9.0}, "DurationSeconds is not"),
    ({"execution_success_at": None}, "ExecutionSuccessAt is missing"),
    ({"execution_success_detected": False}, "ExecutionSuccessAt is given"),
    ({"execution_success_detected": False}, "HistoryExitReason is success, but no success was detected"),
    ({"execution_success_detected": False}, "ExecutionStatus is success, but no success was detected"),
    (
        {"execution_success_detected": False, "history_exit_reason": "postExecution"},
        "HistoryExitReason is postExecution, but no success was detected",
    ),
    ({"execution_status": "error"}, "ExecutionStatus is error, but success was detected"),
    ({"execution_status": "interrupted"}, "ExecutionStatus is interrupted, but"),
    ({"history_exit_reason": "postExecution"}, "HistoryPostExecutionTimeoutReached does not fit"),
    ({"history_post_execution_timeout_reached": True}, "HistoryPostExecutionTimeoutReached does not fit"),
    ({"history_exit_reason": "attemptLimit"}, "HistoryAttemptLimit is unbounded"),
    ({"history_attempt_limit": 1, "history_attempts": 2}, "HistoryAttempts is above"),
    ({"forced_copy_debug_path": "x"}, "no copy was forced"),
    ({"done_marker_detected": True}, "DoneMarkerPath is missing"),
]


@pytest.mark.parametrize(("changes", "sentence"), CONTRADICTIONS)
def test_contradictions_are_found(changes: dict[str, Any], sentence: str) -> None:
    assert any(sentence in found for found in inconsistencies(replace(telemetry(), **changes)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"vram_before_mb": 1.0}, "GPU.VramBeforeMB is not the bytes in MB"),
        ({"vram_after_mb": None}, "GPU.VramAfterMB is not the bytes in MB"),
        ({"vram_delta_mb": -2047.98}, "GPU.VramDeltaMB is not"),
        ({"vram_delta_mb": None}, "GPU.VramDeltaMB is not"),
        ({"vram_free_before": None, "vram_before_mb": None}, "GPU.VramDeltaMB is given without both readings"),
        ({"name": "Unknown"}, "missing without a note"),
    ],
)
def test_contradictions_of_the_gpu_are_found(changes: dict[str, Any], sentence: str) -> None:
    made = telemetry()
    assert any(sentence in found for found in inconsistencies(replace(made, gpu=replace(made.gpu, **changes))))


def test_a_rounding_within_a_hundredth_is_no_contradiction() -> None:
    made = telemetry()
    assert made.gpu.vram_delta_mb is not None
    near = replace(made, gpu=replace(made.gpu, vram_delta_mb=made.gpu.vram_delta_mb + 0.009))
    assert inconsistencies(near) == []


def test_it_is_written_with_utc_times_and_read_back_equal() -> None:
    made = telemetry(notes=("n",))
    raw = msgspec.json.decode(msgspec.json.encode(made))
    assert raw["QueueStart"] == "2026-03-01T10:20:00Z"
    assert msgspec.json.decode(msgspec.json.encode(made), type=Telemetry) == made
    naive = msgspec.json.encode({**raw, "QueueStart": "2026-03-01T10:20:00"})
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(naive, type=Telemetry)
