"""The end of a run: metadata, validation, archive, in that order, and the exit code they amount to."""

from anyio import to_thread

from comfytui.engine.hub import Hub
from comfytui.engine.planner import fulfilled
from comfytui.model import events as e
from comfytui.records.archive import write_archive
from comfytui.records.metadata import build_metadata
from comfytui.records.rundir import RunDir
from comfytui.records.validate import passed, validate_run, write_validation

INTERRUPTED = 130


async def close_run(hub: Hub, run_dir: RunDir, *, interrupted: bool) -> int:
    """Write everything that is made at the end of a run and return its exit code.

    0: every scene succeeded and met its floor, and the run validates; 1: otherwise; 130: it was stopped by a person.
    Raises ``Failure`` ``run.unwritable``.
    """
    await hub.commit(e.RunSettled())
    await to_thread.run_sync(build_metadata, run_dir, hub.state)
    findings = await to_thread.run_sync(validate_run, run_dir.path)
    valid = passed(findings)
    await to_thread.run_sync(write_validation, run_dir, findings)
    hub.publish(e.RunValidated(passed=valid, findings=tuple(str(finding) for finding in findings)))
    archive = await to_thread.run_sync(write_archive, run_dir)
    hub.publish(e.RunArchived(path=str(archive), bytes=archive.stat().st_size))
    code = 0 if valid and fulfilled(hub.state) else 1
    if interrupted:
        code = INTERRUPTED
    await hub.commit(e.RunEnded(outcome="interrupted" if interrupted else "finished", exit_code=code))
    return code
