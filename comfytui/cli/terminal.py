"""What the terminal can do, as far as the environment tells. Pure: nobody writes escape sequences to ask."""

from collections.abc import Iterator, Mapping

from comfytui.engine.doctor.finding import Finding, ok, unknown, warn

SMALLEST = (60, 15)
"""Columns and rows of the smallest dashboard."""
_PICTURES = {"iTerm.app": "iTerm2 images", "WezTerm": "iTerm2 images", "ghostty": "kitty graphics"}


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
        yield ok("ssh", "over SSH: losing the connection stops no run")
    yield _graphics(environ, name)


def _size(size: tuple[int, int]) -> Finding:
    told = f"{size[0]}x{size[1]}"
    if size[0] < SMALLEST[0] or size[1] < SMALLEST[1]:
        return warn("terminal", f"{told} is too small for the dashboard", "Enlarge it to 60x15 or more.")
    return ok("terminal", told)


def _colours(environ: Mapping[str, str], name: str) -> Finding:
    if "NO_COLOR" in environ:
        return ok("colours", "NO_COLOR is set")
    if environ.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return ok("colours", "truecolor")
    if "256color" in name:
        return ok("colours", "256 colours")
    remedy = "Set COLORTERM=truecolor if it shows 24-bit colours."
    return warn("colours", f"{name or 'a terminal without name'} tells no more than 16 colours", remedy)


def _multiplexer(environ: Mapping[str, str], name: str) -> str:
    if environ.get("TMUX"):
        return "tmux"
    return "screen" if environ.get("STY") else "tmux or screen" if name.startswith(("tmux", "screen")) else ""


def _graphics(environ: Mapping[str, str], name: str) -> Finding:
    if _multiplexer(environ, name):
        return unknown("graphics", "a multiplexer hides what the terminal behind it can draw")
    if environ.get("KITTY_WINDOW_ID") or name == "xterm-kitty":
        return ok("graphics", "kitty graphics")
    if found := _PICTURES.get(environ.get("TERM_PROGRAM", "")):
        return ok("graphics", found)
    return unknown("graphics", "the environment tells of none")
