"""The process guard, with real processes: what it started it ends after proof, and it touches nothing else."""

import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import msgspec
import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest
from msgspec.structs import replace

from comfytui.engine.runner import Runner
from comfytui.engine.server import guard as server_guard
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.model.commands import Stop
from comfytui.model.workflow import Values, render
from comfytui.records.lock import this_process
from comfytui.records.rundir import find_run
from comfytui.records.validate import validate_run
from comfytui.sources.comfy.own_server import OwnServer
from comfytui.sources.processes.identity import identity_of
from tests.e2e.command import comfytui, story
from tests.engine.stage import Stage
from tests.faults.server_processes import (
    STATS,
    Guarded,
    alive,
    command,
    foreign,
    free_port,
    listening,
    script,
    simulator,
)
from tests.sources.socket_ear import until

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
REUSED = "ComfyUI already running and reachable; reusing it"
SECRET = "a-secret-of-the-configuration"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def strays() -> Iterator[list[int]]:
    """Processes that must not outlive a test, whatever becomes of it."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        if alive(pid):
            psutil.Process(pid).kill()


def marked(tmp_path: Path) -> list[str]:
    """Return a command that leaves a mark when it is run, which it must not be."""
    return script(f"open({str(tmp_path / 'was-started')!r}, 'w')")


def never_started(tmp_path: Path) -> bool:
    return not (tmp_path / "was-started").exists()


# --- started and stopped ----------------------------------------------------------------------------------------------


@posix_only
async def test_comfyui_is_started_where_nobody_answers_and_stopped_at_the_end(stage: Stage, port: int) -> None:
    shows = "import os, sys; print(os.environ['PYTHONIOENCODING'], flush=True); os.execv(sys.argv[2], sys.argv[2:])"
    run = Guarded(stage, port, command=(*script(shows, port), *simulator(port, stage.output)))
    run.env["HF_TOKEN"] = SECRET
    assert await run.drive() == 0
    begun, ready = run.told(e.ServerStarted)
    pid = ready.pid
    assert (begun.ready, ready.ready, begun.pid) == (False, True, pid)
    assert f"ComfyUI started with PID {pid}\n" in run.summary
    assert f"ComfyUI with PID {pid} stopped\n" in run.summary
    assert run.told(e.ServerStopped) == [e.ServerStopped(pid=pid)]
    assert run.state.server.managed
    assert run.state.server.own is None
    assert not alive(pid)
    assert (run.run_dir.logs / "comfyui.log").read_text().startswith("utf-8\n")
    assert not [path for path in run.run_dir.path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


@posix_only
async def test_a_server_that_ignores_sigterm_is_killed_with_its_children(stage: Stage, port: int) -> None:
    deaf = "import signal, subprocess\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    child = "print('child', subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid, flush=True)\n"
    run = Guarded(stage, port, command=tuple(script(f"{deaf}{STATS}{child}serve()", port)), stop_grace=0.3)
    with run.hub() as hub:
        async with run.http() as http, run.guard(hub, http) as guard:
            assert guard.managed
    said = re.search(r"child (\d+)", (run.run_dir.logs / "comfyui.log").read_text())
    assert said is not None
    await until(lambda: not alive(int(said[1])))
    assert not alive(run.told(e.ServerStarted)[0].pid)


async def test_one_that_is_left_at_once_is_ended_in_a_moment(stage: Stage, port: int) -> None:
    run = Guarded(stage, port, command=tuple(simulator(port, stage.output)), stop_grace=60.0)
    with run.hub() as hub:
        async with anyio.create_task_group() as group:

            async def guarded() -> None:
                async with run.http() as http, run.guard(hub, http):
                    group.cancel_scope.cancel()
                    await anyio.sleep_forever()

            group.start_soon(guarded)
    assert run.told(e.ServerStopped)[0].skipped == ""
    assert not alive(run.told(e.ServerStarted)[0].pid)


# --- a start that fails -----------------------------------------------------------------------------------------------


async def test_a_command_that_exits_at_once_is_quoted_without_its_secrets(stage: Stage, port: int) -> None:
    run = Guarded(stage, port, command=tuple(script("import os, sys; sys.exit('no CUDA, ' + os.environ['KEY'])")))
    run.env["KEY"] = SECRET
    assert await run.drive() == 2
    assert run.state.server.trouble_code == "server.start_failed"
    assert "it ended with code 1: no CUDA, ***" in run.state.server.trouble
    assert "it ended with code 1: no CUDA, ***" in run.summary
    assert SECRET not in run.run_dir.journal.read_text()


async def test_a_command_that_never_gets_ready_is_given_up_and_ended(stage: Stage, port: int) -> None:
    slow = tuple(script("import time; print('loading models', flush=True); time.sleep(600)"))
    run = Guarded(stage, port, command=slow, ready_timeout=1.0)
    assert await run.drive() == 2
    assert "it was not ready within 1 s: loading models" in run.state.server.trouble
    assert not alive(run.told(e.ServerStarted)[0].pid)
    assert run.told(e.ServerStopped)[0].skipped == ""


async def test_a_command_that_cannot_be_run(stage: Stage, port: int) -> None:
    run = Guarded(stage, port, command=("/no/such/python", "main.py"))
    assert await run.drive() == 2
    assert run.state.server.trouble_code == "server.start_failed"
    assert "/no/such/python" in run.state.server.trouble
    assert run.told(e.ServerStarted) == []


async def test_without_a_command_nobody_who_answers_is_the_failure_that_it_is(stage: Stage, port: int) -> None:
    run = Guarded(stage, port)
    assert await run.drive() == 2
    assert run.state.server.trouble_code == "server.unreachable"


# --- not ours ---------------------------------------------------------------------------------------------------------


async def test_a_comfyui_that_answers_is_reused_and_never_stopped(stage: Stage, port: int, tmp_path: Path) -> None:
    with foreign(simulator(port, stage.output), ready=listening(port)):
        run = Guarded(stage, port, command=tuple(marked(tmp_path)))
        assert await run.drive() == 0
    assert f"] {REUSED}\n" in run.summary
    assert "stop" not in run.summary
    assert not run.state.server.managed
    assert never_started(tmp_path)


async def test_a_stop_leaves_a_foreign_comfyui_alone(stage: Stage, port: int, tmp_path: Path) -> None:
    with foreign(simulator(port, stage.output, "demo"), ready=listening(port)):
        run = Guarded(stage, port, scenes=2, command=tuple(marked(tmp_path)))
        with run.runner() as runner:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stop_when_executing, runner)
                with anyio.fail_after(40):
                    assert await runner.drive() == 130
    assert REUSED in run.summary
    assert run.told(e.ServerStopped) == []


async def stop_when_executing(runner: Runner) -> None:
    await until(lambda: any(scene.phase == "executing" for scene in runner.hub.state.scenes))
    runner.command(Stop(id="stop"))


def test_every_command_leaves_a_foreign_comfyui_alone(tmp_path: Path, port: int) -> None:
    config = tmp_path / "comfytui.toml"
    words = msgspec.json.encode(marked(tmp_path)).decode()
    config.write_text(f'workflow = "smoke"\n[server]\nurl = "http://127.0.0.1:{port}"\ncommand = {words}\n')
    with foreign(simulator(port, tmp_path / "out"), ready=listening(port)):
        for arguments in (["demo", "--headless"], ["run", str(story(tmp_path, 1)), "--headless"]):
            done = comfytui(*arguments, cwd=tmp_path, COMFYTUI_CONFIG=str(config))
            assert done.returncode == 0, done.stderr
        for name in sorted(path.name for path in tmp_path.glob("runs/2*")):
            assert comfytui("validate", name, cwd=tmp_path).returncode == 0
        with command("--json", cwd=tmp_path, config=config) as watching:
            assert watching.stdout is not None
            assert any(b'"server_reached"' in line for line in watching.stdout)
            watching.send_signal(signal.SIGTERM)
            watching.wait(20)
    assert never_started(tmp_path)


async def test_a_comfyui_that_somebody_starts_in_the_same_moment_is_reused(
    stage: Stage, port: int, tmp_path: Path, strays: list[int]
) -> None:
    theirs = f"subprocess.Popen({simulator(port, stage.output)}, start_new_session=True, stdout=subprocess.PIPE)"
    quicker = f"import subprocess\nother = {theirs}\nother.stdout.readline()\nraise SystemExit(str(other.pid))"
    run = Guarded(stage, port, command=tuple(script(quicker)))
    assert await run.drive() == 0
    strays.append(int((run.run_dir.logs / "comfyui.log").read_text()))
    assert alive(strays[0])
    assert f"ComfyUI (PID {run.told(e.ServerStarted)[0].pid}) died: it ended with code 1" in run.summary
    assert f"] {REUSED}\n" in run.summary
    assert not run.state.server.managed


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"created": 1.0}, "was started at another time"),
        ({"executable": "/usr/bin/another"}, "runs another program"),
        ({"executable": ""}, "its program cannot be read"),
        ({"host": "another-machine"}, "another machine"),
    ],
)
async def test_a_recorded_process_that_is_another_one_now_is_refused(
    stage: Stage, port: int, wrong: dict[str, Any], why: str
) -> None:
    with foreign(simulator(port, stage.output), ready=listening(port)) as process:
        run = Guarded(stage, port, command=tuple(simulator(port, stage.output)))
        run.record(*(await before_a_crash(run)), as_recorded(process.pid, **wrong))
        assert await run.drive("resume") == 0
    assert re.search(rf"\] ComfyUI stop skipped for PID {process.pid}: .*{why}", run.summary)
    assert REUSED in run.summary
    assert not run.state.server.managed


async def before_a_crash(run: Guarded) -> list[e.AnyFact]:
    """Return what a runner that died at once would have recorded."""
    opened = e.RunOpened(
        run_id=run.plan.run_id, run_dir=str(run.run_dir.path), story=run.plan.story, scenes=run.plan.scenes,
        workflow=run.plan.workflow.name, server=run.url, policy=run.plan.policy, version="test",
    )  # fmt: skip
    return [opened, e.RunnerStarted(pid=1, started=1.0, host=this_process().host)]


def as_recorded(pid: int, **wrong: Any) -> e.ServerStarted:
    found = identity_of(pid)
    assert found is not None
    true = {"created": found.created, "executable": found.executable, "host": socket.gethostname()}
    return e.ServerStarted(pid=pid, ready=True, **{**true, **wrong})


@pytest.mark.parametrize("wrong", [{"created": 1.0}, {"executable": "/usr/bin/another"}])
async def test_a_process_that_turns_out_to_be_another_one_is_left_alone_at_the_end(
    stage: Stage, port: int, strays: list[int], wrong: dict[str, Any]
) -> None:
    run = Guarded(stage, port, command=tuple(simulator(port, stage.output)))
    with run.hub() as hub:
        async with run.http() as http, run.guard(hub, http) as guard:
            own = guard._own
            assert own is not None
            strays.append(own.identity.pid)
            own.identity = replace(own.identity, **wrong)
    assert alive(strays[0])
    assert run.told(e.ServerStopped)[0].skipped.startswith(f"process {strays[0]} ")


async def test_a_recorded_process_that_has_ended_is_not_looked_for(stage: Stage, port: int) -> None:
    gone = await anyio.open_process([sys.executable, "-c", ""], stdin=None, stdout=None, stderr=None)
    await gone.wait()
    run = Guarded(stage, port, command=tuple(simulator(port, stage.output)))
    recorded = e.ServerStarted(pid=gone.pid, created=1.0, executable="/x", host=socket.gethostname(), ready=True)
    run.record(*(await before_a_crash(run)), recorded)
    assert await run.drive("resume") == 0
    assert run.told(e.ServerDied) == [e.ServerDied(pid=gone.pid, why="it is gone")]
    assert "skipped" not in run.summary
    assert run.told(e.ServerStopped) == [e.ServerStopped(pid=run.told(e.ServerStarted)[-1].pid)]


# --- a port that somebody else holds ----------------------------------------------------------------------------------


async def test_a_port_held_by_another_http_server_is_named(stage: Stage, port: int, tmp_path: Path) -> None:
    other = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    with foreign(other, ready=listening(port)) as process:
        run = Guarded(stage, port, command=tuple(marked(tmp_path)))
        assert await run.drive() == 2
    assert run.state.server.trouble_code == "server.not_comfyui"
    assert "nothing was started and nothing was ended" in run.state.server.trouble
    if sys.platform == "linux":
        assert f"(PID {process.pid})" in run.state.server.trouble
    assert never_started(tmp_path)


@pytest.mark.parametrize("manner", ["garbage", "hangs up", "silent"])
async def test_a_port_held_by_something_that_speaks_no_http_is_named(
    stage: Stage, port: int, tmp_path: Path, manner: str
) -> None:
    run = Guarded(stage, port, command=tuple(marked(tmp_path)))
    with held(port, manner), run.hub() as hub, pytest.raises(Failure) as raised:
        async with run.http(0.5) as http, run.guard(hub, http):
            raise AssertionError("that is no ComfyUI")
    assert raised.value.code == "server.not_comfyui"
    if sys.platform == "linux":
        assert f"(PID {os.getpid()})" in raised.value.what
    assert never_started(tmp_path)


class held:
    """Somebody who listens on ``port`` and speaks no HTTP."""

    def __init__(self, port: int, manner: str) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        self._manner = manner
        self._open: list[socket.socket] = []
        self._port, self._leaving = port, False
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while True:
            taken, _ = self._listener.accept()
            if self._leaving:
                taken.close()
                return
            if self._manner == "garbage":
                taken.sendall(b"220 mail.example ESMTP\r\n")
                self._open.append(taken)
            elif self._manner == "silent":
                self._open.append(taken)
            else:
                taken.close()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._leaving = True
        socket.create_connection(("127.0.0.1", self._port)).close()
        self._thread.join()
        self._listener.close()
        for each in self._open:
            each.close()


async def test_a_server_of_ours_that_others_render_on_is_left_to_them(
    stage: Stage, port: int, strays: list[int]
) -> None:
    run = Guarded(stage, port, command=tuple(simulator(port, stage.output, "realistic")))
    values = Values(prefix="theirs", prompt="p", negative="", keyframe="", seed=1, frame_count=9)
    with run.hub() as hub:
        async with run.http() as http, run.guard(hub, http):
            strays.append(run.told(e.ServerStarted)[0].pid)
            await http.submit(render(stage.workflow, values), "00000000-0000-4000-8000-000000000001", "another")
    assert alive(strays[0])
    assert run.told(e.ServerStopped)[0].skipped == "1 prompt of others is in its queue"


# --- a server of ours that dies ---------------------------------------------------------------------------------------


@posix_only
async def test_a_server_that_dies_in_the_middle_is_started_again_and_the_run_finishes(stage: Stage, port: int) -> None:
    run = Guarded(stage, port, scenes=2, command=tuple(simulator(port, stage.output, "demo")))
    with run.runner() as runner:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kill_when_executing, runner)
            with anyio.fail_after(40):
                assert await runner.drive() == 0
    assert [(died.pid, died.why.partition(":")[0]) for died in run.told(e.ServerDied)] == [
        (run.told(e.ServerStarted)[0].pid, "it was ended by SIGKILL")
    ]
    assert run.state.server.restarts == 1
    assert run.state.scenes[0].attempts[0].status == "lost"
    assert all(scene.success for scene in run.state.scenes)
    assert [str(finding) for finding in validate_run(run.run_dir.path)] == []
    assert not alive(run.told(e.ServerStarted)[-1].pid)
    assert run.summary.count("ComfyUI started with PID") == 2


async def kill_when_executing(runner: Runner) -> None:
    await until(lambda: any(scene.phase == "executing" for scene in runner.hub.state.scenes))
    own = runner.hub.state.server.own
    assert own is not None
    psutil.Process(own.pid).kill()


async def test_a_server_that_dies_every_time_is_given_up(
    stage: Stage, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_guard, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(server_guard, "LOOK", 0.05)
    short = f"{STATS}threading.Thread(target=serve, daemon=True).start()\ntime.sleep(0.6)\nsys.exit('out of luck')"
    run = Guarded(stage, port, command=tuple(script(short, port)))
    with run.hub() as hub:
        async with run.http() as http, run.guard(hub, http) as guard:
            with anyio.fail_after(30):
                await guard.keep_running()
            assert not guard.managed
    assert len(run.told(e.ServerDied)) == 4
    assert "out of luck" in run.told(e.ServerDied)[0].why
    assert [note.level for note in run.told(e.RunNoted)] == ["error"]
    assert run.state.server.restarts == 3


# --- a runner that dies -----------------------------------------------------------------------------------------------


@posix_only
async def test_a_runner_that_is_killed_leaves_its_server_to_the_next_one(
    stage: Stage, port: int, tmp_path: Path, strays: list[int]
) -> None:
    words = msgspec.json.encode(simulator(port, stage.output, "demo")).decode()
    address = f'[server]\nurl = "http://127.0.0.1:{port}"\n'
    (tmp_path / "comfytui.toml").write_text(
        f'workflow = "smoke"\n{address}command = {words}\n[server.env]\nHF_TOKEN = "{SECRET}"\n'
    )
    arguments = ("run", str(story(tmp_path, 2)), "--headless")
    with command(*arguments, cwd=tmp_path, config=tmp_path / "comfytui.toml") as process:
        assert process.stdout is not None
        assert any(b"Attempt 1 executing" in line for line in process.stdout)
        process.kill()
    taken = Guarded.of(stage, find_run(tmp_path / "runs").path)
    own = taken.state.server.own
    assert own is not None
    strays.append(own.pid)
    assert alive(own.pid), "it renders on while its runner is away"
    assert await taken.drive("resume") == 0
    assert not alive(own.pid)
    assert f"ComfyUI with PID {own.pid} was started by this run; going on with it" in taken.summary
    assert f"ComfyUI with PID {own.pid} stopped" in taken.summary
    assert len(taken.told(e.ServerStarted)) == 2, "it was not started again"
    assert [str(finding) for finding in validate_run(taken.run_dir.path)] == []
    files = [path for path in taken.run_dir.path.rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


async def test_what_a_dead_server_left_behind_is_ended(stage: Stage, port: int, tmp_path: Path) -> None:
    child = (
        "import subprocess, sys\nprint(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid)"
    )
    own = await anyio.to_thread.run_sync(
        lambda: OwnServer.start(script(child), cwd=None, env={}, log=tmp_path / "server.log")
    )
    await until(lambda: not own.runs())
    left = int((tmp_path / "server.log").read_text())
    assert own.how_it_ended() == "it ended with code 0"
    assert alive(left) or sys.platform == "win32"
    assert await own.stop(5.0, Guarded(stage, port).clock) is None
    assert not alive(left) or sys.platform == "win32"
