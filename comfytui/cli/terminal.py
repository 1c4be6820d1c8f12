"""What the terminal can do, as far as the environment tells. Pure: nobody writes escape sequences to ask."""

import os
from collections.abc import Iterator, Mapping

from comfytui.engine.doctor.finding import Finding, ok, unknown, warn
from comfytui.faces.tui.drawing import Method, method_for
from comfytui.faces.tui.layout import LEAST, too_small
from comfytui.faces.tui.palettes import depth_of

_DRAWN: dict[Method, str] = {
    "kitty": "by Kitty's graphics protocol", "sixel": "as Sixel", "half": "of half cells", "words": "in words",
}  # fmt: skip


def terminal(environ: Mapping[str, str], *, encoding: str, size: tuple[int, int] | None) -> Iterator[Finding]:
    """Yield what is known of the terminal: ``size`` in columns and rows, ``None`` where standard output is none."""
    name = environ.get("TERM", "")
    if size is None or name == "dumb":
        yield unknown("terminal", "standard output is no terminal: runs need --headless or --json here")
        return
    yield _size(size)
    yield _colours(environ, name)
    if encoding.lower().replace("-", "").startswith("utf"):
        yield ok("unicode", f"text is written as {encoding}")
    else:
        yield warn("unicode", f"text is written as {encoding}", "Set LANG to a UTF-8 locale, or use --ascii.")
    if multiplexer := _multiplexer(environ, name):
        yield ok("multiplexer", f"{multiplexer}: the dashboard can be detached with it, too")
    if environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"):
        yield ok("ssh", "over SSH: the dashboard spares the line (--no-ssh: it does not), and losing it stops no run")
    yield _graphics(environ)


def _size(size: tuple[int, int]) -> Finding:
    told = f"{size[0]}x{size[1]}"
    if too_small(*size):
        remedy = f"Enlarge it to {LEAST[0]}x{LEAST[1]} or more."
        return warn("terminal", f"{told} is too small for the dashboard", remedy)
    return ok("terminal", told)


def _colours(environ: Mapping[str, str], name: str) -> Finding:
    match depth_of(environ, windows=os.name == "nt"):
        case "many":
            return ok("colours", "as many as a theme wants")
        case "none":
            return ok("colours", "none: NO_COLOR or TERM says so, and the dashboard is drawn without")
        case _:
            what = f"{name or 'a terminal without name'} tells of sixteen: the dashboard is drawn in those"
            return warn("colours", what, "Set COLORTERM=truecolor if it shows more.")


def _multiplexer(environ: Mapping[str, str], name: str) -> str:
    if environ.get("TMUX"):
        return "tmux"
    if environ.get("ZELLIJ"):
        return "zellij"
    return "screen" if environ.get("STY") else "tmux or screen" if name.startswith(("tmux", "screen")) else ""


def _graphics(environ: Mapping[str, str]) -> Finding:
    method = method_for(environ)
    return ok("graphics", f"pictures are drawn {_DRAWN[method]}")
