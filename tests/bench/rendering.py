"""A story rendered by the real command in a process of its own, on a simulator or a real server."""

import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfytui.model import events as e
from comfytui.model.envelope import Envelope
from comfytui.records import journal
from tests.e2e.command import COMMAND, environment

PATIENCE = 120.0
LOOK_EVERY = 0.2
"""Seconds between two looks at a running command."""
READY = "ComfyUI simulator ready at "

Json = dict[str, Any]


@dataclass(frozen=True)
class Rendered:
    """A run that is over: ``began`` and ``ended`` of its whole process (epoch seconds), and what its journal tells."""

    began: float
    ended: float
    facts: list[Envelope]

    @property
    def prompts(self) -> dict[str, str]:
        """The prompt id of each scene's first attempt."""
        planned = [fact.event for fact in self.facts if isinstance(fact.event, e.AttemptPlanned)]
        return {event.scene: event.prompt_id for event in planned if event.attempt == 1}


@contextlib.contextmanager
def server(given: str | None, scratch: Path) -> Iterator[str]:
    """Return the URL of the ``given`` server, else of an instant simulator in a process of its own."""
    if given is not None:
        yield given.rstrip("/")
        return
    output = scratch / "output"
    command = [*COMMAND, "sim", "--port", "0", "--speed", "instant", "--output-dir", str(output), "--exit-with-parent"]
    with subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sim:
        assert sim.stdout is not None and sim.stdin is not None
        try:
            line = sim.stdout.readline()
            if not line.startswith(READY):
                raise RuntimeError(f"the simulator did not start: {line!r}")
            yield line.removeprefix(READY).strip()
        finally:
            sim.stdin.close()  # it ends with its standard input
            try:
                sim.wait(timeout=10)
            except subprocess.TimeoutExpired:
                sim.kill()


def render(
    url: str | Sequence[str],
    folder: Path,
    *,
    workflow: Json,
    scenes: int,
    frames: int,
    keyframe: Path | None = None,
    watch: Callable[[int], None] | None = None,
    patience: float = PATIENCE,
) -> Rendered:
    """Render ``scenes`` scenes of ``frames`` frames with ``comfytui run --headless`` in ``folder``, which is made.

    Several servers share the run.

    ``watch`` is called with the process id every :data:`LOOK_EVERY` seconds while it runs, for ``patience`` seconds at
    most. Raises ``RuntimeError`` when the run does not end with exit code 0: then there is nothing to measure.
    """
    folder.mkdir(parents=True)
    story, graph, told = folder / "story.json", folder / "workflow.json", folder / "told.txt"
    graph.write_text(json.dumps(workflow), encoding="utf-8")
    scene = {"prompt": "a lighthouse", "expectedFrames": frames} | ({"keyframePath": str(keyframe)} if keyframe else {})
    story.write_text(json.dumps({"storyId": "bench", "scenes": [scene] * scenes}), encoding="utf-8")
    command = [*COMMAND, "run", str(story), "--workflow", str(graph), "--headless"]
    for each in [url] if isinstance(url, str) else url:
        command += ["--server", each]
    began = time.time()
    with told.open("wb") as out, subprocess.Popen(
        [*command, "--runs-dir", str(folder / "runs")], env=environment(), stdin=subprocess.DEVNULL,
        stdout=out, stderr=out,
    ) as process:  # fmt: skip
        code = _ended(process, watch, began + patience)
    ended = time.time()
    if code != 0:
        raise RuntimeError(f"the run ended with {code}: {told.read_text(encoding='utf-8')[-4000:]}")
    (run,) = (folder / "runs").glob("2*")
    return Rendered(began, ended, list(journal.read(run / "events.jsonl")))


def _ended(process: "subprocess.Popen[bytes]", watch: Callable[[int], None] | None, until: float) -> int | None:
    """Return the exit code; ``None`` when it had not ended at the time ``until``, and was killed."""
    while time.time() < until:
        try:
            return process.wait(timeout=LOOK_EVERY if watch else until - time.time())
        except subprocess.TimeoutExpired:
            if watch is not None:
                watch(process.pid)
    process.kill()
    return None


def ask(url: str, path: str, body: Json | None = None) -> Any:
    """Return the JSON that the server answers to GET, or to POST with ``body``."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def executed(url: str, prompt_id: str) -> tuple[float, float] | None:
    """Return when the prompt's execution began and succeeded (epoch seconds, the server's); ``None`` before its end."""
    entry = ask(url, f"/history/{prompt_id}").get(prompt_id)
    if entry is None:
        return None
    at = {name: data["timestamp"] / 1000 for name, data in entry["status"]["messages"]}
    return at["execution_start"], at["execution_success"]


def run_alone(name: str) -> None:
    """Run one benchmark as ``python -m tests.bench.NAME``, and leave."""
    from tests.bench.__main__ import main

    sys.exit(main(sys.argv[1:], only=name))
