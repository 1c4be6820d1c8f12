"""Starting the runner of a run as a process of its own, which the terminal it was started from cannot take along."""

import contextlib
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import anyio.to_thread

import comfytui
from comfytui.clock import Clock
from comfytui.errors import Failure
from comfytui.link.client import answers
from comfytui.records.faults import writing
from comfytui.records.lock import holder_of
from comfytui.records.rundir import RunDir
from comfytui.records.sweepdir import SweepDir
from comfytui.untrusted import plain

START_SECONDS = 30.0
"""How long a runner may take until it answers."""

COMPANION_LOG = "companion.log"

GOODBYE_SECONDS = 5.0
"""How long a companion may take to leave."""

_LOOK_SECONDS = 0.05
_TAIL = 4096
_HOME = Path(comfytui.__file__).parent.parent
_children: list["subprocess.Popen[bytes]"] = []


@dataclass(frozen=True)
class Launched:
    """A process that was started to be met at ``folder``; ``log_start`` is where its part of ``log`` begins (bytes)."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    log: Path
    log_start: int
    journal_size: int = 0


async def launch_runner(run: RunDir, clock: Clock, reason: Literal["run", "resume", "rerun"]) -> int:
    """Start a runner for ``run``, wait until it answers, and return its process id.

    Raises ``Failure`` ``run.no_runner`` with the end of its log when it died or does not answer in time, and
    ``run.unwritable``.
    """
    launched = await anyio.to_thread.run_sync(start_runner, run, reason)
    await answering(launched, clock)
    return launched.process.pid


def start_runner(run: RunDir, reason: Literal["run", "resume", "rerun"], metrics_port: int | None = None) -> Launched:
    """Start a runner for ``run``, which serves metrics where a port is given, and return at once.

    Raises ``Failure`` ``run.unwritable``.
    """
    reap()
    path = run.logs / "runner.log"
    with writing(run.path):
        run.logs.mkdir(exist_ok=True)
        journal_size = run.journal.stat().st_size if run.journal.exists() else 0
        with path.open("ab") as log:
            start = log.tell()
            process = start_detached(
                ["runner", str(run.path), "--reason", reason, *_metrics(metrics_port)], run.path.parent, log
            )
    return Launched(process, run.path, path, start, journal_size)


def _metrics(port: int | None) -> list[str]:
    return [] if port is None else ["--metrics-port", str(port)]


def start_sweeper(sweep: SweepDir, metrics_port: int | None = None) -> "subprocess.Popen[bytes]":
    """Start the process that drives ``sweep`` and return at once. Raises ``Failure`` ``run.unwritable``."""
    reap()
    with writing(sweep.path), sweep.log.open("ab") as log:
        return start_detached(["sweeper", str(sweep.path), *_metrics(metrics_port)], sweep.path.parent, log)


async def answering(launched: Launched, clock: Clock) -> None:
    """Return once the process answers, or has recorded what it had to say. Raises what :func:`launch_runner` does."""
    deadline = clock.monotonic() + START_SECONDS
    while not await answers(launched.folder):
        code = launched.process.poll()
        if code is not None:
            if _has_recorded(launched):  # it was quicker than we looked; its journal tells the rest
                return
            if holder_of(RunDir(launched.folder)) is None:  # else another, started in the same moment, will answer
                raise _gone(launched, f"its process ended at once with {code}")
        if clock.monotonic() > deadline:
            raise _gone(launched, f"process {launched.process.pid} did not answer within {START_SECONDS:g} s")
        await clock.sleep(_LOOK_SECONDS)


def _has_recorded(launched: Launched) -> bool:
    try:
        return RunDir(launched.folder).journal.stat().st_size > launched.journal_size
    except OSError:
        return False


def reap() -> None:
    """Take note of runners that ended, so that they do not stay in the process table for as long as we live."""
    _children[:] = [child for child in _children if child.poll() is None]


@contextmanager
def companion(arguments: list[str]) -> Iterator[Launched]:
    """Run ``comfytui`` with ``arguments`` and a private link folder as their last, for as long as this context is open.

    It is told to leave by the end of its standard input, which comes even when this process is killed.
    """
    with tempfile.TemporaryDirectory(prefix="comfytui-", ignore_cleanup_errors=True) as place:
        log = Path(place) / COMPANION_LOG
        with log.open("wb") as output:
            child = subprocess.Popen(
                command_line([*arguments, place]), env=child_environment(os.environ, _HOME), stdin=subprocess.PIPE,
                stdout=output, stderr=output,
            )  # fmt: skip
        try:
            yield Launched(child, Path(place), log, 0)
        finally:
            _part_with(child)


def _part_with(child: "subprocess.Popen[bytes]") -> None:
    """Let ``child`` leave, and make it leave when it does not."""
    with contextlib.suppress(OSError):
        child.stdin.close()  # type: ignore[union-attr]
    try:
        child.wait(GOODBYE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def start_detached(arguments: list[str], cwd: Path, log: Any) -> "subprocess.Popen[bytes]":
    """Start ``comfytui`` with ``arguments`` away from this terminal, its output into the open file ``log``.

    It works in ``cwd``, has no standard input, and outlives this process and its session. Raises ``OSError``.
    """
    refusal: PermissionError | None = None
    for options in detached_options(sys.platform):
        try:
            child = subprocess.Popen(
                command_line(arguments), cwd=cwd, env=child_environment(os.environ, _HOME), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, **options,
            )  # fmt: skip
        except PermissionError as fault:  # a Windows job that forbids its processes to leave it
            refusal = fault
            continue
        _children.append(child)
        return child
    raise refusal or PermissionError("the system forbids starting a process")


def command_line(arguments: list[str]) -> list[str]:
    """Return the command that runs ``comfytui`` with ``arguments`` in this interpreter.

    ``-P`` keeps a file of the working folder from being taken for one of ours.
    """
    return [sys.executable, "-P", "-m", "comfytui", *arguments]


def detached_options(platform: str) -> list[dict[str, Any]]:
    """Return the options of ``Popen`` that set a process free on ``platform``, the best first.

    On Windows it gets a console of its own that nobody sees: without any (``DETACHED_PROCESS``) each program that it
    starts, ``nvidia-smi`` say, would flash up a window. It leaves the job that it is in, which ends with an SSH login.
    """
    if platform != "win32":
        return [{"start_new_session": True}]
    group, no_window, breakaway = 0x00000200, 0x08000000, 0x01000000
    return [{"creationflags": group | no_window | breakaway}, {"creationflags": group | no_window}]


def child_environment(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return ``environ`` for a child that imports comfytui from where this process did: ``home`` holds the package.

    An installed package is found anyway; its folder must not be put before the standard library.
    """
    installed = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    if str(home) in installed or home.name in ("site-packages", "dist-packages"):
        return dict(environ)
    paths = [str(home), *filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def _gone(launched: Launched, why: str) -> Failure:
    words = plain(_tail_of(launched), 600).strip()
    return Failure("run.no_runner", run=f"{launched.folder.name} ({why}{': ' if words else ''}{words})")


def _tail_of(launched: Launched) -> str:
    """Return the end of what the process wrote into its log."""
    try:
        with launched.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(launched.log_start, size - _TAIL))
            return log.read().decode("utf-8", "replace")
    except OSError:
        return ""
