"""What scenes did on the GPU: when attempts executed, and whether VRAM leaks from one to the next."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct, field

from comfytui.faces.tui.panes.line import Line, Role, safe
from comfytui.faces.tui.themes import Glyphs
from comfytui.model.changes import changed_places
from comfytui.model.state import Scene
from comfytui.model.trend import WINDOW, DeviceKey, FreeAfter, Leak, leak, reading_after

RECENT = 64
"""Attempts that are remembered: more do not fit on a time axis."""


class Span(Struct, frozen=True):
    """An attempt on the GPU; ``ended`` is ``None`` while it executes. ``server`` is a name, where there are several."""

    scene: str
    began: datetime
    ended: datetime | None
    server: str = ""


class GpuPast(Struct):
    """The newest attempts and the leaks of each device. It looks only at scenes that changed."""

    run: str = ""
    scenes: Sequence[Scene] = ()
    spans: dict[tuple[str, int], Span] = field(default_factory=dict)
    readings: dict[DeviceKey, dict[tuple[str, int], FreeAfter]] = field(default_factory=dict)
    leaks: dict[DeviceKey, Leak] = field(default_factory=dict)

    def take(self, run: str, scenes: Sequence[Scene]) -> None:
        """Learn from ``scenes`` of ``run``; what another run did is forgotten."""
        if scenes is self.scenes:
            return
        if run != self.run:
            self.run, self.scenes, self.spans, self.readings, self.leaks = run, (), {}, {}, {}
        touched: set[DeviceKey] = set()
        for place in changed_places(self.scenes, scenes):
            touched |= self._take(scenes[place])
        self.scenes = scenes
        if len(self.spans) > RECENT:
            newest = sorted(self.spans.items(), key=lambda item: item[1].began)[-RECENT:]
            self.spans = dict(newest)
        for key in touched:
            self._judge(key)

    def leak_of(self, server: str, index: int) -> Leak | None:
        """Return the leak of that device of that server; a server without numbered devices has only one."""
        return self.leaks.get((server, index)) or self.leaks.get((server, None))

    def _take(self, scene: Scene) -> set[DeviceKey]:
        touched: set[DeviceKey] = set()
        for attempt in scene.attempts:
            mark = (scene.id, attempt.number)
            if attempt.executing_at is not None:
                self.spans[mark] = Span(
                    scene.id, attempt.executing_at, attempt.execution_ended_at, attempt.server_name
                )  # fmt: skip
            found = reading_after(attempt)
            if found is not None and self.readings.setdefault(found[0], {}).get(mark) != found[1]:
                self.readings[found[0]][mark] = found[1]
                touched.add(found[0])
        return touched

    def _judge(self, key: DeviceKey) -> None:
        ordered = sorted(self.readings[key].items(), key=lambda item: item[1].at)[-WINDOW:]
        self.readings[key] = dict(ordered)
        found = leak([after.free for _, after in ordered])
        if found is None:
            self.leaks.pop(key, None)
        else:
            self.leaks[key] = found


def timeline(spans: Sequence[Span], end: datetime, seconds: float, width: int, glyphs: Glyphs) -> Line:
    """Return the attempts of the last ``seconds`` before ``end`` on a line of ``width`` cells: where each began and
    ended, and its scene where there is room. Blank where there was none.
    """
    each = seconds / max(1, width)
    last = int(end.timestamp() // each)
    cells: list[tuple[str, Role]] = [(" ", "rule")] * width

    def column(moment: datetime) -> int:
        return width - 1 - (last - int(moment.timestamp() // each))

    for span in sorted(spans, key=lambda one: one.began):
        first, final = column(span.began), column(span.ended or end)
        if final < 0 or first >= width:
            continue
        inner = range(max(0, first + 1), min(width, final))
        cells[inner.start : inner.stop] = [(glyphs.across, "rule")] * len(inner)
        name = safe(span.scene)
        if name.isascii() and len(inner) >= len(name) + 2:
            at = inner.start + (len(inner) - len(name)) // 2
            cells[at : at + len(name)] = [(letter, "dim") for letter in name]
        if first >= 0:
            there = cells[first][0]
            cells[first] = (glyphs.both if there == glyphs.closes else glyphs.opens, "dim")
        if span.ended is not None and final < width:
            cells[final] = (glyphs.closes if final > first else glyphs.both, "dim")
    return _joined(cells)


def _joined(cells: Sequence[tuple[str, Role]]) -> Line:
    spans: list[tuple[str, Role]] = []
    for text, role in cells:
        if spans and spans[-1][1] == role:
            spans[-1] = (spans[-1][0] + text, role)
        else:
            spans.append((text, role))
    return tuple(spans)
