"""The Scenes pane: the queue, a row a scene, with a selection, a filter, and a will to follow what executes."""

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from comfytui.faces.tui.keys import bindings
from comfytui.faces.tui.panes import scene_row
from comfytui.faces.tui.panes.etas import Etas
from comfytui.faces.tui.panes.line import BLANK, Line, Span
from comfytui.faces.tui.panes.others import OTHERS_ROOM, others_height, others_lines
from comfytui.faces.tui.panes.pane import Pane
from comfytui.faces.tui.panes.picture import Lazy, Picture
from comfytui.faces.tui.panes.scene_order import SceneOrder
from comfytui.faces.tui.view import View
from comfytui.model.changes import changed_places
from comfytui.model.state import Scene

_BUSY = ("executing", "collecting", "planned", "queued")
"""Phases worth following, the most telling first."""


class Tally(Struct, frozen=True):
    """What the queue holds, counted once for each change of it."""

    scenes: Sequence[Scene] = ()
    phases: Counter[str] | None = None
    longest_id: int = 5

    @staticmethod
    def of(scenes: Sequence[Scene]) -> "Tally":
        """Count ``scenes``."""
        longest = max((len(scene.brief.id) for scene in scenes), default=5)
        return Tally(scenes=scenes, phases=Counter(scene.phase for scene in scenes), longest_id=longest)

    def after(self, scenes: Sequence[Scene]) -> "Tally":
        """Return the count of ``scenes``, looking only at those that changed; the ids of a run never do."""
        if len(scenes) != len(self.scenes) or self.phases is None or (scenes and scenes[0].id != self.scenes[0].id):
            return Tally.of(scenes)
        phases = Counter(self.phases)
        for place in changed_places(self.scenes, scenes):
            phases[self.scenes[place].phase] -= 1
            phases[scenes[place].phase] += 1
        return Tally(scenes=scenes, phases=phases, longest_id=self.longest_id)

    def count(self, *phases: str) -> int:
        """Return how many scenes are in one of ``phases``."""
        return sum((self.phases or Counter())[phase] for phase in phases)


class ScenesPane(Pane):
    """Shows a row for each scene that the filter lets through, and under them the prompts of others."""

    BINDINGS = bindings("scenes")

    def __init__(self, title: str) -> None:
        super().__init__(title, name="scenes")
        self.following = True
        self.order = SceneOrder()
        self.marks: frozenset[str] = frozenset()
        self._selected: str | None = None
        self._other: int | None = None
        """The chosen line among those of others, if it is one of them."""
        self._tally = Tally()
        self._etas = Etas()
        self._shown: Sequence[int] = ()
        self._over = scene_row.Rows()

    @property
    def selected(self) -> Scene | None:
        """The chosen scene, if there is any."""
        if self.view is None or self._selected is None or self._other is not None or self.picture.cursor is None:
            return None
        return self.view.state.scene(self._selected)

    @property
    def marked(self) -> list[Scene]:
        """The scenes that are marked, in the story's order."""
        return [scene for scene in self.view.state.scenes if scene.id in self.marks] if self.view and self.marks else []

    def follow(self) -> None:
        """Keep the scene that executes selected, until a person moves."""
        self.following = True
        self.rebuild()

    def draw(self, view: View, width: int, height: int) -> Picture:
        """Return the picture of the queue."""
        scenes, servers = view.state.scenes, view.state.servers
        self.order.servers = tuple(server.name for server in servers)
        if self._tally.scenes is not scenes:
            self._tally = self._tally.after(scenes)
        self._shown = shown = self.order.places(scenes, self.terms)
        cursor = self._cursor(scenes, others_height(servers))
        below = others_lines(servers, view.glyphs, cursor - len(shown) if cursor is not None else None)
        if not shown:
            return Picture(lines=[*_nothing(view, bool(self.terms)), *below], note=self._note(), cursor=cursor)
        names = max((len(name) for name in self.order.servers), default=0) if view.state.several else 0
        shape = scene_row.columns(width, self._tally.longest_id, names)
        moment = scene_row.Moment(
            now=view.until, glyphs=view.glyphs, run=view.state.run, progress=view.state.progress, marks=self.marks,
            eta=self._etas.at(view),
        )  # fmt: skip

        def line(place: int) -> Line:
            if place >= len(shown):
                return below[place - len(shown)]
            return self._over.row(scenes[shown[place]], shape, moment, place == cursor)

        head = (scene_row.head(shape),) if height > 3 else ()
        return Picture(lines=Lazy(len(shown) + len(below), line), head=head, note=self._note(), cursor=cursor)

    def wish(self, view: View) -> int:
        """Return how many lines the whole queue would take, with some room for what others have on the server."""
        return 1 + len(view.state.scenes) + OTHERS_ROOM

    def _cursor(self, scenes: Sequence[Scene], others: int) -> int | None:
        if self._other is not None and others and self._shown:
            self._other = min(self._other, others - 1)
            return len(self._shown) + self._other
        self._other = None
        if not self._shown:
            return None
        if self.following:
            busy = self._busiest(scenes)
            if busy is not None:
                self._selected = scenes[self._shown[busy]].id
                return busy
        place = self.view.state.index.get(self._selected or "") if self.view else None
        cursor = _place_in(self._shown, place) if place is not None else None
        if cursor is None:
            cursor = min(self.picture.cursor or 0, len(self._shown) - 1)
        self._selected = scenes[self._shown[cursor]].id
        return cursor

    def _busiest(self, scenes: Sequence[Scene]) -> int | None:
        for phase in _BUSY:
            if self._tally.count(phase):
                found = (at for at, place in enumerate(self._shown) if scenes[place].phase == phase)
                if (at := next(found, None)) is not None:
                    return at
        return None

    def _note(self) -> Line:
        tally = self._tally
        if not tally.scenes:
            return ()
        done, failed, left = tally.count("done"), tally.count("failed"), tally.count("cancelled", "skipped")
        rest = len(tally.scenes) - done - failed - left
        parts: list[Span] = [(f"{failed:,} failed", "bad")] if failed else []
        parts.append((f"{done:,} done", "dim"))
        parts += [(f"{left:,} left out", "warn")] if left else []
        parts += [(f"{rest:,} to go", "dim")] if rest else []
        spans: list[Span] = [(f"{', ' if place else ' '}{text}", role) for place, (text, role) in enumerate(parts)]
        found = [self.filter_words(len(self._shown))] if self.terms else []
        found += [f"{len(self.marks):,} marked"] if self.marks else []
        found += [self.order.words] if self.order.words else []
        return (*(((f" ({', '.join(found)})", "accent"),) if found else BLANK), *spans, (" ", "dim"))

    # --- keys ----------------------------------------------------------------------------------------------------

    def move(self, by: int) -> None:
        """Select the scene ``by`` rows further."""
        self._select_row((self.picture.cursor or 0) + by)

    def jump(self, last: bool) -> None:
        """Select the first or the last scene."""
        self._select_row(len(self._shown) - 1 if last else 0)

    def mark(self) -> None:
        """Mark the selected scene, or take its mark away, and go on to the next."""
        if (scene := self.selected) is not None:
            self.marks ^= {scene.id}
            self.move(1)

    def mark_all(self) -> None:
        """Mark every scene that is shown; where all of them are marked, take the marks away."""
        if self.view is not None:
            shown = {self.view.state.scenes[place].id for place in self._shown}
            self.marks = self.marks - shown if shown <= self.marks else self.marks | shown
            self.rebuild()

    def unmark(self, ids: Iterable[str]) -> None:
        """Take the marks of those scenes away."""
        self.marks = self.marks.difference(ids)
        self.rebuild()

    def clear_marks(self) -> None:
        """Take all marks away."""
        self.unmark(self.marks)

    def sort(self) -> None:
        """Sort by the next thing."""
        self.order.next_sort()
        self.rebuild()

    def turn_round(self) -> None:
        """Sort the other way round."""
        self.order.sort_by(self.order.sort, not self.order.turned)
        self.rebuild()

    def show_turns(self) -> None:
        """Sort by the order of rendering."""
        self.following = False
        self.order.sort_by("turn")
        self.rebuild()

    def _select_row(self, row: int) -> None:
        if self.view is None or not self._shown:
            return
        self.following = False
        row = max(0, min(row, len(self.picture.lines) - 1))
        self._other = row - len(self._shown) if row >= len(self._shown) else None
        if self._other is None:
            self._selected = self.view.state.scenes[self._shown[row]].id
        self.rebuild()


def _place_in(shown: Sequence[int], place: int) -> int | None:
    try:
        return shown.index(place)
    except ValueError:
        return None


def _nothing(view: View, filtered: bool) -> list[Line]:
    run = view.state.run
    if filtered:
        return [(("No scene fits the filter. esc clears it.", "dim"),)]
    if run is not None and run.observing:
        others = "" if view.state.server.others else "Prompts of others are listed here."
        return [(("Watching the server; there is no story.", "dim"),), ((others, "dim"),)]
    return [(("No scenes yet.", "dim"),)]
