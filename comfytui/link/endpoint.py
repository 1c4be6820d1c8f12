"""Where the runner of a run is met: one seam, a Unix socket where there are any, loopback TCP elsewhere.

The file ``run.link`` in the run folder tells where, and holds the token that whoever joins must show; only its owner
may read it. One left by a runner that died does no harm: nobody answers there.
"""

import sys
from pathlib import Path
from typing import Literal

import anyio
import msgspec
from anyio.abc import ByteStream
from msgspec import Struct

Transport = Literal["unix", "tcp"]

POINTER = "run.link"
"""The file that tells where the runner is met."""

CONNECT_SECONDS = 5.0


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


async def connect(folder: Path) -> tuple[ByteStream, str]:
    """Return a stream to the runner of the run in ``folder``, and the token to show. Raises :class:`NobodyThere`."""
    pointer = read_pointer(folder)
    if pointer is None:
        raise NobodyThere("no runner drives it")
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
