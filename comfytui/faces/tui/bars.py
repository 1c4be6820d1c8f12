"""The lines at the edges of the screen: header, tabs (compact), footer, and the message above the footer."""

from comfytui.faces.tui.keys import PANE_TITLES, PANES, PaneName
from comfytui.faces.tui.palettes import Ground
from comfytui.faces.tui.panes.figures import clock_face, plural, span, wall_range
from comfytui.faces.tui.panes.line import Line, Role, join, line_width, safe, shortened, spread, wrap
from comfytui.faces.tui.panes.line_list import LineList
from comfytui.faces.tui.panes.picture import Picture
from comfytui.faces.tui.view import View, state_words
from comfytui.model.presence import cut_off, presence


class Bar(LineList):
    """A line without a box."""

    ground: Ground = "bar"

    def __init__(self, name: str) -> None:
        super().__init__(edge="none", name=name)

    def write(self, line: Line) -> None:
        """Show ``line``."""
        self.show(Picture(lines=(line,)))


def header_line(view: View, width: int) -> Line:
    """Return the header for ``width`` cells; what matters least is left out first where room is short."""
    run = view.state.run
    words = join([((f" {word} " if role in ("caution", "alarm") else word, role),) for word, role in state_words(view)])
    story = safe(run.story.id) if run is not None else ""
    start: list[tuple[int, Line]] = [(4, (("comfytui", "key"),)), (0, words)]
    if view.empty and view.name:
        start.append((6, ((safe(view.name), "dim"),)))
    if story:
        start.append((7, ((story, "text"),)))
    if run is not None and not run.observing:
        start.append((6, ((safe(run.id), "dim"),)))
    if run is not None and run.sweep is not None:
        start.append((2, ((safe(run.sweep.words), "accent"),)))
    if where := _where(view):
        start.append((4 if view.state.several else 8, ((where, "dim"),)))
    end = _figures(view)
    room = width - 2
    while line_width(join([part for _, part in start])) + line_width(join([part for _, part in end], "   ")) + 3 > room:
        least = max((*start, *end), key=lambda part: part[0])
        if least[0] == 0:
            break
        (start if least in start else end).remove(least)
    return ((" ", "text"), *spread(join([p for _, p in start]), join([p for _, p in end], "   "), room), (" ", "text"))


def _figures(view: View) -> list[tuple[int, Line]]:
    """Return scenes done, elapsed time and what remains, each with its rank (0 stays longest)."""
    state = view.state
    run = state.run
    if run is None or run.observing:
        return []
    parts: list[tuple[int, Line]] = []
    over = view.over
    parts.append((3, ((f"{over:,}/{plural(len(state.scenes), 'scene')}", "text"),)))
    end = run.ended_at or view.until
    elapsed = clock_face((end - run.opened_at).total_seconds())
    parts.append((1, ((elapsed, "strong"),)))
    if view.running and run.settled_at is None and not run.held and not cut_off(state):
        parts += _eta(view)
    return parts


def _eta(view: View) -> list[tuple[int, Line]]:
    """Return what probably remains and when it ends by the clock, each from p50 to p90."""
    eta = view.eta
    if eta is None:
        return [(2, (("ETA learning", "dim"),))]
    ends = wall_range(*eta.clock(view.now), view.now, view.zone)
    return [(2, ((f"{span(eta.likely, eta.late)} left", "text"),)), (5, ((f"ends {ends}", "dim"),))]


def _where(view: View) -> str:
    """Return the server's address; of several servers how many there are, and how many of them answer."""
    state = view.state
    if not state.several:
        return safe(state.server.url).split("://", 1)[-1].rstrip("/")
    count, up = len(state.servers), sum(presence(server) == "answers" for server in state.servers)
    return f"{count} servers" if up == count or view.past else f"{up}/{count} servers"


def tabs_line(focused: PaneName, width: int, note: Line = (), trouble: bool = False) -> Line:
    """Return the panes with their number keys, the one on the screen in brackets, Health marked while in trouble."""
    spans: list[Line] = []
    for number, name in enumerate(PANES, 1):
        label = f"{number} {PANE_TITLES[name]}"
        alarm = trouble and name == "health"
        label += "!" if alarm else ""
        here: Line = ((f"[{label}]", "key"),)
        spans.append(here if name == focused else ((f" {label} ", "warn" if alarm else "dim"),))
    tabs = join(spans, "")
    room = width - line_width(tabs) - 1
    if note and line_width(note) > room:  # the tabs end with a blank
        note = ((note[0][0].lstrip(), note[0][1]), *note[1:])
    return spread(tabs, shortened(note, room), width)


class Message(LineList):
    """A quiet line or two above the footer, for a few seconds."""

    ground: Ground = "select_idle"

    def __init__(self) -> None:
        super().__init__(edge="margin", name="message")
        self.display = False

    def say(self, text: str, role: Role) -> None:
        """Show ``text`` in as many lines as it takes, four at most."""
        width = max(20, self.app.size.width - 4)
        lines = [(("! " if role in ("warn", "bad") else "", role), (part, role)) for part in wrap(safe(text), width)]
        self.styles.height = min(4, len(lines))
        self.display = True
        self.show(Picture(lines=lines[:4]))

    def hush(self) -> None:
        """Take the message away."""
        self.display = False
