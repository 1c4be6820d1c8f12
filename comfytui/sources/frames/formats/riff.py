"""Grammars of the RIFF family: WebP and WAV.

The length in the header must be the length of the file to the byte: a writer that patches its header at the end
(Python's ``wave`` does) leaves a header that is sound but too small as long as it writes.
"""

import struct
from collections.abc import Generator

from comfytui.sources.frames.formats.steps import Finding, Skip, Step, Steps, Take, broken, unproven

_STREAMED = 0xFFFFFFFF


def webp() -> Steps:
    """WebP (RFC 9649): the chunks tile the RIFF length exactly, and there is a bitstream (VP8, VP8L or ANMF)."""
    head = yield Take(12, "the RIFF header")
    left = int.from_bytes(head[4:8], "little") - 4
    kinds: set[bytes] = set()
    size: tuple[int | None, int | None] = (None, None)
    while left > 0:
        name, first, left = yield from _chunk(left)
        if left < 0:
            return broken("a chunk is longer than the file says it is")
        if size == (None, None):
            size = _webp_size(name, first)
        kinds |= {name} & {b"VP8 ", b"VP8L", b"ANMF"}
    if not kinds:
        return broken("it has no picture")
    return Finding(True, width=size[0], height=size[1], trailing_ok=False)


def _webp_size(name: bytes, first: bytes) -> tuple[int | None, int | None]:
    """Return width and height from the first ten bytes of the first chunk, where they can be read."""
    if name == b"VP8X" and len(first) >= 10:
        return int.from_bytes(first[4:7], "little") + 1, int.from_bytes(first[7:10], "little") + 1
    if name == b"VP8 " and first[3:6] == b"\x9d\x01\x2a" and len(first) >= 10:
        width, height = struct.unpack("<HH", first[6:10])
        return width & 0x3FFF, height & 0x3FFF
    if name == b"VP8L" and first[:1] == b"\x2f" and len(first) >= 5:
        bits = int.from_bytes(first[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None, None


def wav() -> Steps:
    """WAV: the chunks tile the RIFF length exactly, ``fmt`` and ``data`` among them."""
    head = yield Take(12, "the RIFF header")
    left = int.from_bytes(head[4:8], "little") - 4
    if left == _STREAMED - 4 or head[:4] != b"RIFF":
        return unproven("a streamed or 64-bit WAV does not tell its length here")
    kinds: set[bytes] = set()
    while left > 0:
        name, _, left = yield from _chunk(left)
        if left < 0:
            return broken("a chunk is longer than the file says it is")
        kinds |= {name} & {b"fmt ", b"data"}
    if len(kinds) < 2:
        return broken("it has no sound (fmt and data)")
    return Finding(True, trailing_ok=False)


def _chunk(left: int) -> Generator[Step, bytes, tuple[bytes, bytes, int]]:
    """Pass one chunk of the ``left`` bytes: its name, first ten bytes and what is left (negative: broken)."""
    if left < 8:
        return b"", b"", -1
    head = yield Take(8, "a chunk header")
    name, length = head[:4], int.from_bytes(head[4:], "little")
    left -= 8
    padded = min(length + (length & 1), left) if length <= left else -1
    if padded < 0:
        return name, b"", -1
    first = yield Take(min(10, padded), "a chunk")
    yield Skip(padded - len(first), "a chunk")
    return name, first, left - padded
