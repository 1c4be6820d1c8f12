"""The report over a set of runs, as ``report.json`` has it: every figure with how many readings it rests on.

Seconds, bytes / 1048576 as MB, rates from 0 to 1. What no record tells is ``null``, with a line in ``notes``; nothing
is estimated. Percentiles are nearest-rank: a duration that was measured, never one between two.
"""

from datetime import datetime
from typing import Literal

from msgspec import Struct

REPORT_VERSION = 1

PARTS = ("queue", "execute", "save", "collect")
"""What a scene's duration is made of, in order.

``queue``: from QueueStart until it executes; ``execute``: until its first frame was taken; ``save``: until the
execution ended; ``collect``: until QueueEnd. Where no frame was taken before the execution ended, ``save`` is null and
``execute`` lasts until that end.
"""

Origin = Literal["comfytui", "scripts"]
"""Who wrote a run: this program, or the scripts whose artifacts have the contract's older form."""


class Rate(Struct, frozen=True, kw_only=True):
    """``count`` of ``of``, as ``rate``, with the 95 % interval of Wilson; null where there is nothing to count."""

    count: int
    of: int
    rate: float | None
    low: float | None
    high: float | None


class Spread(Struct, frozen=True, kw_only=True):
    """Seconds of ``count`` readings: the least, two percentiles (nearest-rank) and the most; null without a reading."""

    count: int
    least: float | None = None
    p50: float | None = None
    p95: float | None = None
    most: float | None = None


class Parts(Struct, frozen=True, kw_only=True):
    """The parts of one duration, in seconds (see :data:`PARTS`)."""

    queue: float | None = None
    execute: float | None = None
    save: float | None = None
    collect: float | None = None


class Completeness(Struct, frozen=True, kw_only=True):
    """Fields of the Telemetry that are there, of those that the contract requires; ``missing`` by name."""

    present: int
    required: int
    missing: tuple[str, ...] = ()


class SceneFigures(Struct, frozen=True, kw_only=True):
    """One scene of one run, from its best attempt."""

    run_id: str
    scene: str
    success: bool | None
    meets_floor: bool | None
    frames: int | None
    floor: int | None
    attempts: int | None
    exit_reason: str | None
    status: str | None
    started_at: datetime | None
    ended_at: datetime | None
    seconds: float | None
    parts: Parts
    telemetry: Completeness
    fallback_notes: tuple[str, ...] = ()
    server: str = ""
    gpu: str | None = None
    gpu_index: int | None = None
    vram_before_mb: float | None = None
    """FREE memory as it began to execute."""
    vram_after_mb: float | None = None
    error: str | None = None

    @property
    def well(self) -> bool:
        """Whether it succeeded and met its floor."""
        return self.success is True and self.meets_floor is True


class RunFigures(Struct, frozen=True, kw_only=True):
    """One run. ``exit_code`` is null where none is recorded; ``planned`` counts the scenes of its story."""

    run_id: str
    dir: str
    origin: Origin
    started_at: datetime | None
    exit_code: int | None
    well: bool
    """It exited with 0; where no exit code is recorded, every scene of its story was well."""
    planned: int
    recorded: int
    scenes_well: int
    frames: int
    requeued: int
    values: dict[str, str] = {}
    """What the sweep's matrix gave it."""


class DeviceTrend(Struct, frozen=True, kw_only=True):
    """Free VRAM of one device from scene to scene, in time: the slope of Theil and Sen in MB a scene (newest 1,000)."""

    server: str
    gpu: str
    index: int | None
    before_readings: int
    before_slope_mb: float | None
    after_readings: int
    after_slope_mb: float | None
    leak: str | None
    """A sentence where the fall after the scenes is more than chance."""


class CellFigures(Struct, frozen=True, kw_only=True):
    """The runs of one combination of the matrix."""

    values: dict[str, str]
    runs: Rate
    scenes: Rate
    seconds: Spread


class Change(Struct, frozen=True, kw_only=True):
    """One figure now and in the baseline, and now / then; null where either is unknown, or then is 0."""

    name: str
    now: float | None
    then: float | None
    ratio: float | None


class Verdict(Struct, frozen=True, kw_only=True):
    """One condition of the gate: ``broken`` when it holds, or when its figure is unknown."""

    condition: str
    value: float | None
    limit: float | None
    broken: bool
    why: str


class Report(Struct, frozen=True, kw_only=True):
    """The whole of ``report.json``."""

    title: str
    created_at: datetime
    runs: tuple[RunFigures, ...]
    scenes: tuple[SceneFigures, ...]
    run_success: Rate
    scene_success: Rate
    """Scenes that succeeded and met their floor, of all scenes of the stories, recorded or not."""
    requeued: Rate
    """Scenes with more than one attempt, of those that are recorded."""
    attempts: int
    exit_reasons: dict[str, int]
    statuses: dict[str, int]
    telemetry: Rate
    """Fields present, of those required, over all scenes."""
    fallback_notes: dict[str, int]
    frames: dict[str, Spread]
    """Proven frames of each scene id, over the runs."""
    seconds: Spread
    parts: dict[str, Spread]
    vram: tuple[DeviceTrend, ...]
    cells: tuple[CellFigures, ...] = ()
    baseline: str | None = None
    changes: tuple[Change, ...] = ()
    gate: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()
    version: int = REPORT_VERSION

    @property
    def broken(self) -> bool:
        """Whether a condition of the gate holds."""
        return any(verdict.broken for verdict in self.gate)
