"""A list of lines that draws only what is seen and repaints only the cells that changed.

It takes the place of DataTable, RichLog and their kin, which repaint every visible row for one changed cell. The box
around the list is part of it, for the same reason: a title that changes is one line, not a whole widget.
"""

from typing import Literal, Self

from textual.events import MouseScrollDown, MouseScrollUp, Resize
from textual.filter import ANSIToTruecolor
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from comfytui.faces.tui.palettes import Ground
from comfytui.faces.tui.panes.line import BLANK, Line, Role, changed_cells, fit, line_width, shortened
from comfytui.faces.tui.panes.picture import Picture
from comfytui.faces.tui.strips import Brush

Edge = Literal["box", "margin", "none"]
"""What is around the lines: a box with a title, a blank cell at both sides, or nothing."""

_EDGE_CELLS: dict[Edge, int] = {"box": 4, "margin": 2, "none": 0}

Row = tuple[Line, Ground]
"""A line as it was drawn, in the full width of the widget, and what it lies on."""


class LineList(Widget):
    """A box with a title, fixed head lines and lines that scroll; draws a :class:`Picture`."""

    ALLOW_SELECT = False
    shares = False
    """Whether there are others beside it, so that a sign at its title says where the keys are."""
    ground: Ground = "panel"

    def __init__(self, title: str = "", *, edge: Edge = "box", name: str) -> None:
        super().__init__(id=name)
        self.title = title
        self.edge = edge
        self.picture = Picture(lines=())
        self.top = 0
        self._drawn: list[Row] = []
        self._strips: list[Strip | None] = []
        """The drawn rows as strips, where they have been asked for since they changed."""
        self._inked = Brush("")
        """The brush that those strips are drawn with."""

    # --- what is shown -------------------------------------------------------------------------------------------

    @property
    def inner_width(self) -> int:
        """The cells that a line has, inside box and margin."""
        return self._inner(self.size)[0]

    @property
    def inner_height(self) -> int:
        """The lines inside the box, head lines included."""
        return self._inner(self.size)[1]

    def _inner(self, size: Size) -> tuple[int, int]:
        """Return cells and lines inside box and margin of a widget of that ``size``, which is dear to ask for."""
        width, height = size
        return max(0, width - _EDGE_CELLS[self.edge]), max(0, height - (2 if self.edge == "box" else 0))

    @property
    def page(self) -> int:
        """The scrolling lines that fit."""
        return max(0, self.inner_height - len(self.picture.head))

    def show(self, picture: Picture) -> None:
        """Draw ``picture``: only the cells that differ from what is on the screen are painted."""
        self.picture = picture
        if picture.top is not None:
            self.top = picture.top
        self._keep_in_sight()
        self.repaint_changes()

    def move_top(self, top: int) -> None:
        """Scroll so that line ``top`` is the first one, as far as there are lines."""
        self.top = top
        self._keep_in_sight(follow_cursor=False)
        self.repaint_changes()

    def _keep_in_sight(self, follow_cursor: bool = True) -> None:
        count, cursor, page = len(self.picture.lines), self.picture.cursor, self.page
        if follow_cursor and cursor is not None and page:
            margin = min(3, (page - 1) // 3)  # what comes next stays in sight
            self.top = min(max(self.top, cursor - page + 1 + margin), cursor - margin)
        self.top = max(0, min(self.top, count - page))

    # --- drawing -------------------------------------------------------------------------------------------------

    def repaint_changes(self) -> None:
        """Compare what should be seen with what is drawn, and have the differences painted."""
        if self.is_mounted and self.size:
            self.refresh()

    def _changes(self, before: list[Row], width: int) -> tuple[Region, ...]:
        """Return the regions in which what is drawn now differs from ``before``."""
        regions: list[Region] = []
        for y, (old, new) in enumerate(zip(before, self._drawn, strict=True)):
            if old != new:
                self._strips[y] = None
                runs = [(0, width)] if old[1] != new[1] else changed_cells(old[0], new[0])
                regions += [Region(start, y, end - start, 1) for start, end in runs]
        return tuple(regions)

    def _fits(self, size: Size) -> bool:
        """Return whether what is drawn is of that ``size``."""
        return bool(self._drawn) and len(self._drawn) == size.height and line_width(self._drawn[0][0]) == size.width

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        """Have ``regions`` painted; without any, what changed. Gaining the focus alone would repaint it all."""
        if repaint and not (regions or layout or recompose):
            size = self.size
            if self._fits(size):
                before, self._drawn = self._drawn, self._rows(size)
                regions = self._changes(before, size.width)
                if not regions:
                    return self
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def redraw(self) -> None:
        """Forget what is drawn and paint everything, as after a change of theme."""
        self._drawn = []
        self.refresh()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the lines in ``crop``. They fill the widget, so what Textual does around lines is left out."""
        size, brush = self.size, self.brush
        if not self._fits(size):
            self._drawn = self._rows(size)
            self._strips = [None] * len(self._drawn)
        elif brush != self._inked:
            self._strips = [None] * len(self._drawn)
        self._inked = brush
        strips = [self._strip(y, size.width) for y in crop.line_range]
        filters = [one for one in self.get_line_filters() if not isinstance(one, ANSIToTruecolor)]  # none is ANSI
        if filters:
            ground = self.background_colors[1]
            for one in filters:
                strips = [strip.apply_filter(one, ground) for strip in strips]
        first, last = crop.column_span
        return strips if (first, last) == (0, size.width) else [strip.crop(first, last) for strip in strips]

    def _strip(self, y: int, width: int) -> Strip:
        if y >= len(self._drawn):
            return Strip.blank(width)
        strip = self._strips[y]
        if strip is None:
            strip = self._strips[y] = self._inked.strip(*self._drawn[y], width)
        return strip

    @property
    def brush(self) -> Brush:
        """How lines become strips under the theme in force."""
        return Brush(self.app.theme, getattr(self.app, "ascii", False))

    def _rows(self, size: Size) -> list[Row]:
        width, height = self._inner(size)
        content = self._content(height)
        if self.edge != "box":
            side: Line = ((" ", "text"),) if self.edge == "margin" else BLANK
            return [((*(side and self._before(on)), *fit(line, width), *side), on) for line, on in content]
        edge: Role = "focus" if self.has_focus else "border"
        down = self.brush.glyphs.down
        return [
            (self._edge(0, self._title(), self.picture.note, size.width), self.ground),
            *(
                (((down, edge), *self._before(on), *fit(line, width), (" ", "text"), (down, edge)), on)
                for line, on in content
            ),
            (self._edge(2, BLANK, self._foot(), size.width), self.ground),
        ]

    def _before(self, ground: Ground) -> Line:
        """Return the cell before a line: the sign of the chosen one, where the line has none of its own."""
        signed = self.picture.signed and ground != self.ground
        return ((self.brush.glyphs.cursor, "accent"),) if signed else ((" ", "text"),)

    def _content(self, height: int) -> list[Row]:
        picture = self.picture
        rows: list[Row] = [(line, self.ground) for line in picture.head[:height]]
        chosen: Ground = "select" if self.has_focus else "select_idle"
        for place in range(self.top, min(len(picture.lines), self.top + height - len(rows))):
            rows.append((picture.lines[place], chosen if place == picture.cursor else self.ground))
        rows.extend([(BLANK, self.ground)] * (height - len(rows)))
        return rows

    def _title(self) -> Line:
        role: Role = "key" if self.has_focus else "title"
        sign = self.brush.glyphs.cursor if self.has_focus and self.shares else " "
        return ((f"{sign}{self.title} ", role),) if self.title else BLANK

    def _foot(self) -> Line:
        if self.picture.foot or not self.page or len(self.picture.lines) <= self.page:
            return self.picture.foot
        first, last = self.top + 1, min(self.top + self.page, len(self.picture.lines))
        return ((f" {first:,}-{last:,} of {len(self.picture.lines):,} ", "dim"),)

    def _edge(self, corner: int, start: Line, end: Line, width: int) -> Line:
        """Return the upper (``corner`` 0) or lower (2) border with what is written on it."""
        glyphs = self.brush.glyphs
        edge: Role = "focus" if self.has_focus else "border"
        room = width - 4 - line_width(start)
        end = shortened(end, room)
        rule = glyphs.across * max(0, width - 4 - line_width(start) - line_width(end))
        line = ((glyphs.corners[corner] + glyphs.across, edge), *start, (rule, edge), *end)
        return (*fit(line, width - 2), (glyphs.across + glyphs.corners[corner + 1], edge))

    # --- scrolling -----------------------------------------------------------------------------------------------

    def on_focus(self) -> None:
        """Show that this pane has the keys."""
        self.repaint_changes()

    def on_blur(self) -> None:
        """Show that another pane has the keys."""
        self.repaint_changes()

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Scroll three lines towards the end."""
        event.stop()
        self.move_top(self.top + 3)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Scroll three lines towards the beginning."""
        event.stop()
        self.move_top(self.top - 3)

    def on_resize(self, _event: Resize) -> None:
        """Draw for the new size."""
        self._keep_in_sight()
        self.repaint_changes()
