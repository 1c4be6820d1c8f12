"""The scene screen: everything about one scene, live."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from comfytui.faces.tui.bars import Bar, Message, header_line
from comfytui.faces.tui.footer import footer_line, idle_keys
from comfytui.faces.tui.keys import OF_SCENE, bindings, bindings_of
from comfytui.faces.tui.panes.line import Line, safe
from comfytui.faces.tui.panes.pane import Pane
from comfytui.faces.tui.panes.picture import Lazy, Picture
from comfytui.faces.tui.replay import Timeline
from comfytui.faces.tui.screens.pane_screen import PaneScreen
from comfytui.faces.tui.screens.scene_text import scene_rows
from comfytui.faces.tui.screens.section import Row
from comfytui.faces.tui.view import View
from comfytui.model.state import Scene

REST = "  "
"""Before a row that is not chosen."""


class ScenePane(Pane):
    """The rows about the scene, for the attempt that a person looks at; one of them is chosen."""

    def __init__(self, scene_id: str) -> None:
        super().__init__(safe(scene_id), name="scene")
        self.scene_id = scene_id
        self.attempt: int | None = None
        """The attempt to show; ``None`` is the best one of a scene that is over, else the newest."""
        self.rows: list[Row] = []
        self.cursor = 0

    def draw(self, view: View, width: int, height: int) -> Picture:
        """Return the picture of the scene."""
        scene = view.state.scene(self.scene_id)
        if scene is None:
            self.rows = []
            return Picture(lines=((("This scene is not part of the run.", "dim"),),))
        note = ((f" {safe(scene.brief.title)} ", "dim"),) if scene.brief.title else ()
        self.rows = scene_rows(view, scene, self.number(scene), width - len(REST))
        self.cursor = min(self.cursor, len(self.rows) - 1)
        rows, cursor, chosen = self.rows, self.cursor, f"{view.glyphs.cursor} "

        def line(place: int) -> Line:
            return (((chosen, "accent") if place == cursor else (REST, "text")), *rows[place].line)

        return Picture(lines=Lazy(len(rows), line), note=note, cursor=cursor)  # type: ignore[arg-type]

    @property
    def copied(self) -> str:
        """What is to be copied: the value of the chosen row."""
        return self.rows[self.cursor].copied if self.rows else ""

    def move(self, by: int) -> None:
        """Choose the row ``by`` further down, passing over blank ones."""
        place = max(0, min(len(self.rows) - 1, self.cursor + by))
        while 0 < place < len(self.rows) - 1 and not self.rows[place].line:
            place += 1 if by > 0 else -1
        self.cursor = max(0, place)
        self.rebuild()

    def jump(self, last: bool) -> None:
        """Choose the first or the last row."""
        self.move(len(self.rows) if last else -len(self.rows))

    def number(self, scene: Scene) -> int | None:
        """Return the number of the attempt to show, or ``None`` when there is none yet."""
        if self.attempt is not None and scene.attempt(self.attempt) is not None:
            return self.attempt
        shown = scene.chosen if scene.over else scene.latest
        return shown.number if shown is not None else None

    def step(self, by: int) -> None:
        """Show the attempt ``by`` further."""
        scene = self.view.state.scene(self.scene_id) if self.view is not None else None
        now = self.number(scene) if scene is not None else None
        if scene is not None and now is not None:
            self.attempt = max(1, min(len(scene.attempts), now + by))
            self.rebuild()


class SceneScreen(PaneScreen[None]):
    """Header, the scene's text, footer."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("scene", "lists"),
        *bindings_of(*OF_SCENE),
    ]
    AUTO_FOCUS = "#scene"
    place = "scene"

    def __init__(self, scene_id: str) -> None:
        super().__init__()
        self.scene_id = scene_id
        self.view: View | None = None
        self.header, self.footer, self.message = Bar("header"), Bar("footer"), Message()
        self.timeline = Timeline()
        self.pane: ScenePane = ScenePane(scene_id)

    def compose(self) -> ComposeResult:
        """Return the parts of the screen."""
        yield self.header
        yield self.pane
        yield self.timeline
        yield self.footer
        yield self.message

    def look(self, view: View) -> None:
        """Show ``view``."""
        self.view = view
        self.pane.look(view)
        self.draw_bars()

    def draw_bars(self) -> None:
        """Draw header and footer."""
        if self.view is not None:
            width = self.app.size.width
            idle = idle_keys(self.view, self.view.state.scene(self.scene_id))
            self.header.write(header_line(self.view, width))
            self.timeline.look(self.view, width)
            self.footer.write(footer_line("scene", self.view, width, idle))

    def on_resize(self) -> None:
        """Draw the edges for the new size."""
        self.call_after_refresh(self.draw_bars)

    @property
    def copied(self) -> str:
        """What ``y`` copies: the value of the chosen row."""
        return self.pane.copied

    # --- keys ----------------------------------------------------------------------------------------------------

    def action_close(self) -> None:
        """Back to the deck."""
        self.dismiss()

    def action_attempt(self, by: int) -> None:
        """Show another attempt."""
        self.pane.step(by)
