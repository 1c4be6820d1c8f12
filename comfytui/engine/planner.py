"""What a run does next, decided from its State alone: what to submit, whether to try again, when it is over.

Pure: no clock, no server, no disk. What makes an attempt worth repeating is the table of
:mod:`comfytui.model.failure_classes`, with the changes that the plan names (``retry``).
"""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from comfytui.engine.lanes import Capacity, idle_for, lanes_of, nobody_left, takers
from comfytui.engine.standing import Standing
from comfytui.model.best import best_attempt
from comfytui.model.failure_classes import FREE_RETRIES, FailureClass, RetryRule, class_of, note_after, rule_of
from comfytui.model.policy import QueuePolicy
from comfytui.model.queue import first_of
from comfytui.model.state import Attempt, Scene, State

Changes = Mapping[FailureClass, RetryRule]
NONE: Changes = {}
"""The table as it is."""


class Submission(Struct, frozen=True, kw_only=True):
    """An attempt that is due now: number ``attempt`` of ``scene``, and why it is made (empty for a first one).

    ``note`` is what its fallback notes say of that, where the attempt before did not go the first way.
    """

    scene: str
    attempt: int
    reason: str
    note: str = ""
    server: str = ""
    """The name of the server that takes it; empty: the only one."""


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
    skipped: bool = False


def submissions(state: State, room: int, standing: Standing | None = None) -> list[Submission]:
    """Return the attempt to submit now, if any: scenes to try again first, then the story's order, or as people
    ordered them.

    At most ``room`` prompts are on the server: one executes and the lookahead waits behind it, so that the server never
    idles between scenes and other people's prompts still get their turn. Nothing is due while the queue is held, nor
    while a prompt is on its way to the server: two POSTs at the same time may arrive in either order, and scenes render
    in the story's. Nor while the server is away: scenes wait for it, until it has been waited for as long as it is to
    be. ``standing`` is how the scenes of ``state`` stand, where that is known already. For a run of one server.
    """
    if state.run is None or state.run.held or (state.server.away_since is not None and not state.server.lost):
        return []
    standing = standing or Standing(state.scenes)
    if standing.count("planned") or standing.count("queued", "executing") >= room:
        return []
    return [_submission(scene) for scene in first_of(state, standing.candidates())]


def pulled(state: State, standing: Standing, capacity: Capacity, now: datetime) -> list[Submission]:
    """Return the next attempt that one of several servers takes, if any: whoever is free, as ``lanes`` has it.

    A scene that did not succeed on a server is rather tried on another, as long as that one has anything else to do, or
    another idles. A scene for which only servers are left that were given up goes to the first of these, where it ends
    as lost.
    """
    if state.run is None or state.run.held:
        return []
    lanes = lanes_of(state, capacity, standing, now)
    for name in takers(lanes, standing):
        places = standing.candidates(frozenset(state.server_called(name).tags))
        elsewhere = [place for place in places if not _was_on(state.scenes[place], name)]
        for scene in first_of(state, elsewhere or places):
            other = idle_for(scene, lanes, but=name) if _was_on(scene, name) else None
            return [_submission(scene, other or name)]
    given_up = [server for server in state.servers if server.lost]
    for server in given_up:
        if standing.on(server.name).count("planned"):
            continue
        for scene in first_of(state, standing.candidates(frozenset(server.tags))):
            if nobody_left(scene, state):
                return [_submission(scene, server.name)]
    return []


def _was_on(scene: Scene, server: str) -> bool:
    """Tell whether the newest attempt of ``scene`` was made on that server."""
    return bool(scene.attempts) and scene.attempts[-1].server_name == server


def _submission(scene: Scene, server: str = "") -> Submission:
    before = scene.latest
    if before is None:
        return Submission(scene=scene.id, attempt=1, reason="", server=server)
    repeated = scene.next_reason == shortfall(before, scene.brief.floor)  # else a person asked for it
    note = note_after(before) if repeated and scene.next_reason else ""
    attempt = len(scene.attempts) + 1
    return Submission(scene=scene.id, attempt=attempt, reason=scene.next_reason, note=note, server=server)


def after_attempt(
    scene: Scene, policy: QueuePolicy, retry: Changes = NONE, *, stopped: bool = False
) -> TryAgain | Settle:
    """Return what follows the newest attempt of ``scene``, which has ended; ``stopped``: the whole run was stopped."""
    attempt = scene.attempts[-1]
    given_up = stopped or scene.given_up is not None
    reason = shortfall(attempt, scene.brief.floor)
    if reason and not given_up and _may_retry(scene, policy, retry):
        attempts = allowed(scene, policy, retry)
        return TryAgain(next_attempt=len(scene.attempts) + 1, attempts=attempts, reason=reason)
    best, skipped = best_attempt(scene.attempts), scene.given_up == "skipped"
    return Settle(
        best=best.number,
        success=best.succeeded,
        meets_floor=best.proven >= scene.brief.floor,
        frames=best.proven,
        cancelled=not skipped and (given_up or attempt.status == "interrupted"),
        skipped=skipped,
    )


def allowed(scene: Scene, policy: QueuePolicy, retry: Changes = NONE) -> int:
    """Return how many attempts ``scene`` may have in all: the first, the budget, people's reruns, uncounted ones."""
    return 1 + policy.scene_retry_budget + scene.extra_attempts + _uncounted(scene, retry)


def shortfall(attempt: Attempt, floor: int) -> str:
    """Return why ``attempt`` does not satisfy its scene, in words; empty when it does."""
    status, proven = attempt.status, attempt.proven
    if attempt.success_at is None:
        message = attempt.error.message if attempt.error and attempt.error.message else ""
        return f"{status or 'no verdict'}{': ' if message else ''}{message}"
    if proven == 0:
        return "no frame is proven whole"
    return f"frame count below floor ({proven}/{floor})" if proven < floor else ""


def fulfilled(state: State) -> bool:
    """Tell whether every scene succeeded and met its frame floor."""
    return all(scene.success and scene.meets_floor for scene in state.scenes)


def checked(state: State) -> bool:
    """Tell whether every check suite that ran passed."""
    return state.run is None or all(suite.exit_code == 0 for suite in state.run.suites)


def _may_retry(scene: Scene, policy: QueuePolicy, retry: Changes) -> bool:
    if rule_of(class_of(scene.attempts[-1]), retry) == "never":
        return False
    return len(scene.attempts) < allowed(scene, policy, retry)


def _uncounted(scene: Scene, retry: Changes) -> int:
    short = [attempt for attempt in scene.attempts if shortfall(attempt, scene.brief.floor)]
    free = [attempt for attempt in short if rule_of(class_of(attempt), retry) == "free"]
    never_begun = sum(class_of(attempt) == "moved" and attempt.executing_at is None for attempt in free)
    return never_begun + min(len(free) - never_begun, FREE_RETRIES)
