"""Secrets of the environment and doors of a run, with real processes: nothing leaks while it runs or afterwards."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from comfytui.link.endpoint import read_pointer
from comfytui.records.lock import holder_of
from comfytui.records.rundir import find_run
from tests.e2e.command import COMMAND, comfytui, environment, started, story
from tests.e2e.test_processes import end, eventually

TOKEN = "tok-5f2c9a7e10"
HEADERS = '{"X-Api-Key": "key-81d0b3c2", "Cookie": "session=cook-77aa91"}'
SECRETS = ("tok-5f2c9a7e10", "key-81d0b3c2", "cook-77aa91")
SIMULATOR = " sim --port 0"


def told_secrets(folder: Path) -> dict[str, str]:
    """Return the environment of a person with logins, whose home and temporary folder are in ``folder``."""
    for name in ("home", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    places = {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "TEMP": str(folder / "tmp")}
    return {"COMFYTUI_TOKEN": TOKEN, "COMFYTUI_HEADERS": HEADERS, **places}


class Watch:
    """Looks at a process and its children again and again: command lines, environments, and where they listen."""

    def __init__(self, pid: int) -> None:
        self.command_lines: set[str] = set()
        self.foreign_environments: set[str] = set()
        self.listening: set[str] = set()
        self._root = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.is_set():
            try:
                processes = [self._root, *self._root.children(recursive=True)]
            except psutil.Error:
                return
            for process in processes:
                self._note(process)
            time.sleep(0.02)

    def _note(self, process: "psutil.Process") -> None:
        try:
            line = " ".join(process.cmdline())
            self.command_lines.add(line)
            if SIMULATOR in line:
                self.foreign_environments.add(str(sorted(process.environ().items())))
            self.listening |= {one.laddr.ip for one in process.net_connections("inet") if one.status == "LISTEN"}
        except (psutil.Error, OSError):
            return

    def end(self) -> None:
        self._over.set()
        self._thread.join(5)


def leaks(text: str | bytes) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    return [secret for secret in SECRETS if secret.encode() in data]


def everything_in(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield each file below ``folder`` with its content, and what is packed in archives."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        yield str(path), path.read_bytes()
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    yield f"{path}:{name}", archive.read(name)


@pytest.mark.parametrize("face", ["--json", "--headless"])
def test_a_run_leaves_its_secrets_nowhere(tmp_path: Path, face: str) -> None:
    arguments = ["run", str(story(tmp_path, scenes=6)), "--server", "sim", "--workflow", "smoke", "--verbose", face]
    process = started(*arguments, cwd=tmp_path, **told_secrets(tmp_path))
    watch = Watch(process.pid)
    out, err = process.communicate(timeout=50)
    watch.end()
    assert process.returncode == 0, err
    assert any(SIMULATOR in line for line in watch.command_lines), "the simulator was seen"
    for line in watch.command_lines:
        assert leaks(line) == [], line
    assert watch.foreign_environments
    assert leaks("".join(watch.foreign_environments)) == [], "what we start does not get our logins"
    assert watch.listening
    assert watch.listening <= {"127.0.0.1", "::1"}
    assert leaks(out) == []
    assert leaks(err) == []
    files = dict(everything_in(tmp_path))
    assert any(name.endswith("events.jsonl") for name in files)
    assert any(".zip:" in name for name in files)
    assert [name for name, data in files.items() if leaks(data)] == []


@pytest.mark.parametrize(
    ("server", "code"), [("http://127.0.0.1:9", 2), ("http://me:tok-5f2c9a7e10@127.0.0.1:9", 2), ("http://[", 2)]
)
@pytest.mark.parametrize("face", ["--json", "--headless"])
def test_a_run_that_fails_tells_no_secret(tmp_path: Path, server: str, code: int, face: str) -> None:
    secrets = {**told_secrets(tmp_path), "COMFYTUI_SERVER": server}
    done = comfytui("run", str(story(tmp_path)), face, cwd=tmp_path, timeout=50, **secrets)
    assert done.returncode == code
    assert leaks(done.stdout + done.stderr) == []
    assert "Traceback" not in done.stdout + done.stderr
    assert [name for name, data in everything_in(tmp_path) if leaks(data)] == []


@pytest.mark.parametrize("headers", ['{"X-Key": "key-81d0b3c2\\nX-More: 1"}', "key-81d0b3c2", '{"key-81d0b3c2', "X: ü"])
def test_secrets_that_cannot_be_sent_are_refused_unseen(tmp_path: Path, headers: str) -> None:
    secrets = {**told_secrets(tmp_path), "COMFYTUI_HEADERS": headers}
    done = comfytui("run", str(story(tmp_path)), "--server", "sim", "--headless", cwd=tmp_path, timeout=50, **secrets)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert leaks(done.stdout + done.stderr) == []
    assert [name for name, data in everything_in(tmp_path) if leaks(data)] == []


@pytest.fixture
def near() -> Iterator[Path]:
    """A folder with a path short enough for a socket in a run, however long those of pytest are."""
    with tempfile.TemporaryDirectory(prefix="night-", ignore_cleanup_errors=True) as place:
        yield Path(place)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pty, and modes of files")
def test_the_processes_behind_a_dashboard_keep_secrets_and_doors_shut(near: Path) -> None:
    import pty

    master, slave = pty.openpty()
    shown = bytearray()

    def drain() -> None:
        while True:
            try:
                shown.extend(os.read(master, 65536))
            except OSError:
                return

    arguments = ["run", str(story(near, scenes=3)), "--server", "sim", "--workflow", "smoke"]
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=near, env=environment(TERM="xterm-256color", **told_secrets(near)),
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    watch = Watch(process.pid)
    try:
        eventually(lambda: any(near.glob("runs/2*/run.link")))
        run = find_run(near / "runs")
        pointer = read_pointer(run.path)
        assert pointer is not None
        runner = psutil.Process(pointer.pid)
        beside = Watch(runner.pid)
        door = run.path / pointer.path
        assert stat.S_IMODE(door.stat().st_mode) == 0o600
        assert stat.S_IMODE(door.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE((run.path / "run.link").stat().st_mode) == 0o600
        eventually(lambda: any(SIMULATOR in line for line in beside.command_lines))
        eventually(lambda: bool(beside.listening))
        beside.end()
        runner.send_signal(signal.SIGTERM)
        eventually(lambda: holder_of(run) is None)
    finally:
        watch.end()
        end(process)
        os.close(master)
        reader.join(5)
    lines = watch.command_lines | beside.command_lines
    assert any("runner" in line for line in lines)
    assert [line for line in lines if leaks(line)] == []
    assert watch.listening | beside.listening <= {"127.0.0.1", "::1"}
    assert leaks("".join(beside.foreign_environments)) == []
    assert leaks(bytes(shown)) == []
    assert [name for name, data in everything_in(near) if leaks(data)] == []
    assert pointer.token.encode() not in b"".join(data for _, data in everything_in(run.path)), "and no key of a door"
