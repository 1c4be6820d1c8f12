"""The deck: header, panes and footer. It shows what it is given and knows which pane has the keys."""

from textual.app import ComposeResult
from textual.layout import Layout
from textual.widget import Widget

from comfytui.faces.tui.bars import Bar, Message, header_line, tabs_line
from comfytui.faces.tui.footer import footer_line, idle_keys
from comfytui.faces.tui.keys import PANE_TITLES, PANES, PaneName, bindings
from comfytui.faces.tui.layout import Ask, DeckLayout, Wish, shape_for
from comfytui.faces.tui.lean import LeanScreen
from comfytui.faces.tui.panes.frames import FramesPane
from comfytui.faces.tui.panes.gpu import GpuPane
from comfytui.faces.tui.panes.health import HealthPane, standing
from comfytui.faces.tui.panes.log import LogPane
from comfytui.faces.tui.panes.pane import Pane
from comfytui.faces.tui.panes.scenes import ScenesPane
from comfytui.faces.tui.replay import Timeline
from comfytui.faces.tui.view import Resumed, View


class PaneGround(Widget):
    """The space that the panes share."""

    def __init__(self, *panes: Pane, ask: Ask) -> None:
        super().__init__(*panes, id="deck")
        self.plan = DeckLayout(ask)

    @property
    def layout(self) -> Layout:
        """The layout of the panes."""
        return self.plan

    def follow_plan(self) -> None:
        """Lay the panes out anew if any of them should be elsewhere than it is."""
        if self.size and self.plan.regions(self.app.size, self.size) != self.plan.arranged:
            self.children[0].refresh(repaint=False, layout=True)  # a child's wish is what clears the cached layout


class DeckScreen(LeanScreen[None]):
    """Header, tabs (compact only), panes, message, footer."""

    BINDINGS = bindings("deck", "lists")
    AUTO_FOCUS = None

    def __init__(self) -> None:
        super().__init__()
        self.view: View | None = None
        self.header, self.tabs, self.footer, self.message = (
            Bar("header"),
            Bar("tabs"),
            Bar("footer"),
            Message(),
        )
        self.timeline = Timeline()
        self.scenes = ScenesPane(PANE_TITLES["scenes"])
        self.frames = FramesPane(PANE_TITLES["frames"], name="frames")
        self.gpu = GpuPane(PANE_TITLES["gpu"], name="gpu")
        self.health = HealthPane(PANE_TITLES["health"], name="health")
        self.panes: dict[PaneName, Pane] = {
            "scenes": self.scenes,
            "frames": self.frames,
            "gpu": self.gpu,
            "health": self.health,
            "log": LogPane(PANE_TITLES["log"], name="log"),
        }
        for pane in self.panes.values():
            pane.shares = True
        self.ground = PaneGround(*self.panes.values(), ask=self.wish)

    def compose(self) -> ComposeResult:
        """Return the parts of the screen."""
        yield self.header
        yield self.tabs
        yield self.ground
        yield self.timeline
        yield self.footer
        yield self.message

    def on_mount(self) -> None:
        """Give the keys to the queue."""
        self._shape()
        self.panes["scenes"].focus()

    def on_screen_resume(self) -> None:
        """Catch up with what happened while another screen lay over this one."""
        self.app.post_message(Resumed())

    def on_resize(self) -> None:
        """Draw the edges for the new size; the panes see to themselves."""
        self._shape()
        self.call_after_refresh(self.draw_bars)

    def on_pane_fitted(self) -> None:
        """Say beside the tabs what a pane notes that has just come into sight."""
        if self.has_class("-compact"):
            self.draw_bars()

    # --- what is shown -------------------------------------------------------------------------------------------

    def look(self, view: View) -> None:
        """Show ``view``; the boxes stay without a word until there is one to say."""
        self.view = view
        if not view.empty or self.scenes.view is not None:
            self.ground.follow_plan()
            for pane in self.panes.values():
                pane.look(view)
        self.draw_bars()

    def wish(self, cells: int) -> Wish:
        """Return how many lines the queue would like to have, and Health and GPU at a side of ``cells``."""
        if self.view is None or not self.view.lane.caught_up:
            return Wish()
        full, short = self.health.wish(self.view, cells - 4)
        queue = self.scenes.wish(self.view)
        return Wish(scenes=queue, health=full, health_short=short, gpu=self.gpu.wish(self.view))

    def draw_bars(self) -> None:
        """Draw header, tabs and footer."""
        if self.view is None:
            return
        width = self.app.size.width
        idle = idle_keys(self.view, self.scenes.selected, compact=self.has_class("-compact"))
        self.header.write(header_line(self.view, width))
        trouble = bool(standing(self.view)) or any(server.trouble for server in self.view.state.servers)
        self.tabs.write(tabs_line(self.focused_name, width, self.pane.picture.note, trouble=trouble))
        self.timeline.look(self.view, width)
        self.footer.write(footer_line(self.focused_name, self.view, width, idle))

    @property
    def focused_name(self) -> PaneName:
        """The pane that has the keys."""
        return self.ground.plan.focused

    @property
    def pane(self) -> Pane:
        """The pane that has the keys, as a widget."""
        return self.panes[self.focused_name]

    @property
    def zoomed(self) -> bool:
        """Whether that pane fills the screen."""
        return self.ground.plan.zoomed

    def zoom(self, on: bool) -> None:
        """Let the focused pane fill the screen, or end that."""
        self.ground.plan.zoomed = on
        self.ground.follow_plan()

    def give_keys(self, name: PaneName) -> None:
        """Give the keys to the pane ``name`` and see that it is visible."""
        self.ground.plan.focused = name
        self.ground.follow_plan()
        self.set_focus(self.panes[name], scroll_visible=False)  # at once: the next key is for that pane
        self.draw_bars()

    def next_pane(self, by: int) -> None:
        """Give the keys to the next pane (``by`` 1) or the one before (-1)."""
        self.give_keys(PANES[(PANES.index(self.focused_name) + by) % len(PANES)])

    def on_descendant_focus(self) -> None:
        """Keep the plan in step when a pane is clicked."""
        name = self.focused.id if self.focused is not None else None
        if name in self.panes and name != self.focused_name:
            self.ground.plan.focused = name
            self.ground.follow_plan()
            self.draw_bars()

    def _shape(self) -> None:
        compact = shape_for(*self.app.size) == "compact"
        self.set_class(compact, "-compact")
        for pane in self.panes.values():
            pane.edge = "margin" if compact else "box"

    # --- keys ----------------------------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        """Go ``by`` lines down in the focused pane."""
        self.pane.move(by)
        self.draw_bars()

    def action_jump(self, last: bool) -> None:
        """Go to the first or last line of the focused pane."""
        self.pane.jump(last)
        self.draw_bars()

    def action_turn(self, pages: int) -> None:
        """Go ``pages`` pages down in the focused pane."""
        self.pane.turn(pages)
        self.draw_bars()

    def action_pane(self, name: PaneName) -> None:
        """Give the keys to a pane."""
        self.give_keys(name)

    def action_next_pane(self, by: int) -> None:
        """Give the keys to the next pane, or the one before."""
        self.next_pane(by)

    def action_zoom(self) -> None:
        """Let the focused pane fill the screen, or end that."""
        self.zoom(not self.zoomed)

    def action_follow(self) -> None:
        """Keep what is newest in the focused pane in sight, or the executing scene selected."""
        self.pane.follow()
        self.draw_bars()

    def action_back(self) -> None:
        """End the zoom; else clear the filter of the focused pane."""
        if self.zoomed:
            self.zoom(False)
        elif self.pane.terms:
            self.pane.filter("")
            self.draw_bars()
        elif not self.app.past.close():  # type: ignore[attr-defined]
            self.action_queue("clear_marks")

    def action_queue(self, doing: str) -> None:
        """Let the queue do one of the things that only this dashboard sees: mark, sort."""
        getattr(self.scenes, doing)()
        self.draw_bars()

    def action_filter(self) -> None:
        """Ask for a filter of the focused pane."""
        from comfytui.faces.tui.screens.filter_input import FilterInput

        if not self.query(FilterInput):
            line = FilterInput(self.pane)
            self.mount(line)
            self.set_focus(line)  # at once: the next key is part of it
