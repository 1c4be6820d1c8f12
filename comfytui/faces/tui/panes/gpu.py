"""The GPU pane: utilisation and VRAM of each device over the last two minutes, with its temperature and power.

Under them stand the attempts of that time, and what each device leaks from scene to scene, once that is certain.
"""

from collections.abc import Sequence
from datetime import datetime

from comfytui.faces.tui.panes.figures import age
from comfytui.faces.tui.panes.gpu_past import GpuPast, timeline
from comfytui.faces.tui.panes.line import BLANK, Line, clip, clip_middle, left, right, safe, spread, wrap
from comfytui.faces.tui.panes.pane import Pane
from comfytui.faces.tui.panes.picture import Picture
from comfytui.faces.tui.panes.sparkline import axis, buckets, sparkline
from comfytui.faces.tui.themes import Glyphs
from comfytui.faces.tui.view import View
from comfytui.model.events import GpuFigures
from comfytui.model.state import GpuMoment, Server, State
from comfytui.model.trend import words

SPAN = 120.0
"""Seconds that the sparklines show."""

LABEL, FIGURE, PEAK, NAME = 6, 7, 15, 16
"""Cells left of a sparkline, right of it, right of it where the peak stands there too; and of a server in one line."""

TALLEST = 10
"""Lines that a sparkline takes at most."""

STALE = 10.0
"""Seconds after which the newest reading is no longer called "now"."""


class GpuPane(Pane):
    """Shows :func:`lines`."""

    def __init__(self, title: str, *, name: str) -> None:
        super().__init__(title, name=name)
        self.past = GpuPast()

    def look(self, view: View) -> None:
        """Show ``view``."""
        self.past.take(view.state.run.id if view.state.run is not None else "", view.state.scenes)
        super().look(view)

    def draw(self, view: View, width: int, height: int) -> Picture:
        """Return the picture of all devices."""
        told = {server.gpu_source for server, _ in _with_devices(view.state)} or {view.state.gpu_source}
        source = told.pop() if len(told) == 1 else None
        note: Line = ((f" {source} ", "dim"),) if source and source != "none" else BLANK
        note = ((" VRAM leaks ", "warn"),) if self._leaks(view) else note
        return Picture(lines=lines(view, self.past, width, height), note=note)

    def wish(self, view: View) -> int:
        """Return how many lines all devices would take."""
        groups = _with_devices(view.state)
        if not groups:
            return 2
        count = sum(len(devices) for _, devices in groups)
        marks = bool(view.state.scenes) * len(groups)
        return (4 * count + 1 if view.state.several else 8 * count) + marks + 2 * self._leaks(view)

    def _leaks(self, view: View) -> int:
        """Return how many devices leak."""
        return sum(
            self.past.leak_of(server.url, device.index) is not None
            for server, devices in _with_devices(view.state)
            for device in devices
        )


def _with_devices(state: State) -> list[tuple[Server, tuple[GpuFigures, ...]]]:
    """Return the servers that told of devices, each with their newest figures."""
    return [(server, server.gpu[-1].devices) for server in state.servers if server.gpu and server.gpu[-1].devices]


def lines(view: View, past: GpuPast, width: int, height: int) -> list[Line]:
    """Return the lines of all devices: the sparklines as tall as ``height`` allows, the rest where it fits."""
    groups = _with_devices(view.state)
    if not groups:
        return [((text, "dim"),) for text in wrap(f"No GPU figures: {why_none(view)}.", width)]
    newest = max(server.gpu[-1].at for server, _ in groups)
    tracks = [Track(server, device, newest) for server, devices in groups for device in devices]
    if len(tracks) > 1 and 3 * len(tracks) + 1 > height:
        cells = min(NAME, width // 3, max(len(track.server.name) for track in tracks) + 2)
        return [_one_line(view, track, cells, width) for track in tracks]
    found = {track.key: past.leak_of(track.server.url, track.device.index) for track in tracks}
    leaks = {key: wrap(words(one), width - LABEL) for key, one in found.items() if one is not None}
    room = height - sum(map(len, leaks.values()))
    if room < 4 * len(tracks):  # the border says it too
        leaks, room = {}, height
    marked = bool(past.spans) and room >= 3 * len(tracks) + 1 + len(groups)
    tall, figures = _shape(len(tracks), room - marked * len(groups))
    apart = figures or room - marked * len(groups) - 1 >= (2 * tall + 2) * len(tracks)
    across = width - LABEL - (FIGURE if figures else PEAK)
    rows: list[Line] = []
    for place, track in enumerate(tracks):
        if rows and apart:
            rows.append(BLANK)
        rows += _device(view, track, width, tall, peaks=not figures)
        rows += _figures(track.device, track.readings, width) if figures else []
        rows += [((" " * LABEL, "text"), (part, "warn")) for part in leaks.get(track.key, ())]
        if marked and (place + 1 == len(tracks) or tracks[place + 1].server is not track.server):
            own = [span for span in past.spans.values() if span.server == track.server.name]
            rows.append(((left("scene", LABEL), "dim"), *timeline(own, newest, SPAN, across, view.glyphs)))
    return [*rows, _axis(view, newest, across)]


class Track:
    """A device with its readings up to ``newest``, the newest of all; in front is its server's name, if it has one."""

    def __init__(self, server: Server, device: GpuFigures, newest: datetime) -> None:
        self.server, self.device, self.newest = server, device, newest
        self.name = " ".join(safe(part) for part in (server.name, str(device.index), device.name) if part)
        self.key = (server.name, device.index)
        self.readings = [_at(moment, device.index) for moment in server.gpu]

    @property
    def loads(self) -> list[float | None]:
        """Its loads in percent."""
        return [reading.utilization if reading else None for reading in self.readings]

    @property
    def shares(self) -> list[float | None]:
        """How much of its VRAM was in use, in percent."""
        total, past = self.device.vram_total, self.readings
        return [p.vram_used / total * 100 if p and p.vram_used is not None and total else None for p in past]

    def now(self, readings: Sequence[float | None]) -> str:
        """Return the newest of ``readings`` in words; what is older than that of others is not known any more."""
        old = (self.newest - self.server.gpu[-1].at).total_seconds() > STALE
        return "n/a" if old or readings[-1] is None else f"{readings[-1]:.0f} %"

    def drawn(self, readings: Sequence[float | None], width: int, glyphs: Glyphs, tall: int) -> list[str]:
        """Return ``readings`` as a sparkline."""
        timed = zip((moment.at for moment in self.server.gpu), readings, strict=True)
        return sparkline(buckets(timed, self.newest, SPAN, width), 100.0, glyphs.spark, tall)


def _shape(devices: int, height: int) -> tuple[int, bool]:
    """Return how many lines a sparkline takes and whether there is room for the figures beneath."""
    figures = height >= devices * 6
    room = (height - 1) // devices - (3 if figures else 1)
    return max(1, min(TALLEST, room // 2)), figures


def why_none(view: View) -> str:
    """Return why there are no figures of a GPU, in words."""
    if all(server.gpu_source == "none" for server in view.state.servers):
        return f"neither the {'servers' if view.state.several else 'server'}, NVML nor nvidia-smi gives any here"
    if view.lane.live is False:
        return "none were recorded"
    return "the first reading is still to come"


def _at(moment: GpuMoment, index: int) -> GpuFigures | None:
    return next((device for device in moment.devices if device.index == index), None)


def _device(view: View, track: Track, width: int, tall: int, *, peaks: bool) -> list[Line]:
    device = track.device
    heat = "" if device.temperature is None else f"{device.temperature:.0f} {view.glyphs.celsius}"
    power = "" if device.power is None else f"{device.power:.0f} W"
    side = "  ".join(text for text in (heat, power) if text)
    name = clip(short_name(track.name, width - len(side) - 2), width - len(side) - 2)
    return [
        spread(((name, "text"),), ((side, "dim"),) if side else BLANK, width),
        *_spark(view, track, "load", track.loads, width=width, tall=tall, peak=peaks),
        *_spark(view, track, "vram", track.shares, width=width, tall=tall, peak=peaks),
    ]


def short_name(name: str, cells: int) -> str:
    """Return ``name`` without its maker and its line of products, as far as ``cells`` ask for it."""
    for word in ("NVIDIA ", "GeForce "):
        if len(name) > cells:
            name = name.replace(word, "", 1)
    return name


def _one_line(view: View, track: Track, cells: int, width: int) -> Line:
    """Return one of several devices in a single line: its load as a sparkline, then its VRAM in use."""
    index = f" {track.device.index}"
    name = left(clip_middle(safe(track.server.name), cells - len(index)) + index, cells)
    figures = f" {right(track.now(track.loads), 5)}  vram {right(track.now(track.shares), 5)}"
    [drawn] = track.drawn(track.loads, max(1, width - cells - len(figures) - 1), view.glyphs, 1)
    return ((name, "text"), (" ", "text"), (drawn, "spark"), (figures, "text"))


def _figures(device: GpuFigures, past: list[GpuFigures | None], width: int) -> list[Line]:
    used, total = device.vram_used, device.vram_total
    most = max((p.vram_used for p in past if p and p.vram_used is not None), default=None)
    peak = max((p.utilization for p in past if p and p.utilization is not None), default=None)
    of = f"{_mb(used)} of {_mb(total)} MB" if used is not None and total is not None else "VRAM not told"
    share = f"{most / total * 100:.0f} %" if most is not None and total else ""
    full, short = [of], list[str]()
    if most is not None:
        full.append(f"peak {_mb(most)} MB ({share})" if share else f"peak {_mb(most)} MB")
        short.append(f"peak {_mb(most)} MB {share}".rstrip())
    if peak is not None:
        full.append(f"load peak {peak:.0f} %")
        short.append(f"{'load' if short else 'load peak'} {peak:.0f} %")
    room = width - LABEL
    joined = ", ".join(full)
    texts = [joined] if len(joined) <= room else [of, ", ".join(short)]
    return [((" " * LABEL + clip(text, room), "dim"),) for text in texts if text]


def _spark(
    view: View, track: Track, label: str, readings: Sequence[float | None], *, width: int, tall: int, peak: bool
) -> list[Line]:
    """Return ``readings`` (percent) as a sparkline between its label and its present value, and its peak if asked."""
    if all(reading is None for reading in readings):
        told = clip(f"not told by {track.server.gpu_source}", width - LABEL)
        return [((left(label, LABEL), "dim"), (told, "dim"))]
    now = track.now(readings)
    most = max((reading for reading in readings if reading is not None), default=None)
    told = f"{now}, max {most:.0f}" if peak and most is not None else now
    figure = PEAK if peak else FIGURE
    drawn = track.drawn(readings, width - LABEL - figure, view.glyphs, tall)
    last: Line = ((left(label, LABEL), "dim"), (drawn[-1], "spark"), (right(told, figure), "text"))
    return [*(((" " * LABEL, "dim"), (line, "spark")) for line in drawn[:-1]), last]


def _axis(view: View, newest: datetime, width: int) -> Line:
    behind = view.now - newest
    fresh = behind.total_seconds() < STALE
    past, present = ("2 min ago", "now") if fresh else ("2 min before", f"{age(behind)} ago")
    past, rule, last = axis(width, past, present, view.glyphs.across)
    return ((" " * LABEL + past, "faint"), (rule, "rule"), (last, "faint"))


def _mb(size: int | None) -> str:
    return "?" if size is None else f"{size / 1048576:,.0f}"
