"""Calls into a GPU driver, which may never return: one at a time, each in a daemon thread that can be left behind.

A GPU that falls off the bus leaves NVML and ``nvidia-smi`` in uninterruptible waits. A pooled worker thread would then
keep the whole process from ending; a daemon thread does not.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

import anyio

T = TypeVar("T")


class Stuck(Exception):
    """The call did not return in time, or an earlier one has not returned yet."""


class Lane:
    """Runs one blocking call at a time, for the tasks of one event loop."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._running: anyio.Event | None = None  # set when the call under way returns
        self._hung = False

    async def run(self, call: Callable[[], T], seconds: float) -> T:
        """Return what ``call`` returns, or raise what it raises, after the calls before it.

        :raises Stuck: after ``seconds``, and at once while a call that nobody waits for any more has not returned.
        """
        if self._hung:
            raise Stuck
        with anyio.move_on_after(seconds):
            while self._running is not None:
                await self._running.wait()
            returned, outcome = self._start(call)
            await returned.wait()
            return outcome.result()
        self._hung = self._running is not None
        raise Stuck

    def _start(self, call: Callable[[], T]) -> tuple[anyio.Event, Future[T]]:
        loop = asyncio.get_running_loop()
        outcome: Future[T] = Future()
        returned = self._running = anyio.Event()

        def finish() -> None:
            self._running, self._hung = None, False
            returned.set()

        def work() -> None:
            try:
                outcome.set_result(call())
            except Exception as error:  # noqa: BLE001 - raised again by the one who waits
                outcome.set_exception(error)
            with suppress(RuntimeError):  # the loop may have ended without us
                loop.call_soon_threadsafe(finish)

        threading.Thread(target=work, name=self._name, daemon=True).start()
        return returned, outcome
