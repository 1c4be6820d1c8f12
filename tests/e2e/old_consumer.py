"""Reads a run's records as the tools do that know them from elsewhere: with patterns of their own, and no code of ours.

Every pattern is written out from the telemetry contract. :func:`read_summary` refuses a line that it cannot place.
"""

import re
from dataclasses import dataclass, field
from typing import Any

STAMP = re.compile(r"\[(?P<at>(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)\] (?P<text>.*)")
RUN = re.compile(r"E2E Story-to-Video Run: (?P<id>\d{8}-\d{6})")
STORY = re.compile(r"Story ready: (?P<id>.+) \(scenes=(?P<scenes>\d+)\)")
POLICY = re.compile(
    r"Queue policy: sceneRetries=(?P<retries>\d+), historyMaxWait=(?P<wait>\d+)s, historyPollInterval=(?P<poll>\d+)s, "
    r"historyMaxAttempts=(?P<attempts>\d+|unbounded), postExecutionTimeout=(?P<post>\d+)s"
)
HEALTH = re.compile(
    r"\[LLM\] Health check: success \(url=(?P<url>\S+), models=(?P<models>\d+), override=(?P<over>\S+)\)"
)
FRAMES = re.compile(
    r"\[Scene (?P<scene>[^\]]+)\]\[Attempt (?P<attempt>\d+)\] "
    r"Frames=(?P<frames>\d+) Duration=(?P<seconds>\d+\.\d)s Prefix=(?P<prefix>\S+)"
)
SAVED = re.compile(r"\[Scene (?P<scene>[^\]]+)\] History saved: (?P<path>\S+)")
HISTORY = re.compile(r"\[Scene (?P<scene>[^\]]+)\] HISTORY WARNING: (?P<why>.+) \(attempts=(?P<attempts>\d+)\)")
FLOOR = re.compile(r"\[Scene (?P<scene>[^\]]+)\] WARNING: Frame count below floor \((?P<got>\d+)/(?P<floor>\d+)\)")
ERROR = re.compile(r"\[Scene (?P<scene>[^\]]+)\] ERROR: (?P<what>.+)")
REQUEUE = re.compile(
    r"\[Scene (?P<scene>[^\]]+)\] Requeue requested \(next attempt (?P<next>\d+)/(?P<all>\d+)\) reason: (?P<why>.+)"
)
TELEMETRY = re.compile(r"\[Scene (?P<scene>[^\]]+)\] Telemetry: (?P<values>.+)")
ATTEMPT_TELEMETRY = re.compile(r"\[Attempt (?P<scene>\S+) (?P<attempt>\d+)\] Telemetry: (?P<values>.+)")
SUITE = re.compile(r"(?P<label>.+) exitCode=(?P<code>\d+)")
CLOSING = re.compile(
    r"Scene summary: (?P<good>\d+)/(?P<all>\d+) succeeded \| total frames=(?P<frames>\d+) \| requeues=(?P<requeues>\d+)"
)
VALIDATION = re.compile(r"\[Validation\] run-summary validation (?P<verdict>passed|failed.*)")

VALUES = {
    "DurationSeconds": r"\d+\.\ds",
    "MaxWaitSeconds": r"\d+s",
    "PollIntervalSeconds": r"\d+s",
    "HistoryAttempts": r"\d+",
    "pollLimit": r"\d+|unbounded",
    "SceneRetryBudget": r"\d+|unbounded",
    "PostExecutionTimeoutSeconds": r"\d+s",
    "ExecutionSuccessDetected": r"true|false",
    "ExecutionSuccessAt": r"\d\d:\d\d:\d\d|n/a",
    "HistoryExitReason": r"success|maxWait|attemptLimit|postExecution|unknown",
    "GPU": r".+",
    "VRAMBeforeMB": r"-?\d+\.\dMB|n/a",
    "VRAMAfterMB": r"-?\d+\.\dMB|n/a",
    "VRAMDeltaMB": r"-?\d+\.\dMB|n/a",
    "DoneMarkerWaitSeconds": r"\d+\.\ds",
    "DoneMarkerDetected": r"true|false",
    "ForcedCopyTriggered": r"true|false",
}
"""The values of a Telemetry line, in their order; ``fallback`` comes last, where there is any."""

Found = dict[str, str]


@dataclass
class OldSummary:
    """What the lines of a summary say. What may stand there once is one, all else by scene, or in order."""

    run: Found
    story: Found
    vision: str
    logline: str
    policy: Found
    closing: Found
    verdict: str
    health: Found | None = None
    frames: list[Found] = field(default_factory=list)
    saved: dict[str, str] = field(default_factory=dict)
    history: dict[str, Found] = field(default_factory=dict)
    floors: dict[str, Found] = field(default_factory=dict)
    errors: dict[str, list[str]] = field(default_factory=dict)
    requeues: list[Found] = field(default_factory=list)
    telemetry: dict[str, Found] = field(default_factory=dict)
    attempts: dict[tuple[str, str], Found] = field(default_factory=dict)
    suites: dict[str, int] = field(default_factory=dict)
    index: Found = field(default_factory=dict)


def read_summary(text: str) -> OldSummary:
    """Return what ``run-summary.txt`` says. Raises AssertionError for what an old tool would stumble over."""
    lines = text.split("\n")
    assert lines.pop() == "", "the last line ends"
    stamped = [found for line in lines if (found := STAMP.fullmatch(line))]
    bare = [line for line in lines if not STAMP.fullmatch(line)]
    texts = [found["text"] for found in stamped]
    assert RUN.fullmatch(texts[0]) and STAMP.fullmatch(lines[0])
    assert bare[0] == "## Artifact Index"
    summary = OldSummary(
        run=_once(RUN, texts), story=_once(STORY, texts), vision=_said("Director's vision: ", texts),
        logline=_said("Story logline: ", texts), policy=_once(POLICY, texts), closing=_once(CLOSING, texts),
        verdict=_once(VALIDATION, texts)["verdict"],
    )  # fmt: skip
    if any(each.startswith("[LLM] Health check:") for each in texts):
        summary.health = _once(HEALTH, texts)
    for each in texts:
        _take(summary, each)
    summary.index = dict(line.split(": ", 1) for line in bare[1:])
    return summary


def _take(summary: OldSummary, text: str) -> None:
    """Put a line of a scene, an attempt or a suite where it belongs."""
    for pattern, keep in _KEEPERS:
        if (found := pattern.fullmatch(text)) is not None:
            keep(summary, found.groupdict())
            return


def _error(summary: OldSummary, found: Found) -> None:
    summary.errors.setdefault(found["scene"], []).append(found["what"])


def _telemetry(summary: OldSummary, found: Found) -> None:
    assert found["scene"] not in summary.telemetry, "old tools take the first: there must be one"
    summary.telemetry[found["scene"]] = read_values(found["values"])


_KEEPERS: tuple[tuple[re.Pattern[str], Any], ...] = (
    (FRAMES, lambda summary, found: summary.frames.append(found)),
    (SAVED, lambda summary, found: summary.saved.update({found["scene"]: found["path"]})),
    (HISTORY, lambda summary, found: summary.history.update({found["scene"]: found})),
    (FLOOR, lambda summary, found: summary.floors.update({found["scene"]: found})),
    (REQUEUE, lambda summary, found: summary.requeues.append(found)),
    (ERROR, _error),
    (TELEMETRY, _telemetry),
    (
        ATTEMPT_TELEMETRY,
        lambda summary, found: summary.attempts.update(
            {(found["scene"], found["attempt"]): read_values(found["values"])}
        ),
    ),
    (SUITE, lambda summary, found: summary.suites.update({found["label"]: int(found["code"])})),
)


def read_values(text: str) -> Found:
    """Return the values of a Telemetry line by name. Raises AssertionError for one that is missing or odd."""
    values = dict(part.split("=", 1) for part in text.split(" | "))
    assert [name for name in values if name != "fallback"] == list(VALUES)
    assert "fallback" not in values or list(values)[-1] == "fallback"
    for name, pattern in VALUES.items():
        assert re.fullmatch(pattern, values[name]), f"{name}={values[name]}"
    return values


def _once(pattern: re.Pattern[str], texts: list[str]) -> Found:
    (found,) = (found for text in texts if (found := pattern.fullmatch(text)))
    return found.groupdict()


def _said(start: str, texts: list[str]) -> str:
    (found,) = (text.removeprefix(start) for text in texts if text.startswith(start))
    return found


# --- held against the metadata ---------------------------------------------------------------------------------------


def agree(summary: OldSummary, metadata: Any) -> None:
    """Hold what ``summary`` says to ``metadata``, as the tools do. Raises AssertionError."""
    story, config = metadata["Story"], metadata["QueueConfig"]
    assert summary.run["id"] == metadata["RunId"]
    assert (summary.story["id"], int(summary.story["scenes"])) == (story["Id"], story["SceneCount"])
    assert (summary.vision, summary.logline) == (story["DirectorsVision"] or "(none)", story["Logline"] or "(none)")
    assert summary.policy == {
        "retries": str(config["SceneRetryBudget"]), "wait": str(config["HistoryMaxWaitSeconds"]),
        "poll": str(config["HistoryPollIntervalSeconds"]), "attempts": _limit(config["HistoryMaxAttempts"]),
        "post": str(config["PostExecutionTimeoutSeconds"]),
    }  # fmt: skip
    scenes = metadata["Scenes"]
    total = sum(scene["FrameCount"] for scene in scenes)
    assert summary.closing == {
        "good": str(sum(scene["Success"] for scene in scenes)), "all": str(len(scenes)), "frames": str(total),
        "requeues": str(sum(scene["AttemptsRun"] - 1 for scene in scenes)),
    }  # fmt: skip
    assert summary.index["Story folder"] == story["StoryDir"]
    assert (summary.index["Scenes captured"], summary.index["Total frames copied"]) == (str(len(scenes)), str(total))
    assert summary.index["Archive"] == metadata["Archive"]
    assert summary.suites == {suite["Label"]: suite["ExitCode"] for suite in metadata["Suites"]}
    for suite in metadata["Suites"]:
        assert summary.index[f"{suite['Label']} log"] == suite["LogPath"]
    assert len(summary.frames) == sum(len(scene["AttemptSummaries"]) for scene in scenes)
    for scene in scenes:
        _scene_agrees(summary, scene)


def _scene_agrees(summary: OldSummary, scene: Any) -> None:
    scene_id, told = scene["SceneId"], scene["Telemetry"]
    gpu, values = told["GPU"], summary.telemetry[scene["SceneId"]]
    assert values["pollLimit"] == _limit(scene["HistoryAttemptLimit"])
    assert values["SceneRetryBudget"] == _limit(scene["SceneRetryBudget"])
    assert values["HistoryExitReason"] == told["HistoryExitReason"]
    assert values["GPU"] == gpu["Name"].strip() != ""
    assert values["ExecutionSuccessDetected"] == str(told["ExecutionSuccessDetected"]).lower()
    assert not told["ExecutionSuccessDetected"] or told["ExecutionSuccessAt"] is not None
    assert abs(float(values["DoneMarkerWaitSeconds"][:-1]) - told["DoneMarkerWaitSeconds"]) <= 0.1
    for mine, theirs in (
        ("VRAMBeforeMB", "VramBeforeMB"),
        ("VRAMAfterMB", "VramAfterMB"),
        ("VRAMDeltaMB", "VramDeltaMB"),
    ):
        assert values[mine] == ("n/a" if gpu[theirs] is None else f"{gpu[theirs]:.1f}MB")
    if gpu["VramDeltaMB"] is not None:
        assert abs(gpu["VramAfterMB"] - gpu["VramBeforeMB"] - gpu["VramDeltaMB"]) < 0.01
    for note in told["System"]["FallbackNotes"]:
        assert note in values["fallback"].split("; ")
    assert summary.saved.get(scene_id) == scene["HistoryPath"]
    assert (scene_id in summary.history) == bool(scene["HistoryError"] or scene["HistoryErrors"])
    assert (scene_id in summary.floors) == (not scene["MeetsFrameFloor"])
    assert (scene_id in summary.errors) == bool(scene["Errors"])
    assert [each["next"] for each in summary.requeues if each["scene"] == scene_id] == [
        str(attempt["Attempt"]) for attempt in scene["AttemptSummaries"][1:]
    ]
    for attempt in scene["AttemptSummaries"]:
        (line,) = (
            each for each in summary.frames if (each["scene"], each["attempt"]) == (scene_id, str(attempt["Attempt"]))
        )
        assert (int(line["frames"]), float(line["seconds"])) == (attempt["FrameCount"], attempt["DurationSeconds"])
        assert (scene_id, str(attempt["Attempt"])) in summary.attempts


def _limit(count: int) -> str:
    return "unbounded" if count == 0 else str(count)
