"""``comfytui sim``: the simulator by itself."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

from comfytui.errors import Failure
from comfytui.simulator import run


def simulate(flags: Mapping[str, Any]) -> int:
    """Serve the simulator on loopback until interrupted (exit 130), or until standard input ends where asked.

    Frames go to ``output_dir``, else to a temporary folder that goes with the simulator. Raises ``Failure``
    ``config.value`` for a port that is taken and a folder that cannot be made.
    """
    with tempfile.TemporaryDirectory(prefix="comfytui-sim-", ignore_cleanup_errors=True) as scratch:
        folder = Path(flags.get("output_dir") or scratch).absolute()
        try:
            anyio.run(
                lambda: run(
                    output_dir=folder,
                    port=flags["port"],
                    speed=flags["speed"],
                    version=flags["comfyui_version"],
                    exit_with_parent=flags["exit_with_parent"],
                )
            )
        except OSError as fault:
            port = flags["port"]
            raise Failure("config.value", place=f"--port {port}, --output-dir {folder}", why=_words(fault)) from fault
    return 0


def _words(fault: OSError) -> str:
    return fault.strerror or str(fault)
