"""Opening the place where the runner of a run is met; :mod:`comfytui.link.endpoint` is the other side of the seam.

A Unix socket lies in a private folder of the run (``.link/``), or, when its path would be too long for a socket or the
disk cannot hold one, in a private temporary folder. That is not ``XDG_RUNTIME_DIR``: it is emptied when its user logs
out, and a run outlives that.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import msgspec
from anyio.abc import Listener, SocketAttribute, SocketStream

from comfytui.errors import Failure
from comfytui.link.endpoint import POINTER, Pointer, Transport, read_pointer, sockets_have_paths
from comfytui.records.atomic import put_in_place, temporary
from comfytui.records.faults import why

LONGEST_SOCKET_PATH = 100
"""Bytes; Linux takes 107, macOS 103."""

_FOLDER = ".link"
_SOCKET = "runner.sock"


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
