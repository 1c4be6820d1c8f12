"""The attempts of a scene that is over, packed: they are looked at seldom, and in a long story there are many.

An attempt is some 8 kB of objects. Attempts of one run resemble each other, so each is kept as its difference from an
*example*, the first one that was packed: 0.3 kB, and about 30 us to read again.
"""

import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import overload

import msgspec

from comfytui.model.state import Attempt

EXAMPLE_BYTES = 16384
"""The most bytes of an example: raw deflate looks back 32 kB, over the example and the attempt itself."""

_LEVEL, _WINDOW, _MEMORY = 6, -15, 8
_SMALL = 4096
"""Packed bytes up to which attempts are worth keeping unpacked for a while: about 100 frames."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[Attempt, ...])


def example_of(attempts: Sequence[Attempt]) -> bytes:
    """Return the example that attempts like these are packed by; empty where they cannot be packed."""
    return (_plain_bytes(attempts) or b"")[-EXAMPLE_BYTES:]


def pack(attempts: Sequence[Attempt], example: bytes) -> Sequence[Attempt]:
    """Return ``attempts`` packed by ``example``, which may be empty.

    They come back as they are where there are none, where they are packed already, and where they hold what the packing
    cannot: a whole number of more than 64 bits or half a character that a server told.
    """
    if not attempts or isinstance(attempts, PackedAttempts):
        return attempts
    whole = _plain_bytes(attempts)
    if whole is None:
        return attempts
    press = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, example)
    return PackedAttempts(len(attempts), press.compress(whole) + press.flush(), example)


def _plain_bytes(attempts: Sequence[Attempt]) -> bytes | None:
    try:
        return _encoder.encode(tuple(attempts))
    except (OverflowError, UnicodeEncodeError):
        return None


class PackedAttempts(Sequence[Attempt]):
    """Attempts that are unpacked as they are asked for, and equal to the tuple of them."""

    __slots__ = ("_bytes", "_count", "_example")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, count: int, packed: bytes, example: bytes) -> None:
        self._count, self._bytes, self._example = count, packed, example

    @property
    def unpacked(self) -> tuple[Attempt, ...]:
        """The attempts."""
        read = _recently if len(self._bytes) <= _SMALL else _unpack
        return read(self._bytes, self._example)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Attempt]:
        return iter(self.unpacked)

    @overload
    def __getitem__(self, place: int) -> Attempt: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Attempt, ...]: ...

    def __getitem__(self, place: int | slice) -> Attempt | tuple[Attempt, ...]:
        return self.unpacked[place]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PackedAttempts) and self._example == other._example and self._bytes == other._bytes:
            return True
        return self.unpacked == tuple(other) if isinstance(other, tuple | PackedAttempts) else NotImplemented

    def __repr__(self) -> str:
        return repr(self.unpacked)


def _unpack(packed: bytes, example: bytes) -> tuple[Attempt, ...]:
    whole = zlib.decompressobj(_WINDOW, zdict=example).decompress(packed)
    return _decoder.decode(whole)


_recently = lru_cache(maxsize=64)(_unpack)
"""The same: a scene that ends is asked for several times, and so are those on a screen."""
