"""Several servers as a list: how each stands, what it executes or why it does not, how fast it is. One is chosen."""

from comfytui.faces.tui.panes.figures import plural
from comfytui.faces.tui.panes.line import BLANK, Line, Role, Span, clip_middle, fit, left, line_width, safe, spread
from comfytui.faces.tui.panes.picture import Picture
from comfytui.faces.tui.themes import Glyphs
from comfytui.faces.tui.view import View
from comfytui.model.events import Progress
from comfytui.model.presence import Presence, presence, tried_again, why_idle
from comfytui.model.shares import Load, Shares, load_of
from comfytui.model.state import Server, State

WIDEST_NAME = 14
DETAIL = 9
"""Lines that everything about the chosen server likes to have."""
LEAST_DETAIL = 3
INDENT = 4
_ROLES: dict[Presence, Role] = {"answers": "good", "away": "bad", "left out": "warn", "not reached": "dim"}


class Fleet:
    """Which server is chosen, and what each of them has done: counted as scenes change."""

    def __init__(self) -> None:
        self._selected = ""
        self._shares = Shares()
        self._load: tuple[object, Load] | None = None

    def selected(self, state: State) -> str:
        """Return the name of the chosen server: the first, until a person moves."""
        return state.server_called(self._selected).name

    def move(self, state: State, by: int) -> None:
        """Choose the server ``by`` lines further."""
        names = [server.name for server in state.servers]
        place = names.index(self.selected(state)) + by
        self._selected = names[max(0, min(place, len(names) - 1))]

    def wish(self, state: State) -> tuple[int, int]:
        """Return how many lines everything would take, and the short form: a line for each server."""
        count = len(state.servers)
        return 2 * count + 1 + DETAIL, count

    def picture(self, view: View, width: int, height: int, detail: list[Line]) -> Picture:
        """Return a line or two for each server, and under them as much of ``detail``, of the chosen one, as fits."""
        state, servers = view.state, view.state.servers
        self._shares.take(state)
        tall = 2 if 2 * len(servers) <= height else 1
        rows: list[Line] = []
        for server in servers:
            rows += self._rows(view, server, width, tall)
        place = [server.name for server in servers].index(self.selected(state))
        room = height - len(rows) - 1
        if room >= LEAST_DETAIL:
            rows += [((view.glyphs.across * width, "rule"),), *detail[:room]]
        return Picture(lines=rows, note=BLANK if view.past else note(state), cursor=place * tall)

    def _rows(self, view: View, server: Server, width: int, tall: int) -> list[Line]:
        state, glyphs, stands = view.state, view.glyphs, presence(server)
        mark = glyphs.cursor if server.name == self.selected(state) else " "
        cells = min(WIDEST_NAME, max(len(one.name) for one in state.servers))
        role = _ROLES[stands]
        called = left(clip_middle(safe(server.name), cells), cells + 2)
        name: Line = ((mark, "accent"), (f"{_sign(stands, glyphs)} ", role), (called, "strong"))
        rate = self._shares.rate(server.name, view.until) if stands == "answers" else None
        doing = self._doing(view, server, stands)
        if tall == 1:
            pace: Line = ((f"{_figure(rate)}/h", "dim"),) if rate is not None else BLANK
            return [spread((*name, *doing), pace, width)]
        indent: Span = (" " * INDENT, "text")
        room = width - line_width(name)
        if stands != "answers":
            told = next((words for words in _absences(view, server, stands) if len(words) <= room), stands)
            rendered = view.past and self._shares.of(server.name).scenes
            under: Line = doing if rendered else ((safe(server.trouble), "dim"),)
            return [fit((*name, (told, "dim" if view.past else role)), width), fit((indent, *under), width)]
        side: Line = ((safe(server.version), "dim"),) if server.version else BLANK
        room = width - INDENT - 2 - line_width(doing)
        figures = next((one for one in _figures(server, rate) if len(one) <= room), "")
        return [
            spread((*name, ("answered", "dim") if view.past else (_answers(server), role)), side, width),
            spread((indent, *doing), ((figures, "dim"),) if figures else BLANK, width),
        ]

    def _doing(self, view: View, server: Server, stands: Presence) -> Line:
        """Return what it executes and how far that is, or why it does nothing."""
        load = self._load_of(view.state)
        for scene in load.executing.get(server.name, ()):
            return ((safe(scene), "text"), (_far(view.state.progress.get(scene)), "dim"))
        own = self._shares.of(server.name)
        if view.past and stands != "answers" and not own.scenes:
            return ((f"was {stands}{f': {safe(server.trouble)}' if server.trouble else ''}", "dim"),)
        if view.past:
            return ((f"rendered {plural(own.scenes, 'scene')}, {plural(own.frames, 'frame')}", "dim"),)
        why = why_idle(view.state, server, load, self._shares, view.until)
        return ((safe(why) or str(stands), "dim" if stands == "answers" else "text"),)

    def _load_of(self, state: State) -> Load:
        if self._load is None or self._load[0] is not state.scenes:
            self._load = state.scenes, load_of(state)
        return self._load[1]


def note(state: State) -> Line:
    """Return how many of the servers answer, where not all of them do."""
    up = sum(presence(server) == "answers" for server in state.servers)
    if up == len(state.servers):
        return BLANK
    return ((f" {up} of {len(state.servers)} answer ", "warn" if up else "bad"),)


def _sign(stands: Presence, glyphs: Glyphs) -> str:
    signs = {"answers": glyphs.done, "away": glyphs.failed, "left out": glyphs.cancelled}
    return signs.get(stands, glyphs.waiting)


def _absences(view: View, server: Server, stands: Presence) -> list[str]:
    """Return how a server stands that does not answer, the longest words first."""
    again = tried_again(server, view.until)
    if view.past or server.lost or not again:
        return [f"was {stands}" if view.past else stands]
    short = again.replace(", tried again", ", again")
    return [f"{stands}{again}", f"{stands}{short}", f"{stands.removeprefix('left ')}{short}"]


def _answers(server: Server) -> str:
    return "answers" if server.latency is None else f"answers in {max(1, round(server.latency * 1000)):,} ms"


def _figures(server: Server, rate: float | None) -> list[str]:
    """Return its queue and how many scenes it renders in an hour, in words: the longest first."""
    parts = [f"{server.ours:,} ours"] if server.ours else []
    parts += [plural(server.others, "other")] if server.others else []
    queue = ", ".join(parts)
    if rate is None:
        return [queue]
    paces = (f"{_figure(rate)} scenes/h", f"{_figure(rate)}/h")
    return [*(f"{queue}, {pace}" for pace in paces if queue), *paces]


def _figure(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


def _far(sample: Progress | None) -> str:
    if sample is None:
        return ""
    if sample.maximum <= 1:
        return f"  node {min(sample.nodes_done + 1, sample.nodes_total)}/{sample.nodes_total}"
    return f"  {sample.value:.0f}/{sample.maximum:.0f}"
