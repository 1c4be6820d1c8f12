"""Styles and signs: how a role looks on its ground, and the marks of the dashboard in Unicode and in plain ASCII."""

from functools import lru_cache

from msgspec import Struct
from rich.color import Color
from rich.style import Style
from textual.theme import Theme

from comfytui.faces.tui.palettes import PALETTES, Ground, Palette
from comfytui.faces.tui.panes.line import Role

_BOLD: frozenset[Role] = frozenset({"strong", "title", "key", "caution", "alarm"})

REVERSED: frozenset[Role] = frozenset({"caution", "alarm"})
"""Roles that are drawn as a block of colour: blanks in them are seen."""


_FADED: frozenset[Role] = frozenset({"dim", "faint", "border", "rule"})
_COLOURED: frozenset[Role] = frozenset({"accent", "focus", "warn", "bad"})
"""Roles that are faint, and those that are bold, where a terminal has no colours for them."""


@lru_cache(maxsize=512)
def style_of(palette: str, role: Role, ground: Ground) -> Style:
    """Return how text of ``role`` looks on ``ground`` in the palette of that name."""
    colours = PALETTES[palette]
    if colours.native:
        return _native_style(colours, role, ground)
    ink, paper = colours.ink(role), colours.ground(ground)
    if role in ("border", "focus"):
        paper = colours.panel if ground != "sheet" else paper
    if role in REVERSED:
        ink, paper = colours.panel, ink
    return Style(color=Color.parse(ink), bgcolor=Color.parse(paper), bold=role in _BOLD or None)


def _native_style(colours: Palette, role: Role, ground: Ground) -> Style:
    """Return the style in colours of the terminal itself: attributes tell grounds and grades apart."""
    chosen = ground == "select" and role not in ("border", "focus")
    reverse = chosen or role in REVERSED
    ink = "default" if chosen else colours.ink(role)
    faded = role in _FADED and not chosen
    bold = role in _BOLD or (colours.ink(role) == "default" and role in _COLOURED)
    return Style(color=Color.parse(ink), bold=bold or None, dim=faded or None, reverse=reverse or None)


def textual_theme(palette: Palette) -> Theme:
    """Return ``palette`` as a theme of Textual, for its own widgets (command palette, input) and our stylesheet."""
    colours = {name: f"ansi_{getattr(palette, name)}" if palette.native else getattr(palette, name) for name in _USED}
    if palette.native:  # the chosen command is a block of the accent; where there are no colours it is underlined
        colours["select"] = colours["accent"]
        colours["strong"] = "ansi_default" if palette.accent == "default" else "ansi_black"
    return Theme(
        name=palette.name,
        primary=colours["accent"],
        secondary=colours["accent"],
        accent=colours["accent"],
        warning=colours["warn"],
        error=colours["bad"],
        success=colours["good"],
        foreground=colours["text"],
        background=colours["panel"],
        surface=colours["bar"],
        panel=colours["bar"],
        dark=palette.dark,
        ansi=palette.native,
        variables={
            "ansi-background": colours["panel"],
            "ansi-foreground": colours["text"],
            "sheet": colours["sheet"],
            "chosen": colours["select"],
            "strong": colours["strong"],
            "input-selection-background": colours["select"],
            "scrollbar": colours["border"],
            "scrollbar-background": colours["sheet"],
        },
    )


_USED = ("accent", "warn", "bad", "good", "text", "panel", "bar", "sheet", "select", "strong", "border")
"""The colours that Textual's own widgets and the stylesheet take."""


class Glyphs(Struct, frozen=True):
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
    mark: str
    short: str
    cursor: str
    opens: str
    closes: str
    both: str
    dot: str
    down_arrow: str
    minus: str
    slider: str
    """The rule and the knob of a slider."""
    celsius: str
    """The unit of a temperature."""


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
    mark="•",
    short="!",
    cursor="▌",
    opens="├",
    closes="┤",
    both="┼",
    dot="·",
    down_arrow="▾",
    minus="−",
    slider="─●",
    celsius="°C",
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
    mark="*",
    short="!",
    cursor=">",
    opens="[",
    closes="]",
    both="|",
    dot="-",
    down_arrow="v",
    minus="-",
    slider="-O",
    celsius="C",
)
