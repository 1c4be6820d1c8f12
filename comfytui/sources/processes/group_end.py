"""How a group of processes is made to end: asked first, killed after a while, and never without a look in between."""

from collections.abc import Callable
from typing import Final

from anyio import to_thread

from comfytui.clock import Clock
from comfytui.sources.processes.group import ProcessGroup, kill

LOOK: Final = 0.05
"""Seconds between two looks at whether the group has ended."""
KILL: Final = 5.0
"""Seconds in which processes that were killed must be gone."""

Runs = Callable[[], bool]
"""Tells whether the leader of the group still runs."""


async def end_group(group: ProcessGroup, runs: Runs, grace: float, clock: Clock) -> str | None:
    """Ask the group to end, kill what is left of it after ``grace`` seconds; return why some of it was left.

    The leader, if it runs, was proven to be the recorded one just before.
    """
    await to_thread.run_sync(group.ask)
    if await all_gone(group, runs, grace, clock):
        return None
    return await _kill_all(group, runs, clock)


async def all_gone(group: ProcessGroup, runs: Runs, within: float, clock: Clock) -> bool:
    """Return whether the whole group ends within that many seconds."""
    until = clock.monotonic() + within
    while await to_thread.run_sync(group.living) or runs():
        if clock.monotonic() >= until:
            return False
        await clock.sleep(LOOK)
    return True


async def _kill_all(group: ProcessGroup, runs: Runs, clock: Clock) -> str | None:
    until = clock.monotonic() + KILL
    while (living := await to_thread.run_sync(group.living)) or runs():
        if clock.monotonic() >= until:
            left = [process.pid for process in living] or [group.leader.pid]
            return f"these processes do not end: {', '.join(map(str, left))}"
        for process in living:
            kill(process)
        await clock.sleep(LOOK)
    return None
