"""How pictures are drawn in this terminal, and the library that draws them, brought in without a question asked.

``textual_image`` asks the terminal what it can do when it is imported. While Textual runs, the answer would come as
keys, so it is imported as if there were no terminal, and what the terminal can do is told by its environment.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Literal

from textual.widget import Widget

from comfytui.faces.tui.palettes import MONO

_LIBRARY = "textual_image.widget"

Method = Literal["kitty", "sixel", "half", "words"]
"""The graphics protocol of Kitty, Sixel, two pixels in a cell, or no picture."""

_KITTY = ("xterm-kitty", "xterm-ghostty")
_SIXEL = ("foot", "mlterm", "contour", "yaft")
_SIXEL_PROGRAMS = ("WezTerm", "iTerm.app", "mintty", "rio")
_WITHIN = ("TMUX", "STY", "ZELLIJ")
"""Set inside multiplexers, which keep pictures from the terminal."""


def method_for(environ: Mapping[str, str]) -> Method:
    """Return how the terminal that ``environ`` tells of draws pictures; half cells where it tells of nothing better."""
    term = environ.get("TERM", "")
    if any(environ.get(name) for name in _WITHIN) or term.startswith(("screen", "tmux")):
        return "half"
    if term in _KITTY or environ.get("KITTY_WINDOW_ID"):
        return "kitty"
    program = environ.get("TERM_PROGRAM", "")
    return "sixel" if term.startswith(_SIXEL) or program in _SIXEL_PROGRAMS else "half"


def why_words(ascii_only: bool, theme: str, colours: str | None) -> str:
    """Return why there can be no picture on this screen; empty where there can be one."""
    if ascii_only:
        return "Pictures need more than ASCII; start without --ascii to see them."
    if theme == MONO.name:
        return "Pictures need colours, and there are none here (NO_COLOR, or the theme mono)."
    return "" if colours in ("truecolor", "256") else "Pictures need 256 colours, and this terminal has fewer."


def library() -> Any:
    """Return the library's widgets. The first time takes a while; that is for another thread."""
    if (known := sys.modules.get(_LIBRARY)) is not None:
        return known
    with _nothing_asked(_cell_pixels()):
        return import_module(_LIBRARY)


def canvas(method: Method) -> Any:
    """Return a widget that draws the image which is put into its ``image``."""
    widgets = library()
    kinds: dict[Method, type[Widget]] = {"kitty": widgets.TGPImage, "sixel": widgets.SixelImage}
    return kinds.get(method, widgets.HalfcellImage)(classes="canvas")


class _NoTerminal:
    """Standard output as if it were no terminal: it is the same place, and takes nothing."""

    def __init__(self, there: Any) -> None:
        self._there = there

    def __getattr__(self, name: str) -> Any:
        return getattr(self._there, name)

    def isatty(self) -> bool:
        """Say that it is none."""
        return False

    def write(self, text: str) -> int:
        """Take nothing."""
        return len(text)


@contextmanager
def _nothing_asked(cell: tuple[int, int]) -> Iterator[None]:
    """Let what is imported here see no terminal, and the size of a cell (pixels) in the environment."""
    names = ("TEXTUAL_CELL_WIDTH", "TEXTUAL_CELL_HEIGHT")
    terminal, before = sys.__stdout__, {name: os.environ.get(name) for name in names}
    sys.__stdout__ = _NoTerminal(terminal)  # type: ignore[assignment, misc]
    os.environ.update(zip(names, map(str, cell), strict=True))
    try:
        yield
    finally:
        sys.__stdout__ = terminal  # type: ignore[misc]
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _cell_pixels() -> tuple[int, int]:
    """Return the width and height of a cell in pixels: what the kernel knows, else those of a VT340."""
    try:
        import fcntl
        import struct
        import termios

        lines, columns, width, height = struct.unpack("HHHH", fcntl.ioctl(2, termios.TIOCGWINSZ, bytes(8)))
    except (ImportError, OSError):
        return 10, 20
    return (width // columns, height // lines) if columns and lines and width and height else (10, 20)
