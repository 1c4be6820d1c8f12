"""Who holds a port: for naming, never for ending."""

import contextlib
from typing import Final
from urllib.parse import urlsplit

import anyio

from comfytui.sources.comfy.address import ServerAddress
from comfytui.untrusted import plain

CONNECT: Final = 3.0
"""Seconds that a connection may take."""


async def is_held(address: ServerAddress) -> bool:
    """Return whether anybody takes connections at ``address``, whatever is spoken there."""
    parts = urlsplit(address.url)
    with anyio.move_on_after(CONNECT):
        try:
            stream = await anyio.connect_tcp(parts.hostname or "", _port(address))
        except OSError:
            return False
        await stream.aclose()
        return True
    return False


def holder(address: ServerAddress) -> str:
    """Return the process of this machine that listens at ``address``: ``python3 (PID 7)``; empty when not known.

    Systems tell it of one's own processes only, or (macOS) of none at all.
    """
    if not address.is_loopback:
        return ""
    import psutil  # type: ignore[import-untyped,unused-ignore]

    with contextlib.suppress(psutil.Error, OSError):
        for found in psutil.net_connections("tcp"):
            if found.status == psutil.CONN_LISTEN and found.laddr.port == _port(address) and found.pid:
                return f"{plain(psutil.Process(found.pid).name(), 80)} (PID {found.pid})"
    return ""


def _port(address: ServerAddress) -> int:
    parts = urlsplit(address.url)
    return parts.port or (443 if parts.scheme == "https" else 80)
