"""What happens in a run: the typed events.

A :class:`Fact` is ordered, journalled and never dropped. A :class:`Sample` is latest-wins: a newer one of the same
:func:`sample_key` replaces an older one that nobody has read yet. Sizes are bytes, waits are seconds.
"""

from comfytui.model.events.base import (
    Fact,
    Named,
    Sample,
    ServerFact,
    ServerSample,
    named,
)
from comfytui.model.events.parts import (
    Device,
    Frame,
    GpuFigures,
    Measurement,
    OthersPrompt,
    SceneBrief,
    ServerBrief,
    StoryBrief,
    SweepPart,
    VaryingInput,
)
from comfytui.model.events.run import (
    CommandAnswered,
    QueueHeld,
    RunArchived,
    RunEnded,
    RunnerStarted,
    RunNoted,
    RunOpened,
    RunSettled,
    RunValidated,
    SuiteRan,
    SuiteStarted,
)
from comfytui.model.events.samples import (
    FrameWord,
    FrameWriting,
    GpuSampled,
    Progress,
    Pulse,
    QueueDepth,
    QueueListed,
    ServerLog,
    Unknown,
)
from comfytui.model.events.scenes import (
    AttemptEnded,
    AttemptFact,
    AttemptNoted,
    AttemptPlanned,
    CopyForced,
    DoneMarkerAwaited,
    ExecutionEnded,
    ExecutionStarted,
    FrameLost,
    FrameProven,
    FrameRefused,
    GivenUpWord,
    GpuMeasured,
    HistoryRead,
    HistoryWord,
    MomentWord,
    NoteWord,
    PromptQueued,
    SceneEnded,
    SceneGivenUp,
    SceneMoved,
    SceneReopened,
    SceneRequeued,
    StallNoticed,
    StallWord,
)
from comfytui.model.events.server import (
    ServerAway,
    ServerBack,
    ServerDied,
    ServerGivenUp,
    ServerLeftOut,
    ServerReached,
    ServerRestarted,
    ServerStarted,
    ServerStopped,
    ServerTroubled,
    SocketChanged,
    SocketWord,
)

__all__ = [
    "ENVELOPE_VERSION",
    "AnyEvent",
    "AnyFact",
    "AnySample",
    "AttemptEnded",
    "AttemptFact",
    "AttemptNoted",
    "AttemptPlanned",
    "CommandAnswered",
    "CopyForced",
    "Device",
    "DoneMarkerAwaited",
    "ExecutionEnded",
    "ExecutionStarted",
    "Fact",
    "Frame",
    "FrameLost",
    "FrameProven",
    "FrameRefused",
    "FrameWord",
    "FrameWriting",
    "GivenUpWord",
    "GpuFigures",
    "GpuMeasured",
    "GpuSampled",
    "HistoryRead",
    "HistoryWord",
    "Measurement",
    "MomentWord",
    "Named",
    "NoteWord",
    "OthersPrompt",
    "Progress",
    "PromptQueued",
    "Pulse",
    "QueueDepth",
    "QueueHeld",
    "QueueListed",
    "RunArchived",
    "RunEnded",
    "RunNoted",
    "RunOpened",
    "RunSettled",
    "RunValidated",
    "RunnerStarted",
    "Sample",
    "SceneBrief",
    "SceneEnded",
    "SceneGivenUp",
    "SceneMoved",
    "SceneReopened",
    "SceneRequeued",
    "ServerAway",
    "ServerBack",
    "ServerBrief",
    "ServerDied",
    "ServerFact",
    "ServerGivenUp",
    "ServerLeftOut",
    "ServerLog",
    "ServerReached",
    "ServerRestarted",
    "ServerSample",
    "ServerStarted",
    "ServerStopped",
    "ServerTroubled",
    "SocketChanged",
    "SocketWord",
    "StallNoticed",
    "StallWord",
    "StoryBrief",
    "SuiteRan",
    "SuiteStarted",
    "SweepPart",
    "Unknown",
    "VaryingInput",
    "named",
    "sample_key",
]

ENVELOPE_VERSION = 1

AnyFact = (
    RunOpened
    | RunnerStarted
    | RunNoted
    | SuiteStarted
    | SuiteRan
    | RunSettled
    | RunEnded
    | RunValidated
    | RunArchived
    | QueueHeld
    | CommandAnswered
    | ServerReached
    | ServerStarted
    | ServerDied
    | ServerStopped
    | ServerTroubled
    | ServerLeftOut
    | ServerAway
    | ServerGivenUp
    | ServerBack
    | ServerRestarted
    | SocketChanged
    | AttemptPlanned
    | PromptQueued
    | ExecutionStarted
    | GpuMeasured
    | HistoryRead
    | StallNoticed
    | ExecutionEnded
    | FrameProven
    | FrameRefused
    | FrameLost
    | DoneMarkerAwaited
    | CopyForced
    | AttemptNoted
    | AttemptEnded
    | SceneRequeued
    | SceneEnded
    | SceneReopened
    | SceneGivenUp
    | SceneMoved
)
AnySample = Progress | FrameWriting | QueueDepth | QueueListed | GpuSampled | Pulse | ServerLog | Unknown
AnyEvent = AnyFact | AnySample


def sample_key(sample: AnySample) -> tuple[str, ...]:
    """Return what ``sample`` is a reading of: a newer sample of the same key replaces it."""
    match sample:
        case Progress(scene=scene):
            return ("progress", scene)
        case FrameWriting(scene=scene, name=name):
            return ("frame_writing", scene, name)
        case ServerSample(server=server) if server:
            return (type(sample).__name__, server)
        case _:
            return (type(sample).__name__,)
