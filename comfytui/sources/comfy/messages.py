"""What ComfyUI says on its WebSocket, as typed messages (measured on 0.3.64 and 0.8.0).

:func:`decode_text` and :func:`decode_binary` never raise: a type that is not known becomes :class:`Unknown`, what
cannot be read becomes :class:`Malformed`. Text is decoded in two stages, the type first, so that the data of a type
that nobody reads (custom nodes send their own) is never built.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from comfytui.sources.comfy.history import NodeError, OutputFile, read_files, read_node_error
from comfytui.sources.comfy.lenient import (
    NotJson,
    WrongShape,
    clean,
    decode_json,
    items,
    mapping,
    moment,
    names,
    number,
    text,
    whole,
)
from comfytui.untrusted import plain

MAX_IMAGE = 4 * 1024 * 1024
"""Bytes of a preview that are kept; a bigger one is told with its size alone."""
MAX_LINES = 1000
"""Lines of one `logs` message that are kept."""


class Message(Struct, frozen=True, kw_only=True):
    """Anything that came over the socket."""


class Status(Message, frozen=True, kw_only=True):
    """How many prompts run and wait; sent to everybody."""

    remaining: int | None


class ExecutionStart(Message, frozen=True, kw_only=True):
    """A prompt begins to execute."""

    prompt_id: str | None
    at: datetime | None = None


class ExecutionCached(Message, frozen=True, kw_only=True):
    """The nodes whose results are taken from the cache."""

    prompt_id: str | None
    nodes: tuple[str, ...] = ()


class Executing(Message, frozen=True, kw_only=True):
    """A node begins. ``node`` ``None``: the prompt has ended, and its history is there to be read.

    ``prompt_id`` ``None``: the server tells a client that has come back where its prompt is.
    """

    prompt_id: str | None
    node: str | None


class Progress(Message, frozen=True, kw_only=True):
    """Steps of one node."""

    prompt_id: str | None
    node: str | None
    value: float | None
    maximum: float | None


class ProgressState(Message, frozen=True, kw_only=True):
    """All nodes at once: how many have ended, and ``(node, value, maximum)`` of those that run."""

    prompt_id: str | None
    finished: int = 0
    running: tuple[tuple[str, float | None, float | None], ...] = ()


class Executed(Message, frozen=True, kw_only=True):
    """A node that shows its output has ended; from the cache too, then with the OLD file names."""

    prompt_id: str | None
    node: str | None
    files: tuple[OutputFile, ...] = ()


class ExecutionSuccess(Message, frozen=True, kw_only=True):
    """All nodes have ended. History is often not there yet: 32 to 38 of 100 runs."""

    prompt_id: str | None
    at: datetime | None = None


class ExecutionError(Message, frozen=True, kw_only=True):
    """A node failed."""

    prompt_id: str | None
    error: NodeError


class ExecutionInterrupted(Message, frozen=True, kw_only=True):
    """Somebody interrupted the prompt."""

    prompt_id: str | None


class FeatureFlags(Message, frozen=True, kw_only=True):
    """The server's answer to ours: what it can do."""

    flags: dict[str, Any]


class Logs(Message, frozen=True, kw_only=True):
    """Lines of the server's log; only for those who subscribed."""

    lines: tuple[str, ...]


class Preview(Message, frozen=True, kw_only=True):
    """An image on its way: a sampler's preview, or a whole frame of SaveImageWebsocket; the node only with metadata.

    ``size`` is in bytes; ``image`` is empty when that is more than MAX_IMAGE. ``format``: ``jpeg``, ``png``, ...
    """

    prompt_id: str | None = None
    node: str | None = None
    format: str
    size: int
    image: bytes


class TextProgress(Message, frozen=True, kw_only=True):
    """A node tells in words how it goes."""

    node: str | None
    text: str


class Unknown(Message, frozen=True, kw_only=True):
    """A message of a type that comfytui does not know: later servers and custom nodes send such."""

    kind: str


class Malformed(Message, frozen=True, kw_only=True):
    """Something that is no message; ``why`` says it in a few words."""

    why: str


# --- text -------------------------------------------------------------------------------------------------------------


class _Envelope(Struct):
    type: str
    data: msgspec.Raw = msgspec.Raw(b"null")


def decode_text(received: str | bytes) -> Message:
    """Return the message in the text ``{"type": ..., "data": {...}}``."""
    try:
        kind, data = _opened(received)
    except (NotJson, WrongShape) as error:
        return Malformed(why=str(error))
    reader = _READERS.get(kind)
    if reader is None:
        return Unknown(kind=plain(kind, 100))
    if not isinstance(data, dict):
        return Malformed(why=f"{kind} carries no object")
    try:
        return reader(data)
    except WrongShape as error:
        return Malformed(why=str(error))


def _opened(received: str | bytes) -> tuple[str, Any]:
    """Return the type and, where it is a known one, the decoded data; raises NotJson, WrongShape."""
    try:
        envelope = msgspec.json.decode(received, type=_Envelope)
        return envelope.type, msgspec.json.decode(envelope.data) if envelope.type in _READERS else None
    except msgspec.ValidationError:
        raise WrongShape("it has no type") from None
    except (ValueError, RecursionError):
        message = mapping(decode_json(received))
        if not isinstance(message.get("type"), str):
            raise WrongShape("it has no type") from None
        return message["type"], message.get("data")


def _status(data: dict[str, Any]) -> Message:
    return Status(remaining=whole(mapping(mapping(data.get("status")).get("exec_info")).get("queue_remaining")))


def _executing(data: dict[str, Any]) -> Message:
    node = text(data.get("node"))
    if "node" not in data or (node is None and data["node"] is not None):
        raise WrongShape("executing names no node")  # and must not be taken for the end of a prompt
    return Executing(prompt_id=text(data.get("prompt_id")), node=node)


def _progress(data: dict[str, Any]) -> Message:
    return Progress(
        prompt_id=text(data.get("prompt_id")),
        node=text(data.get("node")),
        value=number(data.get("value")),
        maximum=number(data.get("max")),
    )


def _progress_state(data: dict[str, Any]) -> Message:
    nodes = mapping(data.get("nodes"))
    states = [(text(node) or "", mapping(state)) for node, state in nodes.items()]
    running = ((node, one) for node, one in states if one.get("state") == "running")
    return ProgressState(
        prompt_id=text(data.get("prompt_id")),
        finished=sum(one.get("state") == "finished" for _, one in states),
        running=tuple((node, number(one.get("value")), number(one.get("max"))) for node, one in running),
    )


def _executed(data: dict[str, Any]) -> Message:
    node = text(data.get("node"))
    files = tuple(read_files(node or "", data.get("output")))
    return Executed(prompt_id=text(data.get("prompt_id")), node=node, files=files)


def _logs(data: dict[str, Any]) -> Message:
    entries = items(data.get("entries"))[-MAX_LINES:]
    return Logs(lines=tuple(line for one in entries if (line := text(mapping(one).get("m"), 1000))))


_READERS: dict[str, Callable[[dict[str, Any]], Message]] = {
    "status": _status,
    "execution_start": lambda data: ExecutionStart(
        prompt_id=text(data.get("prompt_id")), at=moment(data.get("timestamp"))
    ),
    "execution_cached": lambda data: ExecutionCached(
        prompt_id=text(data.get("prompt_id")), nodes=names(data.get("nodes"))
    ),
    "executing": _executing,
    "progress": _progress,
    "progress_state": _progress_state,
    "executed": _executed,
    "execution_success": lambda data: ExecutionSuccess(
        prompt_id=text(data.get("prompt_id")), at=moment(data.get("timestamp"))
    ),
    "execution_error": lambda data: ExecutionError(prompt_id=text(data.get("prompt_id")), error=read_node_error(data)),
    "execution_interrupted": lambda data: ExecutionInterrupted(prompt_id=text(data.get("prompt_id"))),
    "feature_flags": lambda data: FeatureFlags(flags=clean(data)),
    "logs": _logs,
}


# --- binary -----------------------------------------------------------------------------------------------------------

_FORMATS = {1: "jpeg", 2: "png"}


def decode_binary(received: bytes) -> Message:
    """Return the message in a binary frame, which begins with its type as a big-endian u32.

    1: u32 format, image. 3: u32 length, node id, text. 4: u32 length, JSON, image; sent instead of 1 to clients whose
    first message said ``supports_preview_metadata``.
    """
    kind, rest = int.from_bytes(received[:4], "big"), memoryview(received)[4:]
    if len(received) < 8:
        return Malformed(why="a binary message of less than 8 bytes")
    head, after = int.from_bytes(rest[:4], "big"), rest[4:]
    if kind == 1:
        return _preview(_FORMATS.get(head, "unknown"), after)
    if kind not in (3, 4):
        return Unknown(kind=f"binary {kind}")
    if head > len(after):
        return Malformed(why=f"binary message {kind} is shorter than it says")
    told, content = bytes(after[:head]), after[head:]
    if kind == 3:
        said = bytes(content[:8000]).decode("utf-8", "replace")
        return TextProgress(node=text(told.decode("utf-8", "replace")), text=plain(said, 2000))
    try:
        metadata = mapping(decode_json(told))
    except NotJson as error:
        return Malformed(why=f"the metadata of a preview: {error}")
    image_type = (text(metadata.get("image_type")) or "unknown").removeprefix("image/")
    return _preview(image_type, content, text(metadata.get("prompt_id")), text(metadata.get("node_id")))


def _preview(image_format: str, image: memoryview, prompt_id: str | None = None, node: str | None = None) -> Preview:
    kept = bytes(image) if len(image) <= MAX_IMAGE else b""
    return Preview(prompt_id=prompt_id, node=node, format=image_format, size=len(image), image=kept)
