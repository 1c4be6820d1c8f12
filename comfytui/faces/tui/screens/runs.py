"""The Runs screen: past runs, the newest first; one is opened as a replay, two are compared scene by scene."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from comfytui.errors import Failure
from comfytui.faces.tui.bars import Bar, Message
from comfytui.faces.tui.footer import footer_line
from comfytui.faces.tui.keys import bindings
from comfytui.faces.tui.panes.figures import duration, plural
from comfytui.faces.tui.panes.line import BLANK, Line, Role, left, right, safe, wrap
from comfytui.faces.tui.panes.pane import Pane
from comfytui.faces.tui.panes.picture import Lazy, Picture
from comfytui.faces.tui.screens.pane_screen import PaneScreen
from comfytui.faces.tui.screens.sheet import Sheet
from comfytui.faces.tui.view import View
from comfytui.model.catalog import Catalog, RunEntry, SceneChange, SceneSide

ID, WORD, FRAMES, TOOK, REQUEUES = 15, 11, 6, 7, 8
WITH_STORY, ROOMY = 74, 100
"""Cells from which on requeues and story are shown, and from which on scenes are counted in full."""
FIRST = (
    ("comfytui demo", "a story on the built-in simulator"),
    ("comfytui run STORY", "a story of your own on ComfyUI"),
)
"""The commands that make a first run, and what each renders."""
FIRST_CELLS = 22


class RunsPane(Pane):
    """A row for each past run."""

    def __init__(self, kept_in: str) -> None:
        super().__init__("Past runs", name="runs")
        self.kept_in = kept_in
        self.entries: Sequence[RunEntry] | None = None
        self.marked: str | None = None
        self.why = ""
        self._cursor = 0

    @property
    def selected(self) -> RunEntry | None:
        """The chosen run, if there is any."""
        return self.entries[self._cursor] if self.entries else None

    def tell(self, entries: Sequence[RunEntry], why: str = "") -> None:
        """Show ``entries``; ``why`` says what kept them from being read."""
        self.entries, self.why = entries, why
        self._cursor = min(self._cursor, max(0, len(entries) - 1))
        self.rebuild()

    def draw(self, view: View, width: int, height: int) -> Picture:
        """Return the picture of the list."""
        if not self.entries:
            words = "Reading the runs." if self.entries is None else self.why
            return Picture(lines=_wrapped(words, width) if words else first_lines(self.kept_in, width))
        entries, cursor, marked = self.entries, self._cursor, self.marked

        def line(place: int) -> Line:
            entry = entries[place]
            sign = view.glyphs.cursor if place == cursor else " "
            return (
                (sign, "accent"),
                (view.glyphs.mark if entry.run_id == marked else " ", "key"),
                *row(entry, width - 2),
            )

        well = sum(entry.went_well for entry in entries)
        note: Line = ((f" {plural(len(entries), 'run')}, {well:,} well ", "dim"),)
        head: tuple[Line, ...] = ((("  ", "faint"), *head_line(width - 2)),) if height > 3 else ()
        return Picture(lines=Lazy(len(entries), line), head=head, note=note, cursor=cursor)

    def move(self, by: int) -> None:
        """Select the run ``by`` rows further."""
        self._cursor = max(0, min(self._cursor + by, len(self.entries or ()) - 1))
        self.rebuild()

    def jump(self, last: bool) -> None:
        """Select the first or the last run."""
        self.move(len(self.entries or ()) if last else -len(self.entries or ()))


def first_lines(kept_in: str, width: int) -> list[Line]:
    """Return what to say where there is no run: where they are looked for, and what makes the first one."""
    lines = [*_wrapped("There are no past runs here yet.", width), BLANK]
    lines += _wrapped("Runs are kept in this folder; --runs-dir names another:", width)
    lines += [((f"  {part}", "text"),) for part in wrap(safe(kept_in), width - 2)]
    lines += [BLANK, *_wrapped("A first run is made by", width)]
    for command, what in FIRST:
        fits = FIRST_CELLS + len(what) <= width
        lines.append(((left(f"  {command}", FIRST_CELLS), "key"), (what if fits else "", "dim")))
    return lines


def _wrapped(words: str, width: int) -> list[Line]:
    return [((part, "dim"),) for part in wrap(safe(words), width)]


def _scenes(width: int) -> int:
    return 13 if width >= ROOMY else 7


def _requeues(width: int) -> int:
    return REQUEUES if width >= ROOMY else 3


def head_line(width: int) -> Line:
    """Return the names of the columns for ``width`` cells."""
    cells = [
        left("run", ID),
        left("state", WORD),
        right("scenes", _scenes(width)),
        right("frames", FRAMES),
        right("took", TOOK),
    ]
    cells += [right("requeues" if width >= ROOMY else "req", _requeues(width)), "story"] if width >= WITH_STORY else []
    return (("  ".join(cells), "faint"),)


def row(entry: RunEntry, width: int) -> Line:
    """Return ``entry`` as a line: id, how it stands, scenes well of all, frames, duration, requeues, story."""
    figures = (entry.well, entry.planned, entry.frames, entry.requeues)
    well, planned, frames, requeues = ("?" if figure is None else f"{figure:,}" for figure in figures)
    took = "" if entry.seconds is None else duration(entry.seconds)
    role: Role = "accent" if entry.driven else "good" if entry.went_well else "warn" if entry.open else "bad"
    spans: Line = (
        (f"{left(entry.run_id, ID)}  ", "text"),
        (f"{left(entry.word, WORD)}  ", role),
        (f"{right(f'{well}/{planned}', _scenes(width))}  {right(frames, FRAMES)}  ", "text"),
        (right(took, TOOK), "dim"),
    )
    if width < WITH_STORY:
        return spans
    story = safe(entry.problem or ": ".join(filter(None, (entry.story, entry.logline))))
    return (
        *spans,
        (f"  {right(requeues, _requeues(width))}  ", "warn" if entry.requeues else "dim"),
        (story, "warn" if entry.problem else "dim"),
    )


class RunsScreen(PaneScreen[None]):
    """Header, the list, footer."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("runs", "lists")
    AUTO_FOCUS = "#runs"
    place = "runs"

    def __init__(self, catalog: Catalog) -> None:
        super().__init__()
        self.catalog = catalog
        self.view: View | None = None
        self.header, self.footer, self.message = Bar("header"), Bar("footer"), Message()
        self.pane: RunsPane = RunsPane(catalog.place)

    def compose(self) -> ComposeResult:
        """Return the parts of the screen."""
        yield self.header
        yield self.pane
        yield self.footer
        yield self.message

    def on_mount(self) -> None:
        """Begin to read the runs."""
        self.run_worker(self._read(), group="runs", exit_on_error=False)

    async def _read(self) -> None:
        try:
            self.pane.tell(await self.catalog.runs())
        except (Failure, OSError) as problem:
            self.pane.tell((), f"The runs cannot be read: {problem}")

    def look(self, view: View) -> None:
        """Show ``view``."""
        self.view = view
        self.pane.look(view)
        width = self.app.size.width
        self.header.write(((" comfytui", "key"), ("  PAST RUNS", "accent")))
        self.footer.write(footer_line("runs", view, width, ()))

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.call_after_refresh(lambda: self.look(self.view) if self.view is not None else None)

    # --- keys ----------------------------------------------------------------------------------------------------

    def action_close(self) -> None:
        """Back to the deck; out of the dashboard where there is nothing beneath."""
        if self.app.options.browse:  # type: ignore[attr-defined]
            self.app.leave("detached")  # type: ignore[attr-defined]
        else:
            self.dismiss()

    def action_open(self) -> None:
        """Open the selected run as a replay."""
        entry = self.pane.selected
        if entry is not None and self.app.past.open(entry):  # type: ignore[attr-defined]
            self.dismiss()

    def action_mark(self) -> None:
        """Mark the selected run as the one to compare with, or unmark it."""
        entry = self.pane.selected
        if entry is not None:
            self.pane.marked = None if self.pane.marked == entry.run_id else entry.run_id
            self.pane.rebuild()

    def action_compare(self) -> None:
        """Compare the marked run with the selected one."""
        entry = self.pane.selected
        if entry is None or self.pane.marked in (None, entry.run_id):
            self.app.say("Mark one run with space, select another, and compare.", "dim")  # type: ignore[attr-defined]
            return
        self.run_worker(self._compare(str(self.pane.marked), entry.run_id), group="compare", exit_on_error=False)

    async def _compare(self, before: str, after: str) -> None:
        try:
            changes = await self.catalog.compare(before, after)
        except Failure as failure:
            self.app.say(str(failure), "bad")  # type: ignore[attr-defined]
            return
        self.app.push_screen(CompareScreen(before, after, changes))


class CompareScreen(Sheet[None]):
    """Two runs, scene by scene."""

    BINDINGS = bindings("sheet", "lists")
    heading = "Compared"
    widest = 104

    def __init__(self, before: str, after: str, changes: Sequence[SceneChange]) -> None:
        super().__init__()
        self.before, self.after, self.changes = before, after, changes

    def sheet_lines(self, width: int) -> list[Line]:
        """Return the two runs, then each scene."""
        return comparison_lines(self.before, self.after, self.changes, width)

    def action_shut(self) -> None:
        """Close the sheet."""
        self.dismiss()


def comparison_lines(before: str, after: str, changes: Sequence[SceneChange], width: int) -> list[Line]:
    """Return each scene of both runs: what came of it, and the fields of its Telemetry that differ."""
    lines: list[Line] = [((f"{safe(before)} -> {safe(after)}", "strong"),)]
    for change in changes:
        same = change.before == change.after and not change.telemetry
        lines += [BLANK, ((safe(change.scene), "strong"), ("  the same" if same else "", "dim"))]
        was, now = _side(change.before), _side(change.after)
        texts = [(was, "text")] if was == now else [(f"was {was}", "dim"), (f"now {now}", "text")]
        for text, role in texts:
            lines += [((f"  {part}", role),) for part in wrap(text, width - 2)]  # type: ignore[misc]
        for field in change.telemetry:
            text = f"{safe(field.field)}: {safe(field.before)} -> {safe(field.after)}"
            lines += [((f"  {part}", "faint"),) for part in wrap(text, width - 2)]
    return lines if changes else [*lines, BLANK, (("Neither run has a scene on record.", "dim"),)]


def _side(side: SceneSide | None) -> str:
    if side is None:
        return "not in this run"
    took = "" if side.seconds is None else f", {duration(side.seconds)}"
    tries = "" if side.attempts is None else f", {plural(side.attempts, 'attempt')}"
    frames, floor = ("?" if each is None else str(each) for each in (side.frames, side.floor))
    return f"{safe(side.verdict)}, {frames}/{floor} frames{took}{tries}"
