"""A dashboard on a stage: a scripted feed, a clock that stands still, a terminal of a given size, and no I/O."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC
from time import monotonic

from textual.pilot import Pilot

from comfytui.faces.tui.app import Dashboard
from comfytui.faces.tui.options import DashboardOptions, Leaving
from comfytui.model.feed import FeedItem
from tests.ui.script import FixedClock, Script, ScriptedFeed

WIDE, NORMAL, COMPACT = (120, 40), (80, 24), (60, 15)
HUGE = (200, 60)
FAR_FONT = re.compile(r',\s*url\("https?:[^"]*"\) format\("[^"]*"\)')
"""Where a picture would fetch its font from; one that is not installed is replaced by any of fixed width."""
SIZES = {"120x40": WIDE, "80x24": NORMAL, "60x15": COMPACT}
"""The sizes of most pictures."""
ALL_SIZES = {"200x60": HUGE, **SIZES}
PATIENCE = 30.0
"""Seconds after which what does not come has failed: far more than the slowest machine needs."""


class Stage:
    """What a test has in hand while the dashboard runs."""

    def __init__(self, app: Dashboard, feed: ScriptedFeed, clock: FixedClock, pilot: Pilot[Leaving]) -> None:
        self.app, self.feed, self.clock, self.pilot = app, feed, clock, pilot

    async def press(self, *keys: str) -> None:
        """Press ``keys``, one after the other, and let each have its effect."""
        for one in keys:
            await self.pilot.press(one)
            await self.settle()

    async def tell(self, items: Sequence[FeedItem]) -> None:
        """Let ``items`` come from the feed and be shown."""
        self.feed.push(items)
        await self.settle()

    async def settle(self) -> None:
        """Wait until the feed is read and everything due is painted."""
        rests, began = 0, monotonic()
        while rests < 2:
            assert monotonic() - began < PATIENCE, "the dashboard does not come to rest"
            await self.pilot.pause(0.002)
            rests = rests + 1 if self.app.at_rest and self.feed.drained else 0

    async def until(self, come: Callable[[], bool]) -> None:
        """Wait until ``come`` is true, and all is painted."""
        began = monotonic()
        while not come():
            assert monotonic() - began < PATIENCE, f"it does not come:\n{self.text()}"
            await self.pilot.pause(0.005)
        await self.settle()

    def text(self) -> str:
        """Return what is on the screen as plain text."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip) for strip in strips)

    def line(self, word: str) -> str:
        """Return the first line of the screen that holds ``word``."""
        return next(line for line in self.text().splitlines() if word in line)

    def picture(self) -> str:
        """Return what is on the screen as an SVG that is the same in every run, and asks the network for nothing."""
        svg = self.app.export_screenshot(title="comfytui", simplify=True)
        own = svg.partition("terminal-")[2].partition("-")[0]
        return FAR_FONT.sub("", svg.replace(f"terminal-{own}", "terminal"))


@asynccontextmanager
async def stage(
    script: Script, size: tuple[int, int] = WIDE, feed_failure: Exception | None = None, **more: object
) -> AsyncIterator[Stage]:
    """Run the dashboard on ``script`` in a terminal of ``size``.

    ``feed_failure`` ends the feed; ``more`` are :class:`DashboardOptions`.
    """
    feed, clock = ScriptedFeed(script.items, feed_failure), FixedClock(script.at)
    options: dict[str, object] = {"zone": UTC, "facts_within": 0.0, "samples_every": 0.0, **more}
    app = Dashboard(feed, clock, DashboardOptions(**options))  # type: ignore[arg-type]
    app.animation_level = "none"
    async with app.run_test(size=size) as pilot:
        on_stage = Stage(app, feed, clock, pilot)
        await on_stage.settle()
        yield on_stage
