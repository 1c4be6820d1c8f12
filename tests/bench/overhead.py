"""How much of a run is not execution: does the server idle between scenes, and what does the runner add around them?

Real time, the simulator (or a real server) in a process of its own, the real command in another. The sum of the
execution times is the server's: ``execution_start`` to ``execution_success`` in its history. A bare client that puts
every prompt onto the server at once shows what the server itself loses between two prompts.
"""

import tempfile
import time
import uuid
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.bench.rendering import PATIENCE, Json, ask, executed, render, run_alone, server
from tests.bench.table import Figure, Table, quantile

FRAMES, STEPS = 5, 10


def measure(given: str | None = None) -> Table:
    """Render 20 scenes of 0.5 s and 50 of 0.2 s, each after a bare client has done the same."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="comfytui-bench-") as scratch, server(given, Path(scratch)) as url:
        for scenes, seconds, most_whole, most_span in ((20, 0.5, 1.10, None), (50, 0.2, None, 1.03)):
            bare = _bare(url, scenes, seconds)
            folder = Path(scratch) / f"{scenes}"
            rendered = render(url, folder, workflow=workflow(seconds), scenes=scenes, frames=FRAMES)
            times = sorted(_known(url, prompt_id) for prompt_id in rendered.prompts.values())
            work = sum(end - start for start, end in times)
            span, whole = times[-1][1] - times[0][0], rendered.ended - rendered.began
            gaps = [1000 * (after[0] - before[1]) for before, after in pairwise(times)]
            shape = f"{scenes} scenes of {seconds:g} s"
            figures += [
                Figure(f"{shape}: whole command / execution", whole / work, most=most_whole),
                Figure(f"{shape}: first start to last success / execution", span / work, most=most_span),
                Figure(f"{shape}: the same, bare client that queues all at once", bare),
                Figure(f"{shape}: server idle between two scenes, p50", quantile(gaps, 0.5), "ms"),
                Figure(f"{shape}: server idle between two scenes, p95", quantile(gaps, 0.95), "ms"),
                Figure(f"{shape}: command start to first execution", 1000 * (times[0][0] - rendered.began), "ms"),
                Figure(f"{shape}: last success to command end", 1000 * (rendered.ended - times[-1][1]), "ms"),
            ]
    return Table("Runner overhead: wall time against the server's own execution times", figures)


def workflow(seconds: float) -> Json:
    """Return a workflow that executes for about ``seconds`` and writes a few small frames."""
    size = {"width": 256, "height": 144}
    pace = {"steps": STEPS, "seconds_per_step": seconds / STEPS, "fail_at_step": -1, "preview": False}
    return {
        "1": {"class_type": "EmptyImage", "inputs": {**size, "batch_size": "__FRAME_COUNT__", "color": "__SEED__"}},
        "2": {"class_type": "SlowProgress", "inputs": {"image": ["1", 0], **pace}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "__SCENE_PREFIX__"}},
    }


def _bare(url: str, scenes: int, seconds: float) -> float:
    """Return span / execution for a client that posts every prompt at once and then only waits for the last."""
    run, ids = uuid.uuid4().hex, []
    for number in range(scenes):
        values: dict[str, Any] = {"__FRAME_COUNT__": FRAMES, "__SEED__": number, "__SCENE_PREFIX__": f"{run}-{number}"}
        ids.append(ask(url, "/prompt", {"prompt": _filled(workflow(seconds), values), "client_id": run})["prompt_id"])
    deadline = time.monotonic() + PATIENCE
    while executed(url, ids[-1]) is None:
        if time.monotonic() > deadline:
            raise RuntimeError("the bare client's prompts did not end")
        time.sleep(0.1)
    times = sorted(_known(url, prompt_id) for prompt_id in ids)
    return (times[-1][1] - times[0][0]) / sum(end - start for start, end in times)


def _filled(value: Any, values: dict[str, Any]) -> Any:
    """Return ``value`` with its placeholders replaced."""
    match value:
        case dict():
            return {key: _filled(part, values) for key, part in value.items()}
        case list():
            return [_filled(part, values) for part in value]
        case _:
            return values.get(value, value) if isinstance(value, str) else value


def _known(url: str, prompt_id: str) -> tuple[float, float]:
    times = executed(url, prompt_id)
    if times is None:
        raise RuntimeError("the server has no history of a prompt that ended")
    return times


if __name__ == "__main__":
    run_alone("overhead")
