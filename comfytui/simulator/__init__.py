"""The embedded ComfyUI: a faithful subset of the server on loopback, with faults on request.

It stands in for a foreign server: nothing here knows comfytui, and the rest of comfytui only ever meets it
through HTTP, the WebSocket and the output folder. Importing this package is light; the web server and Pillow
are imported when a :class:`Simulator` is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfytui.simulator.faults import Fault, Faults
from comfytui.simulator.speed import Speed

if TYPE_CHECKING:
    from comfytui.simulator.command import run
    from comfytui.simulator.simulator import Served, Simulator

__all__ = ["Fault", "Faults", "Served", "Simulator", "Speed", "run"]


def __getattr__(name: str) -> Any:
    """Return `Simulator`, `Served` or `run`, importing the server only now."""
    if name in {"Simulator", "Served"}:
        from comfytui.simulator import simulator

        return getattr(simulator, name)
    if name == "run":
        from comfytui.simulator.command import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
