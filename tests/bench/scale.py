"""A long story at the simulator's full speed: scenes a second, memory, the journal, and whether the end costs more.

Scenes of one small frame, so that nearly all of the time is the runner's and the simulator's own. What the last scenes
cost over the first ones tells whether anything grows with the scenes that are over.
"""

import tempfile
import time
from itertools import pairwise
from pathlib import Path

import psutil

from comfytui.model import events as e
from tests.bench.rendering import Json, Rendered, render, run_alone, server
from tests.bench.table import Figure, Table, quantile

SCENES, SLICE, EDGE = 10_000, 100, 10
"""Scenes of the story, those whose time is taken together, and how many such slices the beginning and the end have."""
PATIENCE = 3600.0
SETTLED = 0.05
"""The share of the scenes after which the runner remembers as many frames and lines as it ever does: the newest 400."""

LIMITS = (
    "one slice of 100 scenes, 3 s, may take half as long again on a shared machine: the medians of ten are compared. "
    "A third of the runner's CPU goes into the four requests of a scene, whose replies the telemetry needs; a tenth "
    "into its facts, folded and journalled. "
    "The output folder, one for the whole run, takes 4 ms of CPU to list with 10,000 names: for frames that history "
    "did not report it is listed for a hundredth of the time at most, and the watcher's sweep takes another. "
    "The memory after the last scene is the runner's own 45 MB, and what is kept of each scene: its brief, its packed "
    "attempt and the frames that the watcher knows. At the end validation folds the journal once more, and the archive "
    "holds 0.8 kB for each of its entries, four a scene, until its directory is written"
)

WORKFLOW: Json = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 64, "height": 64, "batch_size": "__FRAME_COUNT__", "color": "__SEED__"},
    },
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "__SCENE_PREFIX__"}},
}


class Memory:
    """The resident memory of a process as time goes by, and the CPU it used: epoch seconds, bytes, seconds of CPU."""

    def __init__(self) -> None:
        self.looks: list[tuple[float, int, float]] = []

    def look(self, pid: int) -> None:
        """Take down how the process ``pid`` stands now; nothing when it has just ended."""
        try:
            process = psutil.Process(pid)
            used = process.cpu_times()
            self.looks.append((time.time(), process.memory_info().rss, used.user + used.system))
        except psutil.NoSuchProcess:
            return

    def at(self, moment: float) -> tuple[float, int, float]:
        """Return the look nearest to ``moment``."""
        return min(self.looks, key=lambda look: abs(look[0] - moment))

    def cpu(self, begin: float, end: float) -> float:
        """Return the seconds of CPU that were used from ``begin`` to ``end``."""
        return self.at(end)[2] - self.at(begin)[2]


def measure(scenes: int = SCENES) -> Table:
    """Render a story of ``scenes`` scenes and look at the runner meanwhile."""
    memory = Memory()
    with tempfile.TemporaryDirectory(prefix="comfytui-bench-") as scratch, server(None, Path(scratch)) as url:
        folder = Path(scratch) / "long"
        rendered = render(url, folder, workflow=WORKFLOW, scenes=scenes, frames=1, watch=memory.look, patience=PATIENCE)
        (journal,) = (folder / "runs").glob("2*/events.jsonl")
        size = journal.stat().st_size
    return Table(f"A story of {scenes:,} scenes at full speed", _figures(rendered, memory, scenes, size), [LIMITS])


def _figures(rendered: Rendered, memory: Memory, scenes: int, size: int) -> list[Figure]:
    began = next(fact.at.timestamp() for fact in rendered.facts if isinstance(fact.event, e.AttemptPlanned))
    ends = [began, *(fact.at.timestamp() for fact in rendered.facts if isinstance(fact.event, e.SceneEnded))]
    slices = [after - before for before, after in pairwise(ends[::SLICE])]
    settled, validated, archived = (
        next(fact.at.timestamp() for fact in rendered.facts if isinstance(fact.event, kind))
        for kind in (e.RunSettled, e.RunValidated, e.RunArchived)
    )
    early, late = memory.at(ends[int(SETTLED * scenes)]), memory.at(ends[-1])
    many = max(1, scenes // 10)
    first, last = (memory.cpu(ends[at], ends[at + many]) for at in (0, scenes - many))
    at_beginning, at_end = (quantile(edge, 0.5) for edge in (slices[:EDGE], slices[-EDGE:]))
    between = (1 - SETTLED) * scenes
    return [
        Figure(f"{SLICE} scenes at the end / at the beginning", at_end / at_beginning, most=1.1),
        Figure(f"CPU of the runner: last {many:,} scenes / first {many:,}", last / first, most=1.1),
        Figure("memory of the runner a scene", (late[1] - early[1]) / between / 1000, "kB", most=2),
        Figure("memory of the runner after the last scene", late[1] / 1e6, "MB"),
        Figure("memory of the runner at its most", max(look[1] for look in memory.looks) / 1e6, "MB"),
        Figure("scenes a second", scenes / (ends[-1] - ends[0]), "/s"),
        Figure("CPU of the runner a scene", 1000 * (late[2] - early[2]) / between, "ms"),
        Figure("journal a scene", size / scenes / 1000, "kB"),
        Figure("facts a scene", len(rendered.facts) / scenes, ""),
        Figure("command start to first intent", began - rendered.began, "s"),
        Figure("last scene's end to command end", rendered.ended - ends[-1], "s"),
        Figure("of that: metadata and validation a scene", 1000 * (validated - settled) / scenes, "ms"),
        Figure("of that: the archive a scene", 1000 * (archived - validated) / scenes, "ms"),
    ]


if __name__ == "__main__":
    run_alone("scale")
