"""Real processes that are killed at random points, taken up again, and what must be true in the end."""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import msgspec

from comfytui.model import events as e
from comfytui.model.artifact import ArtifactMetadata
from comfytui.model.fold import fold_all
from comfytui.records import journal
from comfytui.records.damage import lost_frames
from comfytui.records.rundir import RunDir, find_run
from comfytui.records.validate import validate_run
from tests.e2e.command import COMMAND, environment, story

SCENES, FRAMES = 6, 5
FACTS = 90
"""Lines of the journal at which such a run is still under way."""

LONGEST = 45.0


class Server:
    """The simulator in a process of its own: killed, and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        self.output, self.log = folder / "output", folder / "executed.jsonl"
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.faults.logged_simulator"]
        with (self.log.parent / "simulator.log").open("ab") as errors:
            self._process = subprocess.Popen(
                [*command, str(self._port), str(self.output), str(self.log)], env=environment(),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().decode().strip()
        assert self.url.startswith("http"), (self.log.parent / "simulator.log").read_text()
        self._port = int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    def executed(self) -> list[tuple[int, str]]:
        """Return the life and the id of each prompt that was executed, in order. Raises where one still is."""
        told = httpx.get(f"{self.url}/prompt").json()
        assert told["exec_info"]["queue_remaining"] == 0, "prompts were left on the server"
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        return [(line["life"], line["prompt"]) for line in map(json.loads, lines)]


class KilledRun:
    """A run of six short scenes in ``folder`` on ``server``, killed and resumed by the dice of ``seed``."""

    def __init__(self, folder: Path, server: Server, seed: int) -> None:
        self.folder, self.server = folder, server
        self.dice = random.Random(seed)
        self.kills: list[int] = []
        """How many lines the journal had when a process was killed."""
        self._process: subprocess.Popen[bytes] | None = None

    # --- the processes -------------------------------------------------------------------------------------------

    def begin(self) -> None:
        path = story(self.folder, scenes=SCENES, frames=FRAMES)
        self._start("run", str(path), "--server", self.server.url, "--workflow", "smoke", "--headless")

    def resume(self) -> None:
        self._start("resume", "--headless")

    def _start(self, *arguments: str) -> None:
        with (self.folder / "runner.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*COMMAND, *arguments], cwd=self.folder, env=environment(), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log,
            )  # fmt: skip

    def wait_for_lines(self, more: int) -> bool:
        """Return at a random moment after the journal has got ``more`` lines; ``False`` when the runner ended first."""
        wanted, deadline = self.lines() + more, time.monotonic() + LONGEST
        while self.lines() < wanted:
            assert self._process is not None
            assert time.monotonic() < deadline, self.told()
            if self._process.poll() is not None:
                return False
            time.sleep(0.003)
        time.sleep(self.dice.uniform(0, 0.06))
        return True

    def kill(self) -> None:
        assert self._process is not None
        self.kills.append(self.lines())
        self._process.kill()
        self._process.wait()

    def ended(self) -> int:
        """Return the exit code of the runner, once it has ended by itself."""
        assert self._process is not None
        try:
            return self._process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(self.told()) from None

    def clean_up(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    # --- what came of it -----------------------------------------------------------------------------------------

    @property
    def run_dir(self) -> RunDir:
        return find_run(self.folder / "runs")

    def lines(self) -> int:
        return sum(path.read_bytes().count(b"\n") for path in self.folder.glob("runs/2*/events.jsonl"))

    def told(self) -> str:
        return (self.folder / "runner.log").read_text(encoding="utf-8", errors="replace")[-6000:]

    def check(self) -> None:
        """Hold the run to what every run must be in the end, whatever was killed."""
        run = self.run_dir
        findings = [str(finding) for finding in validate_run(run.path) if finding.level != "warning"]
        assert findings == [], self.told()
        metadata = msgspec.json.decode(run.metadata.read_bytes(), type=ArtifactMetadata)
        assert [(s.success, s.frame_count, len(s.frames)) for s in metadata.scenes] == [(True, FRAMES, FRAMES)] * SCENES
        state = fold_all(journal.read(run.journal))
        assert lost_frames(run, state) == []
        assert self.lost() == []
        twice = [one for one, times in Counter(self.server.executed()).items() if times > 1]
        assert twice == [], "a server that lived executed a prompt twice"

    def lost(self) -> list[str]:
        """Return the frames that the journal ever called proven and that are not in the run folder now."""
        run, lost = self.run_dir, []
        folders = {scene.id: scene.brief.folder for scene in fold_all(journal.read(run.journal)).scenes}
        for envelope in journal.read(run.journal):
            if isinstance(fact := envelope.event, e.FrameProven):
                path = run.frames(folders[fact.scene], fact.attempt) / fact.frame.name
                if not path.is_file() or path.stat().st_size != fact.frame.bytes:
                    lost.append(str(path))
        return lost
