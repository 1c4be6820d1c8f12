"""Where the runner of a run is met: one seam, a Unix socket where there are any, loopback TCP elsewhere.

The file ``run.link`` in the run folder tells where, and holds the token that whoever joins must show; only its owner
may read it. The socket lies in a private folder of the run (``.link/``), or, when its path would be too long for a
socket or the disk cannot hold one, in a private temporary folder. That is not ``XDG_RUNTIME_DIR``: it is emptied
when its user logs out, and a run outlives that. A file left by a runner that died does no harm: nobody answers there.
"""

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

import anyio
import msgspec
from anyio.abc import ByteStream, Listener, SocketAttribute, SocketStream
from msgspec import Struct

from comfytui.errors import Failure
from comfytui.records.atomic import put_in_place, temporary
from comfytui.records.faults import why

Transport = Literal["unix", "tcp"]

POINTER = "run.link"
"""The file that tells where the runner is met."""

LONGEST_SOCKET_PATH = 100
"""Bytes; Linux takes 107, macOS 103."""

CONNECT_SECONDS = 5.0

_FOLDER = ".link"
_SOCKET = "runner.sock"


class Pointer(Struct, frozen=True, kw_only=True):
    """What ``run.link`` holds. ``path`` of a socket is relative to the run folder where it lies in it."""

    v: int = 1
    kind: Transport
    token: str
    pid: int
    path: str = ""
    port: int = 0


class NobodyThere(Exception):
    """No runner answers at this folder, and why."""


def sockets_have_paths() -> bool:
    """Return whether asyncio serves Unix sockets on this platform."""
    return sys.platform != "win32"


@asynccontextmanager
async def endpoint(
    folder: Path, transport: Transport | None = None
) -> AsyncIterator[tuple[Listener[SocketStream], str]]:
    """Open a place to be met at for the run in ``folder``, and tell it in ``run.link``; yield listener and token.

    ``transport`` forces one kind. On leaving, everything that was made is removed, and ``run.link`` too while it is
    still ours. Raises ``Failure`` ``run.unwritable`` when the folder cannot be written.
    """
    listener, pointer, scratch = await _listen(folder, transport)
    try:
        async with listener:
            try:
                _write_pointer(folder / POINTER, pointer)
            except OSError as fault:
                raise Failure("run.unwritable", place=str(folder), why=why(fault)) from fault
            try:
                yield listener, pointer.token
            finally:
                if read_pointer(folder) == pointer:
                    with suppress(OSError):
                        (folder / POINTER).unlink()
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


async def connect(folder: Path) -> tuple[ByteStream, str]:
    """Return a stream to the runner of the run in ``folder``, and the token to show. Raises :class:`NobodyThere`."""
    pointer = read_pointer(folder)
    if pointer is None:
        raise NobodyThere("no runner has opened it")
    stream: ByteStream
    try:
        with anyio.fail_after(CONNECT_SECONDS):
            if pointer.kind == "unix" and sockets_have_paths():
                stream = await anyio.connect_unix(folder / pointer.path)
            elif pointer.kind == "tcp":
                stream = await anyio.connect_tcp("127.0.0.1", pointer.port)
            else:
                raise NobodyThere("its runner is on another platform")
    except (OSError, TimeoutError) as fault:
        raise NobodyThere(f"process {pointer.pid} does not answer") from fault
    return stream, pointer.token


def read_pointer(folder: Path) -> Pointer | None:
    """Return what ``run.link`` in ``folder`` says; ``None`` when there is none, or it is no such thing."""
    try:
        with (folder / POINTER).open("rb") as file:
            return msgspec.json.decode(file.read(65536), type=Pointer)
    except (OSError, ValueError):
        return None


async def _listen(folder: Path, transport: Transport | None) -> tuple[Listener[SocketStream], Pointer, Path | None]:
    """Return a listener, what to tell of it, and the folder to remove afterwards."""
    token, pid = secrets.token_hex(32), os.getpid()
    if transport != "tcp" and sockets_have_paths():
        for place in (_private_folder, _temporary_folder):
            scratch = place(folder)
            path = scratch / _SOCKET if scratch is not None else None
            if path is None or len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
                _discard(scratch)
                continue
            try:
                unix = await anyio.create_unix_listener(path, mode=0o600)
            except OSError:  # a disk that holds no sockets
                _discard(scratch)
                continue
            told = path.relative_to(folder) if path.is_relative_to(folder) else path
            return unix, Pointer(kind="unix", token=token, pid=pid, path=str(told)), scratch
    if transport == "unix":
        raise Failure("run.unwritable", place=str(folder), why="no socket can be made for it")
    tcp = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = tcp.extra(SocketAttribute.local_port)
    return tcp, Pointer(kind="tcp", token=token, pid=pid, port=port), None


def _private_folder(folder: Path) -> Path | None:
    private = folder / _FOLDER
    if len(os.fsencode(private / _SOCKET)) > LONGEST_SOCKET_PATH:
        return None
    return _or_none(lambda: _made_private(private))


def _made_private(private: Path) -> Path:
    private.mkdir(mode=0o700, exist_ok=True)
    private.chmod(0o700)
    return private


def _temporary_folder(_folder: Path) -> Path | None:
    return _or_none(lambda: Path(tempfile.mkdtemp(prefix="comfytui-")))


def _or_none(make: Callable[[], Path]) -> Path | None:
    try:
        return make()
    except OSError:
        return None


def _discard(scratch: Path | None) -> None:
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)


def _write_pointer(path: Path, pointer: Pointer) -> None:
    """Write ``run.link`` whole or not at all, never readable by others. Raises ``OSError``."""
    tmp = temporary(path)
    try:
        with os.fdopen(os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(pointer))
        put_in_place(tmp, path)
    except BaseException:
        tmp.unlink(missing_ok=True)
        raise
