"""``comfytui themes``: what ``--theme`` takes."""

import os
import sys

import click

from comfytui.faces.tui.palettes import DEFAULT_THEME, PALETTES, Palette, depth_of

_SHOWN = ("text", "dim", "accent", "good", "warn", "bad")


def print_themes() -> int:
    """Print a line for each theme, with a sample where standard output is a terminal of 256 colours; return 0."""
    coloured = sys.stdout.isatty() and depth_of(os.environ, windows=os.name == "nt") == "many"
    for palette in PALETTES.values():
        about = f"{palette.about} (default)" if palette.name == DEFAULT_THEME else palette.about
        sample = f"  {_sample(palette)}" if coloured and not palette.native else ""
        click.echo(f"{palette.name:<12} {about:<66}{sample}".rstrip())
    return 0


def _sample(palette: Palette) -> str:
    """Return the words of a run in the colours of ``palette``."""
    words = [click.style(f" {name}", fg=_rgb(getattr(palette, name)), bg=_rgb(palette.panel)) for name in _SHOWN]
    return "".join(words) + click.style(" ", bg=_rgb(palette.panel))


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
