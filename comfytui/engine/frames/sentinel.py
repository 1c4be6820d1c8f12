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
from msgspec import Struct, structs

from comfytui.clock import Clock, from_epoch
from comfytui.errors import Failure
from comfytui.records.faults import why
from comfytui.sources.frames.folder import Stamp, stamp
from comfytui.sources.frames.markers import Marker, whose_marker, withdraw_marker, write_marker
from comfytui.sources.frames.naming import counter, prefix_of, sequence
from comfytui.sources.frames.verify import prove
from comfytui.untrusted import plain

LOOK_EVERY = 1.0
"""Seconds between two looks."""
LARGEST_SHARE = 0.05
"""A look may take at most this share of the time: trees of many files are looked at less often."""

_RESOLUTION = 0.01


class Word(Struct, frozen=True, kw_only=True):
    """What the sentinel did about a sequence (``sequence``: its path below the folder), or why it did nothing."""

    sequence: str = ""
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
        self.whole: dict[str, Stamp] = {}
        self.due = False
        """It came to rest and was proven, with ``fault``: what is wrong with it, if anything."""
        self.fault = ""
        self.judged = False
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
        self._stopped = False

    def stop(self) -> None:
        """Let the look at hand end after the frame at hand, without marking what is not proven yet. Any thread."""
        self._stopped = True

    def look(self, now: float, at: datetime) -> list[Word]:
        """Look once and return what was done; ``now`` in monotonic seconds, ``at`` for the markers. Never raises.

        What was proven is looked at once more before it is marked: proving takes its time.
        """
        found = dict(_sequences(self._root))
        self._known = {place: self._known.get(place) or _Sequence() for place in found}
        words = [self._told(place, self._seen, names, now) for place, names in found.items()]
        if due := [place for place in found if self._known[place].due]:
            again = dict(_sequences(self._root))
            words += [self._told(place, self._settled, again.get(place, []), at) for place in due]
        return [word for word in words if word is not None]

    @property
    def incomplete(self) -> int:
        """How many sequences have no marker that counts, as of the last look."""
        return sum(not known.marked for known in self._known.values())

    def _told(self, place: _Place, act: Callable[..., Word | None], names: list[str], moment: object) -> Word | None:
        """Return what ``act`` finds, unless it was told already; a fault of the disk is a finding, too."""
        if self._stopped:
            return None
        known, shown = self._known[place], plain(os.path.relpath(place.folder / place.prefix, self._root))
        try:
            word = act(place, known, names, moment)
        except Failure as failure:
            word = Word(what="unwritable", frames=len(names), why=str(failure.words.get("why", failure.what)))
        except OSError as fault:
            word = Word(what="unwritable", frames=len(names), why=why(fault))
        if word is None or (word := structs.replace(word, sequence=shown)) == known.told:
            return None
        known.told = word
        return word

    def _seen(self, place: _Place, known: _Sequence, names: list[str], now: float) -> Word | None:
        """Take in how the sequence is now: its marker may be out of date, and it may be due for one."""
        known.due = False
        if (stamps := _stamps(place.folder, names)) != known.stamps:
            known.stamps, known.since, known.judged = stamps, now, False
        there = whose_marker(*place)
        if there is not None and (there[0] == "theirs" or _current(there[1], stamps, place.prefix)):
            known.judged, known.told = True, None
            return None
        if there is not None and withdraw_marker(*place):
            known.judged = False
            return Word(what="withdrawn", frames=len(stamps), why="its frames are others now")
        if not known.judged and now - known.since >= self._rest - _RESOLUTION:
            known.fault = _hole(stamps, place.prefix) or self._unproven(place.folder, known)
            known.due = True
        return None

    def _settled(self, place: _Place, known: _Sequence, names: list[str], at: datetime) -> Word | None:
        """Mark a sequence that is due, or return why it is not complete; one that moved meanwhile is left."""
        if _stamps(place.folder, names) != known.stamps:
            return None
        frames, latest = len(known.stamps), _latest(known.stamps, place.prefix)
        if known.fault:
            known.judged = True
            return Word(what="incomplete", frames=frames, why=known.fault)
        write_marker(*place, at=at, frame_count=frames, latest=latest)
        known.judged = True
        return Word(what="marked", frames=frames, latest=plain(latest))

    def _unproven(self, folder: Path, known: _Sequence) -> str:
        """Return why a frame is not proven whole; those that were, and have not changed since, are not read again."""
        for name, found in known.stamps.items():
            if self._stopped or known.whole.get(name) == found:
                continue
            proof = prove(folder / name)
            if not proof.whole:
                return f"{plain(name)} is not proven whole: {plain(proof.why) or proof.kind}"
            known.whole[name] = found
        return ""


async def keep_watch(sentinel: Sentinel, clock: Clock, tell: Callable[[Word], object]) -> None:
    """Look until cancelled, and tell what is done. A look is never cut off: :meth:`Sentinel.stop` makes it short."""
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
