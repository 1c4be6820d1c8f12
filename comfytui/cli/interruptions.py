"""Signals: the one seam for what Ctrl-C, a kill and a terminal that hangs up mean on each platform."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_ENDING = ("SIGINT", "SIGTERM", "SIGBREAK")
_HANGING_UP = ("SIGHUP",)


@contextmanager
def interruptions(on_end: Callable[[], object], on_hangup: Callable[[], object]) -> Iterator[None]:
    """Call back on the running event loop within this context: ``on_end`` for each Ctrl-C, kill or Ctrl-Break.

    ``on_hangup`` is called when the terminal goes away (not on Windows, where that ends the process). To be entered
    on the main thread. ``signal.signal`` serves both kinds of event loop; asyncio's own handlers are POSIX only.
    """
    loop = asyncio.get_running_loop()
    wanted = dict.fromkeys(_ENDING, on_end) | dict.fromkeys(_HANGING_UP, on_hangup)
    before = {}
    for name, callback in wanted.items():
        number = getattr(signal, name, None)
        if number is not None:
            before[number] = signal.signal(number, lambda *_, call=callback: loop.call_soon_threadsafe(call))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
