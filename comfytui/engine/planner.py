"""What a run does next, decided from its State alone: what to submit, whether to try again, when it is over.

Pure: no clock, no server, no disk. What makes an attempt worth repeating is the table :data:`RETRY`.
"""

from typing import Literal

from msgspec import Struct

from comfytui.model.best import best_attempt
from comfytui.model.policy import QueuePolicy
from comfytui.model.state import Attempt, Scene, State
from comfytui.model.telemetry import ExecutionStatus

RetryRule = Literal["never", "budget", "free"]

RETRY: dict[ExecutionStatus, RetryRule] = {
    # The prompt ran: another attempt is due only where frames are missing.
    "success": "budget",
    "cached": "budget",
    "partial": "budget",
    # It ended otherwise.
    "error": "budget",
    "timeout": "budget",
    "stalled": "budget",
    # The server forgot it: nobody's fault, so it does not cost the budget (but is not repeated for ever either).
    "lost": "free",
    # The same prompt would be rejected again; a person who interrupted it meant it.
    "rejected": "never",
    "interrupted": "never",
}
"""What an attempt that ended with this status (and did not satisfy its scene) means for the next one."""

NEVER_AGAIN = ("server.lost",)
"""Failures that no other attempt follows, whatever the status: the server was waited for as long as it is to be, and
what it may still execute in secret is not to be rendered twice."""

FREE_RETRIES = 3
"""Attempts of one scene that may go uncounted, so that a server that dies on every prompt is given up in the end."""


class Submission(Struct, frozen=True, kw_only=True):
    """An attempt that is due now: number ``attempt`` of ``scene``, and why it is made (empty for a first one)."""

    scene: str
    attempt: int
    reason: str


class TryAgain(Struct, frozen=True, kw_only=True):
    """The scene gets attempt ``next_attempt`` of at most ``attempts``."""

    next_attempt: int
    attempts: int
    reason: str


class Settle(Struct, frozen=True, kw_only=True):
    """The scene is over with attempt ``best``."""

    best: int
    success: bool
    meets_floor: bool
    frames: int
    cancelled: bool


def submissions(state: State, policy: QueuePolicy) -> list[Submission]:
    """Return the attempts to submit now, in order: scenes to try again first, then the story's order.

    At most one prompt executes and ``policy.lookahead`` wait behind it, so that the server never idles between scenes
    and other people's prompts still get their turn. Nothing is due while the queue is held, nor while a prompt is on
    its way to the server: two POSTs at the same time may arrive in either order, and scenes render in the story's.
    """
    if state.run is None or state.run.held:
        return []
    phases = [scene.phase for scene in state.scenes]
    on_server = sum(phase in ("queued", "executing") for phase in phases)
    if "planned" in phases or on_server > policy.lookahead:
        return []
    waiting = [scene for scene in state.scenes if scene.phase == "waiting"]
    waiting.sort(key=lambda scene: not scene.attempts)  # stable: retries go first
    return [
        Submission(scene=s.id, attempt=len(s.attempts) + 1, reason=s.next_reason if s.attempts else "")
        for s in waiting[:1]
    ]


def after_attempt(scene: Scene, policy: QueuePolicy, *, cancelled: bool = False) -> TryAgain | Settle:
    """Return what follows the newest attempt of ``scene``, which has just ended."""
    attempt = scene.attempts[-1]
    reason = shortfall(attempt, scene.brief.floor)
    if reason and not cancelled and _may_retry(scene, policy):
        return TryAgain(next_attempt=len(scene.attempts) + 1, attempts=allowed(scene, policy), reason=reason)
    best = best_attempt(scene.attempts) or attempt
    return Settle(
        best=best.number,
        success=best.succeeded,
        meets_floor=best.proven >= scene.brief.floor,
        frames=best.proven,
        cancelled=cancelled or attempt.status == "interrupted",
    )


def allowed(scene: Scene, policy: QueuePolicy) -> int:
    """Return how many attempts ``scene`` may have in all: the first, the budget, people's reruns, uncounted ones."""
    return 1 + policy.scene_retry_budget + scene.extra_attempts + _uncounted(scene)


def shortfall(attempt: Attempt, floor: int) -> str:
    """Return why ``attempt`` does not satisfy its scene, in words; empty when it does."""
    status, proven = attempt.status, attempt.proven
    if attempt.success_at is None:
        message = attempt.error.message if attempt.error and attempt.error.message else ""
        return f"{status or 'no verdict'}{': ' if message else ''}{message}"
    if proven == 0:
        return "no frame is proven whole"
    return f"frame count below floor ({proven}/{floor})" if proven < floor else ""


def finished(state: State) -> bool:
    """Tell whether every scene is over."""
    return all(scene.over for scene in state.scenes)


def fulfilled(state: State) -> bool:
    """Tell whether every scene succeeded and met its frame floor."""
    return all(scene.success and scene.meets_floor for scene in state.scenes)


def _may_retry(scene: Scene, policy: QueuePolicy) -> bool:
    attempt = scene.attempts[-1]
    rule = RETRY[attempt.status] if attempt.status is not None else "budget"
    if rule == "never" or (attempt.error is not None and attempt.error.code in NEVER_AGAIN):
        return False
    return len(scene.attempts) < allowed(scene, policy)


def _uncounted(scene: Scene) -> int:
    lost = sum(a.status is not None and RETRY[a.status] == "free" for a in scene.attempts)
    return min(lost, FREE_RETRIES)
