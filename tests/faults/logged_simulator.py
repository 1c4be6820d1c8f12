"""A simulator in a process of its own that writes down, line by line, which prompts it executed.

    python -m tests.faults.logged_simulator PORT OUTPUT_DIR LOG

A line of the log is ``{"life": process id, "prompt": prompt id}``: it has ended, in whatever way.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from comfytui.simulator import Simulator, Speed

PACE = Speed(node_overhead=0.01, save_frame=0.05)
"""About 0.3 s for a scene of five frames."""


class Log(list[str]):
    """A list that remembers in a file what was appended, whatever becomes of the process."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def append(self, prompt_id: str) -> None:
        super().append(prompt_id)
        self._file.write(json.dumps({"life": os.getpid(), "prompt": prompt_id}) + "\n")


async def serve(port: int, output: Path, log: Path) -> None:
    simulator = Simulator(output_dir=output, speed=PACE, keep_requests=False)
    simulator.prompts_executed = Log(log)
    async with simulator.serve(port=port):
        print(simulator.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])))
