"""How patient a run is: the waits, limits and budgets that hold for each scene of it."""

from typing import Annotated

from msgspec import Meta, Struct, structs

Limit = Annotated[int, Meta(ge=0)]


class QueuePolicy(Struct, frozen=True, kw_only=True):
    """The policy of one run. All waits are in seconds; a limit of 0 means unbounded where it says so.

    Two limits end a prompt that takes too long. ``max_wait_seconds`` counts from the moment its EXECUTION starts, so
    that a scene that waits behind others (the lookahead's own, or another person's) loses nothing by it.
    ``max_total_wait_seconds`` counts from the moment it is SUBMITTED and bounds both together, so that a prompt that
    is never started is given up too.
    """

    max_wait_seconds: Annotated[int, Meta(ge=1)] = 600
    max_total_wait_seconds: Annotated[int, Meta(ge=1)] = 7200
    server_wait_seconds: Limit = 600
    """How long a server that does not answer is waited for before its prompts count as lost."""
    stall_seconds: Limit | None = None
    """Silence (no progress, no frame, no GPU activity) after which an executing prompt is stalled; 0 = never,
    ``None`` = max(60, 5 x the p95 of what this workflow's executions took in this run)."""
    history_max_attempts: Limit = 0
    """Reads of ``/history/<prompt_id>`` an attempt may make; 0 = unbounded."""
    poll_interval_seconds: Annotated[int, Meta(ge=1)] = 2
    """Silence of the socket after which history is read; also the interval of polling without a socket."""
    post_execution_timeout_seconds: Limit = 30
    """From success to the last frame proven; then the frames are taken as they are."""
    scene_retry_budget: Limit = 1
    """Attempts beyond the first."""
    frame_floor: Annotated[int, Meta(ge=1)] | None = None
    """Proven frames that each scene must reach; ``None`` = the story's ``expectedFrames``."""
    lookahead: Limit = 1
    """Prompts of ours that may wait on the server behind the one that executes."""
    stability_seconds: Annotated[float, Meta(ge=0)] = 2.0
    """A file must rest this long where its format offers no structural proof of wholeness."""
    stability_retries: Limit = 3
    """Looks at such a file before it is taken for unfinished."""
    done_marker: bool = False
    """Whether ``<prefix>.done`` of the producer is awaited before frames are collected."""
    done_marker_timeout_seconds: Limit = 10
    gpu_interval_seconds: Annotated[float, Meta(gt=0)] = 1.0


def fast_iteration(policy: QueuePolicy) -> QueuePolicy:
    """Return ``policy`` with short waits and no retry, for trying a workflow out (``--fast-iteration``)."""
    return structs.replace(
        policy,
        max_wait_seconds=min(policy.max_wait_seconds, 120),
        max_total_wait_seconds=min(policy.max_total_wait_seconds, 600),
        poll_interval_seconds=1,
        post_execution_timeout_seconds=min(policy.post_execution_timeout_seconds, 10),
        scene_retry_budget=0,
    )


def unbounded(limit: int) -> str:
    """Return ``limit`` for a human: ``unbounded`` for 0."""
    return str(limit) if limit else "unbounded"
