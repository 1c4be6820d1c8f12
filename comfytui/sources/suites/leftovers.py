"""What a check command left behind whose runner was killed: ended, once it is proven to be that command's."""

from anyio import to_thread

from comfytui.clock import Clock
from comfytui.sources.processes.group import group_of
from comfytui.sources.processes.group_end import end_group
from comfytui.sources.processes.identity import ProcessIdentity, has_ended, identity_of, mismatch, same_start
from comfytui.sources.suites.command import GRACE


async def end_left_over(recorded: ProcessIdentity, clock: Clock) -> str | None:
    """End the command that was ``recorded`` and everything it started; return what to say of it, if anything.

    A command that has ended by itself may have left others behind. A process of its id that was started at another
    time is a stranger's, and left alone.
    """
    group = group_of(recorded)
    found = await to_thread.run_sync(identity_of, recorded.pid)
    if found is None and has_ended(recorded.pid):
        await to_thread.run_sync(group.leader_ended)
    elif found is None:
        return f"process {recorded.pid} cannot be looked at, and is left alone"
    elif not same_start(found, recorded):
        return None
    elif (why := mismatch(recorded, found)) is not None:
        return f"{why}, and is left alone"
    if not await to_thread.run_sync(group.living):
        return None

    def runs() -> bool:
        now = identity_of(recorded.pid)
        return now is not None and same_start(now, recorded)

    stays = await end_group(group, runs, GRACE, clock)
    return stays or f"process {recorded.pid} and what it started were left by a runner that died; they were ended"
