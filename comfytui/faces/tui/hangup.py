"""The end of a terminal that goes away without a word.

Who leads the session of a terminal is told of its end by a SIGHUP. Who was started in it otherwise (by a wrapper, in a
container) is not, and Textual (8.2) then reads the end of its input again and again, as fast as it can.
"""

import os
import select
import signal
import threading

EXIT_CODE = 128 + signal.SIGHUP
"""As a shell tells a process that a SIGHUP has ended."""


def end_with(terminal: int) -> None:
    """End this process once the ``terminal`` (a file descriptor) has hung up, as its SIGHUP would; returns at once.

    A dashboard holds nothing that could be lost: the run is the runner's.
    """
    threading.Thread(target=_wait, args=(terminal,), name="hangup", daemon=True).start()


def _wait(terminal: int) -> None:
    poller = select.poll()
    poller.register(terminal, 0)
    if any(told & (select.POLLHUP | select.POLLERR) for _, told in poller.poll()):
        os._exit(EXIT_CODE)
