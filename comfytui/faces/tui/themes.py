"""Colours and signs: the palettes of the dashboard and the marks it draws with, in Unicode and in plain ASCII.

A palette gives each role of :data:`comfytui.faces.tui.panes.line.Role` a colour. There is one accent; green, amber and
red are kept for what went well, wants a look, or went wrong, and never say it alone.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from rich.color import Color
from rich.style import Style
from textual.theme import Theme

from comfytui.faces.tui.panes.line import Role

Ground = Literal["panel", "bar", "select", "select_idle", "sheet"]
"""What a line lies on: a pane, the header or footer, the chosen row (in the focused pane or not), a dialog."""


@dataclass(frozen=True)
class Palette:
    """The colours of one theme, as ``#rrggbb``."""

    name: str
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

    def ground(self, ground: Ground) -> str:
        """Return the background of ``ground``."""
        return str(getattr(self, ground))

    def ink(self, role: Role) -> str:
        """Return the foreground of ``role``."""
        aliases = {"title": "text", "key": "accent", "focus": "accent", "caution": "warn", "alarm": "bad"}
        return str(getattr(self, aliases.get(role, role)))


FLIGHT_DECK = Palette(
    name="flight-deck",
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

PALETTES: dict[str, Palette] = {palette.name: palette for palette in (FLIGHT_DECK, DAYLIGHT)}
DEFAULT_THEME = FLIGHT_DECK.name

_BOLD: frozenset[Role] = frozenset({"strong", "title", "key", "caution", "alarm"})

REVERSED: frozenset[Role] = frozenset({"caution", "alarm"})
"""Roles that are drawn as a block of colour: blanks in them are seen."""


@lru_cache(maxsize=256)
def style_of(palette: str, role: Role, ground: Ground) -> Style:
    """Return how text of ``role`` looks on ``ground`` in the palette of that name."""
    colours = PALETTES[palette]
    ink, paper = colours.ink(role), colours.ground(ground)
    if role in ("border", "focus"):
        paper = colours.panel if ground != "sheet" else paper
    if role in REVERSED:
        ink, paper = colours.panel, ink
    return Style(color=Color.parse(ink), bgcolor=Color.parse(paper), bold=role in _BOLD or None)


def textual_theme(palette: Palette) -> Theme:
    """Return ``palette`` as a theme of Textual, for its own widgets (command palette, input) and our stylesheet."""
    return Theme(
        name=palette.name,
        primary=palette.accent,
        secondary=palette.accent,
        accent=palette.accent,
        warning=palette.warn,
        error=palette.bad,
        success=palette.good,
        foreground=palette.text,
        background=palette.panel,
        surface=palette.bar,
        panel=palette.bar,
        dark=palette.dark,
        variables={
            "sheet": palette.sheet,
            "chosen": palette.select,
            "strong": palette.strong,
            "input-selection-background": palette.select,
            "scrollbar": palette.border,
            "scrollbar-background": palette.sheet,
        },
    )


@dataclass(frozen=True)
class Glyphs:
    """The signs that the dashboard draws with. Each takes one cell."""

    corners: str
    across: str
    down: str
    full: str
    half: str
    rest: str
    spark: str
    waiting: str
    queued: str
    executing: str
    collecting: str
    done: str
    failed: str
    cancelled: str
    skipped: str
    short: str
    cursor: str
    dot: str
    down_arrow: str
    minus: str


UNICODE = Glyphs(
    corners="╭╮╰╯",
    across="─",
    down="│",
    full="━",
    half="╸",
    rest="─",
    spark="▁▂▃▄▅▆▇█",
    waiting="·",
    queued="○",
    executing="▶",
    collecting="◆",
    done="✓",
    failed="✗",
    cancelled="⊘",
    skipped="»",
    short="!",
    cursor="▌",
    dot="·",
    down_arrow="▾",
    minus="−",
)

ASCII = Glyphs(
    corners="++++",
    across="-",
    down="|",
    full="=",
    half="=",
    rest=".",
    spark="_.,-=+*#",
    waiting=".",
    queued="o",
    executing="*",
    collecting="%",
    done="+",
    failed="x",
    cancelled="/",
    skipped=">",
    short="!",
    cursor=">",
    dot="-",
    down_arrow="v",
    minus="-",
)
