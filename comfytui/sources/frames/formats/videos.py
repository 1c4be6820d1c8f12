"""Grammars of the ISO base media family (MP4, MOV, AVIF, HEIC) and of Matroska (WebM, MKV)."""

from collections.abc import Generator

from comfytui.sources.frames.formats.steps import LARGEST_TAKE, Finding, Skip, Step, Steps, Take, broken, unproven

_STILL_BRANDS = {b"avif": "avif", b"avis": "avif", b"heic": "heic", b"heix": "heic", b"mif1": "heic"}
_TELLING = {b"moov", b"mdat", b"moof", b"mfra", b"meta"}


def iso_media() -> Steps:
    """MP4 and its kin (ISO/IEC 14496-12): boxes tile the file, with ``moov`` and ``mdat`` (stills: ``meta``).

    A fragmented file (``moof``) has no end mark but ``mfra``; without that nothing can be concluded. A last box
    "up to the end of the file" (size 0) is what a writer leaves until it knows better, so it proves nothing either.
    """
    seen: set[bytes] = set()
    kind = "mov"
    size: tuple[int | None, int | None] = (None, None)
    open_ended = False
    while head := (yield Take(8, "a box header", end_ok=True)):
        length, name = int.from_bytes(head[:4], "big"), head[4:]
        left = length - 8
        if length == 1:
            left = int.from_bytes((yield Take(8, "a box header")), "big") - 16
        if not _printable(name):
            return broken("a box header is damaged", kind)
        if length == 0:
            open_ended = True
            break
        if left < 0:
            return broken(f"box {_text(name)} has a damaged length", kind)
        seen |= {name} & _TELLING
        if name == b"ftyp" and left >= 4:
            brand = yield Take(4, "box ftyp")
            kind = _STILL_BRANDS.get(brand, "mov" if brand == b"qt  " else "mp4")
            left -= 4
        elif name == b"moov":
            inside = yield from _movie(left)
            if inside is None:
                return broken("the boxes inside moov do not fit it", kind)
            size, left = (inside[0] or None, inside[1] or None), 0
        yield Skip(left, f"box {_text(name)}")
    return _iso_finding(seen, open_ended, kind, size)


def _iso_finding(seen: set[bytes], open_ended: bool, kind: str, size: tuple[int | None, int | None]) -> Finding:
    needed = b"meta" if kind in ("avif", "heic") and b"moov" not in seen else b"moov"
    if needed not in seen:
        return broken(f"its index is not written yet (no box {_text(needed)})", kind)
    if open_ended:
        return unproven("its last box runs to the end of the file, wherever that is", kind)
    if b"moof" in seen and b"mfra" not in seen:
        return unproven("a fragmented file without an end mark (mfra)", kind)
    if b"mdat" not in seen:
        return broken("it has no media data (no box mdat)", kind)
    return Finding(True, width=size[0], height=size[1], trailing_ok=False, kind=kind)


def _movie(left: int) -> Generator[Step, bytes, tuple[int, int] | None]:
    """Pass the ``left`` bytes inside ``moov``: the largest width and height of its tracks; ``None`` if broken."""
    width, height = 0, 0
    while left:
        length, name, left = yield from _inner_box(left, "box moov")
        if left < 0:
            return None
        if name != b"trak":
            yield Skip(length, "box moov")
        elif (size := (yield from _track(length))) is None:
            return None
        else:
            width, height = max(width, size[0]), max(height, size[1])
    return width, height


def _track(left: int) -> Generator[Step, bytes, tuple[int, int] | None]:
    """Pass the ``left`` bytes inside ``trak``: width and height from its header (0: sound); ``None`` if broken."""
    size = (0, 0)
    while left:
        length, name, left = yield from _inner_box(left, "box trak")
        if left < 0:
            return None
        if name == b"tkhd" and length >= 84:
            header = yield Take(min(length, 96), "box tkhd")
            at, length = (88 if header[0] == 1 else 76), length - len(header)
            size = (int.from_bytes(header[at : at + 2], "big"), int.from_bytes(header[at + 4 : at + 6], "big"))
        yield Skip(length, "box trak")
    return size


def _inner_box(left: int, place: str) -> Generator[Step, bytes, tuple[int, bytes, int]]:
    """Read a box header inside ``left`` bytes: content length, name, what is left after the box (< 0: broken)."""
    if left < 8:  # QuickTime ends some lists with four zero bytes
        yield Skip(left, place)
        return 0, b"", 0 if left == 4 else -1
    head = yield Take(8, place)
    length = int.from_bytes(head[:4], "big") - 8
    return length, head[4:], left - 8 - length if length >= 0 else -1


def _printable(name: bytes) -> bool:
    return all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in name)


def _text(name: bytes) -> str:
    return name.decode("latin-1").strip()


_SEGMENT = b"\x18\x53\x80\x67"
_DOC_TYPE = b"\x42\x82"


def matroska() -> Steps:
    """WebM and MKV (RFC 9559): the EBML header, then a Segment whose known size ends exactly where the file ends.

    A Segment of unknown size is a live stream, or a file that is still being written: no conclusion.
    """
    yield Take(4, "the EBML header")
    header_size = yield from _size("the EBML header")
    if header_size is None or header_size > LARGEST_TAKE:
        return broken("the EBML header is damaged", "mkv")
    header = yield Take(header_size, "the EBML header")
    kind = "webm" if _DOC_TYPE + b"\x84webm" in header else "mkv"
    segments = 0
    while first := (yield Take(1, "an element", end_ok=True)):
        width = 9 - first[0].bit_length()
        if width > 4:
            return broken("an element is damaged", kind)
        element = first + ((yield Take(width - 1, "an element")) if width > 1 else b"")
        size = yield from _size("an element")
        if size is None:
            if element == _SEGMENT:
                return unproven("its segment does not tell its length", kind)
            return broken("an element is damaged", kind)
        if element == _SEGMENT:
            segments += 1
            if not size:
                return broken("its segment is empty", kind)
        yield Skip(size, "the segment" if element == _SEGMENT else "an element")
    return Finding(True, trailing_ok=False, kind=kind) if segments else broken("it has no segment", kind)


def _size(place: str) -> Generator[Step, bytes, int | None]:
    """Read an EBML size; ``None`` when it is unknown or damaged."""
    first = (yield Take(1, place))[0]
    width = 9 - first.bit_length()
    if width > 8:
        return None
    rest = (yield Take(width - 1, place)) if width > 1 else b""
    value = int.from_bytes(bytes([first & ((1 << (8 - width)) - 1)]) + rest, "big")
    return None if value == (1 << 7 * width) - 1 else value
