"""A server together with all that it starts itself: the one place where systems differ in how processes end."""

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Protocol

from comfytui.sources.processes.identity import SAME_MOMENT, ProcessIdentity, is_alive, why_not

if TYPE_CHECKING:
    import psutil  # type: ignore[import-untyped,unused-ignore]


class ProcessGroup(Protocol):
    """The group that a process leads. Each of its processes is known by its start time too, not by its id alone."""

    leader: ProcessIdentity

    def living(self) -> "list[psutil.Process]":
        """Return the processes of the group that run; the leader may have ended before them."""
        ...

    def leader_ended(self) -> None:
        """Take note, at the moment at which the leader ends, of whom it leaves behind."""
        ...

    def ask(self) -> None:
        """Ask all of them to end; without effect when none is left. The leader, if it runs, was proven before."""
        ...


def group_options() -> dict[str, Any]:
    """Return the options of subprocess.Popen that give a process a group of its own.

    Our own Ctrl-C and the end of our terminal then do not reach it.
    """
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    else:
        return {"start_new_session": True}


def group_of(leader: ProcessIdentity) -> ProcessGroup:
    """Return the group of a process that was started with :func:`group_options`."""
    return _Tree(leader) if sys.platform == "win32" else _Session(leader)


def kill(process: "psutil.Process") -> None:
    """End one process at once; psutil compares its start time once more, and the caller looks whether it still runs."""
    import psutil  # type: ignore[import-untyped,unused-ignore]

    with contextlib.suppress(psutil.Error, OSError):
        process.kill()


class _Session:
    """POSIX: a session of its own, whose process group bears the id of its leader.

    That id is not given to another process while anybody in the group lives. Once nobody did, it may be a stranger's:
    so the group is only looked for while its leader, or one that was found in it before, is alive.
    """

    def __init__(self, leader: ProcessIdentity) -> None:
        self.leader = leader
        self._known: list[psutil.Process] = []

    def living(self) -> "list[psutil.Process]":
        """Return the processes of the group that run."""
        if why_not(self.leader) is None or any(is_alive(process) for process in self._known):
            self._known = self._members()
        else:
            self._known = []
        return self._known

    def leader_ended(self) -> None:
        """Take note of whom the leader leaves behind; its id is free, but only since this moment."""
        self._known = self._members()

    def ask(self) -> None:
        """Send SIGTERM to the group."""
        if sys.platform != "win32" and self.living():
            with contextlib.suppress(OSError):
                os.killpg(self.leader.pid, signal.SIGTERM)

    def _members(self) -> "list[psutil.Process]":
        import psutil  # type: ignore[import-untyped,unused-ignore]

        found: list[psutil.Process] = []
        if sys.platform != "win32":
            for pid in psutil.pids():
                with contextlib.suppress(psutil.Error, OSError):
                    if os.getpgid(pid) == self.leader.pid:
                        process = psutil.Process(pid)
                        if process.create_time() >= self.leader.created - SAME_MOMENT and is_alive(process):
                            found.append(process)
        return found


class _Tree:
    """Windows: the tree of children, as a console process group cannot be listed.

    Only whom the leader still knows as its children is found: the children of one that ended by itself are not.
    """

    def __init__(self, leader: ProcessIdentity) -> None:
        self.leader = leader
        self._known: dict[int, psutil.Process] = {}

    def living(self) -> "list[psutil.Process]":
        """Return the processes of the tree that run, and those found in it before."""
        import psutil  # type: ignore[import-untyped,unused-ignore]

        if why_not(self.leader) is None:
            with contextlib.suppress(psutil.Error, OSError):
                leader = psutil.Process(self.leader.pid)
                self._known |= {process.pid: process for process in (leader, *leader.children(recursive=True))}
        return [process for process in self._known.values() if is_alive(process)]

    def leader_ended(self) -> None:
        """Nothing can be learned any more."""

    def ask(self) -> None:
        """Send CTRL_BREAK to the console process group; without a console in common, end the leader."""
        if sys.platform == "win32" and self.living() and why_not(self.leader) is None:
            try:
                os.kill(self.leader.pid, signal.CTRL_BREAK_EVENT)
            except OSError:
                kill(self._known[self.leader.pid])
