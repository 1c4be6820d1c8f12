"""``python -m tests.bench.paced FOLDER SECONDS``: a simulator whose frames take so long; it ends with its input."""

import asyncio
import sys
from pathlib import Path

from comfytui.simulator import Simulator, Speed
from tests.bench.rendering import READY


async def serve(folder: Path, seconds: float) -> None:
    """Serve until standard input ends."""
    async with Simulator(output_dir=folder, speed=Speed(save_frame=seconds), keep_requests=False).serve() as simulator:
        print(f"{READY}{simulator.url}", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), float(sys.argv[2])))
