"""What a whole file of each kind looks like: one grammar a format, chosen by the first bytes, never by the name.

A grammar is a generator over :mod:`comfytui.sources.frames.formats.steps`. It reads the structure of a file and
nothing else: no pixel and no sample is ever decoded, so that no file can be a decompression bomb.
"""

from comfytui.sources.frames.formats.pictures import gif, jpeg, png
from comfytui.sources.frames.formats.riff import wav, webp
from comfytui.sources.frames.formats.sounds import flac, mp3, mp3_frame, ogg
from comfytui.sources.frames.formats.steps import Grammar
from comfytui.sources.frames.formats.videos import iso_media, matroska

#: How many leading bytes :func:`grammar_for` wants to see (fewer only when the file is shorter).
MAGIC_BYTES = 12

_ISO_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide")


def grammar_for(head: bytes) -> tuple[str, Grammar | None]:
    """Return the kind and the grammar for a file that begins with ``head``; ``("unknown", None)`` when none fits."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png", png
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg", jpeg
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp", webp
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return "wav", wav
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif", gif
    if head[4:8] in _ISO_FIRST_BOXES:
        return "mp4", iso_media
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "mkv", matroska
    return _sound_for(head)


def _sound_for(head: bytes) -> tuple[str, Grammar | None]:
    if head.startswith(b"fLaC"):
        return "flac", flac
    if head.startswith(b"OggS"):
        return "ogg", ogg
    if head.startswith(b"ID3") or (len(head) >= 4 and mp3_frame(head[:4]) is not None):
        return "mp3", mp3
    return "unknown", None


#: What the first bytes of a file that is still being born may be the beginning of.
MAGICS = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"RIFF",
    b"RF64",
    b"BW64",
    b"GIF87a",
    b"GIF89a",
    b"\x1a\x45\xdf\xa3",
    b"fLaC",
    b"OggS",
    b"ID3",
)
