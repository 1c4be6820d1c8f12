"""How figures are written: counts, spans of time, sizes. Pure, and no finer than a reader can use."""

from datetime import datetime, timedelta, tzinfo

from comfytui.clock import in_zone


def plural(count: int, noun: str) -> str:
    """Return ``1 scene`` or ``3 scenes``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def duration(seconds: float) -> str:
    """Return a span of time as people read it: ``8.4 s``, ``2m 05s``, ``1h 07m``."""
    if seconds < 60:
        return f"{max(seconds, 0.0):.1f} s" if seconds < 59.95 else "1m 00s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m {rest:02d}s" if minutes < 60 else f"{minutes // 60}h {minutes % 60:02d}m"


def roughly(seconds: float) -> str:
    """Return an estimate no finer than it is worth: ``40 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 55:
        return f"{max(10, round(seconds / 10) * 10)} s"
    minutes = max(1, round(seconds / 60))
    if minutes < 60:
        return f"{minutes} min"
    minutes = round(minutes / 10) * 10 if minutes >= 120 else minutes
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes % 60 else f"{minutes // 60} h"


def span(likely: float, late: float) -> str:
    """Return a range of estimated seconds: ``12-18 min``, ``50 s to 2 min``, ``~12 min`` where both read the same."""
    first, last = roughly(likely), roughly(late)
    if first == last:
        return f"~{first}"
    number, _, unit = first.partition(" ")
    return f"{number}-{last}" if last.partition(" ")[2] == unit else f"{first} to {last}"


def age(span: timedelta) -> str:
    """Return how long ago something was, in steps coarse enough to be calm: ``now``, ``25 s``, ``3 min``, ``2 h``."""
    seconds = span.total_seconds()
    if seconds < 5:
        return "now"
    if seconds < 60:
        return f"{int(seconds // 5) * 5} s"
    return f"{int(seconds // 60)} min" if seconds < 3600 else f"{int(seconds // 3600)} h"


def clock_face(seconds: float) -> str:
    """Return elapsed time as ``04:09`` or ``1:42:10``."""
    minutes, rest = divmod(max(int(seconds), 0), 60)
    return f"{minutes:02d}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def file_size(size: int) -> str:
    """Return bytes as people read them, in at most 7 cells: ``812 B``, ``64 kB``, ``1.2 MB``, ``24.0 GB``."""
    if size < 1024:
        return f"{size} B"
    for unit, scale in (("kB", 1024), ("MB", 1024**2), ("GB", 1024**3)):
        if size < scale * 1000:
            return f"{size / scale:.0f} {unit}" if unit == "kB" or size >= scale * 100 else f"{size / scale:.1f} {unit}"
    return f"{size / 1024**4:.1f} TB"


def signed(value: float) -> str:
    """Return a difference with its sign and thousands: ``-1,400.0``, ``+12.5``, ``0.0``."""
    return f"{value:+,.1f}" if value else "0.0"


def wall_time(moment: datetime, zone: tzinfo | None, seconds: bool = True) -> str:
    """Return ``moment`` on the wall clock of ``zone`` (``None``: this machine's): ``23:04:59``."""
    return in_zone(moment, zone).strftime("%H:%M:%S" if seconds else "%H:%M")


def wall_range(first: datetime, last: datetime, now: datetime, zone: tzinfo | None) -> str:
    """Return the minutes from ``first`` to ``last`` as ``23:41-23:58``, with the day where that is not today."""

    def told(moment: datetime, day: datetime) -> str:
        there = in_zone(moment, zone)
        return there.strftime("%H:%M" if there.date() == in_zone(day, zone).date() else "%a %H:%M")

    start, end = told(first, now), told(last, first)
    return start if first == last or start == end else f"{start}-{end}"
