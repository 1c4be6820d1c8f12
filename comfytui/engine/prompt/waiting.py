"""What to do next for a prompt that is on the server: read its history, reconcile, wait on, or give it up. Pure.

The socket is a hint, HTTP is the truth. So the end of a prompt is always read from ``/history/<prompt_id>``: when the
socket hints at it (``executing`` with node null; measured on ComfyUI 0.3.64 and 0.8.0 the entry was there in 200 of
200 runs then, but in 38 of 100 it was not yet at ``execution_success``), after every reconnect, and whenever the
socket has been silent for a poll interval.
"""

from typing import Literal

from msgspec import Struct

from comfytui.model.policy import QueuePolicy

HINT_RETRIES = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds before each new read of a history that the socket says must be there, but is not yet. After the last one the
socket is no longer taken at its word: the server may have been restarted since."""
FAILED_PAUSE = 60.0
"""Seconds between two looks at a server that answers, but of no use, after the pauses have grown."""
SILENCE_OF_ONE = 5
"""Poll intervals without a word on a prompt after which it is looked at though the socket tells of others."""
QUEUE_EVERY = 5
"""Every so many silent polls look at /queue too: with heavy prompts of other people it weighs megabytes."""

AWAY_LOOK = 1.0
"""Seconds between two looks at whether another server takes the scene of one that is away: how long that is waited for
depends on what is learnt meanwhile."""
RESOLUTION = 0.001
"""Seconds below which a wait counts as over: what is left of it may be too little for a clock to tell."""

Surrender = Literal["cancelled", "maxWait", "totalWait", "attemptLimit", "serverLost"]
"""Why a prompt is given up for good."""
GiveUpReason = Literal[Surrender, "handedOver"]
"""Why it is given up here: also because another server takes the scene."""


class Look(Struct, frozen=True, kw_only=True):
    """Everything the decision depends on. Times are seconds; ``None`` = it has not happened."""

    since_submit: float
    since_executing: float | None
    since_heard: float
    """Since the socket last said anything at all."""
    since_heard_of_it: float
    """Since the socket last said anything about this prompt."""
    since_read: float
    """Since the last look over HTTP (or the submission)."""
    since_contact: float
    """Since the server last answered HTTP or spoke."""
    answered: bool
    """Whether the last look over HTTP was answered; true before the first."""
    reads: int
    silent_reads: int
    """Reads in a row that found the prompt still pending."""
    hint_in: float | None
    """Until a hint of the socket that the prompt is over counts (zero or less: now); ``None`` without one."""
    reads_after_hint: int
    reconcile: bool
    """The socket was (re)connected: events may have been missed."""
    cancelled: bool
    away: float | None = None
    """For how long the server has been away; ``None`` while it answers. Times since anything leave absences out."""
    patience: float | None = None
    """For how long it may be away before another server takes the scene; ``None`` where none could."""
    failed_reads: int = 0
    """Looks over HTTP in a row that brought no usable answer, though the server is there."""


class ReadHistory(Struct, frozen=True):
    """Read ``/history/<prompt_id>``."""


class Reconcile(Struct, frozen=True):
    """Read ``/queue`` FIRST, then ``/history/<prompt_id>``: a prompt moves from the one to the other."""


class WaitOn(Struct, frozen=True):
    """Nothing to do for ``seconds`` unless the socket says something first."""

    seconds: float


class GiveUp(Struct, frozen=True):
    """Stop waiting for the prompt."""

    reason: GiveUpReason


Step = ReadHistory | Reconcile | WaitOn | GiveUp


def next_step(look: Look, policy: QueuePolicy) -> Step:
    """Return what to do now for the prompt that ``look`` describes, under ``policy``."""
    if (reason := _given_up(look, policy)) is not None:
        return GiveUp(reason)
    if look.away is not None:
        left = policy.server_wait_seconds - look.away
        if look.patience is not None:
            left = min(left, look.patience - look.away, AWAY_LOOK)
        return WaitOn(max(RESOLUTION, left))
    due_in = _read_due_in(look, policy)
    if due_in <= RESOLUTION:
        if policy.history_max_attempts and look.reads >= policy.history_max_attempts:
            return GiveUp("attemptLimit")
        return ReadHistory() if _promised(look) or not _doubtful(look) else Reconcile()
    return WaitOn(max(RESOLUTION, min(due_in, _limit_in(look, policy))))


def _given_up(look: Look, policy: QueuePolicy) -> GiveUpReason | None:
    if look.cancelled:
        return "cancelled"
    if look.away is not None and look.patience is not None and look.away >= look.patience - RESOLUTION:
        return "handedOver"
    if look.away is not None:
        return "serverLost" if look.away >= policy.server_wait_seconds - RESOLUTION else None
    if look.since_executing is not None and look.since_executing >= policy.max_wait_seconds - RESOLUTION:
        return "maxWait"
    if look.since_submit >= policy.max_total_wait_seconds - RESOLUTION:
        return "totalWait"
    if not look.answered and look.since_contact >= policy.server_wait_seconds - RESOLUTION:
        return "serverLost"
    return None


def _read_due_in(look: Look, policy: QueuePolicy) -> float:
    """Return seconds until the next look over HTTP; zero or less when it is due."""
    poll = float(policy.poll_interval_seconds)
    if look.failed_reads > 1 and not look.reconcile:
        return min(FAILED_PAUSE, poll * 2.0 ** min(look.failed_reads - 1, 20)) - look.since_read
    if _promised(look):
        return min(HINT_RETRIES[look.reads_after_hint - 1], poll) - look.since_read if look.reads_after_hint else 0.0
    if look.reconcile:
        return 0.0
    if _hinted(look):
        return poll - look.since_read
    hint_in = look.hint_in if look.hint_in is not None else poll
    silent = poll - min(look.since_heard, look.since_read)
    unheard_of = SILENCE_OF_ONE * poll - min(look.since_heard_of_it, look.since_read)
    return min(silent, unheard_of, hint_in)


def _hinted(look: Look) -> bool:
    return look.hint_in is not None and look.hint_in <= RESOLUTION


def _promised(look: Look) -> bool:
    """Tell whether the socket says that history is there, and may still be believed."""
    return _hinted(look) and look.reads_after_hint <= len(HINT_RETRIES)


def _doubtful(look: Look) -> bool:
    """Tell whether it is to be asked where the prompt is at all."""
    return look.reconcile or _hinted(look) or (look.silent_reads + 1) % QUEUE_EVERY == 0


def _limit_in(look: Look, policy: QueuePolicy) -> float:
    limits = [policy.max_total_wait_seconds - look.since_submit]
    if not look.answered:
        limits.append(policy.server_wait_seconds - look.since_contact)
    if look.since_executing is not None:
        limits.append(policy.max_wait_seconds - look.since_executing)
    return max(0.0, min(limits))
