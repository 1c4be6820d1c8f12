"""After a prompt ran out of GPU memory: the server gives back what it holds, before another attempt is made."""

from collections.abc import Callable
from typing import Literal

from comfytui.engine.attempt.desk import Desk
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.model.state import Attempt
from comfytui.model.telemetry import to_mb

LONGEST = 60.0
"""Seconds for which VRAM is waited for."""
LOOK_EVERY = 1.0
ENOUGH = 0.95
"""Of what was free before the attempt, so much must be free again: allocators keep a little."""


async def make_room(desk: Desk, scene: str, attempt: Attempt, still_due: Callable[[], bool]) -> None:
    """Tell the server to unload its models and free memory, and wait until VRAM is back; facts tell how it went.

    ``POST /free`` is carried out once the server is idle (ComfyUI 0.3.64 and 0.8.0), so nothing is waited for while
    other prompts are before it, nor once another attempt is not ``still_due``. Never fails: what cannot be done is
    told, and the next attempt is made all the same.
    """

    def tell(text: str, level: Literal["info", "warning"] = "info") -> None:
        desk.hub.publish(e.RunNoted(text=text, level=level, scene=scene))

    began = desk.clock.monotonic()
    try:
        await desk.http.free()
        tell("Out of GPU memory: the server was told to unload its models and free memory")
        wanted = await _waited_for(desk, attempt)
        if wanted is None:
            tell("VRAM is not waited for: what was free before is not known, or other prompts are at work")
            return
        while (free := await _free(desk, attempt)) is not None and free < ENOUGH * wanted:
            if not still_due():
                return
            if desk.clock.monotonic() - began >= LONGEST:
                tell(f"VRAM did not come back in {LONGEST:g} s: {_of(free, wanted)}", "warning")
                return
            await desk.clock.sleep(LOOK_EVERY)
        if free is not None:
            tell(f"VRAM is back after {desk.clock.monotonic() - began:.0f} s: {_of(free, wanted)}")
    except Failure as failure:
        tell(f"VRAM is not waited for: {failure.what}", "warning")


async def _waited_for(desk: Desk, attempt: Attempt) -> int | None:
    """Return the free bytes to wait for, ``None`` when there is nothing to wait for."""
    if await desk.http.queue_remaining():
        return None
    before = attempt.before.device if attempt.before else None
    return before.vram_free if before else None


async def _free(desk: Desk, attempt: Attempt) -> int | None:
    measured = await desk.measure("after", attempt.before.device if attempt.before else None)
    return measured.device.vram_free if measured.device else None


def _of(free: int, wanted: int) -> str:
    return f"{to_mb(free)} MB free, {to_mb(wanted)} MB before the attempt"
