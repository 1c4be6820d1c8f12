"""The GPU pane: utilisation and VRAM of each device over the last two minutes, with its temperature and power."""

from collections.abc import Sequence

from comfytui.faces.tui.panes.figures import age
from comfytui.faces.tui.panes.line import BLANK, Line, clip, left, right, safe, spread, wrap
from comfytui.faces.tui.panes.pane import Pane
from comfytui.faces.tui.panes.picture import Picture
from comfytui.faces.tui.panes.sparkline import axis, buckets, sparkline
from comfytui.faces.tui.view import View
from comfytui.model.events import GpuFigures
from comfytui.model.state import GpuMoment

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

    def draw(self, view: View, width: int, height: int) -> Picture:
        """Return the picture of all devices."""
        source = view.state.gpu_source
        note: Line = ((f" {source} ", "dim"),) if source and source != "none" else BLANK
        return Picture(lines=lines(view, width, height), note=note)

    def wish(self, view: View) -> int:
        """Return how many lines all devices would take."""
        moments = view.state.gpu
        return 8 * len(moments[-1].devices) if moments and moments[-1].devices else 2


def lines(view: View, width: int, height: int) -> list[Line]:
    """Return the lines of all devices: the sparklines as tall as ``height`` allows, the figures where they fit."""
    moments = view.state.gpu
    if not moments or not moments[-1].devices:
        return [((text, "dim"),) for text in wrap(f"No GPU figures: {why_none(view)}.", width)]
    tall, figures = _shape(len(moments[-1].devices), height)
    rows: list[Line] = []
    for device in moments[-1].devices:
        past = [_at(moment, device.index) for moment in moments]
        if rows and figures:
            rows.append(BLANK)
        rows += _device(view, device, past, width, tall, peaks=not figures)
        rows += _figures(device, past, width) if figures else []
    return [*rows, _axis(view, width - LABEL - (FIGURE if figures else PEAK))]


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
    parts = [f"peak {_mb(most)}" if most is not None else "", f"load peak {peak:.0f} %" if peak is not None else ""]
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
    present = "now" if behind.total_seconds() < STALE else f"{age(behind)} ago"
    past, rule, last = axis(width, "2 min ago", present, view.glyphs.across)
    return ((" " * LABEL + past, "faint"), (rule, "rule"), (last, "faint"))


def _mb(size: int | None) -> str:
    return "?" if size is None else f"{size / 1048576:,.0f}"
