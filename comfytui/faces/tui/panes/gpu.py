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

LABEL, FIGURE = 6, 7
"""Cells left and right of a sparkline."""

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
        return 6 * len(moments[-1].devices) if moments and moments[-1].devices else 3


def lines(view: View, width: int, height: int) -> list[Line]:
    """Return the lines of all devices; with little height the figures move next to the name."""
    moments = view.state.gpu
    if not moments or not moments[-1].devices:
        return [((text, "dim"),) for text in wrap(f"No GPU figures: {why_none(view)}.", width)]
    devices = moments[-1].devices
    roomy = height >= 6 * len(devices) + 1
    rows: list[Line] = []
    for place, device in enumerate(devices):
        if place and roomy:
            rows.append(BLANK)
        rows += _device(view, device, [_at(moment, device.index) for moment in moments], width, roomy)
    return [*rows, _axis(view, width)]


def why_none(view: View) -> str:
    """Return why there are no figures of a GPU, in words."""
    if view.state.gpu_source == "none":
        return "neither the server, NVML nor nvidia-smi gives any here"
    if view.lane.live is False:
        return "none were recorded"
    return "the first reading is still to come"


def _at(moment: GpuMoment, index: int) -> GpuFigures | None:
    return next((device for device in moment.devices if device.index == index), None)


def _device(view: View, device: GpuFigures, past: list[GpuFigures | None], width: int, roomy: bool) -> list[Line]:
    heat = "" if device.temperature is None else f"{device.temperature:.0f} °C"
    power = "" if device.power is None else f"{device.power:.0f} W"
    side = "  ".join(text for text in (heat, power) if text)
    name = clip(f"{device.index} {safe(device.name)}", width - len(side) - 2)
    rows: list[Line] = [spread(((name, "text"),), ((side, "dim"),) if side else BLANK, width)]

    peak = max((p.utilization for p in past if p and p.utilization is not None), default=None)
    load = None if device.utilization is None else f"{device.utilization:.0f} %"
    rows.append(_spark(view, "load", [p.utilization if p else None for p in past], 100.0, load, width=width))
    used, total = device.vram_used, device.vram_total
    share = f"{used / total:.0%}".replace("%", " %") if used is not None and total else None
    rows.append(_spark(view, "vram", [p.vram_used if p else None for p in past], float(total or 0), share, width=width))
    if roomy:
        rows += _figures(device, past, peak, width)
    return rows


def _figures(device: GpuFigures, past: list[GpuFigures | None], peak: float | None, width: int) -> list[Line]:
    used, total = device.vram_used, device.vram_total
    most = max((p.vram_used for p in past if p and p.vram_used is not None), default=None)
    of = f"{_mb(used)} of {_mb(total)} MB" if used is not None and total is not None else "VRAM not told"
    parts = [f"peak {_mb(most)}" if most is not None else "", f"load peak {peak:.0f} %" if peak is not None else ""]
    side = ", ".join(part for part in parts if part)
    joined = f"{of}, {side}" if side else of
    texts = [joined] if len(joined) <= width - LABEL else [of, side]
    return [((" " * LABEL + clip(text, width - LABEL), "dim"),) for text in texts if text]


def _spark(
    view: View, label: str, readings: Sequence[float | None], top: float, value: str | None, *, width: int
) -> Line:
    room = width - LABEL - FIGURE
    moments = view.state.gpu
    timed = zip((moment.at for moment in moments), readings, strict=True)
    drawn = sparkline(buckets(timed, moments[-1].at, SPAN, room), top, view.glyphs.spark)
    return ((left(label, LABEL), "dim"), (drawn, "spark"), (right(value or "n/a", FIGURE), "text" if value else "dim"))


def _axis(view: View, width: int) -> Line:
    newest = view.state.gpu[-1].at
    behind = view.now - newest
    present = "now" if behind.total_seconds() < STALE else f"{age(behind)} ago"
    return ((" " * LABEL + axis(width - LABEL - FIGURE, "-2 min", present, view.glyphs.across), "faint"),)


def _mb(size: int | None) -> str:
    return "?" if size is None else f"{size / 1048576:,.0f}"
