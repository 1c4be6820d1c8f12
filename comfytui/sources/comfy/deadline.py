"""Waiting for something, but not for ever: the bound is on our own clock."""

import anyio

from comfytui.clock import Clock


async def happens(event: anyio.Event, clock: Clock, within: float) -> bool:
    """Wait until ``event`` is set, at most ``within`` seconds of ``clock``; return whether it is."""
    if not event.is_set():
        async with anyio.create_task_group() as group:
            group.start_soon(_leave_when_set, event, group.cancel_scope)
            await clock.sleep(within)
            group.cancel_scope.cancel()
    return event.is_set()


async def _leave_when_set(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
