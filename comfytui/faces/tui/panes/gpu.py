"""The GPU pane: utilisation and VRAM of each device over the last two minutes, with its temperature and power.

Under them stand the attempts of that time, and what each device leaks from scene to scene, once that is certain.
"""

from collections.abc import Sequence

from comfytui.faces.tui.panes.figures import age
from comfytui.faces.tui.panes.gpu_past import GpuPast, timeline
from comfytui.faces.tui.panes.line import BLANK, Line, clip, left, right, safe, spread, wrap
from comfytui.faces.tui.panes.pane import Pane
from comfytui.faces.tui.panes.picture import Picture
from comfytui.faces.tui.panes.sparkline import axis, buckets, sparkline
from comfytui.faces.tui.view import View
from comfytui.model.events import GpuFigures
from comfytui.model.state import GpuMoment
from comfytui.model.trend import words

SPAN = 120.0
"""Seconds that the sparklines show."""

LABEL, FIGURE, PEAK = 6, 7, 15
"""Cells left of a sparkline, right of it, and right of it where the peak stands there too."""

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
        source = view.state.gpu_source
        note: Line = ((f" {source} ", "dim"),) if source and source != "none" else BLANK
        leaking = any(self.past.leak_of(view.state.server.url, device.index) for device in _devices(view))
        note = ((" VRAM leaks ", "warn"),) if leaking else note
        return Picture(lines=lines(view, self.past, width, height), note=note)

    def wish(self, view: View) -> int:
        """Return how many lines all devices would take."""
        devices = _devices(view)
        leaks = sum(2 for device in devices if self.past.leak_of(view.state.server.url, device.index))
        return 8 * len(devices) + bool(view.state.scenes) + leaks if devices else 2


def _devices(view: View) -> tuple[GpuFigures, ...]:
    return view.state.gpu[-1].devices if view.state.gpu else ()


def lines(view: View, past: GpuPast, width: int, height: int) -> list[Line]:
    """Return the lines of all devices: the sparklines as tall as ``height`` allows, the rest where it fits."""
    moments = view.state.gpu
    if not moments or not moments[-1].devices:
        return [((text, "dim"),) for text in wrap(f"No GPU figures: {why_none(view)}.", width)]
    devices = moments[-1].devices
    found = {each.index: past.leak_of(view.state.server.url, each.index) for each in devices}
    leaks = {index: wrap(words(one), width - LABEL) for index, one in found.items() if one is not None}
    room = height - sum(map(len, leaks.values()))
    if room < 4 * len(devices):  # the border says it too
        leaks, room = {}, height
    marked = bool(past.spans) and room >= 3 * len(devices) + 2
    tall, figures = _shape(len(devices), room - marked)
    rows: list[Line] = []
    for device in devices:
        readings = [_at(moment, device.index) for moment in moments]
        if rows and figures:
            rows.append(BLANK)
        rows += _device(view, device, readings, width, tall, peaks=not figures)
        rows += _figures(device, readings, width) if figures else []
        rows += [((" " * LABEL, "text"), (part, "warn")) for part in leaks.get(device.index, ())]
    across = width - LABEL - (FIGURE if figures else PEAK)
    if marked:
        drawn = timeline(list(past.spans.values()), moments[-1].at, SPAN, across, view.glyphs)
        rows.append(((left("scene", LABEL), "dim"), *drawn))
    return [*rows, _axis(view, across)]


def _shape(devices: int, height: int) -> tuple[int, bool]:
    """Return how many lines a sparkline takes and whether there is room for the figures beneath."""
    figures = height >= devices * 6
    room = (height - 1) // devices - (3 if figures else 1)
    return max(1, min(TALLEST, room // 2)), figures


def why_none(view: View) -> str:
    """Return why there are no figures of a GPU, in words."""
    if view.state.gpu_source == "none":
        return "neither the server, NVML nor nvidia-smi gives any here"
    if view.lane.live is False:
        return "none were recorded"
    return "the first reading is still to come"


def _at(moment: GpuMoment, index: int) -> GpuFigures | None:
    return next((device for device in moment.devices if device.index == index), None)


def _device(
    view: View, device: GpuFigures, past: list[GpuFigures | None], width: int, tall: int, *, peaks: bool
) -> list[Line]:
    heat = "" if device.temperature is None else f"{device.temperature:.0f} °C"
    power = "" if device.power is None else f"{device.power:.0f} W"
    side = "  ".join(text for text in (heat, power) if text)
    name = clip(f"{device.index} {safe(device.name)}", width - len(side) - 2)
    total = device.vram_total
    loads = [p.utilization if p else None for p in past]
    shares = [p.vram_used / total * 100 if p and p.vram_used is not None and total else None for p in past]
    return [
        spread(((name, "text"),), ((side, "dim"),) if side else BLANK, width),
        *_spark(view, "load", loads, width=width, tall=tall, peak=peaks),
        *_spark(view, "vram", shares, width=width, tall=tall, peak=peaks),
    ]


def _figures(device: GpuFigures, past: list[GpuFigures | None], width: int) -> list[Line]:
    used, total = device.vram_used, device.vram_total
    most = max((p.vram_used for p in past if p and p.vram_used is not None), default=None)
    peak = max((p.utilization for p in past if p and p.utilization is not None), default=None)
    of = f"{_mb(used)} of {_mb(total)} MB" if used is not None and total is not None else "VRAM not told"
    share = f" ({most / total * 100:.0f} %)" if most is not None and total else ""
    parts = [
        f"peak {_mb(most)}{share}" if most is not None else "",
        f"load peak {peak:.0f} %" if peak is not None else "",
    ]
    side = ", ".join(part for part in parts if part)
    joined = f"{of}, {side}" if side else of
    texts = [joined] if len(joined) <= width - LABEL else [of, side]
    return [((" " * LABEL + clip(text, width - LABEL), "dim"),) for text in texts if text]


def _spark(
    view: View, label: str, readings: Sequence[float | None], *, width: int, tall: int, peak: bool
) -> list[Line]:
    """Return ``readings`` (percent) as a sparkline between its label and its present value, and its peak if asked."""
    if all(reading is None for reading in readings):
        return [((left(label, LABEL), "dim"), (clip(f"not told by {view.state.gpu_source}", width - LABEL), "dim"))]
    moments = view.state.gpu
    timed = zip((moment.at for moment in moments), readings, strict=True)
    now = "n/a" if readings[-1] is None else f"{readings[-1]:.0f} %"
    most = max((reading for reading in readings if reading is not None), default=None)
    told = f"{now}, max {most:.0f}" if peak and most is not None else now
    figure = PEAK if peak else FIGURE
    drawn = sparkline(buckets(timed, moments[-1].at, SPAN, width - LABEL - figure), 100.0, view.glyphs.spark, tall)
    last: Line = ((left(label, LABEL), "dim"), (drawn[-1], "spark"), (right(told, figure), "text"))
    return [*(((" " * LABEL, "dim"), (line, "spark")) for line in drawn[:-1]), last]


def _axis(view: View, width: int) -> Line:
    newest = view.state.gpu[-1].at
    behind = view.now - newest
    fresh = behind.total_seconds() < STALE
    past, present = ("2 min ago", "now") if fresh else ("2 min before", f"{age(behind)} ago")
    past, rule, last = axis(width, past, present, view.glyphs.across)
    return ((" " * LABEL + past, "faint"), (rule, "rule"), (last, "faint"))


def _mb(size: int | None) -> str:
    return "?" if size is None else f"{size / 1048576:,.0f}"
