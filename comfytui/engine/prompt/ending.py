"""How a prompt ended, in the terms of the telemetry: from a history entry, a rejection, or the lack of both. Pure."""

from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from comfytui.engine.prompt.waiting import GiveUpReason, Surrender
from comfytui.errors import Failure
from comfytui.model.policy import QueuePolicy
from comfytui.model.state import Attempt
from comfytui.model.telemetry import ExecutionFailure, ExecutionStatus
from comfytui.sources.comfy.wire import HistoryEntry, OutputFile, PromptRejection, is_out_of_memory, read_history


class Ending(Struct, frozen=True, kw_only=True):
    """The end of a prompt: the verdict so far, and the files that history reports."""

    status: ExecutionStatus
    success_at: datetime | None = None
    error: ExecutionFailure | None = None
    files: tuple[OutputFile, ...] = ()
    reported: bool = False
    """Whether a history entry told the files."""
    gave_up: GiveUpReason | None = None


def of_history(entry: HistoryEntry, now: datetime, *, partial: bool) -> Ending:
    """Return the ending that ``entry`` tells. ``partial``: the server refused some of the prompt's outputs."""
    files = tuple(entry.outputs)
    if entry.outcome == "success":
        hit = bool(files) and {file.node for file in files} <= set(entry.cached_nodes)
        status: ExecutionStatus = "cached" if hit else "partial" if partial else "success"
        return Ending(status=status, success_at=entry.success_at or now, files=files, reported=True)
    if entry.outcome == "interrupted":
        return Ending(status="interrupted", error=failure("prompt.interrupted"), files=files, reported=True)
    node = entry.error
    if node is None:
        error = failure("prompt.failed", node="of the prompt", why="the history entry tells no more")
    else:
        code = "prompt.out_of_memory" if is_out_of_memory(node.exception_type) else "prompt.failed"
        error = ExecutionFailure(
            node_id=node.node_id,
            node_type=node.node_type,
            exception_type=node.exception_type,
            message=node.message,
            code=code,
        )
    return Ending(status="error", error=error, files=files, reported=True)


_GAVE_UP: dict[str, GiveUpReason] = {
    "prompt.timeout": "maxWait", "prompt.history_limit": "attemptLimit", "prompt.handed_over": "handedOver",
}  # fmt: skip


def of_record(attempt: Attempt, saved: bytes | None) -> Ending | None:
    """Return the ending that the journal tells of ``attempt``, with the files that its ``saved`` history entry names.

    ``None`` when those are needed and cannot be told from ``saved``: then the server is to be asked again.
    """
    try:
        entry = read_history(saved, attempt.prompt_id) if saved else None
    except ValueError:  # torn, or not what we wrote
        entry = None
    read = any(look.status == "success" for look in attempt.history)
    if attempt.status is None or (entry is None and (read or attempt.success_at is not None)):
        return None
    return Ending(
        status=attempt.status,
        success_at=attempt.success_at,
        error=attempt.error,
        files=entry.outputs if entry else (),
        reported=entry is not None,
        gave_up=_GAVE_UP.get(attempt.error.code) if attempt.error else None,
    )


def of_rejection(rejection: PromptRejection) -> Ending:
    """Return the ending of a prompt that the server did not take."""
    told = "; ".join((rejection.message, *rejection.sentences)) or rejection.details
    error = ExecutionFailure(
        node_id=rejection.node_id,
        node_type=rejection.node_type,
        exception_type=rejection.kind,
        message=told,
        code="prompt.rejected",
    )
    return Ending(status="rejected", error=error)


def of_surrender(reason: Surrender, policy: QueuePolicy, server: str) -> Ending:
    """Return the ending of a prompt that was given up, when its history tells nothing."""
    status: ExecutionStatus = "timeout"
    match reason:
        case "cancelled":
            status, error = "interrupted", failure("prompt.interrupted")
        case "maxWait":
            error = failure("prompt.timeout", seconds=policy.max_wait_seconds, limit="MaxWaitSeconds of execution")
        case "totalWait":
            error = failure("prompt.timeout", seconds=policy.max_total_wait_seconds, limit="the total wait")
        case "attemptLimit":
            error = failure("prompt.history_limit", limit=policy.history_max_attempts)
        case "serverLost":
            why = f"no answer for {policy.server_wait_seconds} s"
            status, error = "lost", failure("server.lost", server=server, why=why)
    return Ending(status=status, error=error, gave_up=reason)


def of_hand_over(server: str, why: str) -> Ending:
    """Return the ending of a prompt that was on ``server`` (its name) and is taken over by another, and ``why``."""
    return Ending(status="lost", error=failure("prompt.handed_over", server=server, why=why), gave_up="handedOver")


def unanswered(seconds: float) -> str:
    """Return in words that a server has not answered for so long."""
    return f"it has not answered for {seconds:.1f} s"


def of_stall(quiet: float, limit: float) -> Ending:
    """Return the ending of a prompt that was given up after ``quiet`` seconds without a sign, of ``limit`` allowed."""
    return Ending(status="stalled", error=failure("prompt.stalled", seconds=f"{quiet:.0f}", limit=f"{limit:.0f}"))


def with_files(ending: Ending, history: Ending) -> Ending:
    """Return ``ending`` with the files that ``history`` reports all the same: what is whole is worth keeping."""
    return replace(ending, files=history.files, reported=history.reported)


def of_loss() -> Ending:
    """Return the ending of a prompt that the server knows nothing of any more."""
    return Ending(status="lost", error=failure("prompt.lost"))


def of_failure(problem: Failure) -> Ending:
    """Return the ending of a prompt that ``problem`` kept from being sent or watched."""
    statuses: dict[str, ExecutionStatus] = {
        "server.lost": "lost", "server.unreachable": "lost", "prompt.handed_over": "lost",
        "prompt.interrupted": "interrupted",
    }  # fmt: skip
    status = statuses.get(problem.code, "error")
    moved: GiveUpReason | None = "handedOver" if problem.code == "prompt.handed_over" else None
    return Ending(status=status, error=_told(problem), gave_up=moved)


def failure(code: str, **words: object) -> ExecutionFailure:
    """Return the telemetry's words for the registered failure ``code``."""
    return _told(Failure(code, **words))


def _told(problem: Failure) -> ExecutionFailure:
    return ExecutionFailure(node_id=None, node_type=None, exception_type=None, message=problem.what, code=problem.code)
