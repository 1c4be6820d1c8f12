"""Does to a simulator what a recording did to a real server, at the same moments, and keeps what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from PIL import Image

from comfytui.simulator import Simulator
from tests.conformance.recording import Exchange, Json, Message, Recording, exchange

NOISE = "comfytui_noise.png"
FOREIGN = {"Origin": "http://evil.example"}


@dataclass
class Replayed:
    """What the simulator answered: an exchange for each recorded one, and the messages of each socket."""

    exchanges: list[tuple[Exchange, Exchange]] = field(default_factory=list)
    messages: dict[str, list[Message]] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    """Recorded prompt ids to ours."""


class Replay:
    """Replays the events of one recording."""

    def __init__(self, recording: Recording, simulator: Simulator, session: aiohttp.ClientSession) -> None:
        self._recording = recording
        self._simulator = simulator
        self._session = session
        self._sockets: dict[str, aiohttp.ClientWebSocketResponse] = {}
        self._readers: dict[str, asyncio.Task[None]] = {}
        self._etag = ""
        self._upload: Json | None = None
        self._begun = 0.0
        self.result = Replayed()

    async def run(self, until: float = float("inf")) -> Replayed:
        """Replay everything up to the second `until`; return what came back."""
        self._begun = asyncio.get_running_loop().time()
        for event in self._recording.events:
            if event["t"] > until:
                break
            await asyncio.sleep(max(0.0, event["t"] - self._now()))
            match event["kind"]:
                case "ws_open":
                    await self._open(event["ws"], event["url"])
                case "ws_send":
                    await self._sockets[event["ws"]].send_json(event["data"])
                case "ws_closed":
                    if event["close_code"] == 1006 and self._simulator.alive:
                        await self._simulator.kill()  # the signal itself was not recorded
                    await self._close(event["ws"])
                case "http":
                    await self._ask(exchange(event))
                case "note":
                    await self._note(event)
        return self.result

    async def prime(self, graph: Json) -> None:
        """Run a workflow that an earlier scenario of the recorded session had run: its nodes are cached from now on."""
        async with self._session.post("/prompt", json={"prompt": graph}) as response:
            prompt_id = (await response.json())["prompt_id"]
        await asyncio.sleep(60)  # virtual seconds: more than it can take
        assert prompt_id in self._simulator.prompts_executed

    async def count_up(self, prompts: int) -> None:
        """Let the server's counter grow by so many prompts, none of which it accepts."""
        for _ in range(prompts):
            async with self._session.post("/prompt", json={"prompt": {}}) as response:
                assert response.status == 400

    def _now(self) -> float:
        return asyncio.get_running_loop().time() - self._begun

    async def _open(self, name: str, url: str) -> None:
        self._sockets[name] = await self._session.ws_connect(url, max_msg_size=0)
        self.result.messages[name] = []
        self._readers[name] = asyncio.ensure_future(self._read(name))

    async def _read(self, name: str) -> None:
        async for message in self._sockets[name]:
            if message.type is aiohttp.WSMsgType.TEXT:
                data = json.loads(message.data)
                found = Message(self._now(), name, data["type"], data["data"], len(message.data), None)
            elif message.type is aiohttp.WSMsgType.BINARY:
                kind = int.from_bytes(message.data[:4], "big")
                found = Message(self._now(), name, f"binary{kind}", {}, len(message.data), message.data)
            else:
                return
            self.result.messages[name].append(found)

    async def _close(self, name: str) -> None:
        if name in self._sockets:
            await self._sockets[name].close()
            await self._readers[name]

    async def _note(self, event: Json) -> None:
        text = event["text"]
        if "files were deleted" in text:
            for path in self._simulator.output_dir.glob("*.png"):
                path.unlink()
        elif "TCP connection aborted" in text:
            self._sockets["A_old"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        elif text in {"SIGKILL", "SIGTERM", "SIGINT"}:
            await self._simulator.kill()
        elif text == "restarting":
            await self._simulator.restart()
        elif text.startswith("upload"):
            self._upload = {"fields": event["fields"], "other": "other bytes" in text}

    async def _ask(self, asked: Exchange) -> None:
        body = self._translated(asked.request)
        url = self._translated(asked.path)
        options: dict[str, Any] = {}
        if asked.path == "/upload/image":
            options["data"] = self._form()
        elif isinstance(body, str) and body.startswith("b'"):
            options["data"] = body[2:-1].encode()
        elif body is not None:
            options["json"] = body
        headers = self._implied_headers(asked)
        try:
            async with self._session.request(asked.method, url, headers=headers, **options) as response:
                raw = await response.read()
        except aiohttp.ClientConnectionError:
            answer = Exchange(self._now(), None, asked.method, url, body, None, "", {}, None)
        else:
            self._etag = response.headers.get("Etag", self._etag)
            parsed = _parsed(response.content_type, raw)
            if asked.path == "/prompt" and asked.status == 200 and response.status == 200 and asked.method == "POST":
                self.result.ids[asked.body["prompt_id"]] = parsed["prompt_id"]
            kind = response.headers.get("Content-Type", "")
            kept = dict(response.headers)
            answer = Exchange(self._now(), self._now(), asked.method, url, body, response.status, kind, kept, parsed)
        self.result.exchanges.append((asked, answer))

    def _implied_headers(self, asked: Exchange) -> dict[str, str]:
        """Request headers are not recorded; the answer tells which ones there must have been."""
        if asked.status == 206:
            return {"Range": "bytes=0-99"}
        if asked.status == 304:
            return {"If-None-Match": self._etag}
        return FOREIGN if asked.status == 403 and asked.path == "/prompt" else {}

    def _translated(self, value: Any) -> Any:
        """Return a path or body with the recorded prompt ids replaced by ours, and large frames by small ones."""
        text = json.dumps(value)
        for recorded, ours in self.result.ids.items():
            text = text.replace(recorded, ours)
        return json.loads(text.replace('"width": 576, "height": 1024', '"width": 72, "height": 128'))

    def _form(self) -> aiohttp.FormData:
        form = aiohttp.FormData()
        upload = self._upload or {"fields": {}, "other": False, "noise": True}
        if self._upload is None and any(a.path == "/upload/image" for a, _ in self.result.exchanges):
            return form  # the last upload of the endpoints scenario has no file
        for name, value in upload["fields"].items():
            form.add_field(name, value)
        name = NOISE if upload.get("noise") else "up_9ce5f8.png"
        form.add_field("image", noise(1 if upload["other"] else 0), filename=name)
        self._upload = None if upload.get("noise") else self._upload
        if "subfolder" in upload["fields"] and ".." in upload["fields"]["subfolder"]:
            self._upload = None
        return form


def _parsed(content_type: str, raw: bytes) -> Any:
    if not raw:
        return {"text": ""}
    if content_type == "application/json":
        return json.loads(raw)
    if content_type.startswith("image/"):
        return {"binary_length": len(raw), "head_hex": raw[:16].hex()}
    return {"text": raw.decode(errors="replace")}


def noise(seed: int = 0, size: tuple[int, int] = (144, 256)) -> bytes:
    """Return a PNG that does not compress."""
    picture = Image.effect_noise(size, 80.0 + seed).convert("RGB")
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


@contextlib.asynccontextmanager
async def replaying(
    recording: Recording, folder: Path, now: Callable[[], float], **options: Any
) -> AsyncIterator[Replay]:
    """Serve a fresh simulator of the recording's version, ready to replay to."""
    inputs = folder / "input"
    inputs.mkdir()
    if recording.scenario not in {"b3_progress_text_no_flags_and_SaveImageWebsocket", "j_endpoints"}:
        (inputs / NOISE).write_bytes(noise())  # uploaded in an earlier scenario of the session
    options = {"device": "cpu"} | options
    simulator = Simulator(output_dir=folder / "output", input_dir=inputs, version=recording.version, now=now, **options)
    async with simulator.serve(), aiohttp.ClientSession(simulator.url) as session:
        yield Replay(recording, simulator, session)
