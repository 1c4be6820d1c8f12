"""The registry: listing 10,000 past runs, for the first time and again, by the real command."""

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.bench.rendering import run_alone
from tests.bench.table import Figure, Table
from tests.records.conftest import play_well
from tests.records.scripted import Script, brief

RUNS = 10_000
ROUNDS = 5
FILES = ("events.jsonl", "artifact-metadata.json", "run-plan.json")


def measure() -> Table:
    """Make the run folders, list them cold, then warm; memory is the command's own peak."""
    with tempfile.TemporaryDirectory(prefix="comfytui-bench-") as place:
        runs = _made(Path(place))
        bare = min(_timed(sys.executable, "-c", "pass", cwd=runs) for _ in range(ROUNDS))
        cold = _listed(runs)
        warm = sorted(_listed(runs) for _ in range(ROUNDS))[ROUNDS // 2]
        size = (runs / ".runs-index").stat().st_size
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1024 if sys.platform != "darwin" else 1024 * 1024)
    figures = [
        Figure(f"`comfytui runs`, {RUNS:,} runs, warm", warm, "s", most=1.0),
        Figure("the same / `python -c pass`", warm / bare),
        Figure("the same, without an index", cold, "s"),
        Figure("largest command", peak, "MB", most=150.0),
        Figure("the index, a run", size / RUNS, "bytes"),
    ]
    return Table("Registry: past runs listed by the command", figures)


def _made(place: Path) -> Path:
    script = Script(place / "made", [brief(1), brief(2)])
    play_well(script)
    script.close()
    runs = place / "runs"
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(RUNS):
        folder = runs / (moment + timedelta(minutes=number)).strftime("%Y%m%d-%H%M%S")
        folder.mkdir(parents=True)
        for name in FILES:
            if (source := script.run.path / name).is_file():
                shutil.copyfile(source, folder / name)
    return runs


def _listed(runs: Path) -> float:
    return _timed(sys.executable, "-m", "comfytui", "runs", "--runs-dir", str(runs), cwd=Path.cwd())


def _timed(*command: str, cwd: Path) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=cwd, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    run_alone("registry")
