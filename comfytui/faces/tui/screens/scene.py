"""The scene screen: everything about one scene, live."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from comfytui.faces.tui.bars import Bar, Message, header_line
from comfytui.faces.tui.footer import footer_line, idle_keys
from comfytui.faces.tui.keys import OF_SCENE, bindings, bindings_of
from comfytui.faces.tui.lean import LeanScreen
from comfytui.faces.tui.panes.line import safe
from comfytui.faces.tui.panes.pane import Pane
from comfytui.faces.tui.panes.picture import Picture
from comfytui.faces.tui.screens.scene_text import scene_lines
from comfytui.faces.tui.view import Resumed, View
from comfytui.model.state import Scene


class ScenePane(Pane):
    """The text about the scene, for the attempt that a person looks at."""

    def __init__(self, scene_id: str) -> None:
        super().__init__(safe(scene_id), name="scene")
        self.scene_id = scene_id
        self.attempt: int | None = None
        """The attempt to show; ``None`` is the best one, or the newest."""

    def draw(self, view: View, width: int, height: int) -> Picture:
        """Return the picture of the scene."""
        scene = view.state.scene(self.scene_id)
        if scene is None:
            return Picture(lines=((("This scene is not part of the run.", "dim"),),))
        note = ((f" {safe(scene.brief.title)} ", "dim"),) if scene.brief.title else ()
        return Picture(lines=scene_lines(view, scene, self.number(scene), width), note=note)  # type: ignore[arg-type]

    def number(self, scene: Scene) -> int | None:
        """Return the number of the attempt to show, or ``None`` when there is none yet."""
        if self.attempt is not None and scene.attempt(self.attempt) is not None:
            return self.attempt
        return scene.chosen.number if scene.chosen is not None else None

    def step(self, by: int) -> None:
        """Show the attempt ``by`` further."""
        scene = self.view.state.scene(self.scene_id) if self.view is not None else None
        now = self.number(scene) if scene is not None else None
        if scene is not None and now is not None:
            self.attempt = max(1, min(len(scene.attempts), now + by))
            self.rebuild()


class SceneScreen(LeanScreen[None]):
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
        self.pane = ScenePane(scene_id)

    def compose(self) -> ComposeResult:
        """Return the parts of the screen."""
        yield self.header
        yield self.pane
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
            self.footer.write(footer_line("scene", self.view, width, idle))

    def on_screen_resume(self) -> None:
        """Catch up with what happened while another screen lay over this one."""
        self.app.post_message(Resumed())

    def on_resize(self) -> None:
        """Draw the edges for the new size."""
        self.call_after_refresh(self.draw_bars)

    # --- keys ----------------------------------------------------------------------------------------------------

    def action_close(self) -> None:
        """Back to the deck."""
        self.dismiss()

    def action_attempt(self, by: int) -> None:
        """Show another attempt."""
        self.pane.step(by)

    def action_move(self, by: int) -> None:
        """Scroll ``by`` lines."""
        self.pane.move(by)

    def action_jump(self, last: bool) -> None:
        """Scroll to the first or last line."""
        self.pane.jump(last)

    def action_turn(self, pages: int) -> None:
        """Scroll by pages."""
        self.pane.turn(pages)
