"""A file written beside its place, hashed and proven on the way, and put there whole or not at all. Blocking."""

import hashlib
import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from comfytui.errors import Failure
from comfytui.sources.frames.reflink import create
from comfytui.sources.frames.verify import CHUNK, Proof, Prover

_count = itertools.count(1)


class Taken(Exception):
    """The place is taken by another file."""


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn a fault of the disk (full, failing, not permitted, gone) into ``Failure`` ``run.unwritable``."""
    try:
        yield
    except OSError as error:
        raise Failure("run.unwritable", place=str(folder), why=error.strerror or type(error).__name__) from error


class Draft:
    """A new file in an existing ``folder``; everything raises ``Failure`` ``run.unwritable`` when the disk fails.

    :meth:`keep` puts it in its place; :meth:`discard` must be called in the end and removes what was not kept.
    """

    def __init__(self, folder: Path, clone_of: int | None = None) -> None:
        """Make the file, as a clone of the open file ``clone_of`` where that is possible (then ``cloned``)."""
        self._folder = folder
        self._hash = hashlib.sha256()
        self._prover = Prover()
        self.bytes = 0
        with writing(folder):
            self._path, (descriptor, self.cloned) = self._make(clone_of)
            self._file = FileIO(descriptor, "rb" if self.cloned else "r+b")

    def _make(self, clone_of: int | None) -> tuple[Path, tuple[int, bool]]:
        while True:  # the name is free unless an earlier process of this id left one behind
            path = self._folder / f".frame.{os.getpid()}-{next(_count)}.tmp"
            with suppress(FileExistsError):
                return path, create(path, clone_of)

    def write(self, data: bytes | memoryview) -> None:
        """Append ``data``."""
        self._take_in(data)
        with writing(self._folder):
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]

    def read_clone(self) -> None:
        """Hash and prove what a clone holds."""
        buffer = memoryview(bytearray(CHUNK))
        with writing(self._folder):
            while count := self._file.readinto(buffer):
                self._take_in(buffer[:count])

    def _take_in(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        self._prover.feed(data)
        self.bytes += len(data)

    def sha256(self) -> str:
        """Return the SHA-256 of all bytes so far, in lower-case hex."""
        return self._hash.hexdigest()

    def prove(self) -> Proof:
        """Return the proof of the file: no more bytes will come."""
        return self._prover.finish()

    def keep(self, target: Path, mtime_ns: int | None = None, replace: bool = False) -> None:
        """Put the file at ``target`` in the same folder, synced, with the given mtime (nanoseconds, epoch).

        :raises Taken: when there is a file already and ``replace`` is false; it is left as it is.
        """
        with writing(self._folder):
            by_descriptor = os.utime in os.supports_fd
            if mtime_ns is not None and by_descriptor:
                os.utime(self._file.fileno(), ns=(mtime_ns, mtime_ns))
            os.fsync(self._file.fileno())
            self._file.close()
            if mtime_ns is not None and not by_descriptor:  # Windows may stamp the file once more as it is closed
                os.utime(self._path, ns=(mtime_ns, mtime_ns))
            if replace:
                self._path.replace(target)
            else:
                self._put(target)

    def _put(self, target: Path) -> None:
        try:
            if sys.platform == "win32":
                self._path.rename(target)  # refuses to replace
            else:
                self._link(target)
        except FileExistsError as error:
            raise Taken(str(target)) from error

    def _link(self, target: Path) -> None:
        """Give the file its name by a hard link, the one way of POSIX that refuses to replace."""
        try:
            os.link(self._path, target)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            if os.path.lexists(target):
                raise FileExistsError(str(target)) from None
            self._path.rename(target)

    def discard(self) -> None:
        """Remove the draft, unless it was kept, and let go of it; may be called twice."""
        self._file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
