"""When an executing prompt counts as stalled, and what is done about it, step by step. Pure.

A prompt that makes no progress, writes no frame and keeps no GPU busy is not slow, it is stuck. What is silent for good
reason is left alone: the limit grows with what this workflow takes in this run.
"""

from collections.abc import Sequence
from math import ceil

from msgspec import Struct

from comfytui.model.events import StallWord

FLOOR = 60.0
"""Seconds of silence below which no prompt is stalled."""
FACTOR = 5.0
"""So many times the p95 of its executions may a workflow be silent."""
UNKNOWN = 300.0
"""Seconds of silence that a workflow of which no execution is known may have: its first prompt loads the models, from a
slow disk for minutes without a sign."""

INTERRUPT_EVERY = 5.0
"""Seconds between two interrupts: one may be lost (2 to 6 of 40 were, ComfyUI 0.3.64 and 0.8.0)."""
INTERRUPTS = 6
LAST_PAUSE = 5.0
"""Seconds from the deletion until the prompt is given up."""


def stall_limit(durations: Sequence[float], chosen: float | None) -> float | None:
    """Return the seconds of silence after which a prompt is stalled; ``None``: never.

    ``durations`` are the executions of its workflow in this run, in seconds and in order; ``chosen`` is what the policy
    says: 0 for never, ``None`` for max(60 s, 5 x their p95).
    """
    if chosen is not None:
        return chosen or None
    return max(FLOOR, FACTOR * p95(durations)) if durations else UNKNOWN


def p95(durations: Sequence[float]) -> float:
    """Return the 95th percentile of ``durations``, which are in order (nearest rank; there is at least one)."""
    return durations[ceil(0.95 * len(durations)) - 1]


class Silence(Struct, frozen=True, kw_only=True):
    """What is known of a prompt that gives no sign: for how long, and what has been done about it. In seconds."""

    quiet: float
    limit: float
    last: StallWord | None = None
    """The last step taken; ``None`` before the first, and when it has moved since."""
    since_last: float = 0.0
    interrupts: int = 0


def next_stall_step(silence: Silence) -> tuple[StallWord | None, float]:
    """Return the step that is due now, or ``None``, and the seconds until the next one may be.

    The ladder: look again over HTTP; interrupt, up to six times; delete; give up. A sign of life stops it before the
    first interrupt, and not after it: then the prompt may end either way.
    """
    last, since = silence.last, silence.since_last
    if last in (None, "moved", "look") and silence.quiet < silence.limit:
        return ("moved" if last == "look" else None), silence.limit - silence.quiet
    match last:
        case None | "moved":
            return "look", 0.0
        case "look":
            return "interrupt", 0.0
        case "interrupt":
            due: StallWord = "interrupt" if silence.interrupts < INTERRUPTS else "delete"
            return _after(INTERRUPT_EVERY, since, due)
        case _:
            return _after(LAST_PAUSE, since, "give_up")


def _after(pause: float, since: float, step: StallWord) -> tuple[StallWord | None, float]:
    return (step, 0.0) if since >= pause else (None, pause - since)
