"""The HTTP side of the ComfyUI client (endpoints as of 0.3.64 and 0.8.0): every call either answers or fails in words.

A garbage collection freezes a server for up to 0.45 s, so no limit here is below some seconds. Whatever goes wrong is
a :class:`~comfytui.sources.comfy.failures.TransportFailure` with one of the codes ``server.unreachable``,
``server.timeout``, ``server.not_comfyui``, ``server.auth`` and ``server.reply``.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import anyio
import httpx
from msgspec import Struct

from comfytui.clock import to_milliseconds
from comfytui.errors import Failure
from comfytui.sources.comfy.address import ServerAddress
from comfytui.sources.comfy.bodies import MIB, declared_size
from comfytui.sources.comfy.exchange import Exchange
from comfytui.sources.comfy.failures import TransportFailure
from comfytui.sources.comfy.history import HistoryEntry, OutputFile, read_history
from comfytui.sources.comfy.lenient import NotJson, WrongShape, decode_json
from comfytui.sources.comfy.replies import (
    PromptRejection,
    PromptReply,
    QueueSnapshot,
    SystemStats,
    read_folder_paths,
    read_log_lines,
    read_object_info,
    read_prompt_rejection,
    read_prompt_reply,
    read_queue,
    read_queue_remaining,
    read_system_stats,
    read_uploaded,
)

MAX_QUEUE = 256 * MIB
"""Bytes of GET /queue, which holds every workflow: 22.7 MB for 500 prompts with a GUI workflow each."""
MAX_FILE = 16 * 1024 * MIB
"""Bytes of one output file: long videos are large."""
MAX_UPLOAD = 100 * MIB
"""Bytes of one upload, the default limit of ComfyUI."""
AT_ONCE = 6
"""Requests for node classes that are under way at the same time."""

_NO_NAMES = ("", ".", "..")  # in a path, these lead to another endpoint


class ViewedFile(Struct, frozen=True):
    """An output file as GET /view gives it: ``size`` in bytes and ``mtime`` where told, and the bytes themselves."""

    size: int | None
    mtime: datetime | None
    chunks: AsyncIterator[bytes]


class ComfyHttp:
    """A client of the server at ``address``; an async context manager. ``timeout`` is in seconds."""

    def __init__(
        self, address: ServerAddress, timeout: float = 10.0, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.address = address
        self._exchange = Exchange(address, timeout, transport=transport)

    async def __aenter__(self) -> Self:
        await self._exchange.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exchange.close()

    # --- what the server is and does ----------------------------------------------------------------------------

    async def system_stats(self) -> SystemStats:
        """Return GET /system_stats; fails with ``server.not_comfyui`` where that is not what ComfyUI says."""
        path = "/system_stats"
        try:
            reply = await self._exchange.ask("GET", path)
        except TransportFailure as failure:
            if failure.status != 404:
                raise
            raise self._exchange.not_comfyui(f"it has no {path}", 404) from None
        if not reply.is_json:
            raise self._exchange.not_comfyui(f"it answers {path} with something else than JSON", reply.status)
        try:
            return read_system_stats(decode_json(reply.body))
        except WrongShape as error:
            raise self._exchange.not_comfyui(f"{path}: {error}", reply.status) from None
        except NotJson as error:
            raise self._exchange.unusable(f"GET {path}", str(error), reply.status) from None

    async def queue(self) -> QueueSnapshot:
        """Return GET /queue: what runs and what waits. Heavy on a busy server; see queue_remaining."""
        reply = await self._exchange.ask("GET", "/queue", limit=MAX_QUEUE)
        return self._exchange.read("GET /queue", reply, lambda: read_queue(reply.body))

    async def queue_remaining(self) -> int:
        """Return how many prompts run and wait (GET /prompt, a few bytes)."""
        return await self._exchange.json("GET", "/prompt", read_queue_remaining)

    async def history(self, prompt_id: str) -> HistoryEntry | None:
        """Return the entry of one prompt; ``None``: none (yet). GET /history/<id>, never the whole history."""
        path = f"/history/{quote(_named(prompt_id), safe='')}"
        reply = await self._exchange.ask("GET", path)
        return self._exchange.read(f"GET {path}", reply, lambda: read_history(reply.body, prompt_id))

    async def object_info(self, node_class: str) -> dict[str, Any] | None:
        """Return what the server tells of one node class; ``None``: it is not installed there."""
        if node_class.strip() in _NO_NAMES:
            return None
        path = f"/object_info/{quote(_named(node_class), safe='')}"
        return await self._exchange.json("GET", path, lambda body: read_object_info(body, node_class))

    async def node_infos(self, node_classes: Iterable[str]) -> dict[str, dict[str, Any] | None]:
        """Return :meth:`object_info` of each class, sorted by name: one request a class, a few at a time."""
        wanted = sorted(set(node_classes))
        infos: dict[str, dict[str, Any] | None] = dict.fromkeys(wanted)
        places = anyio.Semaphore(AT_ONCE)

        async def look(node_class: str) -> None:
            async with places:
                infos[node_class] = await self.object_info(node_class)

        failures: list[Failure] = []
        try:
            async with anyio.create_task_group() as group:
                for node_class in wanted:
                    group.start_soon(look, node_class)
        except* Failure as found:
            failures += [one for one in found.exceptions if isinstance(one, Failure)]
        if failures:
            raise failures[0]
        return infos

    async def folder_paths(self) -> dict[str, tuple[str, ...]] | None:
        """Return the server's model folders by kind (GET /internal/folder_paths); ``None``: it does not tell."""
        try:
            return await self._exchange.json("GET", "/internal/folder_paths", read_folder_paths)
        except TransportFailure as failure:
            if failure.status == 404:
                return None
            raise

    async def logs_tail(self, limit_bytes: int = 20_000) -> tuple[str, ...] | None:
        """Return the last lines of the server's log, plain, oldest first; ``None``: it does not tell."""
        try:
            lines = await self._exchange.json("GET", "/internal/logs/raw", read_log_lines)
        except TransportFailure as failure:
            if failure.status == 404:
                return None
            raise
        kept: list[str] = []
        for line in reversed(lines):
            limit_bytes -= len(line.encode()) + 1
            if limit_bytes < 0:
                break
            kept.append(line)
        return tuple(reversed(kept))

    # --- prompts ------------------------------------------------------------------------------------------------

    async def submit(
        self,
        prompt: Mapping[str, Any],
        prompt_id: str,
        client_id: str,
        extra_data: Mapping[str, Any] | None = None,
    ) -> PromptReply | PromptRejection:
        """Queue an API-format workflow under an id of our own choice; a rejection (400) is an answer, no failure.

        On a TransportFailure ``may_have_arrived`` tells whether the prompt may be queued all the same. Never repeat
        it then: the id is no idempotency key, the prompt would run twice.
        """
        body: dict[str, Any] = {"prompt": prompt, "prompt_id": _named(prompt_id), "client_id": _named(client_id)}
        if extra_data:
            body["extra_data"] = dict(extra_data)
        reply = await self._exchange.ask("POST", "/prompt", json=body, accept=(400,))
        read: Callable[[Any], PromptReply | PromptRejection]
        read = read_prompt_rejection if reply.status == 400 else read_prompt_reply
        return self._exchange.read("POST /prompt", reply, lambda: read(decode_json(reply.body)))

    async def interrupt(self, prompt_id: str) -> None:
        """Ask for the end of this prompt, if it runs. It may take until the next step, and can be lost: look again.

        Raises ValueError for an empty id: an interrupt without one ends whatever runs, anyone's.
        """
        await self._exchange.ask("POST", "/interrupt", json={"prompt_id": _named(prompt_id)})

    async def delete_pending(self, prompt_ids: Iterable[str]) -> None:
        """Take prompts out of the queue that do not run yet; ids that are not there do no harm."""
        if ids := [_named(one) for one in prompt_ids]:
            await self._exchange.ask("POST", "/queue", json={"delete": ids})

    async def free(self, *, unload_models: bool = True, free_memory: bool = True) -> None:
        """Ask the server to unload its models and give memory back, as soon as it is idle."""
        await self._exchange.ask("POST", "/free", json={"unload_models": unload_models, "free_memory": free_memory})

    async def forget(self, prompt_id: str) -> None:
        """Take one prompt out of the server's history (POST /history); an id that is not there does no harm."""
        await self._exchange.ask("POST", "/history", json={"delete": [_named(prompt_id)]})

    # --- files --------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def view(self, file: OutputFile, limit: int = MAX_FILE) -> AsyncIterator[ViewedFile]:
        """Open an output file for reading: ``async with http.view(file) as viewed``, then iterate ``viewed.chunks``.

        A half-written file is given as it is, so its bytes have to be proven. A file that is not there fails with
        ``status`` 404. Opening and the iteration raise TransportFailure; more than ``limit`` bytes are
        ``server.reply``.
        """
        query = {"filename": file.filename, "subfolder": file.subfolder, "type": file.type}
        request = f"GET /view of {file.shown}"
        async with self._exchange.stream("/view", query, request) as answer:
            chunks = self._exchange.chunks(request, answer, limit)
            try:
                yield ViewedFile(declared_size(answer), _modified(answer), chunks)
            finally:
                await chunks.aclose()

    async def upload_image(self, path: Path, name: str, subfolder: str = "") -> str:
        """Upload the image at ``path`` as ``subfolder/name``; return the name to put into LoadImage.

        That may differ from ``name``: another file of the same name becomes ``name (1).png`` (POST /upload/image).
        Raises Failure ``story.keyframe_unreadable`` when the file cannot be read or is larger than 100 MiB.
        """
        image = await _image_bytes(path)
        data = {"type": "input", "subfolder": subfolder}
        reply = await self._exchange.ask("POST", "/upload/image", data=data, files={"image": (name, image)})
        return self._exchange.read("POST /upload/image", reply, lambda: read_uploaded(decode_json(reply.body)))


def _named(name: str) -> str:
    """Return an id; raises ValueError for a blank one, with which most endpoints do something quite different."""
    if name.strip() in _NO_NAMES:
        raise ValueError("an id or class name is needed, and it is blank or means a folder")
    return name


def _modified(answer: httpx.Response) -> datetime | None:
    try:
        told = parsedate_to_datetime(answer.headers.get("last-modified", ""))
    except (ValueError, TypeError):
        return None
    return to_milliseconds(told if told.tzinfo else told.replace(tzinfo=UTC))


async def _image_bytes(path: Path) -> bytes:
    file = anyio.Path(path)
    try:
        if (await file.stat()).st_size > MAX_UPLOAD:
            raise Failure("story.keyframe_unreadable", path=str(path), why=f"it is larger than {MAX_UPLOAD // MIB} MiB")
        return await file.read_bytes()
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise Failure("story.keyframe_unreadable", path=str(path), why=why) from None
