"""What the name of a frame says: whose it is, which one of its sequence, and which ones are missing. Pure."""

import re
from collections.abc import Iterable

from msgspec import Struct

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
