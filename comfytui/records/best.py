"""Which attempt a scene is remembered by."""

from collections.abc import Iterable

from comfytui.model.state import Attempt


def best_attempt(attempts: Iterable[Attempt]) -> Attempt | None:
    """Return the best of ``attempts``: the most frames proven whole, then success over failure, then the earliest.

    Only attempts that have ended count: one without telemetry cannot be the record of a scene. ``None`` when none has.
    """
    ended = [attempt for attempt in attempts if attempt.telemetry is not None]
    return max(ended, key=lambda a: (a.proven, a.succeeded, -a.number), default=None)
