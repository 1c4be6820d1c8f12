"""Samples: readings that the next one replaces. Sizes are bytes, waits are seconds."""

from typing import Literal

from comfytui.model.events.base import Sample, ServerSample
from comfytui.model.events.parts import GpuFigures, OthersPrompt
from comfytui.model.telemetry import GpuSource

FrameWord = Literal["writing", "proven", "unproven", "truncated", "missing"]


class Progress(Sample, frozen=True, kw_only=True):
    """How far the executing prompt is: the node at work, its steps, and how many nodes are done."""

    scene: str
    attempt: int
    node: str
    title: str
    value: float
    maximum: float
    nodes_done: int
    nodes_total: int


class FrameWriting(Sample, frozen=True, kw_only=True):
    """A frame is growing on the server's disk; ``bytes`` so far.

    Without a run there is no scene (empty) and no attempt (0), and nothing is collected: then ``state`` says what the
    file looked like when it had come to rest.
    """

    scene: str
    attempt: int
    name: str
    bytes: int
    state: FrameWord = "writing"


class QueueDepth(ServerSample, frozen=True, kw_only=True):
    """What the server has before it: prompts of ours and of others, running and pending."""

    ours: int
    others: int


class QueueListed(ServerSample, frozen=True, kw_only=True):
    """Other people's prompts on the server, in the order of their turns; of a long queue the first ones, and how many
    ``more`` there are."""

    others: tuple[OthersPrompt, ...]
    more: int = 0


class GpuSampled(ServerSample, frozen=True, kw_only=True):
    """The GPUs at this moment."""

    source: GpuSource
    devices: tuple[GpuFigures, ...]


class Pulse(ServerSample, frozen=True, kw_only=True):
    """The server answered an HTTP request within ``latency`` seconds; ``None`` when it did not.

    Then ``next_try`` is when it is asked again, in seconds.
    """

    latency: float | None
    next_try: float | None = None


class ServerLog(ServerSample, frozen=True, kw_only=True):
    """The end of the server's log as it was read when somebody asked, oldest line first; ``why`` when it was not.

    It is never journalled: it is the server's own, and whoever wants it asks again.
    """

    lines: tuple[str, ...] = ()
    why: str = ""


class Unknown(Sample, frozen=True, kw_only=True):
    """An event of a newer comfytui; kept by name, never an error."""

    kind: str = ""
