"""Where the frames of a prompt are taken from: the server's output folder when it is here, else its ``/view``.

Both hand a frame over into the run folder whole or not at all, hashed and proven on the way.
"""

import re
from collections.abc import Collection, Sequence, Set
from pathlib import Path, PurePath
from typing import Literal, Protocol

import anyio
from anyio import to_thread
from msgspec import Struct
from msgspec.structs import replace

from comfytui.clock import Clock
from comfytui.engine.frames.listing import Listing
from comfytui.errors import Failure
from comfytui.sources.comfy.http import ComfyHttp
from comfytui.sources.comfy.wire import OutputFile
from comfytui.sources.frames.collect import Accept, Collected, Uncollected, collect, collect_stream
from comfytui.sources.frames.folder import stamp
from comfytui.untrusted import below, file_name, inside

_NOT_ON_WINDOWS = re.compile(r'[<>:"|?*]|[. ]$')

AT_ONCE = 8
"""Frames that are copied or fetched at the same time: they mostly wait for the disk, which syncs several at once."""


class Wanted(Struct, frozen=True, kw_only=True):
    """A frame to take: its ``name`` in the run folder, and where the server has it."""

    name: str
    file: OutputFile


class Unsafe(Struct, frozen=True, kw_only=True):
    """A reported file whose name leads out of the output folder: never touched."""

    name: str


Stamp = tuple[int, int]


class Brought(Struct, frozen=True, kw_only=True):
    """A frame that is in the run folder now, and the way it came; ``stamp``: its source's just before, where known."""

    frame: Collected
    via: Literal["disk", "http"]
    stamp: Stamp | None = None


class Shelf(Protocol):
    """One way to the frames."""

    @property
    def via(self) -> Literal["disk", "http"]:
        """How frames come here."""
        ...

    async def take(self, wanted: Wanted, target: Path, accept: Accept) -> Brought | Uncollected:
        """Bring ``wanted`` to ``target``; what cannot be had comes back as ``Uncollected``, with the reason."""
        ...

    async def stamp(self, wanted: Wanted) -> Stamp | None:
        """Return size and mtime (ns) of the source now, or ``None`` when they cannot be told."""
        ...

    async def unreported(
        self, prefix: str, known: Sequence[Wanted], seen: Collection[str] | None = None
    ) -> list[Wanted]:
        """Return the files that belong to ``prefix`` (with its folders) beyond those ``known``.

        With ``seen``, the names of the prefix that the folder was seen to change in, a look that has become dear may be
        left out while every frame was always known: see :mod:`comfytui.engine.frames.listing`.
        """
        ...


class DiskShelf:
    """The server's output folder, readable here."""

    via: Literal["disk"] = "disk"

    def __init__(self, output_dir: Path, clock: Clock) -> None:
        self.output_dir = output_dir
        self._limit = anyio.CapacityLimiter(AT_ONCE)
        self._listing = Listing(clock, self._limit)
        self._all_known = True
        """Whether no frame was ever found that was not reported."""

    async def take(self, wanted: Wanted, target: Path, accept: Accept) -> Brought | Uncollected:
        """Copy the frame; raises ``Failure`` ``run.unwritable`` when the run folder's disk is at fault."""
        source = self._path(wanted.file)
        if source is None:
            return Uncollected(name=wanted.name, reason="unsafe", why="it leads out of the output folder")
        before, got = await to_thread.run_sync(_stamped, source, target, accept, limiter=self._limit)
        return got if isinstance(got, Uncollected) else Brought(frame=got, via=self.via, stamp=before)

    async def stamp(self, wanted: Wanted) -> Stamp | None:
        """Return size in bytes and mtime in nanoseconds of the file, or ``None`` when it is not there."""
        source = self._path(wanted.file)
        return await to_thread.run_sync(_stamp_of, source, limiter=self._limit) if source else None

    async def unreported(
        self, prefix: str, known: Sequence[Wanted], seen: Collection[str] | None = None
    ) -> list[Wanted]:
        """Return the frames of exactly this prefix that lie in its folder and are not ``known``."""
        subfolder, _, stem = prefix.rpartition("/")
        folder = self.output_dir.joinpath(*subfolder.split("/")) if subfolder else self.output_dir
        taken = {_place(w.file) for w in known}
        if seen is not None:
            self._all_known &= all((subfolder, name) in taken for name in seen)
            if self._all_known and self._listing.dear:
                return []
        names = await self._listing.names(folder, stem)
        found = [on_disk(name, subfolder) for name in sorted(names) if (subfolder, name) not in taken]
        self._all_known &= not found
        return found

    def _path(self, file: OutputFile) -> Path | None:
        return inside(self.output_dir, file.subfolder, file.filename)


class HttpShelf:
    """The server's ``GET /view`` (ComfyUI 0.3.64 and 0.8.0), for a server on another machine."""

    via: Literal["http"] = "http"

    def __init__(self, http: ComfyHttp) -> None:
        self._http = http
        self._limit = anyio.CapacityLimiter(AT_ONCE)

    async def take(self, wanted: Wanted, target: Path, accept: Accept) -> Brought | Uncollected:
        """Fetch the frame; a half-written one is answered 200 with what is there, so the proof decides."""
        async with self._limit:
            try:
                async with self._http.view(wanted.file) as body:
                    got = await collect_stream(body.chunks, target, body.mtime, expected=body.size, accept=accept)
            except Failure as failure:
                if not failure.code.startswith("server."):
                    raise
                if getattr(failure, "status", None) == 404:
                    return Uncollected(name=wanted.name, reason="missing", why="it is not there")
                return Uncollected(name=wanted.name, reason="unreadable", why=failure.what)
        return got if isinstance(got, Uncollected) else Brought(frame=got, via=self.via)

    async def stamp(self, wanted: Wanted) -> Stamp | None:
        """Return ``None``: asking again costs as much as fetching again."""
        return None

    async def unreported(
        self, prefix: str, known: Sequence[Wanted], seen: Collection[str] | None = None
    ) -> list[Wanted]:
        """Return nothing: a server does not list its output folder."""
        return []


class EitherShelf:
    """The output folder, and ``/view`` for a reported frame that is not in it or cannot be read there.

    A folder that exists here need not be the server's: behind an SSH tunnel a remote server looks local. And a server
    of another user may write what only that user may read.
    """

    via: Literal["disk"] = "disk"

    def __init__(self, disk: DiskShelf, http: HttpShelf) -> None:
        self._disk, self._http = disk, http
        self.output_dir = disk.output_dir

    async def take(self, wanted: Wanted, target: Path, accept: Accept) -> Brought | Uncollected:
        """Copy the frame, or fetch it when history reports it and the disk does not give it."""
        got = await self._disk.take(wanted, target, accept)
        if isinstance(got, Uncollected) and got.reason in ("missing", "unreadable", "unsafe") and wanted.file.node:
            before = await self.stamp(wanted)
            fetched = await self._http.take(wanted, target, accept)
            if isinstance(fetched, Brought):
                return replace(fetched, stamp=before)
            return fetched if fetched.reason == "not_whole" else got
        return got

    async def stamp(self, wanted: Wanted) -> Stamp | None:
        """Return size and mtime of the file on the disk, if it is there."""
        return await self._disk.stamp(wanted)

    async def unreported(
        self, prefix: str, known: Sequence[Wanted], seen: Collection[str] | None = None
    ) -> list[Wanted]:
        """Return the frames of the prefix on the disk that nobody reported."""
        return await self._disk.unreported(prefix, known, seen)


def on_disk(name: str, subfolder: str) -> Wanted:
    """Return the frame ``name`` that was seen in ``subfolder`` of the output folder, reported by nobody."""
    return Wanted(name=name, file=OutputFile(node="", key="", filename=name, subfolder=subfolder, type="output"))


def wanted_of(files: Sequence[OutputFile]) -> tuple[list[Wanted], list[Unsafe]]:
    """Return the frames that history reports (type ``output``), each under a name of its own, and the unsafe ones.

    A name is unsafe when it could not be a plain file inside any folder; whether links lead out is seen at the disk.
    """
    wanted: list[Wanted] = []
    unsafe: list[Unsafe] = []
    seen: set[tuple[str, str]] = set()
    for file in files:
        place = _place(file)
        if file.type != "output" or place in seen:
            continue
        seen.add(place)
        if below(file.subfolder, file.filename) is None:
            unsafe.append(Unsafe(name=f"{file.subfolder}/{file.filename}" if file.subfolder else file.filename))
        else:
            wanted.append(Wanted(name=file.filename, file=file))
    return together(wanted), unsafe


def together(*groups: Sequence[Wanted]) -> list[Wanted]:
    """Return all frames of ``groups`` in order, each under a name of its own: who comes first keeps the name.

    The same name may lie in two subfolders, Windows and macOS hold ``a.png`` and ``A.PNG`` for one, and a name that
    Linux holds may be none on Windows.
    """
    names: set[str] = set()
    found = []
    for wanted in (one for group in groups for one in group):
        fit = wanted.name.casefold() not in names and not _NOT_ON_WINDOWS.search(wanted.name)
        name = wanted.name if fit else _other_name(wanted.file, names)
        names.add(name.casefold())
        found.append(Wanted(name=name, file=wanted.file))
    return found


def _other_name(file: OutputFile, taken: Set[str]) -> str:
    """Return a name for ``file`` that tells its subfolder and is not ``taken``."""
    suffix = PurePath(file.filename).suffix
    suffix = suffix if suffix.isascii() and suffix[1:].isalnum() and len(suffix) <= 9 else ""
    stem = file_name(f"{file.subfolder}-{file.filename.removesuffix(suffix)}", limit=200)
    tries = (f"{stem}{mark}{suffix}" for mark in ("", *(f"-{number}" for number in range(2, len(taken) + 3))))
    return next(name for name in tries if name.casefold() not in taken)


def _place(file: OutputFile) -> tuple[str, str]:
    """Return subfolder and name, the former written in one way."""
    return file.subfolder.replace("\\", "/").strip("/"), file.filename


def _stamp_of(source: Path) -> Stamp | None:
    try:
        found = stamp(source)
    except OSError:
        return None
    return (found.size, found.mtime_ns) if found else None


def _stamped(source: Path, target: Path, accept: Accept) -> tuple[Stamp | None, Collected | Uncollected]:
    return _stamp_of(source), collect(source, target, accept)
