"""What ComfyUI answers over HTTP, all but the history (measured on 0.3.64 and 0.8.0).

Each ``read_...`` takes a decoded reply, tolerates what it does not know and every wrong type inside, and raises
:class:`WrongShape` only where the reply as a whole cannot be what was asked for. All text is plain
(:func:`comfytui.untrusted.plain`).
"""

import re
from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import Struct

from comfytui.model.events import Device
from comfytui.sources.comfy.lenient import WrongShape, clean, decode_json, items, mapping, number, text, whole
from comfytui.untrusted import plain

MAX_MESSAGE = 2000
"""Characters of each text of a rejection that are kept."""
MAX_SENTENCES = 50
"""Validation errors of one prompt that are told."""


# --- GET /system_stats ------------------------------------------------------------------------------------------------


class SystemStats(Struct, frozen=True, kw_only=True):
    """The reply to GET /system_stats: the ``system`` part as it came (text made plain), and the devices."""

    system: dict[str, Any]
    devices: tuple[Device, ...]

    @property
    def version(self) -> str | None:
        """Return ComfyUI's version; servers before 0.2 do not tell."""
        return text(self.system.get("comfyui_version"))

    @property
    def os(self) -> str | None:
        """Return the server's operating system: ``posix`` or ``nt`` (0.3.64), ``linux``, ``win32``, ... (0.8.0)."""
        return text(self.system.get("os"))

    @property
    def python(self) -> str | None:
        """Return the server's Python version, a long line."""
        return text(self.system.get("python_version"))

    @property
    def pytorch(self) -> str | None:
        """Return the server's torch version."""
        return text(self.system.get("pytorch_version"))

    @property
    def argv(self) -> tuple[str, ...]:
        """Return the server's command line, without the interpreter."""
        return tuple(one for one in items(self.system.get("argv")) if isinstance(one, str))


def read_system_stats(body: Any) -> SystemStats:
    """Return the decoded reply to GET /system_stats as a SystemStats; raises WrongShape."""
    if not isinstance(body, dict) or not isinstance(body.get("system"), dict):
        raise WrongShape("it has no `system` part")
    devices = tuple(_device(one) for one in items(body.get("devices")) if isinstance(one, dict))
    return SystemStats(system=clean(body["system"]), devices=devices)


def _device(one: dict[str, Any]) -> Device:
    return Device(
        name=text(one.get("name")) or "Unknown",
        type=text(one.get("type")),
        index=whole(one.get("index")),
        vram_total=whole(one.get("vram_total")),
        vram_free=whole(one.get("vram_free")),
    )


# --- GET /queue, GET /prompt ------------------------------------------------------------------------------------------


class QueueItem(Struct, frozen=True, kw_only=True):
    """One prompt of the queue; a lower ``number`` runs first."""

    number: float | None
    prompt_id: str
    client_id: str | None = None
    nodes: int | None = None


class QueueSnapshot(Struct, frozen=True, kw_only=True):
    """The reply to GET /queue: what runs, and what waits, in the order in which it will run."""

    running: tuple[QueueItem, ...]
    pending: tuple[QueueItem, ...]

    def where(self, prompt_id: str) -> Literal["running", "pending"] | None:
        """Return where the prompt is; ``None``: in neither list."""
        if any(one.prompt_id == prompt_id for one in self.running):
            return "running"
        return "pending" if any(one.prompt_id == prompt_id for one in self.pending) else None


class _Queue(Struct):
    """The lists as raw JSON: with 500 prompts they weigh 22 MB, nearly all of it workflows that nobody reads here."""

    queue_running: list[msgspec.Raw]
    queue_pending: list[msgspec.Raw]


class _ExtraData(Struct):
    client_id: Any = None


def read_queue(body: bytes) -> QueueSnapshot:
    """Return the body of the reply to GET /queue; raises WrongShape, NotJson.

    An item is ``[number, prompt_id, prompt, extra_data, outputs]`` (newer servers append more). One that cannot be
    read makes the whole reply unusable: a prompt that is silently not listed would be taken for lost.
    """
    try:
        queue = _decode(body, _Queue)
    except msgspec.ValidationError as error:
        raise WrongShape(plain(str(error), 200)) from None
    running = [_queue_item(one) for one in queue.queue_running]
    pending = [_queue_item(one) for one in queue.queue_pending]
    return QueueSnapshot(running=tuple(running), pending=tuple(sorted(pending, key=_turn)))


def _decode(body: bytes, kind: type[_Queue]) -> _Queue:
    """Return ``body`` as ``kind``, the workflows in it unread unless they hold what only a lax parser takes."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError:
        raise
    except (ValueError, RecursionError):
        return msgspec.json.decode(msgspec.json.encode(clean(decode_json(body), depth=100)), type=kind)


def _queue_item(raw: msgspec.Raw) -> QueueItem:
    try:
        item = msgspec.json.decode(raw, type=list[msgspec.Raw])
        order, prompt_id = (msgspec.json.decode(one) for one in item[:2])
        extra = msgspec.json.decode(item[3], type=_ExtraData) if len(item) > 3 else _ExtraData()
    except (ValueError, RecursionError):
        raise WrongShape("an item of the queue is not a list that begins with a number and an id") from None
    name = text(prompt_id)
    if not name:
        raise WrongShape("an item of the queue has no prompt id")
    return QueueItem(number=number(order), prompt_id=name, client_id=text(extra.client_id), nodes=_nodes(item[2:3]))


def _nodes(prompt: list[msgspec.Raw]) -> int | None:
    """Return how many nodes a prompt has; ``None`` where it is no table of nodes."""
    try:
        return len(msgspec.json.decode(prompt[0], type=dict[str, msgspec.Raw])) if prompt else None
    except (ValueError, RecursionError):
        return None


def _turn(item: QueueItem) -> float:
    return item.number if item.number is not None else float("inf")


def read_queue_remaining(body: Any) -> int:
    """Return how many prompts run and wait, from the reply to GET /prompt; raises WrongShape."""
    remaining = whole(mapping(mapping(body).get("exec_info")).get("queue_remaining"))
    if remaining is None:
        raise WrongShape("it does not tell queue_remaining")
    return remaining


# --- POST /prompt -----------------------------------------------------------------------------------------------------


class PromptReply(Struct, frozen=True, kw_only=True):
    """The prompt is queued (200). ``warnings``: outputs that will not run, one sentence for each error."""

    prompt_id: str
    number: int | None = None
    warnings: tuple[str, ...] = ()


class PromptRejection(Struct, frozen=True, kw_only=True):
    """The prompt is invalid (400): ``kind`` is error.type, ``sentences`` name the nodes and what is wrong with them."""

    kind: str
    message: str
    details: str = ""
    sentences: tuple[str, ...] = ()
    node_id: str | None = None
    node_type: str | None = None

    @property
    def why(self) -> str:
        """Return everything the server said, on one line."""
        said = "; ".join(self.sentences) or self.details
        return f"{self.message.rstrip('.')} ({said})" if said else self.message.rstrip(".")


def read_prompt_reply(body: Any) -> PromptReply:
    """Return the decoded 200 reply to POST /prompt; raises WrongShape."""
    told = mapping(body).get("prompt_id")
    prompt_id = text(told) if isinstance(told, str) else None
    if not prompt_id:
        raise WrongShape("it names no prompt_id")
    warnings = tuple(_sentences(body.get("node_errors")))
    return PromptReply(prompt_id=prompt_id, number=whole(body.get("number")), warnings=warnings)


def read_prompt_rejection(body: Any) -> PromptRejection:
    """Return the decoded 400 reply to POST /prompt; raises WrongShape."""
    error = mapping(body).get("error")
    if isinstance(error, str):  # what other front ends to ComfyUI answer
        error = {"type": "invalid_prompt", "message": error}
    if not isinstance(error, dict) or text(error.get("message")) is None:
        raise WrongShape("it does not tell an error")
    message, details = text(error["message"], MAX_MESSAGE) or "", text(error.get("details"), MAX_MESSAGE) or ""
    node_id, node_type = _blamed(body.get("node_errors"), message, details)
    return PromptRejection(
        kind=text(error.get("type")) or "unknown",
        message=message,
        details=" ".join(details.split()),
        sentences=tuple(_sentences(body.get("node_errors"))),
        node_id=node_id,
        node_type=node_type,
    )


def _blamed(node_errors: Any, message: str, details: str) -> tuple[str | None, str | None]:
    """Return id and class of the first node at fault; an unknown class is only named in the two texts."""
    for node_id, found in mapping(node_errors).items():
        return text(node_id), text(mapping(found).get("class_type"))
    by_id = re.search(r"Node ID '#([^']+)'", details)
    by_class = re.search(r"node '?(.+?)'? (?:does not exist|not found)", message)
    return by_id[1] if by_id else None, by_class[1] if by_class else None


def _sentences(node_errors: Any) -> Iterator[str]:
    """Yield "node 6 (CLIPTextEncode): Required input is missing: clip" for each error, at most MAX_SENTENCES."""
    told = 0
    for node_id, found in mapping(node_errors).items():
        node = f"node {text(node_id)} ({text(mapping(found).get('class_type')) or 'unknown class'})"
        for error in items(mapping(found).get("errors")):
            said = (text(mapping(error).get(part), MAX_MESSAGE) for part in ("message", "details"))
            yield f"{node}: {': '.join(one for one in said if one) or 'invalid'}"
            told += 1
            if told == MAX_SENTENCES:
                return


# --- GET /object_info/<class>, /internal/folder_paths, /internal/logs/raw, POST /upload/image -------------------------


def read_object_info(body: Any, node_class: str) -> dict[str, Any] | None:
    """Return what the server tells of a node class; ``None``: it does not know it (`{}`). Raises WrongShape."""
    if not isinstance(body, dict):
        raise WrongShape("it is not an object")
    if not body:
        return None
    if not isinstance(body.get(node_class), dict):
        raise WrongShape("it tells of something else")
    found: dict[str, Any] = clean(body[node_class], depth=100)
    return found


def read_folder_paths(body: Any) -> dict[str, tuple[str, ...]]:
    """Return the folders of each kind of model; a path that plain() would change is left out. Raises WrongShape."""
    if not isinstance(body, dict):
        raise WrongShape("it is not an object")
    return {
        plain(kind): tuple(one for one in items(paths) if isinstance(one, str) and plain(one) == one)
        for kind, paths in body.items()
    }


def read_log_lines(body: Any) -> list[str]:
    """Return the lines of the server's log, oldest first; raises WrongShape."""
    entries = mapping(body).get("entries")
    if not isinstance(entries, list):
        raise WrongShape("it has no `entries`")
    written = "".join(one["m"] for one in entries if isinstance(one, dict) and isinstance(one.get("m"), str))
    return [plain(line) for line in written.replace("\r", "\n").split("\n") if line.strip()]


def read_uploaded(body: Any) -> str:
    """Return the name that LoadImage knows an uploaded file by; raises WrongShape."""
    name, folder = (mapping(body).get(part) for part in ("name", "subfolder"))
    if not isinstance(name, str) or not name:
        raise WrongShape("it names no file")
    return plain(f"{folder}/{name}" if isinstance(folder, str) and folder else name)
