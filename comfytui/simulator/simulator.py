"""The simulator itself: starts and ends the lives of a server on one port, and notes what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aiohttp import web

from comfytui.simulator.app import make_app
from comfytui.simulator.faults import Faults
from comfytui.simulator.folders import Folders
from comfytui.simulator.life import Life
from comfytui.simulator.speed import Speed
from comfytui.simulator.store import QueuedPrompt
from comfytui.simulator.writing import in_thread

VERSIONS = ("0.3.64", "0.8.0")


@dataclass(frozen=True)
class Served:
    """A request that arrived: its path as asked, its query text, and its JSON body (None: none, or no JSON)."""

    method: str
    path: str
    query: str
    body: Any
    at: float
    """Seconds of the event loop's clock."""


class Simulator:
    """A ComfyUI server in this process, on loopback.

    Frames go to `output_dir`; `input_dir` and the temp folder are temporary ones unless given. `speed` and `faults`
    may be changed while it runs. `now` gives epoch seconds for all timestamps; waiting goes by the event loop's
    clock alone. `previews` sends a preview for each sampling step. `device` cpu shows a server without a GPU.
    `keep_requests` notes every request in `requests`.
    """

    def __init__(
        self,
        *,
        output_dir: Path,
        input_dir: Path | None = None,
        version: str = "0.8.0",
        speed: Speed | None = None,
        faults: Faults | None = None,
        now: Callable[[], float] = time.time,
        device: Literal["cuda", "cpu"] = "cuda",
        previews: bool = False,
        keep_requests: bool = True,
    ) -> None:
        if version not in VERSIONS:
            raise ValueError(f"no version {version!r} is simulated; there are {', '.join(VERSIONS)}")
        self.output_dir = output_dir
        self.input_dir = input_dir
        self.version = version
        self.speed = speed or Speed.instant()
        self.faults = faults or Faults()
        self.requests: list[Served] = []
        self.prompts_executed: list[str] = []
        self._now = now
        self._device = device
        self._previews = previews
        self._keep_requests = keep_requests
        self._ordinal = 0
        self._connections = 0
        self._folders: Folders | None = None
        self._address = ("127.0.0.1", 0)
        self._life: Life | None = None
        self._runner: web.AppRunner | None = None
        self._deaths: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Simulator]:
        """Serve on `host` and `port` (0: a free one) until the block ends.

        Raises ValueError for a host that is not loopback, OSError when the port is taken.
        """
        if not is_loopback(host):
            raise ValueError(f"the simulator serves on loopback only, not on {host}")
        self._address = (host, port)
        scratch = Path(await in_thread(lambda: tempfile.mkdtemp(prefix="comfyui-simulator-")))
        self._folders = Folders(
            output=self.output_dir.resolve(),
            input=(self.input_dir or scratch / "input").resolve(),
            temp=scratch / "temp",
        )
        try:
            await self.restart()
            yield self
        finally:
            try:
                await self._end_deaths()
                await self._end(abrupt=False)
            finally:
                await in_thread(lambda: shutil.rmtree(scratch, ignore_errors=True))

    @property
    def url(self) -> str:
        """Return `http://HOST:PORT`; the port stays the same over kill and restart."""
        host, port = self._address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def port(self) -> int:
        """Return the port."""
        return self._address[1]

    @property
    def alive(self) -> bool:
        """Return whether the server is up."""
        return self._life is not None

    @property
    def frames_written(self) -> int:
        """Return how many frames this life has written to the output and temp folders."""
        return self._life.frames_written if self._life else 0

    async def restart(self) -> None:
        """Start a server that remembers nothing, on the same port; raises RuntimeError when one is up."""
        if self._life is not None:
            raise RuntimeError("the simulator is up already")
        assert self._folders is not None, "restart() belongs inside serve()"
        await in_thread(self._folders.create)
        life = Life(
            version=self.version,
            folders=self._folders,
            speed=lambda: self.speed,
            faults=self.faults,
            now=self._now,
            device=self._device,
            previews=self._previews,
            die=self._die,
            prompts_executed=self.prompts_executed,
        )
        runner = web.AppRunner(make_app(self, life), access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, *self._address).start()
        life.port = int(runner.addresses[0][1])
        self._address = (self._address[0], life.port)
        life.start()
        self._life, self._runner = life, runner

    async def kill(self) -> None:
        """Die at once: every connection breaks without a goodbye, and everything is forgotten."""
        await self._end(abrupt=True)

    async def drop_sockets(self, *, clean: bool = False, client_ids: Iterable[str] | None = None) -> None:
        """End WebSockets now, all or those of some clients: with a close frame, or just so."""
        if self._life is not None:
            await self._life.sockets.close_all(clean=clean, client_ids=client_ids)

    def queue_foreign(self, count: int, *, seconds: float = 1.0, first: bool = False) -> list[str]:
        """Queue `count` prompts of another client that run `seconds` each; return their ids.

        `first` puts them before everything that waits.
        """
        assert self._life is not None, "the simulator is down"
        ids = []
        for _ in range(count):
            number, self._life.number = self._life.number, self._life.number + 1
            prompt_id = str(uuid.uuid4())
            graph = _foreign_graph(seconds, seed=uuid.uuid4().int % 2**32)
            self._life.queue.put(
                QueuedPrompt(
                    number=-1e9 + number if first else number,
                    prompt_id=prompt_id,
                    graph=graph,
                    extra_data={"client_id": "somebody-else", "create_time": int(self._now() * 1000)},
                    outputs=["3"],
                    ordinal=0,
                )
            )
            ids.append(prompt_id)
        return ids

    def next_ordinal(self) -> int:
        """Count a POST /prompt."""
        self._ordinal += 1
        return self._ordinal

    def next_connection(self) -> int:
        """Count a WebSocket connection."""
        self._connections += 1
        return self._connections

    async def note(self, request: web.Request) -> None:
        """Note a request for the tests to look at."""
        if not self._keep_requests:
            return
        body: Any = None
        if request.body_exists and not request.content_type.startswith("multipart/"):
            with contextlib.suppress(ValueError):
                body = json.loads(await request.read())
        at = asyncio.get_running_loop().time()
        self.requests.append(Served(request.method, request.path, request.query_string, body, at))

    def _die(self, restart_after: float | None) -> None:
        self._deaths.add(asyncio.ensure_future(self._death(restart_after)))

    async def _end_deaths(self) -> None:
        """Call off what a fault has started; raises what went wrong with it."""
        for task in self._deaths:
            task.cancel()
        for result in await asyncio.gather(*self._deaths, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    async def _death(self, restart_after: float | None) -> None:
        await self.kill()
        if restart_after is not None:
            await asyncio.sleep(restart_after)
            await self.restart()

    async def _end(self, *, abrupt: bool) -> None:
        life, runner = self._life, self._runner
        self._life = self._runner = None
        if life is None or runner is None:
            return
        if abrupt:
            for site in list(runner.sites):
                await site.stop()
            for connection in runner.server.connections if runner.server else ():
                if connection.transport is not None:
                    connection.transport.abort()
        else:
            await life.sockets.close_all(clean=True)
        try:
            await life.stop()
        finally:
            await runner.cleanup()


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _foreign_graph(seconds: float, seed: int) -> dict[str, dict[str, Any]]:
    """Return a workflow that is busy for that long and leaves nothing in the output folder."""
    return {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": seed & 0xFFFFFF},
        },
        "2": {
            "class_type": "SlowProgress",
            "inputs": {
                "image": ["1", 0],
                "steps": 10,
                "seconds_per_step": seconds / 10,
                "fail_at_step": -1,
                "preview": False,
                "seed": seed,
            },
        },
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
    }
