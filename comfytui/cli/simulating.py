"""``comfytui sim``: the simulator by itself."""

import asyncio
import contextlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comfytui.cli.endings import INTERRUPTED
from comfytui.cli.interruptions import interruptions
from comfytui.errors import Failure
from comfytui.simulator import run


def simulate(flags: Mapping[str, Any]) -> int:
    """Serve the simulator on loopback until interrupted (130), or until standard input ends where asked (0).

    Frames go to ``output_dir``, else to a temporary folder that goes with the simulator. Raises ``Failure``
    ``config.value`` for a port that is taken and a folder that cannot be made.
    """
    with contextlib.ExitStack() as stack:
        folder = flags.get("output_dir")
        if folder is None:
            scratch = tempfile.TemporaryDirectory(prefix="comfytui-sim-", ignore_cleanup_errors=True)
            folder = stack.enter_context(scratch)
        try:
            return asyncio.run(_serve(Path(folder).absolute(), flags))
        except OSError as fault:
            place = f"--port {flags['port']}, --output-dir {folder}"
            raise Failure("config.value", place=place, why=fault.strerror or str(fault)) from fault


async def _serve(folder: Path, flags: Mapping[str, Any]) -> int:
    """Serve until cancelled, the way of asyncio: once, so that the simulator may wait while it tidies up."""
    serving = asyncio.ensure_future(
        run(
            output_dir=folder,
            port=flags["port"],
            speed=flags["speed"],
            version=flags["comfyui_version"],
            exit_with_parent=flags["exit_with_parent"],
        )
    )
    with interruptions(serving.cancel, serving.cancel):
        try:
            await serving
        except asyncio.CancelledError:
            return INTERRUPTED
    return 0
