"""Servers that we start: real child processes that get ready, do not, die, linger, or are not who they should be."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest
from msgspec.structs import replace

from comfytui.clock import Clock, system_clock
from comfytui.errors import Failure
from comfytui.sources.comfy import server_output
from comfytui.sources.comfy.process import ServerProcess, simulator_command, simulator_url
from comfytui.sources.comfy.server_output import ServerOutput
from comfytui.sources.processes.group import group_of
from comfytui.sources.processes.identity import ProcessIdentity, identity_of, mismatch
from tests.sources.driven_clock import DrivenClock
from tests.sources.socket_ear import until

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals and sessions of POSIX")

READY = """
import sys, time
print("some words first", file=sys.stderr, flush=True)
print("ready at http://127.0.0.1:1", flush=True)
"""
UNTIL_INPUT_ENDS = "sys.stdin.read()\n"
FOR_EVER = "while True: time.sleep(3600)\n"
DEAF_TO_SIGTERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
WITH_A_CHILD = """
import subprocess
child = subprocess.Popen([sys.executable, "-c", "{}import time; print('here', flush=True); time.sleep(3600)"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
child.stdout.readline()
print("child", child.pid, flush=True)
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def children_find_comfytui(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator is started from the installed package; these tests also run where it is not installed."""
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])))


@pytest.fixture
def strays() -> Iterator[list[psutil.Process]]:
    """Processes that a test expects to survive: ended after it."""
    processes: list[psutil.Process] = []
    yield processes
    for process in processes:
        if process.is_running():
            process.kill()
        process.wait(10)


def ready(line: str) -> str | None:
    return line.removeprefix("ready at ") if line.startswith("ready at ") else None


def server(script: str, clock: Clock | None = None, **options: Any) -> ServerProcess:
    options.setdefault("ready", ready)
    options.setdefault("timeout", 30.0)
    return ServerProcess.start([sys.executable, "-c", script], clock=clock or system_clock(), **options)


def gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


async def pid_of_child(log: Path) -> int:
    def lines() -> list[str]:
        return [line for line in log.read_text().splitlines() if line.startswith("child ")] if log.exists() else []

    await until(lambda: bool(lines()))
    return int(lines()[0].split()[1])


# --- becoming ready ---------------------------------------------------------------------------------------------------


async def test_a_server_gets_ready_and_ends_with_the_block(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "server.log"
    async with server(READY + UNTIL_INPUT_ENDS, log=log) as process:
        assert process.url == "http://127.0.0.1:1"
        assert process.identity == identity_of(process.identity.pid)
        assert process.identity.executable
    assert process.ended == 0, "it ended by itself, as its input did"
    assert gone(process.identity.pid)
    assert log.read_text().split("\n")[:2] == ["some words first", "ready at http://127.0.0.1:1"]


async def test_the_simulator_starts_answers_and_cleans_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setenv("TEMP", str(scratch))
    command = simulator_command(tmp_path / "output", "instant")
    async with ServerProcess.start(command, ready=simulator_url, timeout=50, clock=system_clock()) as process:
        assert list(scratch.iterdir()), "its scratch folder is there"
        async with httpx.AsyncClient() as http:
            stats = (await http.get(f"{process.url}/system_stats")).json()
        assert stats["system"]["comfyui_version"]
    assert process.ended == 0
    assert process.left_alone is None
    assert not list(scratch.iterdir())


async def test_without_a_ready_line_it_counts_as_ready_at_once() -> None:
    async with server("import sys\n" + UNTIL_INPUT_ENDS, ready=None) as process:
        assert process.url == ""
        assert not gone(process.identity.pid)
    assert process.ended == 0


async def test_its_environment_has_utf8_and_additions_but_no_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYTUI_TOKEN", "hush")
    monkeypatch.setenv("COMFYTUI_HEADERS", "X-Door: hush")
    names = ["PYTHONIOENCODING", "EXTRA", "COMFYTUI_TOKEN", "COMFYTUI_HEADERS"]
    script = f"import os; print('räksmörgås', *(os.environ.get(name) for name in {names}))\n"
    log = tmp_path / "log"
    async with server(script + READY + UNTIL_INPUT_ENDS, log=log, env={"EXTRA": "more"}, cwd=tmp_path):
        assert log.read_bytes().decode().splitlines()[0] == "räksmörgås utf-8 more None None"


def hurried(clock: DrivenClock) -> bool:
    """Move the time to where the first sleeper wakes, if there is one."""
    clock.advance(min(clock.waits(), default=0.0))
    return True


async def why_not_ready(starting: ServerProcess) -> str:
    """Return why it does not start; nothing of it may be left."""
    with pytest.raises(Failure) as raised:
        async with starting:
            raise AssertionError("it is not ready")
    assert raised.value.code == "server.start_failed"
    if starting._child is not None:
        assert gone(starting._child.process.pid)
    return raised.value.what


async def test_a_server_that_never_gets_ready_is_given_up_and_ended() -> None:
    clock = DrivenClock()
    starting = server("import sys\nprint('loading models', flush=True)\n" + UNTIL_INPUT_ENDS, clock, timeout=60.0)
    told: list[str] = []

    async def start() -> None:
        told.append(await why_not_ready(starting))

    async with anyio.create_task_group() as group:
        group.start_soon(start)
        await until(lambda: starting._child is not None and "loading" in starting._child.output.told())
        assert clock.waits() == [60.0]
        clock.advance(60.0)
        await until(lambda: hurried(clock) and bool(told))
    assert "it was not ready within 60 s: loading models" in told[0]


async def test_a_server_that_dies_at_the_start_is_quoted_in_plain_words() -> None:
    script = "import sys\nprint('\\x1b[31mno CUDA\\x07')\nsys.exit('out of luck')\n"
    assert "it ended with code 1: no CUDA | out of luck." in await why_not_ready(server(script))


async def test_a_server_that_dies_silently() -> None:
    assert "it ended with code 7, and wrote nothing." in await why_not_ready(server("import os; os._exit(7)"))


async def test_a_server_that_dies_while_another_holds_its_output(tmp_path: Path) -> None:
    held = (
        WITH_A_CHILD.format("").replace("stdout=subprocess.PIPE", "stdout=None").replace("child.stdout.readline()", "")
    )
    script = f"import sys\n{held}\nsys.exit(5)\n"
    log = tmp_path / "log"
    assert "it ended with code 5: " in await why_not_ready(server(script, log=log))
    assert gone(await pid_of_child(log))


@pytest.mark.parametrize("command", [["/no/such/program"], [""], ["a\0b"]])
async def test_a_command_that_cannot_be_run(command: list[str]) -> None:
    starting = ServerProcess.start(command, ready=ready, timeout=5, clock=system_clock())
    assert "could not be started" in await why_not_ready(starting)
    assert await starting.stop() is None


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert (
        "No such file or directory" in await why_not_ready(server(READY, cwd=tmp_path / "nowhere")) or os.name == "nt"
    )


async def test_it_is_ended_when_the_wait_for_it_is_cancelled() -> None:
    starting = server("import sys\nprint('loading', flush=True)\n" + UNTIL_INPUT_ENDS)
    async with anyio.create_task_group() as group:
        group.start_soon(why_not_ready, starting)
        await until(lambda: starting._child is not None and "loading" in starting._child.output.told())
        group.cancel_scope.cancel()
    assert gone(starting.identity.pid)


async def test_it_is_ended_when_the_block_fails() -> None:
    with pytest.raises(ZeroDivisionError):
        async with server(READY + UNTIL_INPUT_ENDS) as process:
            raise ZeroDivisionError
    assert gone(process.identity.pid)


# --- its output -------------------------------------------------------------------------------------------------------


async def test_much_output_never_makes_it_stand_still() -> None:
    script = READY + "sys.stdout.write('x' * 5_000_000 + '\\r' * 5_000_000); sys.stdout.flush(); sys.exit(3)\n"
    async with server(script) as process:
        with anyio.fail_after(20):
            assert await process.wait() == 3


async def test_a_log_that_cannot_be_opened_stops_nothing(tmp_path: Path) -> None:
    async with server(READY + UNTIL_INPUT_ENDS, log=tmp_path) as process:
        assert process.url
        assert process.log_fault


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk at hand")
async def test_a_full_disk_stops_nothing() -> None:
    async with server(READY + UNTIL_INPUT_ENDS, log=Path("/dev/full")) as process:
        assert process.url
        assert process.log_fault == "No space left on device"


def test_lines_are_found_in_pieces_of_any_size(tmp_path: Path) -> None:
    said = "räksmörgås\n\n10%\r20%\r\nready at http://x\nready at http://y\nrest".encode()
    for size in range(1, len(said) + 1):
        output = ServerOutput(ready, tmp_path / "log")
        told = [output.take(said[at : at + size]) for at in range(0, len(said), size)]
        output.close()
        assert output.address == "http://x"
        assert told.count(True) == 1
        assert output.told() == ": räksmörgås | 10% | 20% | ready at http://x | ready at http://y | rest"
    assert (tmp_path / "log").read_bytes() == said * len(said)


def test_the_end_of_the_output_is_quoted_within_bounds() -> None:
    output = ServerOutput(None, None)
    output.take(b"".join(b"%d " % number + b"y" * 100_000 + b"\n" for number in range(100)) + b"last")
    assert len(output.told()) <= server_output.TAIL_CHARACTERS + 2
    assert output.told().endswith("last")


def test_a_log_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_output, "MAX_LOG", 1 << 20)
    output = ServerOutput(ready, tmp_path / "log")
    for _ in range(40):
        output.take(b"z" * 65536)
    output.take(b"\nready at http://x\n")
    assert output.address == "http://x"
    assert (1 << 20) < (tmp_path / "log").stat().st_size < (1 << 20) + 2 * 65536
    assert (tmp_path / "log").read_bytes().endswith(b"[no more is kept after 1 MiB]\n")


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("ComfyUI simulator ready at http://127.0.0.1:8188", "http://127.0.0.1:8188"),
        ("  ComfyUI simulator ready at http://[::1]:1\n", "http://[::1]:1"),
        ("ComfyUI simulator ready at http://127.0.0.1:8188 or so", None),
        ("ComfyUI simulator ready at nowhere", None),
        ("To see the GUI go to: http://127.0.0.1:8188", None),
        ("", None),
    ],
)
def test_the_ready_line_of_the_simulator(line: str, url: str | None) -> None:
    assert simulator_url(line) == url


# --- its end ----------------------------------------------------------------------------------------------------------


async def test_stopping_twice_and_at_once_is_stopping_once() -> None:
    async with server(READY + FOR_EVER) as process:
        answers: list[str | None] = []

        async def stop() -> None:
            answers.append(await process.stop(grace=5.0))

        async with anyio.create_task_group() as group:
            group.start_soon(stop)
            group.start_soon(stop)
        assert answers == [None, None]
        assert process.ended is not None
        assert await process.stop() is None


@posix_only
async def test_a_server_that_heeds_sigterm_is_not_killed() -> None:
    script = READY + "import signal\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(42))\nprint('set')\n" + FOR_EVER
    async with server(script, ready=lambda line: "x" if line == "set" else None) as process:
        assert await process.stop(grace=20.0) is None
        assert process.ended == 42


@posix_only
async def test_a_server_that_ignores_sigterm_is_killed() -> None:
    async with server(DEAF_TO_SIGTERM + READY + FOR_EVER) as process:
        assert await process.stop(grace=0.2) is None
        assert process.ended == -signal.SIGKILL


@pytest.mark.parametrize("habit", ["", pytest.param(DEAF_TO_SIGTERM.strip() + ";", marks=posix_only)])
async def test_what_it_started_ends_with_it(tmp_path: Path, habit: str) -> None:
    log = tmp_path / "log"
    async with server("import sys\n" + WITH_A_CHILD.format(habit) + READY + FOR_EVER, log=log) as process:
        child = await pid_of_child(log)
        assert not gone(child)
        assert await process.stop(grace=0.5) is None
        assert gone(child)


@posix_only
async def test_what_a_crashed_server_left_behind_is_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = "import sys\n" + WITH_A_CHILD.format("") + READY + "sys.stdin.readline(); import os; os._exit(9)\n"
    async with server(script, log=log) as process:
        child = await pid_of_child(log)
        assert process._child is not None
        process._child.end_input()
        with anyio.fail_after(20):
            assert await process.wait() == 9
        assert not gone(child)
        assert await process.stop(grace=0.5) is None
        assert gone(child)


def run_python(code: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)


async def test_it_does_not_outlive_us(tmp_path: Path) -> None:
    ours = f"""
        import anyio, os, sys
        from pathlib import Path
        from comfytui.clock import system_clock
        from comfytui.sources.comfy.process import ServerProcess, simulator_command, simulator_url

        async def main():
            command = simulator_command(Path({str(tmp_path)!r}), "instant")
            async with ServerProcess.start(command, ready=simulator_url, timeout=50, clock=system_clock()) as process:
                print(process.identity.pid, flush=True)
                await anyio.sleep_forever()

        anyio.run(main)
    """
    with run_python(ours) as us:
        assert us.stdout is not None
        child = int(us.stdout.readline())
        assert not gone(child)
        us.kill()
    await until(lambda: gone(child))


# --- whose end it must not be -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("forged", "why"),
    [
        ({"created": 1_000_000.0}, "was started at another time"),
        ({"executable": "/usr/bin/something-else"}, "runs another program"),
        ({"executable": ""}, "its program cannot be read"),
    ],
)
async def test_a_process_that_is_not_the_recorded_one_survives(
    tmp_path: Path, strays: list[psutil.Process], forged: dict[str, Any], why: str
) -> None:
    log = tmp_path / "log"
    script = READY + "n = 0\nwhile True:\n    print('alive', n := n + 1, flush=True); time.sleep(0.02)\n"
    async with server(script, log=log) as process:
        true = process.identity
        strays.append(psutil.Process(true.pid))
        process.identity = replace(true, **forged)
        assert why in str(await process.stop(grace=0.1))
        assert process.ended is None
    assert process.left_alone is not None
    assert why in process.left_alone
    written = log.stat().st_size
    await until(lambda: log.stat().st_size > written)
    assert identity_of(true.pid) == true, "neither a signal nor a broken pipe has reached it"


@posix_only
async def test_a_launcher_that_becomes_the_server_is_known_as_the_server() -> None:
    shell = ["/bin/sh", "-c", f'sleep 0.2; exec "{sys.executable}" -c "$0"', READY + FOR_EVER]
    async with ServerProcess.start(shell, ready=ready, timeout=30, clock=system_clock()) as process:
        assert "python" in process.identity.executable
        assert await process.stop(grace=0.5) is None
        assert gone(process.identity.pid)


def test_what_proves_a_process() -> None:
    ours = identity_of(os.getpid())
    assert ours is not None
    assert mismatch(ours, ours) is None
    assert mismatch(ours, replace(ours, created=ours.created + 0.5)) is None, "clocks are corrected a little"
    assert mismatch(ours, replace(ours, created=ours.created + 2)) is not None
    assert mismatch(ours, replace(ours, executable=ours.executable + "x")) is not None
    assert mismatch(ours, replace(ours, pid=ours.pid + 1)) is not None
    assert mismatch(replace(ours, executable=""), replace(ours, executable="")) is not None


def test_a_group_whose_id_belongs_to_a_stranger_now_has_nobody_in_it(strays: list[psutil.Process]) -> None:
    options: dict[str, Any] = {} if sys.platform == "win32" else {"start_new_session": True}
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, **options) as stranger:
        found = identity_of(stranger.pid)
        assert found is not None
        assert [process.pid for process in group_of(found).living()] == [stranger.pid]
        group = group_of(replace(found, created=found.created - 3600))
        assert group.living() == []
        group.ask()
        assert stranger.poll() is None


def test_a_process_that_is_gone_has_no_identity() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert identity_of(child.pid) is None
    assert group_of(ProcessIdentity(pid=child.pid, created=0.0, executable="")).living() == []
