"""An event loop whose clock jumps: where nothing is left to do but wait, the wait is over at once."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

GRACE = 0.0005
"""Real seconds in which loopback traffic must show up before the clock may jump."""


class _JumpingSelector(selectors.DefaultSelector):
    """Asks the real selector whether anything happened; if not, moves the loop's clock instead of waiting."""

    loop: VirtualTimeLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; a wait of `timeout` seconds passes on the loop's clock alone."""
        if timeout is not None and timeout <= 0:
            return super().select(0)
        if timeout is None or self.loop.threads_at_work:
            return super().select(None if timeout is None else 0.05)
        ready = super().select(0) or super().select(GRACE)
        if not ready:
            self.loop.jump(timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop for tests: hours of `asyncio.sleep` take no time; sockets and worker threads work for real."""

    def __init__(self) -> None:
        self._virtual = 1000.0
        self.threads_at_work = 0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Return the virtual seconds."""
        return self._virtual

    def jump(self, seconds: float) -> None:
        """Let `seconds` go by."""
        self._virtual += seconds

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run in a thread; the clock does not jump while one is at work."""
        self.threads_at_work += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: asyncio.Future[Any]) -> None:
        self.threads_at_work -= 1
