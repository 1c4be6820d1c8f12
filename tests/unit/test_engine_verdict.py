"""From what was witnessed of an attempt to its verdict and telemetry: complete, typed, free of contradictions."""

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from comfytui.engine.attempt.verdict import UNSEEN_AFTER, UNSEEN_BEFORE, exit_reason, final_status, telemetry_of
from comfytui.engine.prompt import ending as endings
from comfytui.engine.prompt.ending import Ending
from comfytui.engine.prompt.waiting import GiveUpReason, Surrender
from comfytui.errors import Failure
from comfytui.model.events import Device, Measurement
from comfytui.model.policy import QueuePolicy
from comfytui.model.state import Attempt, HistoryLook
from comfytui.model.telemetry import ExecutionStatus, Telemetry, inconsistencies
from comfytui.sources.comfy.wire import HistoryEntry, NodeError, OutputFile, PromptRejection

T0 = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
POLICY = QueuePolicy()
GIB = 1 << 30


def attempt(**changes: Any) -> Attempt:
    fields: dict[str, Any] = {"number": 1, "prompt_id": "p", "prefix": "run/scene-a1", "seed": 7, "planned_at": T0}
    return Attempt(**(fields | changes))


def file(name: str = "f_00001_.png", node: str = "9", kind: str = "output") -> OutputFile:
    return OutputFile(node=node, key="images", filename=name, subfolder="", type=kind)


def told(given: Attempt, *, gave_up: str | None = None, late: bool = False, policy: QueuePolicy = POLICY) -> Telemetry:
    """Return the telemetry as the attempt's driver makes it."""
    reason = exit_reason(given, gave_up=gave_up, frames_timed_out=late)
    status = final_status(given, frames_timed_out=late)
    return telemetry_of(given, policy, T0 + timedelta(seconds=4.26), reason, status)


# --- how a prompt ended ------------------------------------------------------------------------------------------


def test_success_is_what_history_says_with_its_own_time_and_files() -> None:
    entry = HistoryEntry(outcome="success", success_at=T0, outputs=(file(), file("t.png", kind="temp")))
    ended = endings.of_history(entry, T0 + timedelta(seconds=9), partial=False)
    assert (ended.status, ended.success_at, ended.error, ended.reported) == ("success", T0, None, True)
    assert ended.files == entry.outputs


def test_a_success_without_a_time_of_its_own_gets_the_time_it_was_read() -> None:
    assert endings.of_history(HistoryEntry(outcome="success"), T0, partial=False).success_at == T0


@pytest.mark.parametrize(
    ("files", "cached", "partial", "status"),
    [
        ((file(),), (), False, "success"),
        ((file(),), ("1", "9"), False, "cached"),  # every file comes from a node that did not run
        ((file(), file("g.png", node="10")), ("9",), False, "success"),  # one of two outputs ran
        ((), ("1", "9"), False, "success"),  # nothing is reported: nothing tells that it is old
        ((file(),), (), True, "partial"),
        ((file(),), ("9",), True, "cached"),
    ],
)
def test_cached_and_partial_are_told_apart(
    files: tuple[OutputFile, ...], cached: tuple[str, ...], partial: bool, status: str
) -> None:
    entry = HistoryEntry(outcome="success", outputs=files, cached_nodes=cached)
    assert endings.of_history(entry, T0, partial=partial).status == status


def test_an_error_tells_its_node_and_keeps_the_files_of_nodes_that_finished() -> None:
    error = NodeError(node_id="3", node_type="KSampler", exception_type="ValueError", message="no such sampler")
    ended = endings.of_history(HistoryEntry(outcome="error", error=error, outputs=(file(),)), T0, partial=False)
    assert (ended.status, ended.success_at, ended.files) == ("error", None, (file(),))
    assert ended.error is not None
    assert (ended.error.code, ended.error.node_id, ended.error.node_type) == ("prompt.failed", "3", "KSampler")
    assert (ended.error.exception_type, ended.error.message) == ("ValueError", "no such sampler")


@pytest.mark.parametrize("name", ["torch.OutOfMemoryError", "torch.cuda.OutOfMemoryError"])
def test_out_of_memory_has_a_code_of_its_own(name: str) -> None:
    error = NodeError(node_id="3", node_type="KSampler", exception_type=name, message="tried to allocate")
    ended = endings.of_history(HistoryEntry(outcome="error", error=error), T0, partial=False)
    assert ended.error is not None
    assert ended.error.code == "prompt.out_of_memory"


def test_an_error_without_details_is_an_error_all_the_same() -> None:
    ended = endings.of_history(HistoryEntry(outcome="error"), T0, partial=False)
    assert ended.error is not None
    assert (ended.status, ended.error.code, ended.error.node_id) == ("error", "prompt.failed", None)
    assert ended.error.message


def test_an_interruption_is_no_error_of_a_node() -> None:
    ended = endings.of_history(HistoryEntry(outcome="interrupted", outputs=(file(),)), T0, partial=True)
    assert (ended.status, ended.success_at, ended.files) == ("interrupted", None, (file(),))
    assert ended.error is not None
    assert ended.error.code == "prompt.interrupted"


@pytest.mark.parametrize(
    ("rejection", "message"),
    [
        (PromptRejection(kind="k", message="Prompt outputs failed", details="d"), "Prompt outputs failed"),
        (
            PromptRejection(kind="k", message="Failed", details="d", sentences=("node 6: no clip", "node 7: no vae")),
            "Failed; node 6: no clip; node 7: no vae",
        ),
        (PromptRejection(kind="k", message="", details="Node ID '#1'"), "Node ID '#1'"),
    ],
)
def test_a_rejection_says_what_the_server_said(rejection: PromptRejection, message: str) -> None:
    ended = endings.of_rejection(replace(rejection, node_id="6", node_type="CLIPTextEncode"))
    assert (ended.status, ended.success_at, ended.reported) == ("rejected", None, False)
    assert ended.error is not None
    assert (ended.error.message, ended.error.code) == (message, "prompt.rejected")
    assert (ended.error.node_id, ended.error.node_type, ended.error.exception_type) == ("6", "CLIPTextEncode", "k")


@pytest.mark.parametrize(
    ("reason", "status", "code", "words"),
    [
        ("cancelled", "interrupted", "prompt.interrupted", ""),
        ("maxWait", "timeout", "prompt.timeout", "600 s (MaxWaitSeconds of execution)"),
        ("totalWait", "timeout", "prompt.timeout", "7200 s (the total wait)"),
        ("attemptLimit", "timeout", "prompt.history_limit", "0 times"),
        ("serverLost", "lost", "server.lost", "no answer for 600 s"),
    ],
)
def test_what_was_given_up_says_why(reason: Surrender, status: str, code: str, words: str) -> None:
    ended = endings.of_surrender(reason, POLICY, "http://box:8188")
    assert (ended.status, ended.gave_up, ended.success_at) == (status, reason, None)
    assert ended.error is not None
    assert ended.error.code == code
    assert words in ended.error.message


def test_what_was_given_up_keeps_the_files_that_history_tells_and_nothing_else_of_it() -> None:
    given_up = endings.of_surrender("maxWait", POLICY, "http://box")
    told_by_history = endings.of_history(HistoryEntry(outcome="interrupted", outputs=(file(),)), T0, partial=False)
    both = endings.with_files(given_up, told_by_history)
    assert (both.status, both.gave_up, both.error) == ("timeout", "maxWait", given_up.error)
    assert (both.files, both.reported) == ((file(),), True)


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (Failure("server.lost", server="s", why="w"), "lost"),
        (Failure("server.unreachable", server="s", why="w"), "lost"),
        (Failure("server.auth", server="s", why="w"), "error"),
        (Failure("internal", why="w", debug="d"), "error"),
    ],
)
def test_a_failure_on_the_way_is_told_in_its_own_words(failure: Failure, status: str) -> None:
    ended = endings.of_failure(failure)
    assert ended.status == status
    assert ended.error is not None
    assert (ended.error.code, ended.error.message) == (failure.code, failure.what)


# --- the verdict -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gave_up", "succeeded", "late", "reason"),
    [
        (None, True, False, "success"),
        (None, True, True, "postExecution"),
        (None, False, False, "unknown"),
        (None, False, True, "unknown"),
        ("maxWait", False, False, "maxWait"),
        ("totalWait", False, False, "maxWait"),
        ("attemptLimit", False, False, "attemptLimit"),
        ("cancelled", False, False, "unknown"),
        ("cancelled", True, True, "unknown"),  # the timeout did not run out: a person did not want to wait
        ("cancelled", True, False, "success"),
        ("serverLost", False, False, "unknown"),
    ],
)
def test_why_waiting_ended_in_the_contracts_words(
    gave_up: str | None, succeeded: bool, late: bool, reason: str
) -> None:
    given = attempt(success_at=T0 if succeeded else None)
    assert exit_reason(given, gave_up=gave_up, frames_timed_out=late) == reason


@pytest.mark.parametrize("status", get_args(ExecutionStatus))
def test_only_a_success_that_lacks_frames_is_lowered(status: ExecutionStatus) -> None:
    given = attempt(status=status)
    assert final_status(given, frames_timed_out=False) == status
    assert final_status(given, frames_timed_out=True) == ("partial" if status == "success" else status)


def test_an_attempt_without_a_verdict_is_lost() -> None:
    assert final_status(attempt(), frames_timed_out=False) == "lost"


def measured(free: int | None, *notes: str, name: str = "cuda:0 GPU", source: Any = "system_stats") -> Measurement:
    device = Device(name=name, type="cuda", index=0, vram_total=24 * GIB, vram_free=free)
    return Measurement(source=source, device=device, devices=(device,), system={"os": "posix"}, notes=notes)


def test_telemetry_tells_the_policy_the_reads_and_the_memory() -> None:
    looks = (HistoryLook(at=T0, status="pending"), HistoryLook(at=T0, status="success"))
    made = told(
        attempt(
            status="success", success_at=T0, history=looks, before=measured(20 * GIB), after=measured(18 * GIB),
            marker_waited=1.26, marker_path="/out/x.done", forced_debug_path="scene/forced.txt",
        )
    )  # fmt: skip
    assert (made.duration_seconds, made.history_attempts, made.history_attempt_limit) == (4.3, 2, 0)
    assert (made.gpu.name, made.gpu.index, made.gpu.vram_total) == ("cuda:0 GPU", 0, 24 * GIB)
    assert (made.gpu.vram_before_mb, made.gpu.vram_after_mb, made.gpu.vram_delta_mb) == (20480.0, 18432.0, -2048.0)
    assert (made.gpu.source, made.system.before, made.system.fallback_notes) == ("system_stats", {"os": "posix"}, ())
    assert (made.done_marker_detected, made.done_marker_wait_seconds) == (True, 1.3)
    assert (made.forced_copy_triggered, made.forced_copy_debug_path) == (True, "scene/forced.txt")


def test_memory_that_was_never_read_is_null_with_notes() -> None:
    made = told(attempt(status="lost", notes=("a note", "a note")))
    assert made.gpu.name == "Unknown"
    assert (made.gpu.vram_before_mb, made.gpu.vram_after_mb, made.gpu.vram_delta_mb) == (None, None, None)
    assert made.gpu.source == "none"
    assert made.system.fallback_notes == (UNSEEN_BEFORE, UNSEEN_AFTER, "a note")


def test_the_source_is_the_one_that_named_the_device() -> None:
    before = measured(5 * GIB, "/system_stats unavailable before execution; used nvml fallback", source="nvml")
    after = Measurement(source="none", notes=("/system_stats unavailable after execution",))
    made = told(attempt(status="success", success_at=T0, before=before, after=after))
    assert (made.gpu.source, made.gpu.name, made.gpu.vram_delta_mb) == ("nvml", "cuda:0 GPU", None)
    assert inconsistencies(made) == []


def test_a_figure_that_is_missing_has_a_note_whoever_was_asked() -> None:
    silent = Measurement(source="system_stats", device=Device(name=" "))
    made = told(attempt(status="success", success_at=T0, before=silent, after=silent))
    assert made.gpu.name == "Unknown"
    assert inconsistencies(made) == []


def test_a_wall_clock_that_was_set_back_gives_no_negative_duration() -> None:
    made = told(attempt(planned_at=T0 + timedelta(hours=1), status="error"))
    assert made.queue_end == made.queue_start
    assert made.duration_seconds == 0.0
    assert msgspec.json.decode(msgspec.json.encode(made), type=Telemetry) == made


# --- every combination -------------------------------------------------------------------------------------------

ENTRIES = st.builds(
    HistoryEntry,
    outcome=st.sampled_from(["success", "error", "interrupted"]),
    success_at=st.none() | st.just(T0),
    outputs=st.lists(st.sampled_from([file(), file("g.png", node="10"), file(kind="temp")]), max_size=3).map(tuple),
    cached_nodes=st.sampled_from([(), ("9",), ("9", "10")]),
    error=st.none() | st.builds(NodeError, exception_type=st.sampled_from([None, "torch.OutOfMemoryError", "E"])),
)
OF_HISTORY = st.builds(endings.of_history, ENTRIES, st.just(T0), partial=st.booleans())
GIVEN_UP = st.builds(endings.of_surrender, st.sampled_from(get_args(Surrender)), st.just(POLICY), st.just("http://box"))
ENDINGS = st.one_of(
    OF_HISTORY,
    GIVEN_UP,
    st.builds(endings.with_files, GIVEN_UP, OF_HISTORY),
    st.just(endings.of_loss()),
    st.just(endings.of_hand_over("a", "it has not answered for 5.0 s")),
    st.builds(endings.of_failure, st.just(Failure("server.lost", server="s", why="w"))),
    st.builds(endings.of_rejection, st.builds(PromptRejection, kind=st.text(), message=st.text(), details=st.text())),
)
NAMES = st.sampled_from(["cuda:0 GPU", "", " ", "Unknown"])
FREE = st.none() | st.integers(0, 80 * GIB)
DEVICES = st.none() | st.builds(Device, name=NAMES, vram_free=FREE)
MEASUREMENTS = st.none() | st.builds(
    Measurement,
    source=st.sampled_from(["system_stats", "nvml", "nvidia-smi", "none"]),
    device=DEVICES,
    notes=st.sampled_from([(), ("a note",)]),
)
LOOKS = st.lists(
    st.builds(HistoryLook, at=st.just(T0), status=st.sampled_from(["success", "pending", "error"])), max_size=4
).map(tuple)


WITNESSED = st.fixed_dictionaries(
    {
        "before": MEASUREMENTS,
        "after": MEASUREMENTS,
        "history": LOOKS,
        "marker_path": st.none() | st.just("/out/x.done"),
        "marker_waited": st.floats(0, 100),
        "forced_debug_path": st.none() | st.just("forced.txt"),
    }
)


@settings(deadline=None, max_examples=300)
@given(ended=ENDINGS, witnessed=WITNESSED, late=st.booleans(), limited=st.booleans(), seconds=st.floats(-5, 10_000))
def test_no_combination_contradicts_itself(
    ended: Ending, witnessed: dict[str, Any], late: bool, limited: bool, seconds: float
) -> None:
    limited = limited or ended.gave_up == "attemptLimit"
    policy = QueuePolicy(history_max_attempts=max(1, len(witnessed["history"])) if limited else 0)
    given_attempt = attempt(status=ended.status, success_at=ended.success_at, error=ended.error, **witnessed)
    late = late and ended.success_at is not None
    reason = exit_reason(given_attempt, gave_up=ended.gave_up, frames_timed_out=late)
    status = final_status(given_attempt, frames_timed_out=late)
    made = telemetry_of(given_attempt, policy, T0 + timedelta(seconds=seconds), reason, status)
    assert inconsistencies(made) == []
    assert msgspec.json.decode(msgspec.json.encode(made), type=Telemetry) == made


def test_every_exit_reason_and_status_can_come_about() -> None:
    cases: list[tuple[GiveUpReason | None, bool]] = [
        *product(get_args(GiveUpReason), [False]), (None, False), (None, True),
    ]  # fmt: skip
    reasons = {
        exit_reason(attempt(success_at=None if gave_up else T0), gave_up=gave_up, frames_timed_out=late)
        for gave_up, late in cases
    }
    assert reasons == {"success", "postExecution", "maxWait", "attemptLimit", "unknown"}
