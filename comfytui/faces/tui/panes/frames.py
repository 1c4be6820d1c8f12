"""The Frames pane: the live watcher of frames, newest first or by scene, with one of them selected."""

from collections.abc import Sequence

from comfytui.faces.tui.keys import bindings
from comfytui.faces.tui.panes.frame_row import Entry, by_scene, entries, group_line, head, key_of, line_of, note
from comfytui.faces.tui.panes.line import Line
from comfytui.faces.tui.panes.pane import Pane
from comfytui.faces.tui.panes.picture import Lazy, Picture
from comfytui.faces.tui.view import View
from comfytui.model.frame_rows import FrameRow


class FramesPane(Pane):
    """Shows a line for each of the newest frames, under a line for each attempt that they belong to."""

    BINDINGS = bindings("frames")
    scenewise = False
    _entries: Sequence[Entry] = ()
    _chosen: tuple[object, ...] | None = None
    """What is selected; ``None`` is always the newest."""

    @property
    def selected(self) -> FrameRow | None:
        """The selected frame, if there is any."""
        found = self._entries[self._cursor] if self._entries else None
        return found if isinstance(found, FrameRow) else None

    def draw(self, view: View, width: int, height: int) -> Picture:
        """Return the picture of the newest frames; what a person has scrolled to stays where it is."""
        rows = view.state.frames
        if not rows:
            self._entries = ()
            return Picture(lines=((("No frames yet.", "dim"),),))
        before = self._entries
        found = self._entries = entries(by_scene(rows, view.state) if self.scenewise else rows)
        top = _place_of(key_of(before[self.top]), found) if 0 < self.top < len(before) else self.top

        def line(place: int) -> Line:
            entry = found[place]
            if isinstance(entry, FrameRow):
                return line_of(entry, view, width)
            return group_line(entry, view, rows, width)

        return Picture(
            lines=Lazy(len(found), line), head=(head(width),) if height > 4 else (), note=note(rows, view), top=top,
            cursor=self._cursor if self.has_focus else None, signed=True,
        )  # fmt: skip

    @property
    def _cursor(self) -> int:
        if self._chosen is not None:
            return _place_of(self._chosen, self._entries) or 1
        newest = self.view.state.frames[0] if self.view is not None and self.view.state.frames else None
        return _place_of(key_of(newest), self._entries) if newest is not None else 0

    # --- keys ----------------------------------------------------------------------------------------------------

    def action_order(self) -> None:
        """Order the frames by scene, or the newest first."""
        self.scenewise = not self.scenewise
        self.rebuild()

    def follow(self) -> None:
        """Keep the newest frame selected, until a person moves."""
        self._chosen = None
        self.top = 0
        self.rebuild()

    def move(self, by: int) -> None:
        """Select the frame ``by`` lines further; lines that are no frame are stepped over."""
        self._select(self._cursor + by, 1 if by > 0 else -1)

    def jump(self, last: bool) -> None:
        """Select the first or the last frame."""
        self._select(len(self._entries) - 1 if last else 1, 1)

    def _select(self, place: int, towards: int) -> None:
        if not self._entries:
            return
        place = max(1, min(place, len(self._entries) - 1))
        if not isinstance(self._entries[place], FrameRow):
            place += towards
        self._chosen = key_of(self._entries[place])
        self.rebuild()

    def on_focus(self) -> None:
        """Show which frame is selected."""
        self.rebuild()

    def on_blur(self) -> None:
        """Show it no longer, once the keys are elsewhere."""
        self.call_later(self.rebuild)


def _place_of(sought: tuple[object, ...], listed: Sequence[Entry]) -> int:
    """Return where ``sought`` stands now; 0 when it is gone."""
    return next((place for place, entry in enumerate(listed) if key_of(entry) == sought), 0)
