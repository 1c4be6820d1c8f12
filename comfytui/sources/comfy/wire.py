"""Everything that a ComfyUI server says, as immutable structs: the one module to import them from.

The replies over HTTP are in :mod:`.replies` and :mod:`.history`, the messages of the socket in :mod:`.messages`.
"""

from comfytui.sources.comfy.history import (
    HistoryEntry,
    NodeError,
    Outcome,
    OutputFile,
    is_out_of_memory,
    read_history,
)
from comfytui.sources.comfy.messages import (
    Executed,
    Executing,
    ExecutionCached,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
    FeatureFlags,
    Logs,
    Malformed,
    Message,
    Preview,
    Progress,
    ProgressState,
    Status,
    TextProgress,
    Unknown,
    decode_binary,
    decode_text,
)
from comfytui.sources.comfy.replies import PromptRejection, PromptReply, QueueItem, QueueSnapshot, SystemStats

__all__ = [
    "Executed",
    "Executing",
    "ExecutionCached",
    "ExecutionError",
    "ExecutionInterrupted",
    "ExecutionStart",
    "ExecutionSuccess",
    "FeatureFlags",
    "HistoryEntry",
    "Logs",
    "Malformed",
    "Message",
    "NodeError",
    "Outcome",
    "OutputFile",
    "Preview",
    "Progress",
    "ProgressState",
    "PromptRejection",
    "PromptReply",
    "QueueItem",
    "QueueSnapshot",
    "Status",
    "SystemStats",
    "TextProgress",
    "Unknown",
    "decode_binary",
    "decode_text",
    "is_out_of_memory",
    "read_history",
]
