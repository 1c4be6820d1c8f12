"""How a command ends when it does not end well: two sentences and a code, never a traceback."""

import errno
import os
import sys
from collections.abc import Callable, Sequence

from comfytui.errors import Failure

INTERRUPTED = 130


def guarded(work: Callable[[], int], arguments: Sequence[str]) -> int:
    """Return the exit code of ``work``, or of the way in which it failed, which is told.

    With ``--json`` among ``arguments`` a failure is a line of JSON on standard output, else words on standard error.
    """
    try:
        return work()
    except (Exception, BaseExceptionGroup, KeyboardInterrupt) as raised:  # noqa: BLE001  (the last to hear of it)
        return _ended(_root(raised), arguments)


def _root(raised: BaseException) -> BaseException:
    """Return the one fault in nested groups of task groups; a Failure before an interruption before anything else."""
    faults: list[BaseException] = [raised]
    while groups := [fault for fault in faults if isinstance(fault, BaseExceptionGroup)]:
        faults = [f for f in faults if not isinstance(f, BaseExceptionGroup)]
        faults += [inner for group in groups for inner in group.exceptions]
    for kind in (Failure, KeyboardInterrupt):
        for fault in faults:
            if isinstance(fault, kind):
                return fault
    return raised if len(faults) > 1 else faults[0]


def _ended(fault: BaseException, arguments: Sequence[str]) -> int:
    import click

    match fault:
        case Failure():
            return tell(fault, "--json" in arguments)
        case KeyboardInterrupt() | click.Abort():
            return INTERRUPTED
        case click.ClickException():
            fault.show()
            return fault.exit_code
        case BrokenPipeError():
            from comfytui.faces.printer import leave_stdout

            leave_stdout()
            return 0
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            from comfytui.faces.printer import leave_stdout

            code = tell(Failure("disk.full", why=fault.strerror), "--json" in arguments)
            leave_stdout()
            return code
        case _:
            from comfytui.cli.mishaps import internal_failure

            return tell(internal_failure(fault, arguments, os.environ), "--json" in arguments)


def tell(failure: Failure, as_json: bool) -> int:
    """Print ``failure`` and return its exit code."""
    try:
        if as_json:
            import json

            error = {"code": failure.code, "what": failure.what, "remedy": failure.remedy}
            print(json.dumps({"v": 1, "error": error}), flush=True)
        else:
            print(f"{failure.what}\n{failure.remedy} [{failure.code}]", file=sys.stderr, flush=True)
    except (OSError, ValueError):  # nobody listens; the exit code still tells
        from comfytui.faces.printer import leave_stdout

        leave_stdout()
    return failure.exit_code
