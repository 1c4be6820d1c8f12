"""Every name of the telemetry contract, written out once more: other tools parse them, so no code may derive these."""


def names(text: str) -> frozenset[str]:
    """Return the names in ``text``."""
    return frozenset(text.split())


TELEMETRY_NAMES = names("""
    QueueStart QueueEnd DurationSeconds MaxWaitSeconds PollIntervalSeconds PostExecutionTimeoutSeconds SceneRetryBudget
    HistoryAttempts HistoryAttemptLimit HistoryExitReason ExecutionSuccessDetected ExecutionSuccessAt
    HistoryPostExecutionTimeoutReached ExecutionStatus ExecutionError DoneMarkerDetected DoneMarkerWaitSeconds
    DoneMarkerPath ForcedCopyTriggered ForcedCopyDebugPath GPU System
""")
GPU_NAMES = names("""
    Name Type Index VramTotal VramFreeBefore VramFreeAfter VramBeforeMB VramAfterMB VramDeltaMB Source
""")
METADATA_NAMES = names("RunId Timestamp RunDir Story QueueConfig Scenes Suites Archive ContractVersion")
STORY_NAMES = names("""
    Id Logline DirectorsVision Generator File SceneCount StoryDir LLM HealthCheck Warnings
""")
QUEUE_NAMES = names("""
    SceneRetryBudget HistoryMaxWaitSeconds HistoryPollIntervalSeconds HistoryMaxAttempts PostExecutionTimeoutSeconds
""")
SCENE_NAMES = names("""
    SceneId Prompt NegativePrompt FrameFloor FrameCount FramePrefix DurationSeconds Success MeetsFrameFloor
    HistoryRetrieved HistoryRetrievedAt HistoryAttempts HistoryAttemptLimit HistoryPath HistoryPollLog HistoryErrors
    HistoryError Warnings Errors AttemptsRun Requeued AttemptSummaries SceneRetryBudget HistoryConfig SceneOutputDir
    GeneratedFramesDir KeyframeSource StoryTitle StorySummary StoryMood StoryExpectedFrames StoryCameraMovement
    StoryKeyframe Telemetry PromptId Server Frames
""")
SUMMARY_LINES = (
    "E2E Story-to-Video Run: ", "Story ready: ", "Queue policy: ", "[Scene scene-001][Attempt 1] Frames=",
    "[Scene scene-001] History saved: ", "[Scene scene-001] Telemetry: ", "Scene summary: ",
    "[Validation] run-summary validation passed",
)  # fmt: skip
