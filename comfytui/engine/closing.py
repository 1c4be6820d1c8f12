"""The end of a run: metadata, validation, archive, in that order, and the exit code they amount to."""

import functools

from anyio import to_thread

from comfytui.engine.hub import Hub
from comfytui.engine.pausing import INTERRUPTED
from comfytui.engine.planner import checked, fulfilled
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.records.archive import write_archive
from comfytui.records.metadata import build_metadata
from comfytui.records.rundir import RunDir
from comfytui.records.validate import passed, validate_run, write_validation


async def close_run(hub: Hub, run_dir: RunDir, *, interrupted: bool) -> int:
    """Write everything that is made at the end of a run and return its exit code.

    0: every scene succeeded and met its floor, every check suite passed, and the run validates; 1: otherwise; 130: it
    was stopped by a person. An archive that could not be written is a fact and the code 1; all else is whole then.
    Raises ``Failure`` ``run.unwritable``.
    """
    await hub.commit(e.RunSettled())
    await to_thread.run_sync(build_metadata, run_dir, hub.state)
    findings = await to_thread.run_sync(validate_run, run_dir.path)
    valid = passed(findings)
    await to_thread.run_sync(write_validation, run_dir, findings)
    hub.publish(e.RunValidated(passed=valid, findings=tuple(str(finding) for finding in findings)))
    archived = await _archive(hub, run_dir)
    code = 0 if valid and archived and fulfilled(hub.state) and checked(hub.state) else 1
    if interrupted:
        code = INTERRUPTED
    await hub.commit(e.RunEnded(outcome="interrupted" if interrupted else "finished", exit_code=code))
    return code


async def _archive(hub: Hub, run_dir: RunDir) -> bool:
    """Write the archive, the largest of all files and the only one that holds nothing new; return whether it is there.

    Without it the metadata names none, so that the run is whole as it stands.
    """
    try:
        archive = await to_thread.run_sync(write_archive, run_dir)
    except Failure as fault:
        failure = Failure("archive.unwritten", why=fault.what.removesuffix("."), run=str(run_dir.path))
        await to_thread.run_sync(functools.partial(build_metadata, run_dir, hub.state, archived=False))
        hub.publish(e.RunNoted(level="error", text=failure.what, code=failure.code, remedy=failure.remedy))
        return False
    hub.publish(e.RunArchived(path=str(archive), bytes=archive.stat().st_size))
    return True
