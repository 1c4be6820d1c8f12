"""Servers that we start: real child processes, ended only when they are proven to be ours."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from comfytui.clock import system_clock
from comfytui.errors import Failure
from comfytui.sources.comfy.address import ServerAddress
from comfytui.sources.comfy.http import ComfyHttp
from comfytui.sources.comfy.identity import ProcessIdentity, identity_of, mismatch, why_not
from comfytui.sources.comfy.process import ServerProcess, simulator_command, simulator_url

ROOT = Path(__file__).parents[2]
READY = "print('ComfyUI simulator ready at http://127.0.0.1:1', flush=True)\n"
WAIT_FOR_EOF = "import sys\nsys.stdin.read()\n"
STUBBORN = """
import signal, sys, threading
for name in ("SIGTERM", "SIGINT", "SIGBREAK"):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
"""
FOR_EVER = "import threading\nthreading.Event().wait()\n"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


@asynccontextmanager
async def started(script: str, **options: object) -> AsyncIterator[ServerProcess]:
    settings = {"clock": system_clock(), "ready": simulator_url, "timeout": 30.0, **options}
    async with ServerProcess.start(python(script), **settings) as process:  # type: ignore[arg-type]
        yield process


def gone(pid: int, within: float = 20.0) -> bool:
    """Return whether the process ends: waits for it, not for some time."""
    try:
        psutil.Process(pid).wait(within)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


# --- starting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("ComfyUI simulator ready at http://127.0.0.1:4711", "http://127.0.0.1:4711"),
        ("ComfyUI simulator ready at http://[::1]:4711  ", "http://[::1]:4711"),
        ("Starting the ComfyUI simulator", None),
        ("echo ComfyUI simulator ready at http://127.0.0.1:1", None),
        ("ComfyUI simulator ready at ftp://x", None),
    ],
)
def test_the_ready_line(line: str, url: str | None) -> None:
    assert simulator_url(line) == url


async def test_it_is_ready_when_it_says_so_and_ends_with_the_block() -> None:
    async with started("print('loading', flush=True)\n" + READY + WAIT_FOR_EOF) as process:
        assert process.url == "http://127.0.0.1:1"
        pid = process.identity.pid
        assert why_not(process.identity) is None
    assert process.ended == 0, "its input ended, so it ended by itself"
    assert not psutil.pid_exists(pid)


async def test_its_environment_has_no_secret_and_speaks_utf_8(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COMFYTUI_TOKEN", "secret")
    monkeypatch.setenv("COMFYTUI_HEADERS", "X: secret")
    told = tmp_path / "environment.json"
    script = f"import os, json, pathlib\npathlib.Path({str(told)!r}).write_text(json.dumps(dict(os.environ)))\n"
    async with started(script + READY + WAIT_FOR_EOF, env={"EXTRA": "1"}, cwd=tmp_path):
        environment = json.loads(told.read_text())
    assert "secret" not in environment.values()
    assert not {"COMFYTUI_TOKEN", "COMFYTUI_HEADERS"} & set(environment)
    assert (environment["EXTRA"], environment["PYTHONIOENCODING"]) == ("1", "utf-8")


async def test_a_command_that_is_none() -> None:
    with pytest.raises(Failure) as found:
        async with ServerProcess.start(["/no/such/comfyui"], clock=system_clock()):
            pass
    assert found.value.code == "server.start_failed"
    assert "/no/such/comfyui" in found.value.what


async def test_one_that_ends_at_once_tells_its_last_words() -> None:
    script = "print('\\x1b[31mno module named torch'); raise SystemExit(3)"
    with pytest.raises(Failure) as found:
        async with started(script):
            pass
    assert found.value.code == "server.start_failed"
    assert "it ended with code 3" in found.value.what
    assert "no module named torch" in found.value.what
    assert "\x1b" not in str(found.value)


async def test_one_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"import os, pathlib\npathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))\n"
    script += "print('still loading', flush=True)\n" + WAIT_FOR_EOF
    with pytest.raises(Failure) as found:
        async with started(script, timeout=3.0):
            pass
    assert "not ready within 3 s: still loading" in found.value.what
    assert gone(int(pid_file.read_text()))


async def test_output_is_always_taken_and_logged(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "server.log"
    flood = "import sys\nfor n in range(20000): print('x' * 100)\nprint('end', file=sys.stderr, flush=True)\n"
    async with started(READY + flood + WAIT_FOR_EOF, log=log) as process:
        with anyio.fail_after(20):  # one whose pipe is full would never come to its end
            await process.stop()
    assert process.log_fault is None
    assert log.read_bytes().rstrip().endswith(b"end")
    assert log.stat().st_size > 2_000_000


async def test_a_log_that_cannot_be_written_stops_no_server(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with started(READY + WAIT_FOR_EOF, log=tmp_path / "file" / "server.log") as process:
        assert process.url
        assert process.log_fault


# --- ending -----------------------------------------------------------------------------------------------------------


async def test_one_that_does_not_listen_is_killed_with_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "child"
    child = (
        f"import subprocess, sys, pathlib\nchild = subprocess.Popen([sys.executable, '-c', {STUBBORN + FOR_EVER!r}])\n"
    )
    child += f"pathlib.Path({str(pid_file)!r}).write_text(str(child.pid))\n"
    async with started(STUBBORN + child + READY + FOR_EVER) as process:
        pids = [process.identity.pid, int(pid_file.read_text())]
        assert all(psutil.pid_exists(pid) for pid in pids)
        assert await process.stop(grace=1.0) is None
        assert process.ended not in (None, 0)
    assert all(gone(pid) for pid in pids)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"created": 1_000_000.0}, "started at another time"),
        ({"executable": "/usr/bin/something-else"}, "runs another program"),
        ({"pid": os.getpid()}, "started at another time"),
    ],
)
async def test_one_that_is_not_proven_to_be_ours_is_left_alone(change: dict[str, object], why: str) -> None:
    async with started(STUBBORN + READY + WAIT_FOR_EOF) as process:
        identity = process.identity
        process.identity = msgspec.structs.replace(identity, **change)
        said = await process.stop(grace=0.5)
        assert said is not None
        assert why in said
        assert psutil.Process(identity.pid).is_running()
        assert process.ended is None
        process.identity = identity
        assert await process.stop(grace=5.0) is None
    assert gone(identity.pid)


def test_what_makes_a_process_another_one() -> None:
    ours = ProcessIdentity(pid=7, created=1000.0, executable="/usr/bin/python3")
    assert mismatch(ours, ours) is None
    assert mismatch(ours, msgspec.structs.replace(ours, created=1000.5)) is None, "clocks are corrected"
    for change in ({"pid": 8}, {"created": 1005.0}, {"executable": "/bin/sh"}, {"executable": ""}):
        assert mismatch(ours, msgspec.structs.replace(ours, **change))
    found = identity_of(os.getpid())
    assert found is not None
    assert Path(found.executable).resolve() == Path(psutil.Process().exe()).resolve()


def test_a_process_that_has_ended_has_no_identity() -> None:
    child = subprocess.Popen(python("pass"))
    child.wait()
    assert identity_of(child.pid) is None


async def test_an_error_of_the_block_passes_as_it_is_and_ends_the_server() -> None:
    with pytest.raises(LookupError, match="mine"):
        async with started(READY + WAIT_FOR_EOF) as process:
            raise LookupError("mine")
    assert process.ended is not None


@pytest.mark.parametrize("ready", [True, False])
async def test_cancelled_at_any_time_it_leaves_nothing_behind(tmp_path: Path, ready: bool) -> None:
    pid_file = tmp_path / "pid"
    script = f"import os, pathlib\npathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))\n"
    script += (READY if ready else "print('waiting', flush=True)\n") + WAIT_FOR_EOF

    async def run() -> None:
        async with started(script):
            await anyio.sleep_forever()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(run)
            while not (pid_file.exists() and pid_file.read_text()):
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()
    assert gone(int(pid_file.read_text()))


# --- the simulator ----------------------------------------------------------------------------------------------------


async def test_the_simulator_as_a_process_answers_and_ends(tmp_path: Path) -> None:
    command = simulator_command(tmp_path, "instant")
    clock = system_clock()
    async with ServerProcess.start(command, clock=clock, cwd=ROOT, ready=simulator_url) as process:
        async with ComfyHttp(ServerAddress.parse(process.url)) as http:
            stats = await http.system_stats()
        assert any(tmp_path.name in word for word in stats.argv)
    assert process.ended is not None


def test_the_simulator_ends_when_whoever_started_it_is_killed(tmp_path: Path) -> None:
    script = f"""
import sys, anyio
from pathlib import Path
from comfytui.clock import system_clock
from comfytui.sources.comfy.process import ServerProcess, simulator_command, simulator_url
async def main():
    command = simulator_command(Path({str(tmp_path)!r}), "instant")
    async with ServerProcess.start(command, clock=system_clock(), ready=simulator_url) as process:
        print(process.identity.pid, flush=True)
        await anyio.sleep_forever()
anyio.run(main)
"""
    with subprocess.Popen(python(script), cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        try:
            pid = int(parent.stdout.readline())
            assert psutil.pid_exists(pid)
        finally:
            parent.kill()
    assert gone(pid)
