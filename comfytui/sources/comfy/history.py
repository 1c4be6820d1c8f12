"""How a prompt ended and what it wrote: the reply to GET /history/<prompt_id>, and the parts it shares with the socket.

Per id only, never the whole history: that weighs 23 MB on a server with 500 prompts (ComfyUI 0.3.64 and 0.8.0).
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from comfytui.sources.comfy.lenient import WrongShape, decode_json, items, mapping, moment, names, text
from comfytui.untrusted import plain

MAX_MESSAGE = 2000
"""Characters of a node's error message that are kept: torch writes whole tensors into some."""
MAX_FILES = 100_000
"""Output files of one prompt that are listed."""
MAX_NAME_SHOWN = 300
"""Characters of a file's name that are shown."""

Outcome = Literal["success", "error", "interrupted"]


class OutputFile(Struct, frozen=True, kw_only=True):
    """A file that a node says it wrote; ``type`` is the folder: ``output``, ``temp`` or ``input``.

    ``filename`` and ``subfolder`` are the server's words, unchanged and NOT to be trusted: they may hold ``..``,
    slashes or control characters. Only :func:`comfytui.untrusted.inside` may make a path of them, and only
    :attr:`shown` may be shown.
    """

    node: str
    key: str
    filename: str
    subfolder: str
    type: str

    @property
    def shown(self) -> str:
        """Return subfolder and name as plain text."""
        return plain(f"{self.subfolder}/{self.filename}" if self.subfolder else self.filename, MAX_NAME_SHOWN)


class NodeError(Struct, frozen=True, kw_only=True):
    """Why a node failed; the traceback and the node's inputs (kilobytes of tensor text) are left out."""

    node_id: str | None = None
    node_type: str | None = None
    exception_type: str | None = None
    message: str = ""


class HistoryEntry(Struct, frozen=True, kw_only=True):
    """The reply to GET /history/<prompt_id> for a prompt that has ended.

    ``outcome`` is ``None`` where the entry has no status. ``raw`` is the reply as it came, for history.json.
    """

    outputs: tuple[OutputFile, ...] = ()
    outcome: Outcome | None = None
    started_at: datetime | None = None
    success_at: datetime | None = None
    error: NodeError | None = None
    cached_nodes: tuple[str, ...] = ()
    raw: bytes = b""


def read_history(raw: bytes, prompt_id: str) -> HistoryEntry | None:
    """Return the entry of ``prompt_id`` in the reply ``raw``; ``None``: not there (unknown, pending or running).

    Raises NotJson, and WrongShape when the reply or the entry is not an object, or the entry has no outputs.
    """
    body = decode_json(raw)
    if not isinstance(body, dict):
        raise WrongShape("it is not an object")
    if not body:
        return None
    entry = body.get(prompt_id)  # anything else than {} or this entry must not be taken for "not there"
    if not isinstance(entry, dict) or not isinstance(entry.get("outputs"), dict):
        raise WrongShape("the entry has no `outputs`")
    told = _messages(mapping(entry.get("status")).get("messages"))
    outcome = _outcome(mapping(entry.get("status")), told)
    return HistoryEntry(
        outputs=tuple(_files_of_all(entry["outputs"])),
        outcome=outcome,
        started_at=moment(told.get("execution_start", {}).get("timestamp")),
        success_at=moment(told.get("execution_success", {}).get("timestamp")) if outcome == "success" else None,
        error=read_node_error(told.get("execution_error", {})) if outcome == "error" else None,
        cached_nodes=names(told.get("execution_cached", {}).get("nodes")),
        raw=raw,
    )


def _messages(value: Any) -> dict[str, dict[str, Any]]:
    """Return the messages ``[[name, {...}], ...]`` by name, the last of each; the order is that of the last ones."""
    found: dict[str, dict[str, Any]] = {}
    for one in items(value):
        if isinstance(one, list) and len(one) > 1 and isinstance(one[0], str) and isinstance(one[1], dict):
            found.pop(one[0], None)
            found[one[0]] = one[1]
    return found


def _outcome(status: Any, told: dict[str, Any]) -> Outcome | None:
    """Return how the prompt ended; an interruption is told by its last message alone, status_str says `error`."""
    said = status.get("status_str")
    if said == "error":
        return "interrupted" if next(reversed(told), None) == "execution_interrupted" else "error"
    return "success" if said == "success" and status.get("completed") is not False else None


def read_node_error(data: dict[str, Any]) -> NodeError:
    """Return the details of an ``execution_error``, from the socket or from history."""
    return NodeError(
        node_id=text(data.get("node_id")),
        node_type=text(data.get("node_type")),
        exception_type=text(data.get("exception_type")),
        message=text(data.get("exception_message"), MAX_MESSAGE) or "",
    )


def is_out_of_memory(exception_type: str | None) -> bool:
    """Return whether the exception is torch's for a full GPU: torch.OutOfMemoryError, in older ones torch.cuda's."""
    return exception_type is not None and exception_type.endswith("OutOfMemoryError")


def _files_of_all(outputs: dict[str, Any]) -> Iterator[OutputFile]:
    left = MAX_FILES
    for node, output in outputs.items():
        for file in read_files(node, output):
            yield file
            left -= 1
            if not left:
                return


def read_files(node: str, output: Any) -> Iterator[OutputFile]:
    """Yield the files in one node's output, under any key: ``images``, ``gifs``, ``video``, ``audio``, ..."""
    for key, found in mapping(output).items():
        for one in items(found):
            file = mapping(one)
            # What a node leaves out is what GET /view takes it for.
            name, folder, kind = file.get("filename"), file.get("subfolder") or "", file.get("type") or "output"
            if isinstance(name, str) and isinstance(folder, str) and isinstance(kind, str):
                yield OutputFile(
                    node=text(node) or "", key=plain(key), filename=name, subfolder=folder, type=plain(kind)
                )
