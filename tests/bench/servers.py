"""How close four servers come to four times the speed of one, and what a death half way and a slow one cost.

Real time: every simulator is a process of its own, and so is the command. Ideal is the work divided by the speed of all
servers together: of what was left when one was killed, the speed of those that were left.
"""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from comfytui.model import events as e
from comfytui.model.fold import fold_all
from tests.bench.rendering import READY, Json, Rendered, render, run_alone
from tests.bench.table import Figure, Table
from tests.e2e.command import environment

SCENES, SECONDS, SERVERS, SLOWER = 40, 0.5, 4, 4
WORKFLOW: Json = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": "__SEED__"}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "__SCENE_PREFIX__"}},
}


def measure() -> Table:
    """Render 40 scenes of 0.5 s on four servers, all well; then with one slow by 4 and one killed half way."""
    with tempfile.TemporaryDirectory(prefix="comfytui-bench-") as scratch:
        whole, share = _all_well(Path(scratch) / "well")
        ratio, left, moved = _one_killed(Path(scratch) / "killed")
    figures = [
        Figure("four servers: first prompt to last scene / ideal", whole, most=1.10),
        Figure("four servers: most scenes of one / its share", share),
        Figure("one slow by 4, one killed half way: time that was left / ideal", ratio, most=1.25),
    ]
    notes = [f"{left} scenes were left when one was killed, {moved} attempts went to another server"]
    return Table(f"{SERVERS} servers, {SCENES} scenes of {SECONDS:g} s: wall time against the ideal", figures, notes)


def _all_well(folder: Path) -> tuple[float, float]:
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(paced(folder / f"output-{n}", SECONDS))[0] for n in range(SERVERS)]
        rendered = render(urls, folder / "run", workflow=WORKFLOW, scenes=SCENES, frames=1)
    began, ended = _first(rendered), _last(rendered)
    shares = Counter(fact.event.server for fact in rendered.facts if isinstance(fact.event, e.AttemptPlanned))
    ideal = SCENES * SECONDS / SERVERS
    return (ended - began).total_seconds() / ideal, max(shares.values()) * SERVERS / SCENES


def _one_killed(folder: Path) -> tuple[float, int, int]:
    killed: list[float] = []
    with contextlib.ExitStack() as stack:
        speeds = [SECONDS] * (SERVERS - 1) + [SECONDS * SLOWER]
        servers = [stack.enter_context(paced(folder / f"output-{n}", each)) for n, each in enumerate(speeds)]

        def kill_half_way(_: int) -> None:
            journals = list(folder.glob("run/runs/2*/events.jsonl"))
            if not killed and journals and journals[0].read_bytes().count(b'"scene_ended"') >= SCENES // 2:
                servers[0][1].kill()
                killed.append(time.time())

        rendered = render(
            [url for url, _ in servers], folder / "run", workflow=WORKFLOW, scenes=SCENES, frames=1, watch=kill_half_way
        )
    before = [fact for fact in rendered.facts if fact.at.timestamp() <= killed[0]]
    left = SCENES - sum(isinstance(fact.event, e.SceneEnded) for fact in before)
    state = fold_all(rendered.facts)
    if not all(scene.success and scene.meets_floor for scene in state.scenes):
        raise RuntimeError("not every scene is valid")
    ideal = left * SECONDS / (SERVERS - 2 + 1 / SLOWER)
    moved = sum(len(scene.attempts) - 1 for scene in state.scenes)
    return (_last(rendered).timestamp() - killed[0]) / ideal, left, moved


def _first(rendered: Rendered) -> datetime:
    return next(fact.at for fact in rendered.facts if isinstance(fact.event, e.AttemptPlanned))


def _last(rendered: Rendered) -> datetime:
    return next(fact.at for fact in reversed(rendered.facts) if isinstance(fact.event, e.SceneEnded))


@contextlib.contextmanager
def paced(output: Path, seconds: float) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Serve a simulator in a process of its own, ``seconds`` for each frame; return its URL and its process."""
    output.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.bench.paced", str(output), str(seconds)]
    with subprocess.Popen(
        command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        try:
            line = process.stdout.readline()
            if not line.startswith(READY):
                raise RuntimeError(f"the simulator did not start: {line!r}")
            yield line.removeprefix(READY).strip(), process
        finally:
            process.stdin.close()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


if __name__ == "__main__":
    run_alone("servers")
