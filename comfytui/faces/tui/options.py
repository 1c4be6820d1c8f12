"""What the dashboard is told when it starts, and how it says that it was left."""

from dataclasses import dataclass
from datetime import tzinfo
from typing import Literal

from comfytui.faces.tui.themes import DEFAULT_THEME

Leaving = Literal["detached", "stopped", "ended"]
"""How a person left: the run goes on, was told to stop, or was over already."""


@dataclass(frozen=True)
class DashboardOptions:
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
