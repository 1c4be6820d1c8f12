"""Which attempt a scene is remembered by."""

from collections.abc import Iterable

from comfytui.model.state import Attempt


def best_attempt(attempts: Iterable[Attempt]) -> Attempt:
    """Return the best of ``attempts``: the most frames proven whole, then success over failure, then the earliest.

    An attempt that has ended comes before any that has not: without telemetry it cannot be the record of a scene.
    Raises ``ValueError`` when there are none.
    """
    tried = tuple(attempts)
    if len(tried) == 1:
        return tried[0]
    return max(tried, key=lambda a: (a.telemetry is not None, a.proven, a.succeeded, -a.number))
