"""What a check command left behind whose runner was killed: ended, once it is proven to be that command's."""

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from anyio import to_thread

from comfytui.clock import Clock
from comfytui.sources.processes.group import group_of
from comfytui.sources.processes.group_end import end_group
from comfytui.sources.processes.identity import ProcessIdentity, has_ended, identity_of, mismatch, same_start
from comfytui.sources.suites.command import GRACE

if TYPE_CHECKING:
    import psutil  # type: ignore[import-untyped,unused-ignore]


async def end_left_over(recorded: ProcessIdentity, env: Mapping[str, str], clock: Clock) -> str | None:
    """End the command that was ``recorded`` and everything it started; return what to say of it, if anything.

    A process of its id that was started at another time is a stranger's, and left alone. A command that has ended by
    itself may have left others behind. Its id may have been a stranger's since, who left others behind too: so one of
    them must still have ``env``, which was added to the command's environment. The system gives the id to nobody as
    long as any of them lives, so that one is the proof for all.
    """
    group = group_of(recorded)
    found = await to_thread.run_sync(identity_of, recorded.pid)
    if found is None:
        if not await to_thread.run_sync(has_ended, recorded.pid):
            return f"process {recorded.pid} cannot be looked at, and is left alone"
        await to_thread.run_sync(group.leader_ended)
    elif not same_start(found, recorded):
        return None
    elif (why := mismatch(recorded, found)) is not None:
        return f"{why}, and is left alone"
    living = await to_thread.run_sync(group.living)
    if not living:
        return None
    if found is None and not await to_thread.run_sync(_any_has, living, env):
        who = f"what runs in the group of process {recorded.pid}, which has ended,"
        return f"{who} is not proven to be left by it, and is left alone"

    def runs() -> bool:
        now = identity_of(recorded.pid)
        return now is not None and same_start(now, recorded)

    stays = await end_group(group, runs, GRACE, clock)
    return stays or f"process {recorded.pid} and what it started were left by a runner that died; they were ended"


def _any_has(processes: "list[psutil.Process]", env: Mapping[str, str]) -> bool:
    """Tell whether one of ``processes`` has all of ``env`` in its environment, as far as they may be looked at."""
    import psutil  # type: ignore[import-untyped,unused-ignore]

    for process in processes:
        with suppress(psutil.Error, OSError):
            if env.items() <= process.environ().items():
                return True
    return False
