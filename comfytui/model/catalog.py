"""Past runs as people look them over: a line for each run, a line for each scene of two runs side by side."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol

from msgspec import Struct

from comfytui.model.feed import Feed

Outcome = Literal["finished", "interrupted", "failed", "paused"]


class RunEntry(Struct, frozen=True, kw_only=True):
    """One run in a list. What its records do not tell is ``None``, with the reason in ``problem``."""

    run_id: str
    path: str
    """Its folder, absolute."""
    story: str = ""
    logline: str = ""
    opened_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    """How it ended; ``None`` while it has not, and where no journal tells."""
    exit_code: int | None = None
    planned: int | None = None
    """Scenes of the story."""
    well: int | None = None
    """Scenes that succeeded and met their frame floor."""
    frames: int | None = None
    """Frames proven whole, of the best attempts."""
    requeues: int | None = None
    """Attempts beyond the first, over all scenes."""
    driven: bool = False
    """A process drives it now."""
    journalled: bool = True
    """It has a journal; runs of other programs have none."""
    problem: str = ""

    @property
    def seconds(self) -> float | None:
        """How long it took from its opening to its end, pauses included."""
        if self.opened_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.opened_at).total_seconds()

    @property
    def went_well(self) -> bool:
        """Whether every scene of it succeeded and met its floor, and nothing else was wrong."""
        if self.exit_code is not None:
            return self.exit_code == 0
        if self.driven or self.journalled or self.planned is None or self.well is None:
            return False
        return 0 < self.planned <= self.well

    @property
    def open(self) -> bool:
        """Whether it may be taken up again: it has a journal that tells of no end, or was paused or stopped."""
        return self.journalled and self.outcome in (None, "paused", "interrupted")

    @property
    def word(self) -> str:
        """How it stands, in a word or two."""
        if self.driven:
            return "running"
        if self.outcome is None:
            return "cut short" if self.journalled else ("well" if self.went_well else "not well")
        return self.outcome if self.outcome != "finished" or self.went_well else "not well"


class SceneSide(Struct, frozen=True, kw_only=True):
    """One scene in one of two runs."""

    verdict: str
    frames: int | None
    floor: int | None
    seconds: float | None
    attempts: int | None


class FieldChange(Struct, frozen=True, kw_only=True):
    """A field of the Telemetry that differs, with both values as text; ``-`` where it is not there."""

    field: str
    before: str
    after: str


class SceneChange(Struct, frozen=True, kw_only=True):
    """One scene in both runs; ``None`` where a run has no record of it."""

    scene: str
    before: SceneSide | None
    after: SceneSide | None
    telemetry: tuple[FieldChange, ...] = ()


class Catalog(Protocol):
    """Where a face looks past runs over; reading may take a while and is done beside the event loop."""

    @property
    def place(self) -> str:
        """Where they are kept, in words for a person."""
        ...

    async def runs(self) -> Sequence[RunEntry]:
        """Return all runs, the newest first."""
        ...

    async def compare(self, before: str, after: str) -> Sequence[SceneChange]:
        """Return two runs (their ids) scene by scene. Raises ``Failure`` ``run.not_found``."""
        ...

    def open(self, run_id: str) -> Feed:
        """Return the record of a run as a feed that ends. Raises ``Failure`` where there is none."""
        ...
