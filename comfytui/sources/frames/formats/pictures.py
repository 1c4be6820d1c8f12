"""Grammars of PNG (with APNG), JPEG and GIF."""

import re
import struct
from zlib import crc32

from comfytui.sources.frames.formats.steps import Finding, Skip, Steps, Sum, Take, Until, broken

_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


def png() -> Steps:
    """PNG, ISO/IEC 15948: signature, IHDR first, chunk lengths that fit, every CRC right, IDAT there, IEND last."""
    yield Take(8, "the signature")
    head = yield Take(8, "the first chunk header")
    if head != b"\x00\x00\x00\x0dIHDR":
        return broken("the first chunk is not IHDR")
    header = yield Take(13, "chunk IHDR")
    width, height, depth, colour = struct.unpack(">IIBB", header[:10])
    crc = crc32(header, crc32(b"IHDR")).to_bytes(4, "big")
    if crc != (yield Take(4, "chunk IHDR")):
        return broken("chunk IHDR is damaged (CRC)")
    if not (0 < width < 1 << 31 and 0 < height < 1 << 31 and depth in _PNG_DEPTHS.get(colour, ())):
        return broken("chunk IHDR describes no picture")
    pixels = False
    while True:
        head = yield Take(8, "the chunks: no IEND")
        length, name = int.from_bytes(head[:4], "big"), head[4:]
        if length >= 1 << 31 or not (name.isascii() and name.isalpha()):
            return broken("a chunk header is damaged")
        place = f"chunk {name.decode('ascii')}"
        crc = yield Sum(length, crc32(name), place)
        if crc != (yield Take(4, place)):
            return broken(f"{place} is damaged (CRC)")
        pixels = pixels or name == b"IDAT"
        if name == b"IEND":
            if length or not pixels:
                return broken("chunk IEND is damaged" if length else "it has no pixels (IDAT)")
            return Finding(True, width=width, height=height)


_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def jpeg() -> Steps:
    """JPEG, ITU-T T.81: SOI, segments whose lengths fit, a frame header, at least one scan, EOI."""
    yield Take(2, "SOI")
    width: int | None = None
    height: int | None = None
    framed = scanned = False
    marker = yield Take(2, "a marker")
    while True:
        code = marker[1]
        while code == 0xFF:  # fill bytes
            code = (yield Take(1, "a marker"))[0]
        if marker[0] != 0xFF or code in (0x00, 0xD8):
            return broken("a segment is damaged: no marker where one must be")
        if code == 0xD9:
            if framed and scanned:
                return Finding(True, width=width, height=height)
            return broken("it has no picture before EOI")
        if code != 0x01 and not 0xD0 <= code <= 0xD7:
            left = int.from_bytes((yield Take(2, "a segment")), "big") - 2
            if left < 0:
                return broken("a segment length is damaged")
            if code in _FRAME_MARKERS and left >= 6:
                height, width = struct.unpack(">HH", (yield Take(6, "the frame header"))[1:5])
                height = height or None  # zero: told later by a DNL segment
                framed, left = True, left - 6
            yield Skip(left, "a segment")
        if code == 0xDA:
            scanned = True
            marker = yield Until(_MARKER_IN_SCAN, "the picture data: no EOI")
        else:
            marker = yield Take(2, "the segments: no EOI")


def gif() -> Steps:
    """GIF87a and GIF89a: blocks and sub-blocks up to the trailer 0x3B, at least one image among them."""
    screen = yield Take(13, "the screen descriptor")
    width, height, flags = struct.unpack("<HHB", screen[6:11])
    if flags & 0x80:
        yield Skip(3 << ((flags & 7) + 1), "the colour table")
    images = 0
    while True:
        block = (yield Take(1, "the blocks: no trailer"))[0]
        if block == 0x3B:
            return Finding(True, width=width, height=height) if images else broken("it has no image before its trailer")
        if block == 0x21:
            yield Skip(1, "an extension")
        elif block == 0x2C:
            flags = (yield Take(9, "an image descriptor"))[8]
            if flags & 0x80:
                yield Skip(3 << ((flags & 7) + 1), "a colour table")
            yield Skip(1, "an image")
            images += 1
        else:
            return broken("a block is damaged")
        while size := (yield Take(1, "the image data"))[0]:
            yield Skip(size, "the image data")
