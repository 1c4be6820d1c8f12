"""One look at a folder after another, and what changed between two looks. Blocking: for a worker thread."""

import errno
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

from comfytui.clock import from_epoch
from comfytui.untrusted import plain

Change = Literal["present", "added", "changed", "replaced", "deleted"]
"""``present``: it was there at the first look. ``changed``: size or mtime. ``replaced``: another file of that name."""


class FrameSeen(Struct, frozen=True, kw_only=True):
    """A file at one look: ``path`` as the disk has it, ``name`` fit to be shown, bytes, mtime in nanoseconds (epoch).

    Of a ``deleted`` file the figures are the last that were seen.
    """

    path: Path
    name: str
    bytes: int
    mtime_ns: int
    change: Change

    @property
    def mtime(self) -> datetime:
        """The mtime as UTC, cut to milliseconds."""
        return from_epoch(self.mtime_ns / 1e9)


class FolderSeen(Struct, frozen=True, kw_only=True):
    """The folder itself came to be, or is gone (``present`` false)."""

    path: Path
    present: bool


Seen: TypeAlias = FrameSeen | FolderSeen
Batch: TypeAlias = tuple[Seen, ...]


_OUR_OWN_SHORTAGE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Stamp(NamedTuple):
    """What tells one state of a file from another: size in bytes, mtime in nanoseconds, device and inode."""

    size: int
    mtime_ns: int
    device: int
    inode: int


def stamp(path: Path | str) -> Stamp | None:
    """Return the stamp of the regular file at ``path`` itself (links are not followed), or ``None`` if there is none.

    ``lstat`` and not the folder entry: Windows brings a folder entry up to date only when the writer closes the file.

    :raises OSError: when it cannot be found out.
    """
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stamp_of(found) if stat.S_ISREG(found.st_mode) else None


def stamp_of(found: os.stat_result) -> Stamp:
    """Return the stamp in a ``stat`` result."""
    return Stamp(found.st_size, found.st_mtime_ns, found.st_dev, found.st_ino)


def identity(folder: Path) -> tuple[int, int] | None:
    """Return device and inode of the folder at ``folder`` (links are followed), or ``None`` when there is none."""
    try:
        found = folder.stat()
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


def nearest_folder(folder: Path, root: Path) -> tuple[Path, tuple[int, int]] | None:
    """Return the deepest existing folder from ``root`` down to ``folder`` with its identity, or ``None``."""
    for candidate in (folder, *folder.parents):
        if not candidate.is_relative_to(root):
            return None
        if (found := identity(candidate)) is not None:
            return candidate, found
    return None


class FolderView:
    """Remembers the regular files of ``folder`` whose names begin with ``prefix``; each look tells what changed."""

    def __init__(self, folder: Path, prefix: str = "") -> None:
        self._folder = folder
        self._prefix = prefix
        self._known: dict[str, Stamp] = {}
        self._identity: tuple[int, int] | None = None
        self._looked = False

    @property
    def present(self) -> bool:
        """Whether the folder was there at the last look."""
        return self._identity is not None

    @property
    def files(self) -> int:
        """How many files the last full look found."""
        return len(self._known)

    def look(self, names: Collection[str] | None = None) -> Batch:
        """Look at all files, or only at ``names``, and return what changed since the last look, the folder first.

        A folder that went, came or was exchanged for another is always looked at as a whole.
        """
        found = identity(self._folder)
        if found != self._identity or not self._looked:
            names = None
        try:
            listing = {} if found is None else self._list() if names is None else self._some(names)
        except OSError as error:
            if error.errno in _OUR_OWN_SHORTAGE:
                return ()  # it says nothing about the folder: the next look will
            found, listing = None, {}
        batch: list[Seen] = []
        if not self._looked or (found is None) != (self._identity is None):
            batch.append(FolderSeen(path=self._folder, present=found is not None))
        before = self._known if names is None else {name: self._known[name] for name in names if name in self._known}
        batch += compare(self._folder, before, listing, "added" if self._looked else "present")
        for name in before.keys() - listing.keys():
            del self._known[name]
        self._known.update(listing)
        self._identity, self._looked = found, True
        return tuple(batch)

    def entries(self) -> Iterator[str]:
        """Give the names in the folder one by one, as far as it can be read; the folder is open meanwhile."""
        try:
            with os.scandir(self._folder) as entries:
                yield from (entry.name for entry in entries if entry.name.startswith(self._prefix))
        except OSError:  # the next look tells what became of the folder
            return

    def known(self) -> list[str]:
        """Return the names of the files that were seen."""
        return list(self._known)

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Return those of ``names`` that no file has that was seen."""
        return [name for name in names if name not in self._known]

    def _list(self) -> dict[str, Stamp]:
        with os.scandir(self._folder) as entries:
            return self._some([entry.name for entry in entries])

    def _some(self, names: Collection[str]) -> dict[str, Stamp]:
        found: dict[str, Stamp] = {}
        folder = str(self._folder)  # joining a Path costs twice what the system asks for the file itself
        for name in names:
            if name.startswith(self._prefix):
                try:
                    seen = stamp(os.path.join(folder, name))  # noqa: PTH118
                except OSError:  # it is there but cannot be asked at the moment
                    seen = self._known.get(name)
                if seen is not None:
                    found[name] = seen
        return found


def compare(folder: Path, before: Mapping[str, Stamp], now: Mapping[str, Stamp], first: Change) -> list[FrameSeen]:
    """Return what differs between two looks, by name; a file that is only in ``now`` is reported as ``first``."""
    seen = []
    for name in sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name)):
        old, new = before.get(name), now.get(name)
        if new is None:
            change: Change = "deleted"
        elif old is None:
            change = first
        elif old[2:] != new[2:]:
            change = "replaced"
        else:
            change = "changed"
        figures = new or old
        assert figures is not None
        seen.append(
            FrameSeen(
                path=folder / name, name=plain(name), bytes=figures.size, mtime_ns=figures.mtime_ns, change=change
            )
        )
    return seen
