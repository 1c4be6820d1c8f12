"""What the dashboard is told when it starts, and how it says that it was left."""

from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from comfytui.faces.tui.outside import Calls
from comfytui.faces.tui.palettes import DEFAULT_THEME

if TYPE_CHECKING:
    from comfytui.faces.tui.gallery import Gallery
    from comfytui.model.catalog import Catalog
    from comfytui.model.eta import Spent

Leaving = Literal["detached", "stopped", "ended"]
"""How a person left: the run goes on, was told to stop, or was over already."""


class DashboardOptions(Struct, frozen=True):
    """How the dashboard behaves. ``readonly`` sends no command; ``owns_run`` asks before it leaves a live run."""

    readonly: bool = False
    owns_run: bool = False
    theme: str = DEFAULT_THEME
    ascii: bool = False
    title: str = "comfytui"
    """What the app is called outside its screen: by Textual, and in screenshots."""
    zone: tzinfo | None = None
    """Where times are shown; ``None`` is the time zone of this machine."""
    facts_within: float = 0.1
    """Seconds within which a fact is on the screen."""
    samples_every: float = 0.5
    """Seconds between two paintings for figures that only moved."""
    clock_every: float = 1.0
    """Seconds between two paintings for time that only went by."""
    mouse: bool = True
    replay: bool = False
    """The feed is a recording that ends: it is shown with a slider, and no command is sent."""
    catalog: "Catalog | None" = None
    """Where past runs are looked over; ``None`` where there are none."""
    browse: bool = False
    """It begins with the past runs, and there is no run beneath them."""
    calls: Calls = field(default_factory=Calls)
    """How a person is called who is not looking."""
    gallery: "Gallery | None" = None
    """Gives the bytes of frames; ``None`` where there is no run folder."""
    earlier: Callable[[], tuple["Spent", ...]] | None = None
    """Reads what scenes took in earlier runs of the workflow, in a worker thread; ``None`` where nothing is to come."""
    keymap: Mapping[str, str] = field(default_factory=dict)
    """Keys that a person has moved, by command, as ``comfytui.faces.tui.keymap`` has checked them."""


def sparing(options: DashboardOptions) -> DashboardOptions:
    """Return ``options`` for a slow line: facts within two seconds, all in one painting; no mouse."""
    return replace(options, facts_within=2.0, samples_every=2.0, clock_every=2.0, mouse=False)
