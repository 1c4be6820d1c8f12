"""A scene as one line of the queue: pure."""

from collections.abc import Callable, Collection
from datetime import datetime
from functools import lru_cache

from msgspec import Struct

from comfytui.faces.tui.panes.figures import duration, signed
from comfytui.faces.tui.panes.line import Line, Role, Span, clip, clip_middle, fit, left, line_width, right, safe
from comfytui.faces.tui.panes.sparkline import bar
from comfytui.faces.tui.themes import UNICODE, Glyphs
from comfytui.model.events import Progress
from comfytui.model.state import Attempt, Run, Scene, ScenePhase

_LOOKS: dict[ScenePhase, tuple[str, str, Role, Role]] = {
    # phase: sign, word, role of sign and word, role of the rest of the line
    "waiting": ("waiting", "waiting", "dim", "dim"),
    "planned": ("queued", "sending", "text", "text"),
    "queued": ("queued", "queued", "text", "text"),
    "executing": ("executing", "executing", "accent", "strong"),
    "collecting": ("collecting", "collecting", "accent", "text"),
    "done": ("done", "done", "good", "text"),
    "failed": ("failed", "failed", "bad", "text"),
    "cancelled": ("cancelled", "cancelled", "warn", "dim"),
    "skipped": ("skipped", "skipped", "warn", "dim"),
}

STATE, TRY, FRAMES, TIME, DELTA, SERVER = 12, 3, 7, 7, 9, 14
"""Cells of the columns that do not stretch; a server's name takes no more than that."""
KEPT = 500
"""Rows that are kept at most."""
WITH_ETA = 28
"""Cells that a bar needs before there is room for an estimate beside it."""


class Columns(Struct, frozen=True):
    """How wide the columns are; 0 leaves a column out."""

    id: int
    title: int
    tries: int
    now: int
    delta: int
    server: int = 0


class Moment(Struct, frozen=True):
    """What a row needs beside its scene."""

    now: datetime
    glyphs: Glyphs
    run: Run | None
    progress: dict[str, Progress]
    marks: Collection[str] = ()
    eta: Callable[[str], str] = lambda _: ""
    """How long until that scene is over, in words; empty where nobody knows."""


@lru_cache(maxsize=64)
def columns(width: int, longest_id: int, longest_server: int = 0) -> Columns:
    """Return the columns for a line of ``width`` cells: what can be missed goes first where room is short.

    ``longest_server`` is how long the servers' names are; 0 where there is only one.
    """
    ids = max(5, min(longest_id, 14 if width < 90 else 24))
    taken = 2 + STATE + 2 + ids + 2 + FRAMES + 2 + TIME + 2
    rest = width - taken
    names = max(6, min(longest_server, SERVER))
    server = names if longest_server and rest >= names + 2 + 15 else 0
    rest -= server + 2 if server else 0
    tries = TRY if rest - TRY - 2 >= 18 else 0
    rest -= tries + 2 if tries else 0
    delta = DELTA if rest >= 22 + 2 + DELTA else 0
    rest -= delta + 2 if delta else 0
    title = min(40, rest - 26 - 2) if rest >= 26 + 2 + 12 else 0
    rest -= title + 2 if title else 0
    return Columns(id=ids, title=title, tries=tries, now=max(0, rest), delta=delta, server=server)


def head(shape: Columns) -> Line:
    """Return the names of the columns."""
    cells = [left("  state", STATE + 2), left("scene", shape.id)]
    cells += [left("title", shape.title)] if shape.title else []
    cells += [left("server", shape.server)] if shape.server else []
    cells += [right("try", shape.tries)] if shape.tries else []
    cells += [
        right("frames", FRAMES),
        right("time", TIME),
        left("progress, result" if shape.now > 15 else "progress", shape.now),
    ]
    cells += [right("VRAM MB", shape.delta)] if shape.delta else []
    return (("  ".join(cells), "faint"),)


def row(scene: Scene, shape: Columns, moment: Moment, chosen: bool) -> Line:
    """Return ``scene`` as a line: state, id, title, attempt n/m, frames k/floor, time, node or outcome, VRAM."""
    sign, word, role, rest = _LOOKS[scene.phase]
    attempt = scene.chosen
    marked = moment.glyphs.mark if scene.id in moment.marks else " "
    spans: list[Span] = [(moment.glyphs.cursor if chosen else " ", "accent"), (marked, "key")]
    spans.append((left(f"{getattr(moment.glyphs, sign)} {word}", STATE), role))
    spans += [("  ", "text"), (left(safe(scene.id), shape.id), rest)]
    if shape.title:
        spans += [("  ", "text"), (left(safe(scene.brief.title), shape.title), "dim" if rest == "text" else rest)]
    if shape.server:
        spans += [
            ("  ", "text"),
            (left(clip_middle(_server(scene, attempt), shape.server), shape.server), "dim" if rest == "text" else rest),
        ]
    if shape.tries:
        spans += [("  ", "text"), (right(tries(scene, moment.run), shape.tries), _tries_role(scene, rest))]
    spans += [("  ", "text"), _frames(scene, rest), ("  ", "text"), (right(time_taken(scene, moment.now), TIME), rest)]
    spans += [("  ", "text"), *fit(_happening(scene, attempt, shape, moment), shape.now)]
    if shape.delta:
        spans += [("  ", "text"), (right(_delta(attempt), shape.delta), "dim")]
    return tuple(spans)


class Rows:
    """Rows of scenes that are over, kept: all that changes of those is whether they are chosen or marked."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Scene, Columns, tuple[object, ...], Line]] = {}

    def row(self, scene: Scene, shape: Columns, moment: Moment, chosen: bool) -> Line:
        """Return :func:`row` of ``scene``."""
        if not scene.over:
            return row(scene, shape, moment, chosen)
        policy = moment.run.policy if moment.run is not None else None
        stand = (chosen, scene.id in moment.marks, id(policy), moment.glyphs is UNICODE)
        kept = self._kept.get(scene.id)
        if kept is not None and kept[0] is scene and kept[1] is shape and kept[2] == stand:
            return kept[3]
        if len(self._kept) >= KEPT:
            self._kept.clear()
        made = row(scene, shape, moment, chosen)
        self._kept[scene.id] = (scene, shape, stand, made)
        return made


def tries(scene: Scene, run: Run | None) -> str:
    """Return ``n/m``: the attempt at hand and how many are allowed; empty before the first."""
    if not scene.attempts:
        return ""
    allowed = (run.policy.scene_retry_budget if run else 0) + 1 + scene.extra_attempts
    return f"{len(scene.attempts)}/{max(allowed, len(scene.attempts))}"


def time_taken(scene: Scene, now: datetime) -> str:
    """Return how long the scene takes (whole seconds while it executes) or took; empty while it waits, where it was
    never sent, and where nobody saw its end.
    """
    attempt = scene.chosen
    if attempt is None or scene.phase == "waiting" or (scene.over and attempt.unsent):
        return ""
    if attempt.telemetry is not None and scene.over:
        return duration(attempt.telemetry.duration_seconds)
    start, end = attempt.executing_at, attempt.ended_at if scene.over else now
    if start is None or end is None:
        return ""
    return duration((end - start).total_seconds()).replace(".0 s", " s") if scene.over else _whole(end, start)


def outcome(scene: Scene, attempt: Attempt | None, width: int = 80) -> tuple[str, Role]:
    """Return how a scene that is over ended: its exit reason, the verdict, the exception; each where it says more.

    Where ``width`` is too small for all, what says most.
    """
    if scene.phase in ("cancelled", "skipped"):
        return scene.phase, "dim"
    if attempt is None or attempt.exit_reason is None:
        return "no attempt", "dim"
    reason = attempt.exit_reason
    if scene.success:
        below = f"{reason}, below floor"
        return (reason, "dim") if scene.meets_floor else (below if len(below) <= width else "below floor", "warn")
    status = attempt.status or reason
    kind = safe(attempt.error.exception_type).rpartition(".")[2] if attempt.error is not None else ""
    parts = [reason if reason not in ("unknown", status) else "", status, kind]
    fitting = (", ".join(filter(None, said)) for said in (parts, parts[:2], (status,)))
    return next((said for said in fitting if len(said) <= width), status), "bad"


def _server(scene: Scene, attempt: Attempt | None) -> str:
    """Return the name of the server that the attempt at hand is on, or was; empty while the scene waits."""
    return safe(attempt.server_name) if attempt is not None and scene.phase != "waiting" else ""


def _whole(end: datetime, start: datetime) -> str:
    seconds = max(0, int((end - start).total_seconds()))
    return f"{seconds} s" if seconds < 60 else duration(seconds)


def _tries_role(scene: Scene, rest: Role) -> Role:
    return "warn" if len(scene.attempts) > 1 else "dim" if rest == "text" else rest


def _frames(scene: Scene, rest: Role) -> Span:
    floor = scene.brief.floor
    short = scene.over and scene.frames < floor
    return right(f"{'! ' if short else ''}{scene.frames}/{floor}", FRAMES), "warn" if short else rest


def _delta(attempt: Attempt | None) -> str:
    figure = attempt.telemetry.gpu.vram_delta_mb if attempt and attempt.telemetry else None
    return "" if figure is None else signed(figure)


def _happening(scene: Scene, attempt: Attempt | None, shape: Columns, moment: Moment) -> Line:
    if scene.given_up is not None and not scene.over:
        return ((f"being {scene.given_up}", "warn"),)
    match scene.phase:
        case "executing":
            eta = moment.eta(scene.id)
            end: Line = ((f"  {eta}", "dim"),) if eta and shape.now >= WITH_ETA + len(eta) else ()
            return (*_progress(moment.progress.get(scene.id), shape.now - line_width(end), moment.glyphs), *end)
        case "collecting":
            expected = attempt.expected if attempt else None
            of = f" of {expected}" if expected is not None else ""
            return ((f"proving frames, {scene.frames}{of}", "dim"),)
        case "queued" | "planned":
            where = "" if shape.server else _server(scene, attempt)
            there = "on the server" if shape.now >= len("on the server") else "on server"
            sent = (f"on {where}" if where else there) if scene.phase == "queued" else "on its way"
            return (_with_eta(sent, scene, shape, moment),)
        case "waiting" if scene.next_reason:
            return ((f"again: {safe(scene.next_reason)}", "warn"),)
        case "waiting":
            return (_with_eta("", scene, shape, moment),)
        case _:
            said = outcome(scene, attempt, shape.now)
            delta = "" if shape.delta else _delta(attempt)
            if not delta or shape.now < len(said[0]) + len(delta) + 5:
                return (said,)
            return (said, (right(f"{delta} MB", shape.now - len(said[0])), "dim"))


def _with_eta(said: str, scene: Scene, shape: Columns, moment: Moment) -> Span:
    eta = moment.eta(scene.id)
    both = f"{said}, {eta}" if said and eta else said or eta
    return (both if len(both) <= shape.now else said or eta), "dim"


def _progress(sample: Progress | None, width: int, glyphs: Glyphs) -> Line:
    if sample is None:
        return (("started", "dim"),)
    title = safe(sample.title or sample.node)
    if sample.maximum <= 1:
        nodes = f"node {min(sample.nodes_done + 1, sample.nodes_total)}/{sample.nodes_total}"
        return ((clip(title, width - len(nodes) - 2), "text"), ("  ", "text"), (nodes, "dim"))
    count = f"{sample.value:.0f}/{sample.maximum:.0f}"
    if width < 20:
        done, rest = bar(sample.value, sample.maximum, width - len(count) - 1, glyphs.full, glyphs.half)
        return ((done, "accent"), (glyphs.rest * rest, "rule"), (f" {count}", "text"))
    name = clip(title, max(4, min(14, width - len(count) - 8)))
    room = min(24, width - line_width(((name, "text"),)) - len(count) - 2)
    done, rest = bar(sample.value, sample.maximum, room, glyphs.full, glyphs.half)
    return ((f"{name} ", "text"), (done, "accent"), (glyphs.rest * rest, "rule"), (f" {count}", "text"))
