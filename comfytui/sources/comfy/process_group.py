"""What differs between systems when a process is started and ended with all that it starts itself."""

import os
import signal
import subprocess
import sys
from typing import Any


def group_options() -> dict[str, Any]:
    """Return the options of anyio.open_process that give a process a group of its own.

    Our own Ctrl-C and the end of our terminal then do not reach it.
    """
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    else:
        return {"start_new_session": True}


def ask_group_to_end(pid: int) -> None:
    """Ask the group that process ``pid`` leads to end: SIGTERM, on Windows CTRL_BREAK.

    Where it leads none, only the process itself is asked. Nothing is raised when it is gone, or not ours to ask.
    """
    try:
        if sys.platform == "win32":
            os.kill(pid, signal.CTRL_BREAK_EVENT)
        elif os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGTERM)
        else:
            os.kill(pid, signal.SIGTERM)
    except OSError:
        return  # the caller looks whether it still runs
