"""A bare client of a simulator, for tests of the simulator itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp

from comfytui.simulator import Simulator

Json = dict[str, Any]

CLIENT = "the-client"


def graph(prefix: str = "frames", *, count: int = 3, colour: int = 0x336699, size: tuple[int, int] = (64, 36)) -> Json:
    """Return the smoke workflow: EmptyImage -> SaveImage."""
    width, height = size
    return {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": width, "height": height, "batch_size": count, "color": colour},
        },
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": prefix}},
    }


def slow_graph(prefix: str = "frames", *, steps: int = 10, seconds: float = 1.0, seed: int = 0) -> Json:
    """Return a workflow with `steps` steps of `seconds` before the frames are saved."""
    slow = {"image": ["1", 0], "steps": steps, "seconds_per_step": seconds, "fail_at_step": -1, "preview": False}
    made = graph(prefix)
    made["3"] = {"class_type": "SlowProgress", "inputs": slow | {"seed": seed}}
    made["2"]["inputs"]["images"] = ["3", 0]
    return made


class Asker:
    """Asks one simulator over HTTP, and listens to it."""

    def __init__(self, simulator: Simulator, session: aiohttp.ClientSession) -> None:
        self.simulator = simulator
        self.session = session

    async def get(self, path: str) -> Any:
        """Return the JSON that GET answers; raises what aiohttp raises when there is none."""
        async with self.session.get(path) as response:
            return json.loads(await response.text())

    async def post(self, path: str, body: Json | None = None) -> tuple[int, Any]:
        """Return status and JSON of a POST; the text where it is no JSON."""
        async with self.session.post(path, json=body) as response:
            text = await response.text()
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, text

    async def submit(self, workflow: Json | None = None, **extra: Any) -> str:
        """Queue a workflow; return its prompt id."""
        status, body = await self.post("/prompt", {"prompt": workflow or graph(), "client_id": CLIENT, **extra})
        assert status == 200, body
        return str(body["prompt_id"])

    async def entry(self, prompt_id: str) -> Json | None:
        """Return the history entry of a prompt, or None."""
        found: Json | None = (await self.get(f"/history/{prompt_id}")).get(prompt_id)
        return found

    async def ended(self, prompt_id: str, *, within: float = 600.0) -> Json:
        """Wait until the history knows the prompt; return its entry. Fails after `within` virtual seconds."""
        async with asyncio.timeout(within):
            while True:
                found = await self.entry(prompt_id)
                if found is not None:
                    return found
                await asyncio.sleep(0.05)

    async def done(self, workflow: Json | None = None, **extra: Any) -> Json:
        """Queue a workflow and wait for its end; return its history entry."""
        return await self.ended(await self.submit(workflow, **extra))

    @contextlib.asynccontextmanager
    async def listening(self, client_id: str = CLIENT, *, flags: bool = False) -> AsyncIterator[Listener]:
        """Open a WebSocket for the time of the block."""
        listener = Listener(await self.session.ws_connect(f"/ws?clientId={client_id}", max_msg_size=0))
        if flags:
            await listener.send_flags()
        try:
            yield listener
        finally:
            await listener.close()


class Listener:
    """An open WebSocket: what came so far, and whether it is still open."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.messages: list[Json] = []
        self._arrived = asyncio.Event()
        self._reader = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self.messages.append(json.loads(message.data))
            elif message.type is aiohttp.WSMsgType.BINARY:
                self.messages.append({"type": f"binary{message.data[3]}", "data": {"bytes": message.data}})
            self._arrived.set()

    @property
    def types(self) -> list[str]:
        """Return the types of the messages so far."""
        return [message["type"] for message in self.messages]

    async def send_flags(self) -> None:
        """Say what this client can do; a live server answers."""
        await self.socket.send_json({"type": "feature_flags", "data": {"supports_preview_metadata": True}})

    async def until(self, wanted: Callable[[Json], bool], *, within: float = 600.0) -> Json:
        """Wait for a message; return it. Fails after `within` virtual seconds."""
        seen = 0
        async with asyncio.timeout(within):
            while True:
                for message in self.messages[seen:]:
                    seen += 1
                    if wanted(message):
                        return message
                self._arrived.clear()
                await self._arrived.wait()

    async def close(self) -> None:
        """Close the socket."""
        await self.socket.close()
        await self._reader


def is_end(message: Json) -> bool:
    """Return whether a message is the `executing` null that ends a prompt."""
    return message["type"] == "executing" and message["data"].get("node") is None


@contextlib.asynccontextmanager
async def asking(folder: Path, **options: Any) -> AsyncIterator[Asker]:
    """Serve a simulator that writes below `folder`, with a client for it."""
    simulator = Simulator(output_dir=folder / "output", input_dir=folder / "input", **options)
    async with simulator.serve(), aiohttp.ClientSession(simulator.url) as session:
        yield Asker(simulator, session)
