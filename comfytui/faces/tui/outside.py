"""What the dashboard says to its terminal beside the picture: the bell, a notification of the desktop, a title.

Texts are plain before they are sent; the sequences are those of xterm (OSC 2, CSI 22 and 23 t), of iTerm2 and kitty
(OSC 9), and of rxvt-unicode and VTE (OSC 777).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from comfytui.faces.tui.panes.line import safe
from comfytui.faces.tui.view import View, state_words
from comfytui.model.news import NEWS_KINDS, News, NewsKind

Protocol = Literal["osc9", "osc777"]
Wrapping = Literal["tmux", "screen"]
"""What lies between us and the terminal, and must be told to let a sequence through."""

KEEP_TITLE, RESTORE_TITLE = "\x1b[22;2t", "\x1b[23;2t"
LONGEST = 200
_NINE = ("iterm", "kitty", "ghostty", "wezterm")
_BARE = ("linux", "vt", "dumb", "unknown")


class Calls(Struct, frozen=True):
    """What a dashboard may do to call a person; by default nothing."""

    bell: bool = False
    protocols: tuple[Protocol, ...] = ()
    title: bool = False
    kinds: tuple[NewsKind, ...] = NEWS_KINDS
    wrapping: Wrapping | None = None


def calls_for(
    environ: Mapping[str, str], *, bell: bool, desktop: str, title: bool, kinds: tuple[NewsKind, ...]
) -> Calls:
    """Return what is wanted, as far as the terminal that ``environ`` tells of takes it."""
    bare = environ.get("TERM", "").startswith(_BARE)
    wrapping: Wrapping | None = "tmux" if environ.get("TMUX") else "screen" if environ.get("STY") else None
    protocols = () if bare else _protocols(desktop, environ)
    return Calls(bell=bell, protocols=protocols, title=title and not bare, kinds=kinds, wrapping=wrapping)


def _protocols(desktop: str, environ: Mapping[str, str]) -> tuple[Protocol, ...]:
    """Return the protocol that is wanted; of ``auto``, what the terminal is known to take, and both where it is not."""
    match desktop:
        case "off":
            return ()
        case "osc9":
            return ("osc9",)
        case "osc777":
            return ("osc777",)
    told = " ".join(environ.get(name, "").lower() for name in ("TERM_PROGRAM", "LC_TERMINAL", "TERM"))
    if any(name in told for name in _NINE):
        return ("osc9",)
    if environ.get("VTE_VERSION") or "rxvt" in told or "foot" in told:
        return ("osc777",)
    return ("osc9", "osc777")


class Outside:
    """Writes to the terminal with ``write``: what changed of the title, and each piece of news once."""

    def __init__(self, calls: Calls, write: Callable[[str], None]) -> None:
        self._calls, self._write = calls, write
        self._title = ""

    def begin(self) -> None:
        """Have the terminal remember its title."""
        if self._calls.title:
            self._write(KEEP_TITLE)

    def end(self) -> None:
        """Give the terminal its title back."""
        if self._calls.title:
            self._write(RESTORE_TITLE)

    def entitle(self, view: View) -> None:
        """Show in the title how the run stands, when that has changed."""
        title = title_of(view) if self._calls.title else ""
        if title != self._title:
            self._title = title
            self._write(f"\x1b]2;{title}\x07")

    def call(self, news: Sequence[News]) -> None:
        """Call a person for ``news``: once for all that came together."""
        wanted = [one for one in news if one.kind in self._calls.kinds]
        bell = "\x07" if self._calls.bell else ""
        if wanted and (bell or self._calls.protocols):
            self._write(bell + notice(call_text(wanted), self._calls.protocols, self._calls.wrapping))


def title_of(view: View) -> str:
    """Return the title: scenes that are over of all, the run, and how it stands unless it just goes on."""
    run = view.state.run
    if run is None or run.observing or not view.lane.caught_up:
        return "comfytui"
    word = state_words(view)[0][0]
    standing = "" if word in ("RUNNING", "FINISHING") else f"{word.lower()} "
    return safe(f"{standing}{view.over}/{len(view.state.scenes)} comfytui {run.id}")[:LONGEST]


def call_text(news: Sequence[News]) -> str:
    """Return the words for news that came together: the latest in full, the others counted."""
    text = safe(news[-1].text)
    more = f" (and {len(news) - 1} more)" if len(news) > 1 else ""
    return f"{text[: LONGEST - len(more)]}{more}"


def notice(text: str, protocols: Sequence[Protocol], wrapping: Wrapping | None) -> str:
    """Return the sequences that ask the terminal to notify; in ``text``, which is plain, semicolons become commas."""
    words = text.replace(";", ",")
    sequences = {"osc9": f"\x1b]9;comfytui: {words}\x07", "osc777": f"\x1b]777;notify;comfytui;{words}\x07"}
    return "".join(_through(sequences[protocol], wrapping) for protocol in protocols)


def _through(sequence: str, wrapping: Wrapping | None) -> str:
    if wrapping == "tmux":
        return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    return f"\x1bP{sequence}\x1b\\" if wrapping == "screen" else sequence
