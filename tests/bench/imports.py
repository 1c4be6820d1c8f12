"""How long the command line takes to say its version and its help, against an interpreter that does nothing."""

import subprocess
import sys
import time

from tests.bench.rendering import run_alone
from tests.bench.table import Figure, Table, quantile
from tests.e2e.command import COMMAND, environment

ROUNDS = 25


def measure() -> Table:
    """Time each command :data:`ROUNDS` times, in turns, so that a busy moment hits all of them alike."""
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "comfytui --version": [*COMMAND, "--version"],
        "comfytui --help": [*COMMAND, "--help"],
        "comfytui run --help": [*COMMAND, "run", "--help"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, env=environment(), stdout=subprocess.DEVNULL, check=True)
            times[name].append(time.perf_counter() - began)
    median = {name: quantile(values, 0.5) for name, values in times.items()}
    bare = median.pop("python -c pass")
    figures = [
        Figure(f"{name} / python -c pass", value / bare, most=3 if name == "comfytui --version" else None)
        for name, value in median.items()
    ]
    figures.append(Figure("python -c pass", 1000 * bare, "ms"))
    return Table("Start of the command line", figures, [f"medians of {ROUNDS}, taken in turns"])


if __name__ == "__main__":
    run_alone("imports")
