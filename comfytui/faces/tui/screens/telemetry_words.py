"""Every field of the telemetry contract with its unit and a word of explanation."""

from datetime import datetime
from typing import Any, NamedTuple

from comfytui.faces.tui.panes.figures import file_size
from comfytui.faces.tui.panes.line import safe
from comfytui.faces.tui.view import View
from comfytui.model.telemetry import Telemetry, contract_name


class Word(NamedTuple):
    """A field: where it stands in :class:`Telemetry`, its unit, and what it means."""

    path: str
    unit: str
    meaning: str

    @property
    def name(self) -> str:
        """The contract's name: ``GPU.VramDeltaMB``."""
        return ".".join(contract_name(part) for part in self.path.split("."))


WORDS: tuple[Word, ...] = (
    Word("queue_start", "", "just before the prompt was posted"),
    Word("queue_end", "", "after the last frame was collected, or the attempt given up"),
    Word("duration_seconds", "s", "QueueEnd - QueueStart"),
    Word("max_wait_seconds", "s", "policy: the longest execution that is waited for"),
    Word("poll_interval_seconds", "s", "policy: silence of the socket after which history is read"),
    Word("post_execution_timeout_seconds", "s", "policy: patience for frames after success"),
    Word("scene_retry_budget", "", "policy: attempts beyond the first"),
    Word("history_attempts", "", "reads of /history that were really made"),
    Word("history_attempt_limit", "", "policy: reads allowed; 0 is unbounded"),
    Word("history_exit_reason", "", "why the waiting ended"),
    Word("execution_success_detected", "", "ComfyUI reported success for this prompt"),
    Word("execution_success_at", "", "when it did"),
    Word("history_post_execution_timeout_reached", "", "frames were still missing when that patience ended"),
    Word("execution_status", "", "the verdict of socket, HTTP and disk together"),
    Word("execution_error", "", "the node and exception that ended it"),
    Word("done_marker_detected", "", "the producer left a marker that it was done"),
    Word("done_marker_wait_seconds", "s", "how long the marker was waited for"),
    Word("done_marker_path", "", "where it was"),
    Word("forced_copy_triggered", "", "frames were taken before they were proven whole"),
    Word("forced_copy_debug_path", "", "the list of candidates, and why"),
    Word("gpu.name", "", "the device that rendered"),
    Word("gpu.type", "", "its kind"),
    Word("gpu.index", "", "its number on the server"),
    Word("gpu.vram_total", "bytes", "its memory"),
    Word("gpu.vram_free_before", "bytes", "free when execution began"),
    Word("gpu.vram_free_after", "bytes", "free after it ended"),
    Word("gpu.vram_before_mb", "MB", "the same in MB: free, not used"),
    Word("gpu.vram_after_mb", "MB", "the same in MB: free, not used"),
    Word("gpu.vram_delta_mb", "MB", "after - before; negative is memory taken"),
    Word("gpu.source", "", "who was asked"),
    Word("system.before", "", "/system_stats before: the parts it told"),
    Word("system.after", "", "/system_stats after: the parts it told"),
    Word("system.fallback_notes", "", "what did not go the first way"),
)


def value(word: Word, telemetry: Telemetry, view: View) -> str:
    """Return the value of ``word`` as a person reads it, with its unit; ``null`` where it is not known."""
    found: Any = telemetry
    for part in word.path.split("."):
        found = getattr(found, part)
    return shown(found, word.unit, view)


def shown(found: Any, unit: str, view: View) -> str:
    """Return one value in words and figures."""
    match found:
        case None:
            return "null"
        case bool():
            return "true" if found else "false"
        case datetime():
            return view.wall(found)
        case int() if unit == "bytes":
            return f"{found:,} ({file_size(found)})"
        case float() | int():
            return f"{found:,}{' ' + unit if unit else ''}"
        case dict():
            return safe(", ".join(f"{name} {each}" for name, each in found.items() if isinstance(each, str | int)))
        case tuple():
            return "; ".join(safe(str(one)) for one in found) or "none"
        case str():
            return safe(found)
        case _:  # an ExecutionFailure
            return safe(f"{found.exception_type or found.code}: {found.message}")
