"""The only reader of time.

Everything that waits or stamps asks a :class:`Clock`. The real one is made by :func:`system_clock`; tests hand
in one that they drive. Wall-clock times are UTC and aware, cut to milliseconds, so that a time written to a
file and read back is equal to itself.
"""

import time
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from anyio import Event


class Clock(Protocol):
    """What the rest of the house may know about time."""

    def now(self) -> datetime:
        """Return the present wall-clock time: UTC, aware, whole milliseconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never run backwards, from an arbitrary origin."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` (cancellable; zero or less only yields)."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """Return the present wall-clock time: UTC, aware, whole milliseconds."""
        return to_milliseconds(datetime.now(UTC))

    def monotonic(self) -> float:
        """Return seconds that never run backwards, from an arbitrary origin."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` (cancellable; zero or less only yields)."""
        import anyio

        await anyio.sleep(max(0.0, seconds))


def system_clock() -> Clock:
    """Return the clock of this machine."""
    return SystemClock()


async def wait_for(event: "Event", seconds: float, clock: Clock) -> bool:
    """Return whether ``event`` came within ``seconds`` of ``clock``."""
    import anyio

    async with anyio.create_task_group() as tasks:

        async def give_up() -> None:
            await clock.sleep(seconds)
            tasks.cancel_scope.cancel()

        tasks.start_soon(give_up)
        await event.wait()
        tasks.cancel_scope.cancel()
    return event.is_set()


def to_milliseconds(moment: datetime) -> datetime:
    """Return ``moment`` cut to whole milliseconds."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def from_epoch(seconds: float) -> datetime:
    """Return the UTC time of ``seconds`` since the epoch (a file's mtime, say), cut to milliseconds."""
    return to_milliseconds(datetime.fromtimestamp(seconds, UTC))


def in_zone(moment: datetime, zone: tzinfo | None) -> datetime:
    """Return ``moment`` as the clocks of ``zone`` tell it (``None``: this machine's).

    A record may be damaged, and tell of the first year or the last: what no clock tells there stays as it is.
    """
    try:
        return moment.astimezone(zone)
    except (OverflowError, OSError, ValueError):
        return moment
