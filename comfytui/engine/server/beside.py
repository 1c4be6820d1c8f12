"""What goes on beside a run only to be looked at: an error of our own in it costs what it tells, and not the night."""

import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVarTuple, Unpack

from comfytui.engine.hub import HubLike
from comfytui.errors import Failure
from comfytui.model import events as e

OTHERS, LOG, GPUS = "What others have queued", "The server's log", "The load of the GPUs"

Given = TypeVarTuple("Given")


async def beside(hub: HubLike, what: str, work: Callable[[Unpack[Given]], Awaitable[None]], *given: *Given) -> None:
    """Do ``work``, which tells ``what``, until it ends or is cancelled; an error of our own is noted, with its place.

    Raises ``Failure`` as ``work`` does: that the run's folder fails is no error of ours.
    """
    try:
        await work(*given)
    except Failure:
        raise
    except Exception as fault:  # noqa: BLE001 - see above
        place = traceback.extract_tb(fault.__traceback__)[-1]
        at = f"{type(fault).__name__} in {Path(place.filename).name}, line {place.lineno}"
        hub.publish(e.RunNoted(level="error", text=f"{what} can no longer be told: an error of our own ({at})"))
