"""The sentinel: done markers for sequences of frames that nobody else marks, once they are proven complete.

A sequence is complete when nothing about it changed for a while, no counter is missing inside of it and the structure
of every frame proves it whole. One that grows afterwards loses our marker at the next look; a producer's is never
touched.
"""

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple

from anyio import to_thread
from msgspec import Struct

from comfytui.clock import Clock, from_epoch
from comfytui.errors import Failure
from comfytui.records.faults import why
from comfytui.sources.frames.folder import Stamp, stamp
from comfytui.sources.frames.markers import Marker, whose_marker, withdraw_marker, write_marker
from comfytui.sources.frames.tracker import counter, prefix_of, sequence
from comfytui.sources.frames.verify import prove
from comfytui.untrusted import plain

LOOK_EVERY = 1.0
"""Seconds between two looks."""
LARGEST_SHARE = 0.05
"""A look may take at most this share of the time: trees of many files are looked at less often."""

_RESOLUTION = 0.01


class Word(Struct, frozen=True, kw_only=True):
    """What the sentinel did about a sequence (``sequence``: its path below the folder), or why it did nothing."""

    sequence: str
    what: Literal["marked", "withdrawn", "incomplete", "unwritable"]
    frames: int
    latest: str = ""
    why: str = ""


class _Place(NamedTuple):
    folder: Path
    prefix: str


class _Sequence:
    """What is remembered of one sequence: the stamps of its frames, since when, and what was told of it."""

    def __init__(self) -> None:
        self.stamps: dict[str, Stamp] = {}
        self.since = 0.0
        self.judged = False
        self.whole: dict[str, Stamp] = {}
        self.told: Word | None = None

    @property
    def marked(self) -> bool:
        """Whether it was judged, and has a marker since."""
        return self.judged and (self.told is None or self.told.what == "marked")


class Sentinel:
    """Marks the sequences in ``root`` and the folders below it that rest for ``rest`` seconds. Blocking."""

    def __init__(self, root: Path, rest: float) -> None:
        self._root, self._rest = root, rest
        self._known: dict[_Place, _Sequence] = {}

    def look(self, now: float, at: datetime) -> list[Word]:
        """Look once and return what was done; ``now`` in monotonic seconds, ``at`` for the markers. Never raises."""
        words: list[Word] = []
        found = dict(_sequences(self._root))
        self._known = {place: self._known.get(place) or _Sequence() for place in found}
        for place, names in found.items():
            known = self._known[place]
            word = self._looked_at(place, names, known, now, at)
            if word is not None and word != known.told:
                known.told = word
                words.append(word)
        return words

    @property
    def incomplete(self) -> int:
        """How many sequences have no marker that counts, as of the last look."""
        return sum(not known.marked for known in self._known.values())

    def _looked_at(self, place: _Place, names: list[str], known: _Sequence, now: float, at: datetime) -> Word | None:
        shown = plain(os.path.relpath(place.folder / place.prefix, self._root))
        try:
            if (stamps := _stamps(place.folder, names)) != known.stamps:
                known.stamps, known.since, known.judged = stamps, now, False
            there = whose_marker(*place)
            if there is not None and (there[0] == "theirs" or _current(there[1], stamps, place.prefix)):
                known.judged, known.told = True, None
                return None
            if there is not None and withdraw_marker(*place):
                known.judged = False
                return Word(sequence=shown, what="withdrawn", frames=len(stamps), why="its frames are others now")
            if known.judged or now - known.since < self._rest - _RESOLUTION:
                return None
            return _judged(place, known, shown, at)
        except Failure as failure:
            reason = str(failure.words.get("why", failure.what))
        except OSError as fault:
            reason = why(fault)
        return Word(sequence=shown, what="unwritable", frames=len(names), why=reason)


def _judged(place: _Place, known: _Sequence, shown: str, at: datetime) -> Word | None:
    """Mark a sequence at rest, or return why it is not complete. Raises ``Failure`` ``run.unwritable``, ``OSError``."""
    stamps, latest = known.stamps, _latest(known.stamps, place.prefix)
    reason = _hole(stamps, place.prefix) or _unproven(place.folder, known)
    if _stamps(place.folder, _names(place)) != stamps:
        return None  # it moved while it was proven: the next look sees how
    if reason:
        known.judged = True
        return Word(sequence=shown, what="incomplete", frames=len(stamps), why=reason)
    write_marker(*place, at=at, frame_count=len(stamps), latest=latest)
    known.judged = True
    return Word(sequence=shown, what="marked", frames=len(stamps), latest=plain(latest))


async def keep_watch(root: Path, rest: float, clock: Clock, tell: Callable[[Word], object]) -> None:
    """Look until cancelled, and tell what is done."""
    sentinel = Sentinel(root, rest)
    while True:
        began = clock.monotonic()
        for word in await to_thread.run_sync(sentinel.look, began, clock.now()):
            tell(word)
        await clock.sleep(max(LOOK_EVERY, (clock.monotonic() - began) / LARGEST_SHARE))


async def look_once(root: Path, rest: float, clock: Clock, tell: Callable[[Word], object]) -> int:
    """Look, let ``rest`` seconds pass, look again, tell what is done, and return how many sequences have no marker."""
    sentinel = Sentinel(root, rest)
    words = await to_thread.run_sync(sentinel.look, clock.monotonic(), clock.now())
    await clock.sleep(rest)
    words += await to_thread.run_sync(sentinel.look, clock.monotonic(), clock.now())
    for word in words:
        tell(word)
    return sentinel.incomplete


def _sequences(root: Path) -> Iterator[tuple[_Place, list[str]]]:
    """Yield place and frame names of each sequence; links are not followed, hidden folders not entered."""
    for place, below, files in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        found: dict[str, list[str]] = {}
        for name in files:
            if (prefix := prefix_of(name)) is not None and not name.startswith("."):
                found.setdefault(prefix, []).append(name)
        for prefix, names in sorted(found.items()):
            yield _Place(Path(place), prefix), names


def _names(place: _Place) -> list[str]:
    with os.scandir(place.folder) as entries:
        return [entry.name for entry in entries if prefix_of(entry.name) == place.prefix]


def _stamps(folder: Path, names: list[str]) -> dict[str, Stamp]:
    stamps = {name: stamp(folder / name) for name in sorted(names)}
    return {name: found for name, found in stamps.items() if found is not None}


def _latest(stamps: dict[str, Stamp], prefix: str) -> str:
    return max(stamps, key=lambda name: (counter(name, prefix) or 0, name), default="")


def _current(marker: Marker, stamps: dict[str, Stamp], prefix: str) -> bool:
    """Tell whether our marker still says what is there."""
    newest = max((from_epoch(one.mtime_ns / 1e9) for one in stamps.values()), default=None)
    same = marker.frame_count == len(stamps) and marker.latest == plain(_latest(stamps, prefix))
    return same and newest is not None and newest <= marker.timestamp


def _hole(stamps: dict[str, Stamp], prefix: str) -> str:
    """Return which counters are missing inside the sequence; where it begins is nobody's promise."""
    if not stamps:
        return "it has no regular files"
    first = min(number for name in stamps if (number := counter(name, prefix)) is not None)
    found = sequence(stamps, prefix, first)
    if not found.gaps:
        return ""
    return f"{found.gaps} counters are missing, the first is {found.missing[0]}"


def _unproven(folder: Path, known: _Sequence) -> str:
    """Return why a frame is not proven whole; those that were, and have not changed since, are not read again."""
    for name, found in known.stamps.items():
        if known.whole.get(name) == found:
            continue
        proof = prove(folder / name)
        if not proof.whole:
            return f"{plain(name)} is not proven whole: {plain(proof.why) or proof.kind}"
        known.whole[name] = found
    return ""
