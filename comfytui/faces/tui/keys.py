"""Every key of the dashboard, once: bindings, footer, help screen and the table in the README come from here."""

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct, field
from textual.binding import Binding, BindingType

PaneName = Literal["scenes", "frames", "gpu", "health", "log"]
Place = Literal[
    "everywhere", "replay", "lists", "deck", "scenes", "frames", "health", "log", "scene", "picture", "server_log",
    "runs", "leave",
    "confirm", "form", "sheet",
]  # fmt: skip
"""Where a key holds: the app, every screen with a list, the deck, one of its panes, the other screens, the dialogs."""

PANES: tuple[PaneName, ...] = ("scenes", "frames", "gpu", "health", "log")
"""The panes, in the order of their number keys."""

PANE_TITLES: dict[PaneName, str] = {
    "scenes": "Scenes", "frames": "Frames", "gpu": "GPU", "health": "Health", "log": "Log",
}  # fmt: skip


class Key(Struct, frozen=True):
    """One command and its keys. ``label`` is for the footer, ``tooltip`` says in a sentence what it does.

    ``changes`` marks what changes the run, and is refused by ``--readonly``. ``action`` is Textual's action string.
    """

    id: str
    keys: str
    label: str
    tooltip: str
    action: str
    place: Place = "everywhere"
    changes: bool = False
    shown: str = ""
    palette: bool = True
    priority: bool = field(default=False)

    @property
    def movable(self) -> bool:
        """Whether a person may give it other keys: not those of dialogs, nor the way out that always holds."""
        return self.place not in ("leave", "confirm", "form", "sheet") and not self.priority

    @property
    def face(self) -> str:
        """The key as a person reads it."""
        return self.shown or names(self.keys.split(",", maxsplit=1)[0])


KEYS: tuple[Key, ...] = (
    # --- everywhere ------------------------------------------------------------------------------------------
    Key("help", "question_mark,f1", "Help", "Show the keys of the focused pane.", "help", shown="?"),
    Key("leave", "q", "Leave", "Leave the dashboard; a live run that was started here asks first.", "leave"),
    Key("leave_always", "ctrl+q,ctrl+c", "Leave", "The same, from anywhere.", "leave", priority=True, palette=False),
    Key("palette", "ctrl+p,colon", "Commands", "Search all commands by name.", "command_palette", shown="^p",
        palette=False),
    Key("pause", "p", "Pause", "Stop painting, or go on; all is taken in meanwhile. In a replay: play, or pause.",
        "pause"),
    Key("hold", "h", "Hold", "Hold the queue: nothing more is submitted. Again: release it.", "order('hold')",
        changes=True),
    Key("past", "L", "Past runs", "Look past runs over: open one as a replay, compare two.", "past('runs')"),
    # --- a replay --------------------------------------------------------------------------------------------
    Key("step_back", "left_square_bracket", "Back", "A step back in time.", "past('step', -1)", "replay",
        shown="[", palette=False),
    Key("step_on", "right_square_bracket", "On", "A step on in time; where nothing happens in it, to what comes next.",
        "past('step', 1)", "replay", shown="]", palette=False),
    Key("fact_back", "left_curly_bracket", "Fact back", "To the fact before.", "past('fact', -1)", "replay",
        shown="{", palette=False),
    Key("fact_on", "right_curly_bracket", "Fact on", "To the next fact.", "past('fact', 1)", "replay",
        shown="}", palette=False),
    # --- lists -----------------------------------------------------------------------------------------------
    Key("down", "j,down", "Down", "One line down.", "move(1)", "lists", palette=False),
    Key("up", "k,up", "Up", "One line up.", "move(-1)", "lists", palette=False),
    Key("first", "g,home", "First", "To the first line.", "jump(False)", "lists", palette=False),
    Key("last", "G,end", "Last", "To the last line.", "jump(True)", "lists", palette=False),
    Key("page_down", "pagedown,ctrl+d", "Page down", "One page down.", "turn(1)", "lists", shown="PgDn", palette=False),
    Key("page_up", "pageup,ctrl+u", "Page up", "One page up.", "turn(-1)", "lists", shown="PgUp", palette=False),
    # --- the deck --------------------------------------------------------------------------------------------
    *(
        Key(f"pane_{name}", str(number), title, f"Give the keys to the {title} pane.", f"pane('{name}')", "deck")
        for number, (name, title) in enumerate(PANE_TITLES.items(), 1)
    ),
    Key("next", "tab", "Next pane", "Give the keys to the next pane.", "next_pane(1)", "deck", palette=False),
    Key("previous", "shift+tab", "Pane before", "Give the keys to the pane before.", "next_pane(-1)", "deck",
        palette=False),
    Key("zoom", "z", "Zoom", "Let the focused pane fill the screen, or end that.", "zoom", "deck"),
    Key("back", "escape", "Back", "End the zoom, clear the filter, take the marks away.", "back", "deck", shown="esc",
        palette=False),
    # --- the queue -------------------------------------------------------------------------------------------
    Key("open", "enter", "Open", "Open the selected scene: its telemetry, attempts, history and errors.", "app.open",
        "scenes"),
    Key("mark", "space", "Mark", "Mark the scene, or unmark it: rerun, cancel, skip and move mean the marked ones.",
        "screen.queue('mark')", "scenes"),
    Key("mark_all", "asterisk", "Mark all", "Mark all scenes that are shown, or unmark them.",
        "screen.queue('mark_all')", "scenes", shown="*"),
    Key("rerun", "r", "Rerun", "Render the scene (or the marked ones) once more, with a fresh prefix and seed.",
        "app.order('rerun')", "scenes", True),
    Key("rerun_with", "e", "Rerun with", "Render it (or them) once more with another seed or an edited prompt.",
        "app.order('rerun_with')", "scenes", True),
    Key("rerun_failed", "R", "Rerun failed", "Render all failed scenes once more (asks first).",
        "app.order('rerun_failed')", "scenes", True),
    Key("cancel", "x", "Cancel", "Give the scene (or the marked ones) up (asks first).", "app.order('cancel')",
        "scenes", True),
    Key("skip", "n", "Skip", "Pass the waiting scene (or the marked ones) over; a rerun renders it after all.",
        "app.order('skip')", "scenes", True),
    Key("later", "J", "Later", "Render the waiting scene (or the marked ones) one place later.", "app.order('later')",
        "scenes", True),
    Key("earlier", "K", "Earlier", "Render the waiting scene (or the marked ones) one place earlier.",
        "app.order('earlier')", "scenes", True),
    Key("filter", "slash", "Filter", "Show only matching scenes: words, state:failed, -prompt:rain, exit:maxWait.",
        "screen.filter", "scenes", shown="/"),
    Key("sort", "s", "Sort", "Sort by the next of story, turn, state, time, frames, VRAM, tries, server.",
        "screen.queue('sort')", "scenes"),
    Key("turn_round", "S", "Reverse", "Sort the other way round.", "screen.queue('turn_round')", "scenes"),
    Key("follow", "t", "Follow", "Keep the executing scene selected.", "screen.follow", "scenes"),
    Key("copy", "y", "Copy", "Copy to the clipboard: the scene's prompt id; on its own screen the chosen row's value.",
        "app.copy", "scenes"),
    Key("path", "o", "Path", "Show the scene's folder, or the path in the chosen row; it is printed on leaving, too.",
        "app.path", "scenes"),
    # --- the other panes -------------------------------------------------------------------------------------
    Key("preview", "enter", "Picture", "Show the selected frame as a picture.", "app.preview", "frames"),
    Key("order", "s", "Order", "Order the frames by scene, or the newest first.", "order", "frames", palette=False),
    Key("newest", "t", "Follow", "Keep the newest frame selected.", "screen.follow", "frames", palette=False),
    Key("server_log", "enter", "Server log", "Read the end of the server's log.", "app.server_log", "health"),
    Key("log_filter", "slash", "Filter", "Show only matching lines: words, level:error, scene:005.", "screen.filter",
        "log", shown="/", palette=False),
    Key("log_follow", "t", "Follow", "Keep the newest line in sight.", "screen.follow", "log", palette=False),
    # --- one scene -------------------------------------------------------------------------------------------
    Key("close", "escape", "Back", "Go back to the deck.", "close", "scene", shown="esc", palette=False),
    Key("attempt_before", "left", "Attempt", "Show the attempt before.", "attempt(-1)", "scene", shown="←",
        palette=False),
    Key("attempt_after", "right", "Attempt", "Show the next attempt.", "attempt(1)", "scene", shown="→", palette=False),
    # --- a frame as a picture --------------------------------------------------------------------------------
    Key("picture_close", "escape,enter", "Back", "Go back to the deck.", "close", "picture", shown="esc",
        palette=False),
    Key("frame_before", "left", "Frame", "Show the frame before.", "step(-1)", "picture", shown="←", palette=False),
    Key("frame_after", "right", "Frame", "Show the next frame.", "step(1)", "picture", shown="→", palette=False),
    Key("beside", "c", "Compare", "Show the frame of another attempt beside it; again: of the next one, or none.",
        "beside", "picture", palette=False),
    # --- the server's log ------------------------------------------------------------------------------------
    Key("read_again", "f5", "Read again", "Read the end of the server's log once more.", "app.server_log",
        "server_log", palette=False),
    Key("server_before", "left", "Server", "Of several servers, read the log of the one before.", "next_server(-1)",
        "server_log", shown="←", palette=False),
    Key("server_after", "right", "Server", "Of several servers, read the log of the next one.", "next_server(1)",
        "server_log", shown="→", palette=False),
    # --- past runs -------------------------------------------------------------------------------------------
    Key("run_open", "enter", "Open", "Open the run as a replay; esc comes back here.", "open", "runs", palette=False),
    Key("run_mark", "space", "Mark", "Mark the run, to compare another with it.", "mark", "runs", palette=False),
    Key("run_compare", "c", "Compare", "Compare the marked run with the selected one, scene by scene.", "compare",
        "runs", palette=False),
    Key("run_close", "escape", "Back", "Go back to the deck.", "close", "runs", shown="esc", palette=False),
    # --- dialogs ---------------------------------------------------------------------------------------------
    Key("detach", "d", "Detach", "Leave; the run goes on without this terminal.", "detach", "leave", palette=False),
    Key("stop", "s", "Stop", "Stop the run: what is whole is kept, every record is written.", "stop", "leave",
        palette=False),
    Key("stay", "escape", "Stay", "Back to the dashboard.", "stay", "leave", shown="esc", palette=False),
    Key("yes", "y", "Yes", "Do it.", "answer(True)", "confirm", palette=False),
    Key("no", "n,escape", "No", "Leave everything as it is.", "answer(False)", "confirm", shown="esc", palette=False),
    Key("form_send", "enter", "Rerun", "Check what is filled in, and send it.", "send", "form", palette=False,
        priority=True),
    Key("form_next", "tab,shift+tab", "Next field", "Give the keys to the other field.", "next_field", "form",
        palette=False, priority=True),
    Key("form_close", "escape", "Close", "Close the form; nothing is sent.", "give_up", "form", shown="esc",
        palette=False, priority=True),
    Key("shut", "escape,q,question_mark,f1", "Close", "Close this sheet.", "shut", "sheet", shown="esc", palette=False),
)  # fmt: skip

_BY_ID = {key.id: key for key in KEYS}

OF_SCENE = ("rerun", "rerun_with", "cancel", "skip", "copy", "path")
"""Keys of the queue that hold on the scene screen too."""

FOOTERS: dict[str, tuple[str, ...]] = {
    "scenes": ("open", "mark", "rerun", "cancel", "hold", "filter", "sort", "help", "leave"),
    "frames": ("preview", "order", "newest", "zoom", "next", "pause", "help", "leave"),
    "gpu": ("zoom", "next", "pause", "palette", "help", "leave"),
    "health": ("server_log", "down", "up", "zoom", "next", "pause", "help", "leave"),
    "log": ("log_filter", "log_follow", "down", "up", "zoom", "next", "help", "leave"),
    "runs": ("run_open", "run_mark", "run_compare", "run_close", "down", "up", "help", "leave"),
    "scene": ("close", "attempt_before", "attempt_after", "rerun", "copy", "path", "cancel", "help", "leave"),
    "picture": ("picture_close", "frame_before", "frame_after", "beside", "help", "leave"),
}
"""The keys that the footer names, by what has the keys: 6 to 9 of them."""


REPLAY_KEYS = ("pause", "step_back", "step_on", "fact_back", "fact_on")
"""The keys that the footer names of a replay, after the first one of what has the keys."""


def key(name: str) -> Key:
    """Return the key with that id."""
    return _BY_ID[name]


def bindings(*places: Place) -> list[BindingType]:
    """Return the bindings of the keys that belong to ``places``."""
    return [_binding(one) for one in KEYS if one.place in places]


def bindings_of(*ids: str) -> list[BindingType]:
    """Return the bindings of the keys with those ids."""
    return [_binding(key(name)) for name in ids]


def _binding(one: Key) -> Binding:
    return Binding(one.keys, one.action, one.label, id=one.id, tooltip=one.tooltip, show=False, priority=one.priority)


def together() -> Iterator[list[Key]]:
    """Yield the keys that hold at the same time: with the keys given to each pane, and on the other screens."""
    for pane in PANES:
        yield [one for one in KEYS if one.place in ("everywhere", "replay", "deck", "lists", pane)]
    yield [*(one for one in KEYS if one.place in ("everywhere", "replay", "scene", "lists")), *map(key, OF_SCENE)]
    yield [one for one in KEYS if one.place in ("everywhere", "replay", "server_log", "lists")]
    yield [one for one in KEYS if one.place in ("everywhere", "replay", "picture")]
    yield [one for one in KEYS if one.place in ("everywhere", "replay", "runs", "lists")]


def helpful(focused: str, replay: bool = False) -> list[tuple[str, list[Key]]]:
    """Return what the help screen lists while ``focused`` (a pane, or another screen) has the keys: titled groups."""
    groups = _helpful(focused)
    return [("Replay", [*_of("replay"), key("pause")]), *groups] if replay else groups


def _helpful(focused: str) -> list[tuple[str, list[Key]]]:
    if focused == "runs":
        return [("Past runs", _of("runs")), ("Moving", _of("lists")), ("Everywhere", _of("everywhere"))]
    if focused == "picture":
        return [("This picture", _of("picture")), ("Everywhere", _of("everywhere"))]
    if focused == "scene":
        own = [*_of("scene"), *map(key, OF_SCENE)]
        return [("This scene", own), ("Moving", _of("lists")), ("Everywhere", _of("everywhere"))]
    groups = [("Panes", _of("deck")), ("Moving", _of("lists")), ("Everywhere", _of("everywhere"))]
    own = _of(focused)
    return [(PANE_TITLES[focused], own), *groups] if own else groups  # type: ignore[index]


def _of(place: str) -> list[Key]:
    return [one for one in KEYS if one.place == place]


def names(keys: str) -> str:
    """Return all keys of a binding as a person reads them: ``?, f1``."""
    faces = {
        "question_mark": "?", "slash": "/", "colon": ":", "asterisk": "*", "escape": "esc",
        "left_square_bracket": "[", "right_square_bracket": "]", "left_curly_bracket": "{", "right_curly_bracket": "}",
        "pagedown": "PgDn", "pageup": "PgUp",
        "left": "←", "right": "→", "up": "↑", "down": "↓",
    }  # fmt: skip
    return ", ".join(faces.get(one, one) for one in keys.split(","))


WHERE: dict[Place, str] = {
    "everywhere": "everywhere", "replay": "in a replay", "lists": "in every list", "deck": "panes",
    "scenes": "Scenes pane", "frames": "Frames pane", "health": "Health pane", "log": "Log pane", "picture": "picture",
    "server_log": "server's log", "runs": "past runs", "scene": "scene screen", "leave": "leaving",
    "confirm": "question", "form": "rerun form", "sheet": "help",
}  # fmt: skip
"""Where a key holds, in words."""


def key_table_markdown() -> str:
    """Return the keys as a table for the README."""
    rows = ["| key | command | where | what it does |", "|---|---|---|---|"]
    for one in KEYS:
        shown = ", ".join(f"`{name}`" for name in names(one.keys).split(", "))
        rows.append(f"| {shown} | `{one.id}` | {WHERE[one.place]} | {one.tooltip} |")
    return "\n".join(rows) + "\n"
