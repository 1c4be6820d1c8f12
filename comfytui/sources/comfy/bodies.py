"""Bodies of replies, read within bounds: no reply can fill the memory, compressed or not."""

import zlib

import httpx

from comfytui.sources.comfy.failures import NoAnswer

MIB = 1024 * 1024


async def read_body(answer: httpx.Response, limit: int) -> bytes:
    """Return the whole body of ``answer``, unpacked; raises NoAnswer when it has more than ``limit`` bytes."""
    _check_size(answer, limit)
    body, packed = bytearray(), 0
    inflater = _inflater(answer)
    async for piece in answer.aiter_raw():
        packed += len(piece)
        try:
            body += inflater.decompress(piece, limit - len(body) + 1) if inflater else piece
        except zlib.error:
            raise NoAnswer("its compression is broken") from None
        if len(body) > limit:
            raise NoAnswer(_too_large(limit))
    if inflater and packed and not inflater.eof:
        raise NoAnswer("it ended too early")
    return bytes(body)


async def read_head(answer: httpx.Response, limit: int) -> str:
    """Return the beginning of a body as text, at most ``limit`` bytes of it; empty when its compression is odd."""
    head = b""
    try:
        inflater = _inflater(answer)
        async for piece in answer.aiter_raw():
            head += inflater.decompress(piece, limit - len(head)) if inflater else piece
            if len(head) >= limit or (inflater and inflater.eof):
                break
    except (NoAnswer, zlib.error):
        return ""
    return head[:limit].decode("utf-8", "replace")


def declared_size(answer: httpx.Response) -> int | None:
    """Return the Content-Length in bytes, ``None`` when the server did not tell."""
    told = answer.headers.get("content-length", "")
    return int(told) if told.isascii() and told.isdigit() and len(told) < 20 else None


def _check_size(answer: httpx.Response, limit: int) -> None:
    size = declared_size(answer)
    if size is not None and size > limit:
        raise NoAnswer(_too_large(limit))


def _inflater(answer: httpx.Response) -> "zlib._Decompress | None":
    encoding = answer.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("gzip", "x-gzip"):
        return zlib.decompressobj(zlib.MAX_WBITS | 16)
    if encoding not in ("", "identity"):
        raise NoAnswer("it is compressed in a way that was not asked for")
    return None


def _too_large(limit: int) -> str:
    return f"it is larger than {limit / MIB:g} MiB"
