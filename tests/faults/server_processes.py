"""Real processes for the guard's tests: ComfyUI-like servers, some that misbehave, and the runs that use them."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import psutil  # type: ignore[import-untyped,unused-ignore]
from msgspec.structs import replace

from comfytui.clock import system_clock
from comfytui.engine.hub import Hub
from comfytui.engine.runner import Reason, Runner
from comfytui.engine.server.credentials import Credentials
from comfytui.engine.server.guard import ServerGuard
from comfytui.model import events as e
from comfytui.model.fold import fold_all
from comfytui.model.plan import RunPlan, ServerPlan
from comfytui.model.state import State
from comfytui.records import journal
from comfytui.records.journal import Journal
from comfytui.records.rundir import RunDir, create_run, read_plan, write_plan
from comfytui.sources.comfy.address import ServerAddress
from comfytui.sources.comfy.http import ComfyHttp
from tests.e2e.command import environment, started
from tests.engine.stage import Stage, brief

LONGEST = 40.0
"""Real seconds after which a run that does not end is a failed test."""

STATS = """
import http.server, json, sys, threading, time
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.path == "/system_stats"
        body = json.dumps({"system": {"os": "posix", "comfyui_version": "0.8.0", "argv": []}, "devices": []}).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer.allow_reuse_address = True
serve = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever
"""
"""The least that passes for a ComfyUI: call ``serve``."""


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def simulator(port: int, output: Path, speed: str = "instant") -> list[str]:
    """Return the command of a simulator that stands for ComfyUI."""
    return [sys.executable, "-m", "comfytui", "sim", "--port", str(port), "--speed", speed, "--output-dir", str(output)]


def script(text: str, port: int = 0) -> list[str]:
    """Return the command that runs ``text``."""
    return [sys.executable, "-c", text, str(port)]


def alive(pid: int) -> bool:
    """Tell whether the process runs: it is there, and no zombie."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def foreign(command: list[str], *, ready: Callable[[], bool]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server that comfytui did not start; it must still run at the end."""
    process = subprocess.Popen(
        command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        waiting = psutil.Process(process.pid)
        for _ in range(400):
            if ready():
                break
            assert waiting.status() != psutil.STATUS_ZOMBIE
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        assert ready()
        yield process
        assert process.poll() is None, "what comfytui did not start, it must not end"
    finally:
        process.kill()
        process.wait()


@contextmanager
def command(*arguments: str, cwd: Path, config: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run comfytui with the configuration ``config``; it is ended with the test, whatever becomes of it."""
    process = started(*arguments, cwd=cwd, COMFYTUI_CONFIG=str(config))
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def listening(port: int) -> Callable[[], bool]:
    """Return a look at whether somebody listens on ``port``."""

    def look() -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", port)) == 0

    return look


class Guarded:
    """One run folder with a plan whose server is at ``port``, and what came of it."""

    def __init__(self, stage: Stage, port: int, scenes: int = 1, **server: Any) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.clock = system_clock()
        stage.clock = self.clock
        self.run_dir: RunDir = create_run(stage.runs, self.clock)
        server.setdefault("stop_grace", 5.0)
        self.server = ServerPlan(url=self.url, watch="poll", **server)
        plan = stage.plan(self.run_dir, self.url, tuple(brief(number + 1, 3) for number in range(scenes)))
        self.plan: RunPlan = replace(plan, server=self.server)
        write_plan(self.run_dir, self.plan, b"{}")
        self.env: dict[str, str] = {"PYTHONPATH": environment()["PYTHONPATH"]}

    @classmethod
    def of(cls, stage: Stage, folder: Path) -> "Guarded":
        """Return the run in ``folder``, which another process began."""
        run = cls(stage, 1)
        run.run_dir = RunDir(folder)
        run.plan = read_plan(run.run_dir)
        run.server, run.url = run.plan.server, run.plan.server.url
        return run

    def runner(self, reason: Reason = "run") -> Runner:
        """Return a runner of the run."""
        return Runner(self.run_dir, self.plan, self.clock, Credentials(server_env=self.env), reason)

    async def drive(self, reason: Reason = "run") -> int:
        """Drive the run to its end and return its exit code."""
        with self.runner(reason) as runner, anyio.fail_after(LONGEST):
            return await runner.drive()

    @contextmanager
    def hub(self) -> Iterator[Hub]:
        """Return a hub on the run's journal, for a guard by itself."""
        kept = Journal(self.run_dir.journal)
        try:
            yield Hub(self.plan.run_id, self.clock, kept, self.state)
        finally:
            kept.close()

    def guard(self, hub: Hub, http: ComfyHttp) -> ServerGuard:
        """Return a guard for the plan's server."""
        log = self.run_dir.logs / "comfyui.log"
        return ServerGuard(hub, self.server, http, self.clock, env=self.env, log=log)

    def http(self, timeout: float = 5.0) -> ComfyHttp:
        """Return a client of the server."""
        return ComfyHttp(ServerAddress.parse(self.url), timeout)

    def record(self, *facts: e.AnyFact) -> None:
        """Write into the journal what a runner before us knew."""
        with self.hub() as hub:
            for fact in facts:
                hub.publish(fact)

    @property
    def events(self) -> list[e.AnyEvent]:
        """What the journal holds."""
        path = self.run_dir.journal
        return [envelope.event for envelope in journal.read(path)] if path.exists() else []

    @property
    def state(self) -> State:
        """What the journal amounts to."""
        return fold_all(journal.read(self.run_dir.journal)) if self.run_dir.journal.exists() else State()

    @property
    def summary(self) -> str:
        """``run-summary.txt``."""
        return self.run_dir.summary.read_text(encoding="utf-8")

    def told(self, kind: type[e.Fact]) -> list[Any]:
        """Return the facts of one kind."""
        return [event for event in self.events if isinstance(event, kind)]
