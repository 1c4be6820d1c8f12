"""From a line in roles to a strip in colours: the only place where text meets style."""

from msgspec import Struct
from rich.segment import Segment
from textual.strip import Strip

from comfytui.faces.tui.palettes import Ground
from comfytui.faces.tui.panes.line import Line, Span, fit
from comfytui.faces.tui.themes import ASCII, REVERSED, UNICODE, Glyphs, style_of

_IN_ASCII = str.maketrans(
    {"…": "~", "·": "-", "−": "-", "°": " ", "×": "x", "→": ">", "←": "<", "↓": "v", "Δ": "d", "▾": "v", "↑": "^"}
)


class Brush(Struct, frozen=True):
    """How lines become strips: in which theme, and whether our own signs are kept to ASCII."""

    theme: str
    ascii: bool = False

    @property
    def glyphs(self) -> Glyphs:
        """The signs to draw with."""
        return ASCII if self.ascii else UNICODE

    def strip(self, line: Line, ground: Ground, width: int) -> Strip:
        """Return ``line`` as a strip of ``width`` cells. Blanks take the style before them, so fewer bytes are sent."""
        runs: list[Span] = []
        for text, role in fit(line, width):
            if runs and (runs[-1][1] == role or (not text.strip() and not {role, runs[-1][1]} & REVERSED)):
                runs[-1] = (runs[-1][0] + text, runs[-1][1])
            else:
                runs.append((text, role))
        return Strip([Segment(self._letters(text), style_of(self.theme, role, ground)) for text, role in runs], width)

    def _letters(self, text: str) -> str:
        return text.translate(_IN_ASCII) if self.ascii else text
