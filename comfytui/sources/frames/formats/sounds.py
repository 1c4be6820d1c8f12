"""Grammars of MP3, FLAC and Ogg (Opus, Vorbis, FLAC in Ogg), as far as these formats tell where they end."""

from functools import cache

from comfytui.sources.frames.formats.steps import LARGEST_TAIL, Finding, Skip, Steps, Tail, Take, broken, unproven

# Kilobits a second of layer III by "version 1?", ISO/IEC 11172-3 and 13818-3; and hertz of version 1.
_MP3_RATES = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MP3_SAMPLES = (44_100, 48_000, 32_000)

#: How many frames that claim to be the last one are checksummed: a bound on what a hostile file can cost.
_FLAC_TRIES = 8


def mp3() -> Steps:
    """MP3: frames tile the file after ID3v2 and before ID3v1, and are as many bytes as the Xing header says.

    Without a Xing or Info header a file cut between two frames looks whole, so nothing is concluded.
    """
    head = yield Take(4, "the first frame")
    if head[:3] == b"ID3":
        tag = head + (yield Take(6, "the ID3 tag"))
        size = sum((byte & 0x7F) << shift for byte, shift in zip(tag[6:10], (21, 14, 7, 0), strict=True))
        yield Skip(size + (10 if tag[5] & 0x10 else 0), "the ID3 tag")
        head = yield Take(4, "the first frame")
    said: tuple[int | None, int | None] = (None, None)
    frames = total = 0
    while head and head[:3] != b"TAG":
        length = mp3_frame(head)
        if length is None:
            return broken("a frame is damaged" if frames else "it does not begin with a frame")
        if not frames:
            start = yield Take(min(length - 4, 160), "the first frame")
            said = _xing(start)
            yield Skip(length - 4 - len(start), "a frame")
        else:
            yield Skip(length - 4, "a frame")
        frames, total = frames + 1, total + length
        head = yield Take(4, "a frame", end_ok=True)
    if head:
        yield Skip(124, "the ID3v1 tag")
    if said == (None, None):
        return unproven("an MP3 without a Xing header does not tell its length")
    count, size_said = said
    if (count is not None and count not in (frames, frames - 1)) or (size_said is not None and size_said != total):
        return broken("it has not as many frames as its header says")
    if size_said is None:
        return unproven("its Xing header does not tell its length")
    return Finding(True, trailing_ok=False)


def mp3_frame(head: bytes) -> int | None:
    """Return the length of the layer III frame that these four bytes begin, or ``None`` when they begin none."""
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate, sample = head[2] >> 4, head[2] >> 2 & 3
    if head[0] != 0xFF or head[1] < 0xE0 or version == 1 or layer != 3 or rate in (0, 15) or sample == 3:
        return None
    first = version == 3
    hertz = _MP3_SAMPLES[sample] >> (0 if first else 1 if version == 2 else 2)
    return (144 if first else 72) * _MP3_RATES[first][rate] * 1000 // hertz + (head[2] >> 1 & 1)


def _xing(start: bytes) -> tuple[int | None, int | None]:
    """Return the frames and bytes that a Xing or Info header tells; ``(None, None)`` when there is no such header."""
    at = max(start.find(b"Xing", 0, 44), start.find(b"Info", 0, 44))
    if at < 0 or len(start) < at + 16:
        return None, None
    flags = int.from_bytes(start[at + 4 : at + 8], "big")
    fields = [int.from_bytes(start[at + 8 + n : at + 12 + n], "big") for n in (0, 4)]
    frames = fields.pop(0) if flags & 1 else None
    return frames, fields.pop(0) if flags & 2 else None


def ogg() -> Steps:
    """Ogg (RFC 3533): pages tile the file, in sequence, and each stream that began has its end-of-stream page."""
    begun: dict[bytes, int] = {}
    ended: set[bytes] = set()
    while head := (yield Take(27, "a page header", end_ok=True)):
        if head[:5] != b"OggS\0":
            return broken("a page header is damaged")
        flags, serial, number = head[5], head[14:18], int.from_bytes(head[18:22], "little")
        if flags & 2:
            begun[serial] = number - 1
        if serial in ended or begun.get(serial) != number - 1 or len(begun) > 64:
            return broken("a page is missing")
        begun[serial] = number
        if flags & 4:
            ended.add(serial)
        sizes = (yield Take(head[26], "a page header")) if head[26] else b""
        yield Skip(sum(sizes), "a page")
    if begun.keys() - ended:
        return broken("it ends without the last page of its stream")
    return Finding(True, trailing_ok=False)


def flac() -> Steps:
    """FLAC (RFC 9639): metadata, then frames of which the last is sound and ends at the last sample of STREAMINFO."""
    yield Take(4, "the signature")
    info = b""
    while True:
        head = yield Take(4, "a metadata block")
        length = int.from_bytes(head[1:], "big")
        if not info:
            if head[0] & 0x7F or length != 34:
                return broken("it does not begin with STREAMINFO")
            info = yield Take(34, "STREAMINFO")
        else:
            yield Skip(length, "a metadata block")
        if head[0] & 0x80:
            break
    samples = int.from_bytes(info[13:18], "big") & 0xF_FFFF_FFFF
    largest = int.from_bytes(info[7:10], "big")
    tail = yield Tail(min(LARGEST_TAIL, (largest or LARGEST_TAIL) + 256))
    if tail[-128:-125] == b"TAG":
        tail = tail[:-128]
    if not samples:
        return unproven("STREAMINFO does not tell how many samples there are")
    if not _flac_ends(tail, samples, int.from_bytes(info[:2], "big")):
        return broken("it does not end with the frame of its last sample")
    return Finding(True, trailing_ok=False)


def _flac_ends(tail: bytes, samples: int, block: int) -> bool:
    """Tell whether ``tail`` ends with a sound frame whose last sample is number ``samples``."""
    at, tries = len(tail), 0
    while tries < _FLAC_TRIES and (at := tail.rfind(b"\xff", 0, at)) >= 0:
        if _flac_frame_end(tail[at : at + 16].ljust(16, b"\0"), block) == samples:
            tries += 1
            if not _crc(tail[at:], _CRC16, 16):
                return True
    return False


def _flac_frame_end(head: bytes, block: int) -> int | None:
    """Return the number of samples up to the end of the frame that ``head`` begins, or ``None`` when it begins none."""
    if head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    ones = 8 - (head[4] ^ 0xFF).bit_length()  # the number is coded as UTF-8 codes a letter
    if ones in (1, 8):
        return None
    at = 5 + max(0, ones - 1)
    number = head[4] & (0x7F >> ones)
    for byte in head[5:at]:
        number = number << 6 | byte & 0x3F
    coded = head[2] >> 4
    if not coded:
        return None
    if coded in (6, 7):
        width = coded - 5
        length, at = int.from_bytes(head[at : at + width], "big") + 1, at + width
    else:
        length = 192 if coded == 1 else 576 << (coded - 2) if coded < 6 else 256 << (coded - 8)
    at += {12: 1, 13: 2, 14: 2}.get(head[2] & 0xF, 0)
    if _crc(head[: at + 1], _CRC8, 8):
        return None
    return (number if head[1] & 1 else number * block) + length


@cache
def _table(polynomial: int, bits: int) -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte << (bits - 8)
        for _ in range(8):
            value = value << 1 ^ polynomial if value >> (bits - 1) else value << 1
            value &= (1 << bits) - 1
        table.append(value)
    return tuple(table)


_CRC8, _CRC16 = 0x07, 0x8005


def _crc(data: bytes, polynomial: int, bits: int) -> int:
    """Return the CRC of ``data``, which is 0 where its own stated CRC is its end."""
    table, value, mask, shift = _table(polynomial, bits), 0, (1 << bits) - 1, bits - 8
    for byte in data:
        value = (value << 8 & mask) ^ table[value >> shift ^ byte]
    return value
