"""The colours of the dashboard as plain data, theme by theme, and which of them a terminal can show.

There is one accent; green, amber and red are kept for what went well, wants a look, or went wrong, and never say it
alone.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from comfytui.faces.tui.panes.line import Role

Ground = Literal["panel", "bar", "select", "select_idle", "sheet"]
"""What a line lies on: a pane, the header or footer, the chosen row (in the focused pane or not), a dialog."""

Depth = Literal["many", "sixteen", "none"]
"""How many colours a terminal shows: 256 and more, the sixteen that its user chose, or none."""


class Palette(Struct, frozen=True):
    """The colours of one theme, as ``#rrggbb``.

    A ``native`` one names colours of the terminal itself: ``default``, or one of the sixteen.
    """

    name: str
    about: str
    """In a few words, for the list of themes."""
    dark: bool
    panel: str
    bar: str
    select: str
    select_idle: str
    sheet: str
    text: str
    strong: str
    dim: str
    faint: str
    rule: str
    border: str
    accent: str
    spark: str
    good: str
    warn: str
    bad: str
    native: bool = False

    def ground(self, ground: Ground) -> str:
        """Return the background of ``ground``."""
        return str(getattr(self, ground))

    def ink(self, role: "Role") -> str:
        """Return the foreground of ``role``."""
        aliases = {"title": "text", "key": "accent", "focus": "accent", "caution": "warn", "alarm": "bad"}
        return str(getattr(self, aliases.get(role, role)))


FLIGHT_DECK = Palette(
    name="flight-deck",
    about="dark blue slate",
    dark=True,
    panel="#0d1117",
    bar="#151b23",
    select="#1d2f3f",
    select_idle="#171f29",
    sheet="#121820",
    text="#c5ced8",
    strong="#eef2f6",
    dim="#93a1b0",
    faint="#717f8d",
    rule="#36424f",
    border="#2a3542",
    accent="#6fc3df",
    spark="#3f88a3",
    good="#8cc98f",
    warn="#e3b566",
    bad="#f0807a",
)

DAYLIGHT = Palette(
    name="daylight",
    about="light, warm paper",
    dark=False,
    panel="#fbfaf7",
    bar="#efece5",
    select="#d3e5ec",
    select_idle="#e9eceb",
    sheet="#f5f3ee",
    text="#2c343c",
    strong="#0c1217",
    dim="#535d67",
    faint="#6c747b",
    rule="#c3c2bb",
    border="#cfccc4",
    accent="#0f6a8a",
    spark="#6ba3ba",
    good="#256b36",
    warn="#835a00",
    bad="#ad2f2a",
)

DARKROOM = Palette(
    name="darkroom",
    about="embers on brown: little blue light, for long nights",
    dark=True,
    panel="#14100d",
    bar="#1e1814",
    select="#3d2a1b",
    select_idle="#241d18",
    sheet="#1a1511",
    text="#d8c4ac",
    strong="#f6e7d0",
    dim="#a9957e",
    faint="#8f7d64",
    rule="#463a2e",
    border="#3a2f26",
    accent="#e2955a",
    spark="#a3683f",
    good="#b3bd72",
    warn="#f0c15c",
    bad="#f2796b",
)

SIGNAL = Palette(
    name="signal",
    about="white on black: the highest contrast",
    dark=True,
    panel="#000000",
    bar="#1c1c1c",
    select="#3a3a3a",
    select_idle="#262626",
    sheet="#121212",
    text="#f2f2f2",
    strong="#ffffff",
    dim="#c8c8c8",
    faint="#acacac",
    rule="#7a7a7a",
    border="#8a8a8a",
    accent="#5ad4ff",
    spark="#3fa7d6",
    good="#5dff7e",
    warn="#ffd93b",
    bad="#ff8a80",
)

TERMINAL = Palette(
    name="terminal",
    about="the sixteen colours of your terminal; chosen where it has no more",
    dark=True,
    panel="default",
    bar="default",
    select="default",
    select_idle="default",
    sheet="default",
    text="default",
    strong="default",
    dim="default",
    faint="default",
    rule="default",
    border="default",
    accent="cyan",
    spark="cyan",
    good="green",
    warn="yellow",
    bad="red",
    native=True,
)

MONO = Palette(
    name="mono",
    about="no colours; chosen by NO_COLOR and where the terminal has none",
    dark=True,
    **{name: "default" for name in Palette.__annotations__ if name not in ("name", "about", "dark", "native")},
    native=True,
)

PALETTES: dict[str, Palette] = {
    palette.name: palette for palette in (FLIGHT_DECK, DAYLIGHT, DARKROOM, SIGNAL, TERMINAL, MONO)
}
DEFAULT_THEME = FLIGHT_DECK.name

_BARE = ("vt", "dumb", "unknown")
_MONO_ENDINGS = ("-m", "-mono", "-nc")
_MANY = ("256", "direct", "truecolor", "kitty", "alacritty", "ghostty", "foot", "wezterm", "iterm")


def depth_of(environ: Mapping[str, str], windows: bool = False) -> Depth:
    """Return how many colours the terminal that ``environ`` tells of shows; ``none`` where NO_COLOR wants none."""
    if environ.get("NO_COLOR"):
        return "none"
    term = environ.get("TERM", "").lower()
    if windows or environ.get("COLORTERM", "").lower() in ("truecolor", "24bit") or any(one in term for one in _MANY):
        return "many"
    return "none" if term.startswith(_BARE) or term.endswith(_MONO_ENDINGS) else "sixteen"


def theme_for(depth: Depth, wanted: str | None) -> str:
    """Return the name of the theme to draw in: the one that is ``wanted``, as far as the terminal can show it."""
    if depth == "none" or wanted == MONO.name:
        return MONO.name
    return TERMINAL.name if depth == "sixteen" else wanted or DEFAULT_THEME
