"""What the looks at a frame add up to: whether it still grows, what it is worth, which ones are missing. Pure."""

import re
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from comfytui.model.frame_rows import FrameState
from comfytui.sources.frames.folder import FrameSeen
from comfytui.sources.frames.verify import Proof

#: Seconds without a change after which a file counts as settled where its structure cannot prove it whole.
STABILITY = 2.0

#: How many missing counters are listed one by one.
MOST_LISTED = 1000

_FRAME_ENDINGS = frozenset(
    """png apng jpg jpeg webp gif avif heic bmp tif tiff exr hdr svg psd mp4 m4v mov webm mkv avi
    wav flac mp3 ogg opus m4a aac glb obj""".split()  # noqa: SIM905
)
# SaveImage writes `prefix_00001_.png`; video nodes write `prefix_00001.mp4` and `prefix_00001-audio.mp4`.
_TAIL = re.compile(r"(?:_([0-9]{1,9})(?:_|-audio)?)?\.([A-Za-z0-9]{1,5})")

_NAME = re.compile(r"(.+)_([0-9]{1,9})(?:_|-audio)?\.([A-Za-z0-9]{1,5})", re.DOTALL)


def belongs(name: str, prefix: str) -> bool:
    """Tell whether the file called ``name`` is a frame of exactly this ``prefix`` (its last part, without folders).

    ``scene-1`` owns ``scene-1_00001_.png``, but not ``scene-10_00001_.png`` or ``scene-1-a2_00001_.png``; markers,
    sidecar texts and unfinished downloads are no frames.
    """
    return _tail(name, prefix) is not None


def counter(name: str, prefix: str) -> int | None:
    """Return the counter in the name of a frame of ``prefix`` (SaveImage counts from 1), or ``None``."""
    tail = _tail(name, prefix)
    return int(tail[1]) if tail and tail[1] else None


def prefix_of(name: str) -> str | None:
    """Return the prefix of the frame called ``name``; ``None`` for a file that has no counter or is no frame."""
    found = _NAME.fullmatch(name)
    return found[1] if found and found[3].lower() in _FRAME_ENDINGS else None


def _tail(name: str, prefix: str) -> re.Match[str] | None:
    if not prefix or not name.startswith(prefix):
        return None
    tail = _TAIL.fullmatch(name, len(prefix))
    return tail if tail and tail[2].lower() in _FRAME_ENDINGS else None


class Sequence(Struct, frozen=True, kw_only=True):
    """The counters of a prefix: how many there are, the last one, and which are missing below it.

    ``missing`` lists at most :data:`MOST_LISTED` of the ``gaps`` counters that are missing.
    """

    present: int = 0
    last: int | None = None
    gaps: int = 0
    missing: tuple[int, ...] = ()


def sequence(names: Iterable[str], prefix: str, first: int = 1) -> Sequence:
    """Return the sequence that these names are; a fresh prefix begins at ``first``, and may begin at 0."""
    there = sorted({number for name in names if (number := counter(name, prefix)) is not None})
    if not there:
        return Sequence()
    missing: list[int] = []
    gaps, due = 0, min(first, there[0])
    for number in there:
        gaps += number - due
        missing.extend(range(due, min(number, due + MOST_LISTED - len(missing))))
        due = number + 1
    return Sequence(present=len(there), last=there[-1], gaps=gaps, missing=tuple(missing))


class FrameTrack(Struct, frozen=True, kw_only=True):
    """What is known of a growing file; times are monotonic seconds, ``rate`` is bytes a second while it grows."""

    path: Path
    name: str
    bytes: int
    mtime_ns: int
    first_at: float
    changed_at: float
    rate: float | None = None
    gone: bool = False


def observe(before: FrameTrack | None, seen: FrameSeen, at: float) -> FrameTrack:
    """Return the track after one more look at the time ``at``; a replaced or returned file begins anew."""
    fresh = before is None or before.gone or seen.change in ("present", "added", "replaced")
    if seen.change == "deleted" or before is None or fresh:
        first = at if before is None or fresh else before.first_at
        return FrameTrack(
            path=seen.path,
            name=seen.name,
            bytes=seen.bytes,
            mtime_ns=seen.mtime_ns,
            first_at=first,
            changed_at=at,
            gone=seen.change == "deleted",
        )
    if (seen.bytes, seen.mtime_ns) == (before.bytes, before.mtime_ns):
        return before
    return FrameTrack(
        path=seen.path,
        name=seen.name,
        bytes=seen.bytes,
        mtime_ns=seen.mtime_ns,
        first_at=before.first_at,
        changed_at=at,
        rate=_rate(before, seen.bytes, at),
    )


def _rate(before: FrameTrack, size: int, at: float) -> float | None:
    """Return bytes a second, the latest growth weighing as much as all before it."""
    grown, took = size - before.bytes, at - before.changed_at
    if grown <= 0 or took <= 0:
        return before.rate if grown >= 0 else None
    latest = grown / took
    return latest if before.rate is None else (before.rate + latest) / 2


def settled(track: FrameTrack, at: float, window: float = STABILITY) -> bool:
    """Tell whether the file is there, is not empty and has not changed for ``window`` seconds at the time ``at``."""
    return not track.gone and track.bytes > 0 and at - track.changed_at >= window


def judge(track: FrameTrack | None, proof: Proof | None, at: float, window: float = STABILITY) -> FrameState:
    """Return what the frame is worth at the time ``at``.

    ``proven`` by structure at once; otherwise ``writing`` until it has settled, then ``truncated`` where the structure
    says so and ``unproven`` where it can say nothing. ``missing`` when the file is not there.
    """
    if track is None or track.gone or (proof is not None and proof.kind == "missing"):
        return "missing"
    current = proof if proof is not None and (proof.bytes == track.bytes or proof.kind == "unreadable") else None
    if current is not None and current.whole:
        return "proven"
    if current is None or at - track.changed_at < window:
        return "writing"
    return "truncated" if current.proven else "unproven"
