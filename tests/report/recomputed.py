"""The figures of a report, worked out once more: straight from the files of run folders, by other arithmetic.

Nothing of comfytui is used here, so that what comfytui says of its runs is held to what is on the disk.
"""

import json
import math
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

TELEMETRY = [
    "QueueStart",
    "QueueEnd",
    "DurationSeconds",
    "MaxWaitSeconds",
    "PollIntervalSeconds",
    "PostExecutionTimeoutSeconds",
    "SceneRetryBudget",
    "HistoryAttempts",
    "HistoryAttemptLimit",
    "HistoryExitReason",
    "ExecutionSuccessDetected",
    "ExecutionSuccessAt",
    "HistoryPostExecutionTimeoutReached",
    "ExecutionStatus",
    "ExecutionError",
    "DoneMarkerDetected",
    "DoneMarkerWaitSeconds",
    "DoneMarkerPath",
    "ForcedCopyTriggered",
    "ForcedCopyDebugPath",
]
GPU = [
    "Name",
    "Type",
    "Index",
    "VramTotal",
    "VramFreeBefore",
    "VramFreeAfter",
    "VramBeforeMB",
    "VramAfterMB",
    "VramDeltaMB",
    "Source",
]
SYSTEM = ("Before", "After", "FallbackNotes")
MAY_BE_NULL = {"ExecutionError", "DoneMarkerPath", "ForcedCopyDebugPath", "Type", "Index"}


def metadata(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "artifact-metadata.json").read_text(encoding="utf-8"))
    return found


def journal(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def wilson(count: int, of: int) -> tuple[float, float]:
    """Solve (p - share)^2 = z^2 p (1 - p) / n for p: the definition of the interval."""
    z = 1.959963984540054
    share = count / of
    a, b, c = 1 + z * z / of, -(2 * share + z * z / of), share * share
    root = math.sqrt(b * b - 4 * a * c)
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def nearest_rank(values: list[float], percent: int) -> float:
    """Return the smallest value that at least ``percent`` of the values do not exceed."""
    return next(each for each in sorted(values) if sum(v <= each for v in values) * 100 >= percent * len(values))


PARTS = ("queue", "execute", "save", "collect")


def spread(values: list[float]) -> dict[str, float | int]:
    return {
        "count": len(values), "least": min(values), "p50": nearest_rank(values, 50), "p95": nearest_rank(values, 95),
        "most": max(values),
    }  # fmt: skip


def exit_code(folder: Path) -> int:
    code: int = journal(folder)[-1]["event"]["exit_code"]
    return code


def fields_present(told: dict[str, Any]) -> int:
    count = 0
    for name in TELEMETRY:
        value = told.get(name)
        nothing_to_tell = name in MAY_BE_NULL or (
            name == "ExecutionSuccessAt" and not told.get("ExecutionSuccessDetected")
        )
        count += name in told and (value is not None or nothing_to_tell)
    for name in GPU:
        value = told["GPU"].get(name)
        count += value is not None or (name in MAY_BE_NULL and name in told["GPU"])
    return count + sum(told["System"].get(name) is not None for name in SYSTEM)


FIELDS = len(TELEMETRY) + len(GPU) + len(SYSTEM)


def parts(folder: Path, scene: dict[str, Any]) -> dict[str, float | None]:
    """Return the parts of the best attempt's duration, from the lines of the journal."""
    events = [(moment(line["at"]), line["event"]) for line in journal(folder)]
    planned = [e for _, e in events if e["type"] == "attempt_planned" and e["prompt_id"] == scene["PromptId"]]
    (number,) = {(e["scene"], e["attempt"]) for e in planned}

    def first(kind: str) -> datetime | None:
        own = (at for at, e in events if e["type"] == kind and (e.get("scene"), e.get("attempt")) == number)
        return next(own, None)

    start, end = moment(scene["Telemetry"]["QueueStart"]), moment(scene["Telemetry"]["QueueEnd"])
    began, over, frame = first("execution_started"), first("execution_ended"), first("frame_proven")
    told: dict[str, float | None] = dict.fromkeys(("queue", "execute", "save", "collect"))
    if over is not None:
        told["collect"] = (end - over).total_seconds()
    if began is None or over is None:
        return told
    told["queue"] = (began - start).total_seconds()
    if frame is not None and frame < over:
        told["execute"], told["save"] = (frame - began).total_seconds(), (over - frame).total_seconds()
    else:
        told["execute"] = (over - began).total_seconds()
    return told


def median_of_slopes(values: list[float]) -> float:
    slopes = sorted((values[j] - values[i]) / (j - i) for i in range(len(values)) for j in range(i + 1, len(values)))
    half = len(slopes) // 2
    return slopes[half] if len(slopes) % 2 else (slopes[half - 1] + slopes[half]) / 2


def counted(words: list[str]) -> dict[str, int]:
    return dict(Counter(words))
