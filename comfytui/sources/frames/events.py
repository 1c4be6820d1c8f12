"""File events of one folder, gathered by ``watchfiles`` in a thread of its own. Blocking: for a worker thread.

Its Rust side is used as its documentation shows it, because one wait is then one call: it is armed when it is made, and
a wait that was ended early may be taken up again without a gap.
"""

from collections.abc import Collection
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from comfytui.sources.frames.folder import nearest_folder

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

DEBOUNCE_MS, STEP_MS = 30, 15
"""Events that come together are handed over together, this much later at most; how often that is asked."""
WAIT_MS = 250
"""The longest wait, after which the folder's identity is checked."""


class NoEvents(Exception):
    """File events cannot be had for a folder; the words are the reason."""


class NoFolder(Exception):
    """There is neither the folder nor any ancestor that may be watched."""


class FolderEvents:
    """The events of ``folder``, or of its nearest ancestor inside ``root`` while it does not exist."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder, self._root = folder, root
        self._watch: RustNotify | None = None
        self._armed: tuple[Path, tuple[int, int]] | None = None

    def wait(self, ended: Event) -> Collection[str] | None:
        """Return the names that changed, after :data:`WAIT_MS` at most and soon once ``ended`` is set; or none.

        ``None`` asks to look at everything: the watch was only just put on, or the folder itself is not there.

        :raises NoEvents: when the platform cannot watch there.
        :raises NoFolder: when there is nothing to be watched.
        """
        nearest = nearest_folder(self._folder, self._root)
        if nearest is None:
            self.close()
            raise NoFolder
        try:
            if nearest != self._armed:
                self._arm(nearest)
                return None
            assert self._watch is not None
            changes = self._watch.watch(DEBOUNCE_MS, STEP_MS, WAIT_MS, ended)
        except FileNotFoundError:  # it went as it was being armed
            self.close()
            ended.wait(STEP_MS / 1000)
            return ()
        except (OSError, RuntimeError) as error:  # the limit of inotify watches, say
            self.close()
            reason = error.strerror if isinstance(error, OSError) else None
            raise NoEvents(reason or str(error) or type(error).__name__) from error
        names = () if isinstance(changes, str) else {Path(path).name for _, path in changes}
        return names if nearest[0] == self._folder else None

    def close(self) -> None:
        """Take the watch off the folder; it may be put on again."""
        watch, self._watch, self._armed = self._watch, None, None
        if watch is not None:
            watch.close()

    def _arm(self, nearest: tuple[Path, tuple[int, int]]) -> None:
        from watchfiles._rust_notify import RustNotify

        self.close()
        polling, recursive, ignore_denied = False, False, False
        self._watch = RustNotify([str(nearest[0])], False, polling, 0, recursive, ignore_denied)
        self._armed = nearest
