"""Check suites that do not start, hang, flood their log, fork, or are stopped: real processes on the real clock."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest
from msgspec.structs import replace

from comfytui.clock import system_clock
from comfytui.engine.runner import Runner
from comfytui.model.commands import Stop
from comfytui.model.events import SuiteStarted
from comfytui.model.plan import RunPlan, SuitePlan
from comfytui.records.lock import this_process
from comfytui.records.rundir import RunDir
from comfytui.records.validate import validate_run
from comfytui.simulator import Speed
from comfytui.sources.processes.identity import ProcessIdentity, identity_of
from comfytui.sources.suites import command as commands
from comfytui.sources.suites import log as logs
from comfytui.sources.suites.command import CommandEnd, run_command
from comfytui.sources.suites.leftovers import end_left_over
from tests.engine.stage import Stage

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals and sessions of POSIX")


@pytest.fixture
def anyio_backend() -> str:
    """Use the real clock: child processes know no other."""
    return "asyncio"


class Bench:
    """Runs Python scripts as check commands."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "logs" / "suite.log"
        self.started: list[ProcessIdentity] = []

    async def run(self, script: str, timeout: float = 20.0) -> CommandEnd:
        """Run ``script`` to its end."""
        return await self.command([sys.executable, "-c", script], timeout)

    async def command(self, command: list[str], timeout: float = 20.0) -> CommandEnd:
        """Run ``command`` to its end."""
        return await run_command(
            command, cwd=self.folder, env={"MINE": "yes"}, log=self.log, timeout=timeout, clock=system_clock(),
            started=self.started.append,
        )  # fmt: skip

    @property
    def said(self) -> str:
        """What the log holds."""
        return self.log.read_text(encoding="utf-8")

    def pid(self, name: str = "child") -> int:
        """Return the process id that a script wrote down."""
        return int((self.folder / name).read_text())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def gone(pid: int) -> bool:
    """Tell whether nothing runs under ``pid``."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Return as soon as ``condition`` holds."""
    with anyio.fail_after(seconds):
        while not condition():
            await anyio.sleep(0.01)


FORKING = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]{options})
open("child", "w").write(str(child.pid))
print("forked", flush=True)
"""


async def test_a_command_that_passes_and_one_that_fails(bench: Bench) -> None:
    assert await bench.run("print('fine')") == CommandEnd(exit_code=0)
    assert bench.said == f"fine{os.linesep}"
    assert [process.pid > 0 for process in bench.started] == [True]
    assert await bench.run("import sys; print('bad', file=sys.stderr); sys.exit(3)") == CommandEnd(exit_code=3)
    assert bench.said == f"bad{os.linesep}", "the log is that of the last run alone"


async def test_the_environment_holds_no_secret_of_ours(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYTUI_TOKEN", "hush")
    await bench.run("import os, sys; print(os.environ['MINE'], 'COMFYTUI_TOKEN' in os.environ, sys.stdin.read() == '')")
    assert bench.said.split() == ["yes", "False", "True"]


async def test_a_command_that_cannot_be_started(bench: Bench) -> None:
    end = await bench.command(["no-such-program-at-all", "x"])
    assert end.exit_code == 127
    assert end.notes[0].startswith("it could not be started: no-such-program-at-all: ")
    assert f"[comfytui: {end.notes[0]}]" in bench.said


@posix_only
async def test_a_command_that_a_signal_ends_has_a_code_of_digits(bench: Bench) -> None:
    assert (await bench.run("import os; os.kill(os.getpid(), 9)")).exit_code == 137


async def test_a_command_that_hangs(bench: Bench) -> None:
    end = await bench.run(FORKING.format(options="") + "import time; time.sleep(600)", timeout=1.5)
    assert end == CommandEnd(exit_code=124, notes=("it was ended after 1.5 s, its time limit",))
    assert "forked" in bench.said
    assert gone(bench.pid())


@posix_only
async def test_a_command_that_ignores_being_asked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "GRACE", 0.2)
    stubborn = (
        "import os, signal, time; signal.signal(15, signal.SIG_IGN); open('child', 'w').write(str(os.getpid()))\n"
    )
    assert (await bench.run(stubborn + "time.sleep(600)", timeout=1.5)).exit_code == 124
    assert gone(bench.pid())


@posix_only
async def test_a_launcher_that_gives_way_to_its_program(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "GRACE", 0.2)
    monkeypatch.setattr(commands, "LAUNCHING", (0.5,))
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
    end = await bench.command(["sh", "-c", f'sleep 0.2; exec {sys.executable} -c "{stubborn}"'], timeout=1.2)
    assert end == CommandEnd(exit_code=124, notes=("it was ended after 1.2 s, its time limit",))
    launcher, program = bench.started
    assert launcher.pid == program.pid and launcher.executable != program.executable
    assert gone(program.pid)


async def test_a_flood_of_output(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "HEAD", 1000)
    monkeypatch.setattr(logs, "TAIL", 500)
    end = await bench.run("import sys; sys.stdout.write('first' + 'x' * 5_000_000 + 'last'); sys.exit(1)")
    assert end == CommandEnd(exit_code=1)
    assert bench.said.startswith("firstxxx")
    assert bench.said.endswith("xxxlast")
    assert f"[comfytui: {5_000_009 - 1500} bytes are left out here]" in bench.said
    assert bench.log.stat().st_size < 1600


@posix_only
async def test_children_that_are_left_behind(bench: Bench) -> None:
    end = await bench.run(FORKING.format(options=""))
    assert end == CommandEnd(exit_code=0, notes=("it left processes behind (1), which were ended",))
    assert gone(bench.pid())


@posix_only
async def test_an_escaped_process_that_holds_the_output(bench: Bench) -> None:
    began = time.monotonic()
    end = await bench.run(FORKING.format(options=", start_new_session=True"))
    assert end == CommandEnd(exit_code=0)
    assert time.monotonic() - began < 10
    psutil.Process(bench.pid()).kill()


@posix_only
async def test_a_log_that_cannot_be_written_costs_no_verdict(bench: Bench) -> None:
    bench.log = Path("/dev/full")
    end = await bench.run("print('x')")
    assert (end.exit_code, end.notes) == (0, ("its log is not complete: No space left on device",))


# --- in a run ----------------------------------------------------------------------------------------------------


@contextmanager
def checked_by(stage: Stage, monkeypatch: pytest.MonkeyPatch, *scripts: str) -> Iterator[None]:
    """Add a check suite for each of ``scripts`` to every plan of ``stage``, labelled "suite 1" and so on."""
    stage.clock = system_clock()
    make = Stage.plan
    suites = tuple(
        SuitePlan(label=f"suite {number}", command=(sys.executable, "-c", script), cwd=str(stage.output))
        for number, script in enumerate(scripts, 1)
    )

    def planned(self: Stage, *given: object) -> RunPlan:
        return replace(make(self, *given), suites=suites)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Stage, "plan", planned)
        yield


def codes(runner: Runner) -> dict[str, int]:
    """Return the exit code of each suite that has run."""
    run = runner.hub.state.run
    assert run is not None
    return {suite.label: suite.exit_code for suite in run.suites}


def findings(run_dir: RunDir) -> list[str]:
    return [str(finding) for finding in validate_run(run_dir.path)]


async def test_a_failing_suite_hides_no_scene(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    look = "import os; assert os.path.isfile(os.environ['COMFYTUI_RUN_DIR'] + '/scene-001/scene.json')"
    with checked_by(stage, monkeypatch, "import sys; sys.exit(7)", look):
        outcome = await stage.play(speed=Speed.named("instant"))
    assert outcome.exit_code == 1
    assert outcome.scene().success
    assert {suite.label: suite.exit_code for suite in outcome.metadata.suites} == {"suite 1": 7, "suite 2": 0}
    assert outcome.findings == []


@posix_only
async def test_a_suite_behind_a_launcher_is_told_of_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "LAUNCHING", (0.2, 0.2))
    script = "import os, sys, time; time.sleep(0.1); os.execv('/bin/sh', ['sh', '-c', 'sleep 0.6'])"
    with checked_by(stage, monkeypatch, script):
        outcome = await stage.play(speed=Speed.named("instant"))
    assert outcome.exit_code == 0
    assert len([note for note in outcome.state.notes if note.text.startswith("Check suite suite 1: ")]) == 1


async def test_a_stop_while_a_suite_is_at_work(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = FORKING.format(options="") + "import time; time.sleep(600)"
    with checked_by(stage, monkeypatch, waiting, "print('never')"):
        async with stage.simulator(speed=Speed.named("instant")) as simulator:
            with stage.open(simulator) as runner:
                code: list[int] = []

                async def drive() -> None:
                    code.append(await runner.drive())

                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(drive)
                    await until((stage.output / "child").exists)
                    await until((stage.output / "child").read_text)
                    runner.command(Stop(id="stop"))
                state = runner.hub.state
    assert code == [130]
    assert codes(runner) == {"suite 1": 130}
    assert gone(int((stage.output / "child").read_text()))
    assert any("suite 2 is not run" in note.text for note in state.notes)
    assert state.scenes[0].success
    assert findings(runner.run_dir) == []


async def test_a_run_that_is_taken_up_again_is_checked_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = "import os, sys; fresh = not os.path.exists('been'); open('been', 'w'); sys.exit(fresh)"
    with checked_by(stage, monkeypatch, twice):
        async with stage.simulator(speed=Speed.named("instant")) as simulator:
            with stage.open(simulator) as runner:
                assert await runner.drive() == 1
            again = Runner(runner.run_dir, runner.plan, stage.clock, runner._credentials, "rerun")
            monkeypatch.setattr("comfytui.engine.runner.COMMAND_WAIT", 0.0)
            with again:
                assert await again.drive() == 0
    assert codes(again) == {"suite 1": 0}
    summary = runner.run_dir.summary.read_text(encoding="utf-8")
    assert [line[11:] for line in summary.splitlines() if "exitCode=" in line] == ["suite 1 exitCode=0"]
    assert findings(runner.run_dir) == []


# --- a runner that was killed --------------------------------------------------------------------------------------

ADDED = {"COMFYTUI_RUN_ID": "20261123-010000", "COMFYTUI_RUN_DIR": "/runs/20261123-010000"}


def left_by_a_runner(script: str, folder: Path, **env: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", script]
    return subprocess.Popen(command, cwd=folder, env={**os.environ, **env}, start_new_session=True)


async def forked(folder: Path) -> int:
    """Return the id of the process that a script started, once it has written it down."""
    await until((folder / "child").exists)
    await until((folder / "child").read_text)
    return int((folder / "child").read_text())


@posix_only
@pytest.mark.parametrize("leader_lives", [True, False])
async def test_what_a_killed_runner_left_of_a_suite_is_ended(
    leader_lives: bool, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = FORKING.format(options="") + ("import time; time.sleep(600)" if leader_lives else "")
    with checked_by(stage, monkeypatch, "print('x')"):
        async with stage.simulator(speed=Speed.named("instant")) as simulator:
            with stage.open(simulator) as runner:
                run = runner.run_dir
                left = left_by_a_runner(
                    script, stage.output, COMFYTUI_RUN_ID=run.run_id, COMFYTUI_RUN_DIR=str(run.path)
                )
                known = identity_of(left.pid)
                assert known is not None
                await forked(stage.output)
                if not leader_lives:
                    left.wait()
                runner._open()
                host = this_process().host
                runner.hub.publish(
                    SuiteStarted(
                        label="suite 1", command="x", pid=left.pid, created=known.created,
                        executable=known.executable, host=host,
                    )
                )  # fmt: skip
                assert await runner.drive() == 0
    assert gone(int((stage.output / "child").read_text()))
    assert left.poll() is not None
    assert runner.hub.state.run is not None and runner.hub.state.run.suite is None
    said = [note.text for note in runner.hub.state.notes if "left by a runner that died" in note.text]
    assert len(said) == 1
    assert findings(runner.run_dir) == []


async def test_a_stranger_of_the_same_id_is_left_alone() -> None:
    us = identity_of(os.getpid())
    assert us is not None
    assert await end_left_over(replace(us, created=us.created - 100), ADDED, system_clock()) is None
    assert await end_left_over(replace(us, executable="/bin/other"), ADDED, system_clock()) == (
        f"process {os.getpid()} runs another program, and is left alone"
    )


@posix_only
async def test_whom_a_stranger_of_the_same_id_left_behind_is_left_alone(bench: Bench) -> None:
    """The id was given to another once nobody of the suite lived; that one has ended too, but not what it started."""
    stranger = left_by_a_runner(FORKING.format(options=""), bench.folder)
    known = identity_of(stranger.pid)
    assert known is not None
    child = await forked(bench.folder)
    try:
        stranger.wait()
        assert await end_left_over(known, ADDED, system_clock()) == (
            f"what runs in the group of process {stranger.pid}, which has ended, is not proven to be left by it, "
            "and is left alone"
        )
        assert not gone(child)
    finally:
        psutil.Process(child).kill()
