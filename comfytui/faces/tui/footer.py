"""The footer: the keys that do something now, for what has the keys. Pure."""

from collections.abc import Collection, Iterable

from comfytui.faces.tui.keymap import moved
from comfytui.faces.tui.keys import FOOTERS, KEYS, REPLAY_KEYS, key
from comfytui.faces.tui.panes.line import Line, join, line_width
from comfytui.faces.tui.view import View
from comfytui.model.state import Scene


def footer_line(focused: str, view: View, width: int, idle: Collection[str]) -> Line:
    """Return the keys that ``focused`` (a pane, or ``scene``) offers now, as many as fit; help and leave stay."""
    held = view.state.run is not None and view.state.run.held
    names = FOOTERS["gpu" if focused == "scenes" and not view.state.scenes else focused]  # what holds in any pane
    if view.replay is not None:
        names = (*names[:1], *REPLAY_KEYS, "help", "leave")
    pairs = list(footer_keys(names, idle, held, view))
    while pairs:
        line = join([((face, "key"), (f" {label}", "dim")) for face, label in pairs])
        if line_width(line) <= width - 2 or len(pairs) <= 2:
            return ((" ", "text"), *line)
        del pairs[-3 if len(pairs) > 2 else -1]
    return ()


def footer_keys(names: Iterable[str], idle: Collection[str], held: bool, view: View) -> Iterable[tuple[str, str]]:
    """Return ``(key, label)``: what the keys do now, without those that are ``idle``: do nothing."""
    now = {"hold": "Release" if held else "Hold", "pause": "Resume" if view.paused else "Pause"}
    if view.replay is not None:
        now["pause"] = "Pause" if view.replay.playing else "Play"
    for name in names:
        if name not in idle:
            yield moved(key(name), view.keymap).face, now.get(name, key(name).label)


def idle_keys(view: View, scene: Scene | None, compact: bool = False) -> set[str]:
    """Return the ids of the footer's keys that would do nothing now, ``scene`` being the one that they would mean."""
    run = view.state.run
    idle = {one.id for one in KEYS if one.changes} if view.readonly else set[str]()
    if not view.state.scenes:
        idle |= {"open", "rerun", "cancel", "filter", "copy", "path"}
    if run is None or run.observing or run.ended_at is not None:
        idle.add("hold")
    if scene is None or scene.over:
        idle.add("cancel")
    if scene is None or len(scene.attempts) < 2:
        idle |= {"attempt_before", "attempt_after"}
    if compact:
        idle.add("zoom")
    return idle
