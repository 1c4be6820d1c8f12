"""What events are made of: the briefs of story and scene, devices and their figures, a frame."""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from comfytui.model.llm import HealthCheck
from comfytui.model.telemetry import GpuSource


class StoryBrief(Struct, frozen=True, kw_only=True):
    """What a run remembers of its story as a whole."""

    id: str
    logline: str = ""
    directors_vision: str = ""
    generator: str = ""
    file: str = ""
    warnings: tuple[str, ...] = ()
    llm: dict[str, Any] | None = None
    """The language model that was asked for it: a ``StoryReport``, or what the story file says."""
    health: HealthCheck | None = None
    """How that model was before the run."""


class SceneBrief(Struct, frozen=True, kw_only=True):
    """What a run remembers of a scene; ``folder`` is its folder inside the run folder, ``floor`` its frame floor."""

    id: str
    folder: str
    floor: int
    prompt: str
    negative_prompt: str = ""
    title: str = ""
    summary: str = ""
    mood: str = ""
    camera_movement: str = ""
    palette: str = ""
    keyframe: str | None = None
    expected_frames: int = 25
    seed: int | None = None
    server_tags: tuple[str, ...] | UnsetType = UNSET
    """The tags that a server must have, all of them, to render it; left out for none."""


class ServerBrief(Struct, frozen=True, kw_only=True):
    """One of the several servers of a run: its name, its base URL (``sim``: the built-in simulator), its tags.

    Of servers that are free the one with the most ``weight`` gets a scene first.
    """

    name: str
    url: str
    tags: tuple[str, ...] = ()
    weight: float = 1.0


class SweepPart(Struct, frozen=True, kw_only=True):
    """Which run of which sweep this is, from 1; ``least`` and ``most`` runs there are; the matrix's values, spelled."""

    sweep: str
    number: int
    least: int
    most: int
    values: dict[str, str] = {}

    @property
    def words(self) -> str:
        """``run 3 of 10``, ``run 3 of 5 to 10, seed=7``."""
        of = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
        values = "".join(f", {name}={value}" for name, value in self.values.items())
        return f"run {self.number} of {of}{values}"


class Device(Struct, frozen=True, kw_only=True):
    """A device as ``/system_stats`` lists it; memory in bytes."""

    name: str
    type: str | None = None
    index: int | None = None
    vram_total: int | None = None
    vram_free: int | None = None


class Measurement(Struct, frozen=True, kw_only=True):
    """One reading of VRAM at a moment of an attempt: who answered, the rendering device, all of them, and the notes."""

    source: GpuSource
    device: Device | None = None
    devices: tuple[Device, ...] = ()
    system: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()


class GpuFigures(Struct, frozen=True, kw_only=True):
    """One device at one moment: percent, bytes, degrees Celsius, watts; ``None`` where it does not tell."""

    index: int
    name: str
    utilization: float | None = None
    vram_used: int | None = None
    vram_total: int | None = None
    temperature: float | None = None
    power: float | None = None


class OthersPrompt(Struct, frozen=True, kw_only=True):
    """Somebody else's prompt in the server's queue: no more of it than its id, its number and how many nodes it has."""

    id: str
    number: float | None = None
    nodes: int | None = None
    running: bool = False


class Frame(Struct, frozen=True, kw_only=True):
    """A frame in the run folder: file name, bytes, SHA-256, whether it is proven whole, and how it came here."""

    name: str
    bytes: int
    sha256: str
    verified: bool = True
    via: Literal["disk", "http"] = "disk"


class VaryingInput(Struct, frozen=True, kw_only=True):
    """An input of the workflow that differs from attempt to attempt: of which node, and its text with placeholders.

    ``title`` is what a person calls the node, ``kind`` its class.
    """

    node: str
    title: str
    kind: str
    name: str
    template: str
