"""The frames of one prefix in an output folder, which holds those of all scenes: what finding them may cost.

ComfyUI keeps the frames of all prompts of a run in one folder, and the system lists a folder only as a whole. So the
listing that follows each scene costs more with each scene that is over. Of a real story it stays far below a hundredth
of the time; where scenes take milliseconds it would grow to most of it.

So it may be left out where it has become dear and nothing says that it would find anything. What the nodes of a
workflow report does not change from scene to scene: as long as no frame was ever found that was not reported, a listing
now and then is enough, and one such frame is reason to list after every scene from then on.
"""

import os
from pathlib import Path

import anyio
from anyio import to_thread

from comfytui.clock import Clock
from comfytui.sources.frames.naming import belongs

SMALL = 1000
"""Names up to which a folder is listed whenever somebody asks: that takes about half a millisecond."""
LARGEST_SHARE = 0.01
"""The share of the time that listing a larger one may take, where it may be left out."""
LEARNT = 20
"""Listings after which it is known what a workflow reports."""


class Listing:
    """Lists a folder, and tells when doing so once more would be dear."""

    def __init__(self, clock: Clock, limit: anyio.CapacityLimiter) -> None:
        """``limit`` is who else works with the disk at the same time."""
        self._clock, self._limit = clock, limit
        self._next_at = float("-inf")
        self._listings = 0

    @property
    def dear(self) -> bool:
        """Whether the last listing took so long that the next one would exceed its share of the time."""
        return self._listings >= LEARNT and self._clock.monotonic() < self._next_at

    async def names(self, folder: Path, stem: str) -> list[str]:
        """Return the frames of ``stem`` in ``folder``, in no order; none where it cannot be read."""
        began = self._clock.monotonic()
        found, passed = await to_thread.run_sync(_frames_in, folder, stem, limiter=self._limit)
        ended = self._clock.monotonic()
        self._listings += 1
        self._next_at = ended + (ended - began) / LARGEST_SHARE if passed > SMALL else ended
        return found


def _frames_in(folder: Path, stem: str) -> tuple[list[str], int]:
    """Return the frames of ``stem`` and the number of all names in ``folder``: most names are only passed."""
    try:
        there = os.listdir(folder)  # noqa: PTH208
        names = [name for name in there if name.startswith(stem)]
        return [name for name in names if belongs(name, stem) and (folder / name).is_file()], len(there)
    except OSError:
        return [], 0
