"""The server itself: which version, what is in its queue, whether its socket opens, what its GPUs tell."""

import re
import uuid

import anyio

from comfytui.clock import Clock
from comfytui.engine.doctor.finding import Finding, ok, unknown, warn
from comfytui.sources.comfy.address import ServerAddress
from comfytui.sources.comfy.replies import SystemStats
from comfytui.sources.comfy.socket import ComfySocket, SocketClosed, SocketOpened, SocketRefused
from comfytui.sources.gpu.local import LocalGpus

OLDEST = (0, 3, 64)
"""The oldest version of ComfyUI that was measured; older ones may not take a prompt id or a targeted interrupt."""
SOCKET_WAIT = 10.0
"""Seconds in which the socket must open."""
_ALIKE = f"{'.'.join(map(str, OLDEST))} or newer"


def version(told: str | None, url: str) -> Finding:
    """Return what ComfyUI's version, as GET /system_stats tells it, is worth. Pure."""
    if told is None:
        return unknown("server", f"{url} answers, but does not tell its version", f"Update ComfyUI to {_ALIKE}.")
    numbers = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", told)
    if numbers is None:
        return unknown("server", f"{url} answers; its version {told} cannot be compared", f"Use ComfyUI {_ALIKE}.")
    if tuple(int(part or 0) for part in numbers.groups()) < OLDEST:
        what = f"ComfyUI {told} at {url} is older than any that was tried: it may not know prompts by our ids"
        return warn("server", what, f"Update ComfyUI to {_ALIKE}.")
    return ok("server", f"ComfyUI {told} answers at {url}")


def login(address: ServerAddress) -> Finding:
    """Return how the server that answered was logged in to. Pure."""
    sent = bool(address.secret_headers())
    return ok("login", "the server takes the login of the environment" if sent else "the server asks for none")


def queue(remaining: int) -> Finding:
    """Return what ``remaining`` prompts that run and wait mean for a run. Pure."""
    if not remaining:
        return ok("queue", "nothing runs and nothing waits")
    count = "1 prompt runs or waits" if remaining == 1 else f"{remaining} prompts run or wait"
    return warn("queue", f"{count} on the server: a run would stand behind them", "Wait until its queue is empty.")


async def socket(address: ServerAddress, clock: Clock) -> Finding:
    """Return whether the WebSocket opens: without it a run polls, and shows no progress."""
    remedy = "Let the proxy before the server pass WebSocket upgrades for /ws; a run polls without it."
    why = f"nothing was heard within {SOCKET_WAIT:g} s"
    async with ComfySocket(address, uuid.uuid4().hex, clock) as opened:
        with anyio.move_on_after(SOCKET_WAIT):
            async for event in opened.messages():
                if isinstance(event, SocketRefused):
                    why = event.why
                    break
                if not isinstance(event, (SocketOpened, SocketClosed)):
                    return ok("socket", "the WebSocket opens and speaks")
    return warn("socket", f"the WebSocket cannot be used: {why}", remedy)


async def gpus(stats: SystemStats, *, local: bool) -> list[Finding]:
    """Return what renders, and who can tell its figures; ``local``: the server runs on this machine."""
    device = stats.devices[0] if stats.devices else None
    if device is None:
        remedy = "Look at the server's log: it names the device it found."
        return [unknown("gpu", "the server names no device, so nobody knows what renders", remedy)]
    if device.type == "cpu":
        remedy = "Start ComfyUI without --cpu; check the GPU's driver and that its torch is built for it."
        return [warn("gpu", "the server renders on its CPU: no GPU is used, and VRAM figures are those of RAM", remedy)]
    if device.vram_free is None:
        found = warn("gpu", f"the server tells no VRAM of {device.name}", "Update ComfyUI, or run on its own machine.")
    else:
        found = ok("gpu", f"{device.name}, {device.vram_free / 2**30:.1f} GB of VRAM free (system_stats)")
    return [found, await _drivers(device.type, local=local)]


async def _drivers(kind: str | None, *, local: bool) -> Finding:
    check = "gpu drivers"
    if not local:
        return ok(check, "the server is on another machine: load, temperature and power are not to be had")
    if kind not in (None, "cuda"):
        return ok(check, f"a device of type {kind}: load, temperature and power are not to be had")
    async with LocalGpus() as drivers:
        answers = {source: bool(await reader.read()) for source, reader in drivers.readers}
    told = ", ".join(f"{source} {'answers' if answered else 'does not answer'}" for source, answered in answers.items())
    if any(answers.values()):
        return ok(check, told)
    remedy = "Install NVIDIA's driver where the server runs, if load and temperature are wanted."
    return warn(check, f"{told}: only system_stats tells of the GPU", remedy)
