"""The Health pane: the server, how it answers, what waits before it, and its last trouble with the remedy.

Of several servers there is a list (:mod:`comfytui.faces.tui.panes.fleet`), and all this of the chosen one.
"""

from datetime import datetime

from msgspec.structs import replace

from comfytui.faces.tui.keys import bindings
from comfytui.faces.tui.panes.figures import duration, plural
from comfytui.faces.tui.panes.fleet import Fleet
from comfytui.faces.tui.panes.line import BLANK, Line, Role, clip_start, join, safe, wrap
from comfytui.faces.tui.panes.pane import Pane
from comfytui.faces.tui.panes.picture import Picture
from comfytui.faces.tui.view import View
from comfytui.model.away import absence
from comfytui.model.eta import typical
from comfytui.model.state import Server

LABEL = 10
"""Cells of the column of labels."""

_SOCKET: dict[str, tuple[str, Role]] = {
    "open": ("open", "good"),
    "closed": ("closed", "warn"),
    "refused": ("refused", "bad"),
    "silent": ("open, but silent", "warn"),
    "unknown": ("not tried yet", "dim"),
}


class HealthPane(Pane):
    """Shows :func:`lines`, or :func:`short_lines` where there is little room."""

    BINDINGS = bindings("health")

    def __init__(self, title: str, *, name: str) -> None:
        super().__init__(title, name=name)
        self.fleet = Fleet()

    @property
    def selected(self) -> str:
        """The name of the chosen server; empty where there is only one."""
        return self.fleet.selected(self.view.state) if self.view is not None else ""

    def draw(self, view: View, width: int, height: int) -> Picture:
        """Return the picture of the server's health; of several servers a list, with what is known of the chosen."""
        if view.state.several:
            chosen = view.state.server_called(self.fleet.selected(view.state))
            picture = self.fleet.picture(view, width, height, lines(view, width, chosen))
            return replace(picture, note=standing(view)) if runner_gone(view) else picture
        full = lines(view, width, view.state.server)
        shown = full if len(full) <= height or height >= 8 else short_lines(view, width)
        return Picture(lines=shown, note=standing(view))

    def wish(self, view: View, width: int) -> tuple[int, int]:
        """Return how many lines of ``width`` cells everything would take, and the short form."""
        if view.state.several:
            return self.fleet.wish(view.state)
        return len(lines(view, width, view.state.server)), len(short_lines(view, width))

    def move(self, by: int) -> None:
        """Choose another of several servers; scroll where there is only one."""
        if self.view is not None and self.view.state.several:
            self.fleet.move(self.view.state, by)
            self.rebuild()
        else:
            super().move(by)

    def jump(self, last: bool) -> None:
        """Choose the first or the last server; of one, go to its first or last line."""
        if self.view is not None and self.view.state.several:
            self.move(len(self.view.state.servers) * (1 if last else -1))
        else:
            super().jump(last)


def http_words(server: Server, now: datetime) -> tuple[str, Role]:
    """Return how the server answers HTTP requests, in words; while it is away, for how long it has been at ``now``."""
    if away := absence(server, now):
        return away, "bad"
    if server.answering is False:
        return "does not answer", "bad"
    if server.latency is not None:
        return f"answers in {max(1, round(server.latency * 1000)):,} ms", "good"
    return ("reached", "good") if server.reached else ("not reached yet", "dim")


def socket_words(server: Server) -> tuple[str, Role]:
    """Return how the WebSocket stands, in words."""
    words, role = _SOCKET[server.socket]
    return (f"{words}: {safe(server.socket_why)}" if server.socket_why and server.socket != "open" else words), role


def line_words(view: View, server: Server) -> tuple[tuple[str, Role], tuple[str, Role]]:
    """Return how HTTP and the socket stand; in the past tense where nobody asks the server any more."""
    http, socket = http_words(server, view.until), socket_words(server)
    if not view.past:
        return http, socket
    if server.answering is not False and (server.latency is not None or server.reached):
        http = (http[0].replace("answers", "answered").replace("reached", "was reached"), "dim")
    if server.socket != "unknown":
        socket = (f"was {socket[0]}", "dim")
    return http, socket


def runner_gone(view: View) -> bool:
    """Return whether the run is cut short: it has not ended, and nobody drives it."""
    run = view.state.run
    there = run is not None and run.ended_at is None and not run.observing and view.replay is None
    return there and view.lane.live is False and view.lane.caught_up


def queue_words(view: View, server: Server) -> tuple[str, Role]:
    """Return what waits on ``server``: prompts of ours and of others."""
    if server.ours is None:
        return ("not known", "dim") if view.past else ("not known yet", "text")
    others = server.others or 0
    words = f"{server.ours:,} ours, {plural(others, 'other')}" if server.ours or others else "empty"
    return (f"was {words}", "dim") if view.past else (words, "text")


def process_words(server: Server) -> str:
    """Return whose process the server is, its number and how often it was started again."""
    if not server.managed:
        return "external"
    number = f", PID {server.own.pid}" if server.own is not None else ""
    again = f", restarted {plural(server.restarts, 'time')}" if server.restarts else ""
    return f"started by comfytui{number}{again}"


def pace_words(view: View) -> str:
    """Return what a scene of this run typically takes here, in its parts; empty while that is being learnt."""
    found = typical(view.known)
    if found is None:
        return ""
    told = (("others", found.wait), ("load", found.load), ("steps", found.steps), ("save", found.save))
    parts = ", ".join(f"{name} {duration(seconds)}" for name, seconds in told if seconds is not None and seconds >= 0.1)
    whole = f"{duration(found.wait + found.busy)} a scene"
    return f"{whole}: {parts}" if parts else whole


def lines(view: View, width: int, server: Server) -> list[Line]:
    """Return everything that is known of ``server``, one labelled line each; a trouble with its remedy comes first."""
    rows = _runner(view, width) + _trouble(server, width)
    version = f"ComfyUI {safe(server.version)}" if server.version else "ComfyUI, version unknown"
    rows += _row("server", version if server.reached else "not reached yet", "text", width)
    rows += _row("address", safe(server.url) or "not known", "text", width)
    http, socket = line_words(view, server)
    rows += _row("http", *http, width)
    rows += _row("socket", *socket, width)
    rows += _row("queue", *queue_words(view, server), width)
    frames = {"disk": "read from disk", "http": "fetched over HTTP"}.get(server.frames_by or "", "not known yet")
    rows += _row("frames", frames, "text", width)
    if server.output_dir and server.frames_by == "disk":
        rows.append((("".ljust(LABEL), "dim"), (clip_start(safe(server.output_dir), width - LABEL), "dim")))
    rows += _row("process", process_words(server), "text", width)
    if server.tags:
        rows += _row("tags", safe(", ".join(server.tags)), "text", width)
    if not view.state.several and (pace := pace_words(view)):
        rows += _row("pace", pace, "text", width)
    software = join([((safe(text), "dim"),) for text in (server.os, _named("torch", server.pytorch)) if text], ", ")
    if software:
        rows.append((("host".ljust(LABEL), "dim"), *software))
    return rows + _last_trouble(view, server, width)


def short_lines(view: View, width: int) -> list[Line]:
    """Return the same in as few lines as can be, the gravest first."""
    server = view.state.server
    name = f"ComfyUI {safe(server.version)}" if server.version else "ComfyUI"
    waiting, grade = queue_words(view, server)
    http, (socket, role) = line_words(view, server)
    frames = {"disk": "frames on disk", "http": "frames by HTTP"}.get(server.frames_by or "", "")
    role_now = _gravity(server)
    rows: list[Line] = [((part, "bad"),) for part in wrap(resume_words(view), width)] if runner_gone(view) else []
    rows += [((part, role_now),) for part in wrap(safe(server.trouble), width)] if server.trouble else []
    rows += [((part, "text"),) for part in wrap(safe(server.remedy), width)] if server.remedy else []
    rows.append(join([((name, "text"),), (http,)]))
    rows.append(join([((f"socket {socket}", role),), ((f"queue {waiting}", grade),)]))
    rows.append(
        join([((frames, "dim"),) if frames else BLANK, (("managed" if server.managed else "external", "dim"),)])
    )
    return rows


def standing(view: View) -> Line:
    """Return what is wrong, in a word or two; empty while all is well."""
    server = view.state.server
    if runner_gone(view):
        return ((" runner gone ", "bad"),)
    if server.answering is False or (server.trouble and not server.reached):
        return ((" no answer ", "bad"),)
    return ((" trouble ", "warn"),) if server.trouble else BLANK


def _row(label: str, value: str, role: Role, width: int) -> list[Line]:
    rows: list[Line] = []
    for place, part in enumerate(wrap(value, max(8, width - LABEL))):
        rows.append((((label if not place else "").ljust(LABEL), "dim"), (part, role)))
    return rows


def resume_words(view: View) -> str:
    """Return how a run that was cut short goes on."""
    run = view.state.run
    return f"The runner is gone; `comfytui resume {safe(run.id) if run is not None else ''}` goes on with the run."


def _runner(view: View, width: int) -> list[Line]:
    if not runner_gone(view):
        return []
    since = f" since {view.wall(view.lane.since)}" if view.lane.since else ""
    why = f": {safe(view.lane.why)}" if view.lane.why else ""
    run = safe(view.state.run.id) if view.state.run is not None else ""
    rows = _row("runner", f"gone{since}{why}", "bad", width)
    return rows + _row("remedy", f"`comfytui resume {run}` goes on with the run.", "text", width)


def _trouble(server: Server, width: int) -> list[Line]:
    if not server.trouble:
        return []
    rows = _row("trouble", safe(server.trouble), _gravity(server), width)
    return rows + (_row("remedy", safe(server.remedy), "text", width) if server.remedy else [])


def _last_trouble(view: View, server: Server, width: int) -> list[Line]:
    """Return the last trouble with its remedy, once it is over."""
    last = server.last_trouble
    if last is None or server.trouble:
        return []
    rows = _row("was", f"{view.wall(last.at)} {safe(last.what)}", "dim", width)
    return rows + (_row("remedy", safe(last.remedy), "dim", width) if last.remedy else [])


def _gravity(server: Server) -> Role:
    return "warn" if server.reached and server.answering is not False else "bad"


def _named(name: str, version: str | None) -> str:
    return f"{name} {version}" if version else ""
