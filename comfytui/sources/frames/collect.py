"""Taking frames into the run folder: each is read once, hashed and proven on the way, and is there whole or not at all.

A proof is always about the very bytes that were taken, never about a file that may have changed since.
"""

import hashlib
import os
from collections.abc import AsyncIterator
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import Literal

import anyio
from anyio import to_thread
from msgspec import Struct

from comfytui.clock import from_epoch
from comfytui.sources.frames.draft import Draft, Taken, writing
from comfytui.sources.frames.folder import Stamp, stamp_of
from comfytui.sources.frames.verify import CHUNK, Proof, open_source

Accept = Literal["whole", "unproven", "anything"]
"""What may be kept: only what is proven whole; also what has no structural proof (once it has settled); or anything."""

Reason = Literal["missing", "unreadable", "changed", "not_whole", "taken", "too_large", "unsafe"]

#: A stream that is longer than this is cut off: no frame is, but a server may be hostile.
LARGEST_STREAM = 64 << 30


class Collected(Struct, frozen=True, kw_only=True):
    """A frame in the run folder: size in bytes, SHA-256 (lower-case hex), the mtime of its source, and its proof.

    ``cloned``: it shares its blocks with the source. ``already``: the same content was there before.
    """

    name: str
    path: Path
    bytes: int
    sha256: str
    mtime: datetime
    proof: Proof
    cloned: bool = False
    already: bool = False


class Uncollected(Struct, frozen=True, kw_only=True):
    """A frame that was not taken, and why; nothing was left behind.

    ``missing``, ``unreadable`` and ``changed`` (while it was read) are the source's, and may pass: try again.
    ``not_whole``: the ``proof`` says what is missing. ``taken``: a file of other content has that name already.
    ``unsafe``: it leads out of the folder that it is said to be in, and was not touched.
    """

    name: str
    reason: Reason
    why: str
    proof: Proof | None = None


def collect(source: Path, target: Path, accept: Accept = "whole") -> Collected | Uncollected:
    """Copy (or clone) the frame ``source`` to ``target``, whose folder exists; blocking, for a worker thread.

    :raises Failure: ``run.unwritable`` when the disk of ``target`` fails or its folder is gone.
    """
    try:
        file = open_source(source)
    except FileNotFoundError:
        return Uncollected(name=target.name, reason="missing", why="it is not there")
    except OSError as error:
        return _unreadable(target, error)
    with file:
        before = stamp_of(os.fstat(file.fileno()))
        draft = Draft(target.parent, clone_of=file.fileno())
        try:
            if draft.cloned:
                draft.read_clone()
            elif (fault := _copy(file, before.size, draft)) is not None:
                return _unreadable(target, fault)
            if why := _changed(file, source, before, draft.bytes):
                return Uncollected(name=target.name, reason="changed", why=why)
            return _keep(draft, target, before.mtime_ns, accept)
        finally:
            draft.discard()


async def collect_stream(
    chunks: AsyncIterator[bytes],
    target: Path,
    mtime: datetime | None = None,
    *,
    expected: int | None = None,
    accept: Accept = "whole",
    limit: int = LARGEST_STREAM,
) -> Collected | Uncollected:
    """Write what ``chunks`` brings (a body of GET /view, say) to ``target``, in an existing folder, as :func:`collect`.

    ``mtime`` is the server's Last-Modified and ``expected`` its Content-Length, where known. What ``chunks`` raises
    goes through, and leaves nothing behind.

    :raises Failure: ``run.unwritable`` when the disk of ``target`` fails or its folder is gone.
    """
    draft = await to_thread.run_sync(Draft, target.parent)
    try:
        held = bytearray()
        async for chunk in chunks:
            held += chunk
            if draft.bytes + len(held) > limit:
                return Uncollected(name=target.name, reason="too_large", why=f"it is longer than {limit} bytes")
            if len(held) >= CHUNK:
                await to_thread.run_sync(draft.write, bytes(held))
                held.clear()
        if held:
            await to_thread.run_sync(draft.write, bytes(held))
        if expected is not None and draft.bytes != expected:
            why = f"{draft.bytes} of {expected} bytes came"
            return Uncollected(name=target.name, reason="changed", why=why)
        mtime_ns = None if mtime is None else round(mtime.timestamp() * 1000) * 1_000_000
        return await to_thread.run_sync(_keep, draft, target, mtime_ns, accept)
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(draft.discard)


def _copy(file: FileIO, size: int, draft: Draft) -> OSError | None:
    """Copy ``file`` into ``draft``, until it has outgrown ``size``; returns the fault of a source that fails."""
    buffer = memoryview(bytearray(min(CHUNK, size + 1)))
    while draft.bytes <= size:
        try:
            count = file.readinto(buffer)
        except OSError as error:
            return error
        if not count:
            break
        draft.write(buffer[:count])
    return None


def _changed(file: FileIO, source: Path, before: Stamp, taken: int) -> str:
    """Say how the source changed while it was read; empty when it did not. One that is gone by now did not change."""
    if taken != before.size or stamp_of(os.fstat(file.fileno())) != before:
        return "it was written to while it was read"
    try:
        now = stamp_of(source.stat())
    except OSError:
        return ""
    return "" if now[:2] == before[:2] and now.inode == before.inode else "it was replaced while it was read"


def _keep(draft: Draft, target: Path, mtime_ns: int | None, accept: Accept) -> Collected | Uncollected:
    """Put the draft in its place if its proof is good enough."""
    proof = draft.prove()
    good = proof.whole or accept == "anything" or (accept == "unproven" and not proof.proven)
    if not good:
        return Uncollected(name=target.name, reason="not_whole", why=proof.why, proof=proof)
    sha256 = draft.sha256()
    already = False
    try:
        draft.keep(target, mtime_ns)
    except Taken:
        already = True
        with writing(target.parent):
            if not _same(target, proof.bytes, sha256):
                return Uncollected(name=target.name, reason="taken", why="another file has its name", proof=proof)
    with writing(target.parent):
        kept_ns = target.stat().st_mtime_ns if mtime_ns is None else mtime_ns
    return Collected(
        name=target.name,
        path=target,
        bytes=proof.bytes,
        sha256=sha256,
        mtime=from_epoch(kept_ns / 1e9),
        proof=proof,
        cloned=draft.cloned and not already,
        already=already,
    )


def _same(target: Path, size: int, sha256: str) -> bool:
    with open_source(target) as file:
        if os.fstat(file.fileno()).st_size != size:
            return False
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _unreadable(target: Path, error: OSError) -> Uncollected:
    return Uncollected(name=target.name, reason="unreadable", why=error.strerror or type(error).__name__)
