"""How a command ends when it does not end well: two sentences and a code, never a traceback."""

import os
import platform
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from comfytui import __version__
from comfytui.errors import Failure
from comfytui.settings.table import HEADERS_VARIABLE, TOKEN_VARIABLE
from comfytui.untrusted import plain

INTERRUPTED = 130

_LOGIN = re.compile(r"(?<=://)[^/\s@]*@")


def guarded(work: Callable[[], int], arguments: Sequence[str]) -> int:
    """Return the exit code of ``work``, or of the way in which it failed, which is told.

    With ``--json`` among ``arguments`` a failure is a line of JSON on standard output, else words on standard error.
    """
    try:
        return work()
    except (Exception, KeyboardInterrupt) as raised:  # noqa: BLE001  (the end of the line: it is told and counted)
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
        case _:
            failure = Failure("internal", why=_words(fault), debug=str(write_debug_file(fault, arguments, os.environ)))
            return tell(failure, "--json" in arguments)


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


def _words(fault: BaseException) -> str:
    words = plain(without_secrets(str(fault), os.environ), 300).rstrip(".")
    return f"{type(fault).__name__}: {words}" if words else type(fault).__name__


def write_debug_file(fault: BaseException, arguments: Sequence[str], environ: Mapping[str, str]) -> Path | None:
    """Write what is needed to report ``fault`` into a new private file of the temporary folder, and return its path.

    Secrets of ``environ`` and logins in addresses are blotted out. ``None`` when no file can be made.
    """
    trace = "".join(traceback.format_exception(fault))
    text = (
        f"comfytui {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"arguments: {list(arguments)}\n\n{trace}"
    )
    try:
        handle, name = tempfile.mkstemp(prefix="comfytui-error-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(without_secrets(text, environ))
    except OSError:
        return None
    return Path(name)


def without_secrets(text: str, environ: Mapping[str, str]) -> str:
    """Return ``text`` with every secret of ``environ``, and every login in an address, blotted out."""
    secrets = {environ.get(TOKEN_VARIABLE, ""), environ.get(HEADERS_VARIABLE, "")}
    secrets |= set(re.split(r'["\n;,:{}\s]+', environ.get(HEADERS_VARIABLE, "")))
    for secret in sorted((each.strip() for each in secrets), key=len, reverse=True):
        if len(secret) >= 4:
            text = text.replace(secret, "***")
    return _LOGIN.sub("***@", text)
