"""From the end of a prompt to its scene's facts on disk, for a few small frames and for many large ones.

The end is the server's own: the moment it logs after it has sent ``executing`` with node null. The facts are on disk
when ``scene_ended`` is journalled: that is told once everything before it is synced. Beside it stands the time that
hashing and copying the very same bytes takes, once with and once without a sync of each copy.
"""

import hashlib
import os
import re
import struct
import tempfile
import time
import zlib
from datetime import UTC, datetime
from pathlib import Path

from comfytui.model import events as e
from tests.bench.rendering import Json, Rendered, ask, render, run_alone, server
from tests.bench.table import Figure, Table, quantile

FREEZES = "a real server's garbage collections, 0.3 to 0.4 s at most every 10 s, are in these figures"
SMALL, LARGE = (12, 5, 64, 36), (8, 25, 704, 520)
"""Scenes, frames a scene, and the size in pixels: noise of 704 x 520 makes frames of 1.1 MB."""


def measure(given: str | None = None) -> Table:
    """Render both kinds of scenes and compare."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="comfytui-bench-") as scratch, server(given, Path(scratch)) as url:
        for scenes, frames, width, height in (SMALL, LARGE):
            folder = Path(scratch) / f"{frames}-frames"
            picture = Path(scratch) / f"{frames}.png"
            picture.write_bytes(noise_png(width, height))
            rendered = render(url, folder, workflow=WORKFLOW, scenes=scenes, frames=frames, keyframe=picture)
            took = _completions(url, rendered, given)
            plain, synced = _copying(folder, synced=False), _copying(folder, synced=True)
            size = sum(fact.event.frame.bytes for fact in rendered.facts if isinstance(fact.event, e.FrameProven))
            shape = f"{frames} frames of {size / scenes / frames / 1e6:.2g} MB"
            half, most = quantile(took, 0.5), quantile(took, 0.95)
            large = frames == LARGE[1]
            figures += [
                Figure(f"{shape}: p50 / hashing and copying them", half / plain, most=1.5 if large else None),
                Figure(f"{shape}: p50 / hashing, copying and syncing them", half / synced),
                Figure(f"{shape}: p50", 1000 * half, "ms"),
                Figure(f"{shape}: p95", 1000 * most, "ms", most=None if large else 60),
                Figure(f"{shape}: hashing and copying them", 1000 * plain, "ms"),
                Figure(f"{shape}: hashing, copying and syncing them", 1000 * synced, "ms"),
            ]
    notes = [FREEZES] if given else []
    return Table("Completion: from the end of the prompt to the scene's facts on disk", figures, notes)


WORKFLOW: Json = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "__KEYFRAME_IMAGE__"}},
    "2": {"class_type": "RepeatImageBatch", "inputs": {"image": ["1", 0], "amount": "__FRAME_COUNT__"}},
    "3": {
        "class_type": "SlowProgress",
        "inputs": {"image": ["2", 0], "steps": 10, "seconds_per_step": 0.05, "fail_at_step": -1, "preview": False},
    },
    "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "__SCENE_PREFIX__"}},
}
"""A picture, repeated, sampled for half a second (as on a GPU: the CPU is free), saved."""


def noise_png(width: int, height: int) -> bytes:
    """Return a PNG of random pixels, which no compression makes smaller."""
    rows = b"".join(b"\0" + os.urandom(3 * width) for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def _completions(url: str, rendered: Rendered, given: str | None) -> list[float]:
    """Return, for each scene, the seconds from the end of its prompt to its ``scene_ended``."""
    zone = UTC if given is None else None  # a real server logs its local time
    ends = [
        datetime.fromisoformat(entry["t"]).replace(tzinfo=zone).astimezone(UTC).timestamp()
        for entry in ask(url, "/internal/logs/raw")["entries"]
        if re.match(r"Prompt executed in ", entry["m"])
    ]
    told = [fact.at.timestamp() for fact in rendered.facts if isinstance(fact.event, e.SceneEnded)]
    return [ended - over for over, ended in zip(ends[-len(told) :], sorted(told), strict=True)]


def _copying(folder: Path, *, synced: bool) -> float:
    """Return the median seconds of hashing and copying the frames of one scene, one after the other."""
    times = []
    for frames in sorted((folder / "runs").glob("2*/scene-*/generated-frames-attempt-1")):
        with tempfile.TemporaryDirectory(dir=folder) as target:
            began = time.perf_counter()
            for frame in sorted(frames.iterdir()):
                data = frame.read_bytes()
                hashlib.sha256(data).digest()
                with (Path(target) / frame.name).open("wb") as copy:
                    copy.write(data)
                    if synced:
                        copy.flush()
                        os.fsync(copy.fileno())
            times.append(time.perf_counter() - began)
    return quantile(times, 0.5)


if __name__ == "__main__":
    run_alone("completion")
