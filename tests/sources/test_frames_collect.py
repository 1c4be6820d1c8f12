"""A frame is in the run folder whole, or not at all; and nothing of others is touched."""

import errno
import hashlib
import io
import os
import sys
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from PIL import Image

from comfytui.errors import Failure
from comfytui.sources.frames import collect as collecting
from comfytui.sources.frames import draft, reflink
from comfytui.sources.frames.collect import Collected, Uncollected, collect, collect_stream

_picture = io.BytesIO()
Image.effect_noise((200, 150), 90).save(_picture, "PNG")
PNG = _picture.getvalue()
MTIME = datetime(2026, 3, 1, 2, 59, 58, 123_000, tzinfo=UTC)
MTIME_NS = 1_772_333_998_123_000_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "output" / "scene-1_00001_.png"
    path.parent.mkdir()
    path.write_bytes(PNG)
    os.utime(path, ns=(MTIME_NS, MTIME_NS))
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "scene-1_00001_.png"
    path.parent.mkdir()
    return path


def left_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def mtime_ns(path: Path) -> int:
    return path.stat().st_mtime_ns


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def test_a_whole_frame_is_copied_hashed_and_proven(source: Path, target: Path) -> None:
    found = collect(source, target)
    assert isinstance(found, Collected)
    assert target.read_bytes() == PNG
    assert (found.name, found.bytes, found.sha256) == (target.name, len(PNG), hashlib.sha256(PNG).hexdigest())
    assert (found.proof.whole, found.proof.kind, found.proof.width) == (True, "png", 200)
    assert found.mtime == MTIME
    assert target.stat().st_mtime_ns == MTIME_NS
    assert left_in(target.parent) == [target.name]
    assert source.read_bytes() == PNG


def test_a_half_written_frame_is_not_taken(source: Path, target: Path) -> None:
    source.write_bytes(PNG[:-12])
    found = collect(source, target)
    assert isinstance(found, Uncollected)
    assert (found.reason, found.why) == ("not_whole", "it ends inside the chunks: no IEND")
    assert left_in(target.parent) == []


def test_a_forced_copy_takes_what_there_is(source: Path, target: Path) -> None:
    source.write_bytes(PNG[:500])
    found = collect(source, target, "anything")
    assert isinstance(found, Collected)
    assert not found.proof.whole
    assert target.read_bytes() == PNG[:500]


def test_what_has_no_structural_proof_is_taken_only_on_request(source: Path, target: Path) -> None:
    source.write_bytes(b"a format that nobody knows")
    assert isinstance(collect(source, target), Uncollected)
    assert isinstance(collect(source, target, "unproven"), Collected)
    source.write_bytes(PNG[:500])
    assert isinstance(collect(source, target.with_name("b.png"), "unproven"), Uncollected)


def test_a_file_that_grows_while_it_is_read_is_refused(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = draft.Draft.write

    def and_meanwhile(self: draft.Draft, data: bytes) -> None:
        write(self, data)
        with source.open("ab") as file:
            file.write(b"more")

    monkeypatch.setattr(draft.Draft, "write", and_meanwhile)
    found = collect(source, target, "anything")
    assert isinstance(found, Uncollected)
    assert (found.reason, found.why) == ("changed", "it was written to while it was read")
    assert left_in(target.parent) == []


def test_a_file_that_is_rewritten_in_place_with_the_same_size_is_refused(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = draft.Draft.write

    def and_meanwhile(self: draft.Draft, data: bytes) -> None:
        write(self, data)
        source.write_bytes(PNG)

    monkeypatch.setattr(draft.Draft, "write", and_meanwhile)
    found = collect(source, target)
    assert isinstance(found, Uncollected)
    assert found.reason == "changed"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows forbids to rename over a file that is being read")
def test_a_file_that_is_replaced_while_it_is_read_is_refused(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = draft.Draft.write

    def and_meanwhile(self: draft.Draft, data: bytes) -> None:
        write(self, data)
        other = source.with_name("other.tmp")
        other.write_bytes(PNG)
        other.replace(source)

    monkeypatch.setattr(draft.Draft, "write", and_meanwhile)
    found = collect(source, target)
    assert isinstance(found, Uncollected)
    assert (found.reason, found.why) == ("changed", "it was replaced while it was read")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows forbids to remove a file that is being read")
def test_a_file_that_is_deleted_once_it_is_read_is_still_taken(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = draft.Draft.write

    def and_meanwhile(self: draft.Draft, data: bytes) -> None:
        write(self, data)
        source.unlink()

    monkeypatch.setattr(draft.Draft, "write", and_meanwhile)
    assert isinstance(collect(source, target), Collected)
    assert target.read_bytes() == PNG


def test_a_missing_source_is_said(source: Path, target: Path) -> None:
    source.unlink()
    found = collect(source, target)
    assert isinstance(found, Uncollected)
    assert found.reason == "missing"


def test_a_source_that_is_no_file_or_cannot_be_read_is_said(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = collect(source.parent, target)
    assert isinstance(folder, Uncollected)
    assert folder.reason == "unreadable"

    class Failing(io.FileIO):
        def readinto(self, buffer: Any) -> int:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(collecting, "open_source", lambda path: Failing(path, "rb"))
    failing = collect(source, target)
    assert isinstance(failing, Uncollected)
    assert (failing.reason, failing.why) == ("unreadable", "Input/output error")
    assert left_in(target.parent) == []


def test_the_same_content_at_the_target_is_fine(source: Path, target: Path) -> None:
    first, second = collect(source, target), collect(source, target)
    assert isinstance(first, Collected)
    assert isinstance(second, Collected)
    assert (first.already, second.already) == (False, True)
    assert second.sha256 == first.sha256
    assert left_in(target.parent) == [target.name]


@pytest.mark.parametrize("other", [b"of another size", bytes(len(PNG))])
@pytest.mark.parametrize("links", [True, False])
def test_another_file_at_the_target_is_never_overwritten(
    source: Path, target: Path, other: bytes, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", _no_links)
    target.write_bytes(other)
    found = collect(source, target, "anything")
    assert isinstance(found, Uncollected)
    assert found.reason == "taken"
    assert target.read_bytes() == other
    assert left_in(target.parent) == [target.name]


def _no_links(*_: object) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_a_file_system_without_hard_links_will_do(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", _no_links)
    assert isinstance(collect(source, target), Collected)
    assert left_in(target.parent) == [target.name]


def test_a_vanished_run_folder_is_a_failure(source: Path, target: Path) -> None:
    target.parent.rmdir()
    with pytest.raises(Failure) as failure:
        collect(source, target)
    assert failure.value.code == "run.unwritable"
    assert not target.parent.exists()


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EDQUOT])
@pytest.mark.parametrize("place", ["create", "write", "fsync", "link"])
def test_a_disk_fault_is_a_failure_and_leaves_nothing(
    source: Path, target: Path, place: str, fault: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(fault, os.strerror(fault))

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            raise OSError(fault, os.strerror(fault))

    patches: dict[str, list[tuple[Any, str, Any]]] = {
        "create": [(draft, "create", fails)],
        "write": [(draft, "FileIO", Full)],
        "fsync": [(os, "fsync", fails)],
        "link": [(os, "link", fails), (Path, "rename", fails)],
    }
    for where, name, fault_there in patches[place]:
        monkeypatch.setattr(where, name, fault_there)
    with pytest.raises(Failure) as failure:
        collect(source, target)
    assert failure.value.code == "run.unwritable"
    assert os.strerror(fault) in failure.value.what
    assert left_in(target.parent) == []
    assert source.read_bytes() == PNG


def test_a_short_write_is_continued(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(memoryview(data)[:1000])

    monkeypatch.setattr(draft, "FileIO", Slow)
    assert isinstance(collect(source, target), Collected)
    assert target.read_bytes() == PNG


@pytest.mark.skipif(sys.platform != "linux", reason="macOS clones in another way, Windows not at all")
def test_a_clone_is_read_and_proven_like_a_copy(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def clone(source_file: int, target_file: int) -> bool:
        os.pwrite(target_file, os.pread(source_file, 1 << 24, 0), 0)
        return True

    monkeypatch.setattr(reflink, "_clone_on_linux", clone)
    found = collect(source, target)
    assert isinstance(found, Collected)
    assert (found.cloned, found.sha256) == (True, hashlib.sha256(PNG).hexdigest())
    assert target.read_bytes() == PNG
    assert found.mtime == MTIME
    source.write_bytes(PNG[:-1])
    assert isinstance(collect(source, target.with_name("b.png")), Uncollected)


@pytest.mark.skipif(sys.platform != "linux", reason="FICLONE is Linux's")
@pytest.mark.parametrize(
    ("answer", "fails"), [(errno.EOPNOTSUPP, False), (errno.EXDEV, False), (errno.EINVAL, False), (errno.ENOSPC, True)]
)
def test_where_cloning_is_refused_it_is_copied(
    source: Path, target: Path, answer: int, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(answer, os.strerror(answer))

    monkeypatch.setattr(fcntl, "ioctl", refuse)
    if fails:
        with pytest.raises(Failure, match=r"run\.unwritable"):
            collect(source, target)
        assert left_in(target.parent) == []
    else:
        found = collect(source, target)
        assert isinstance(found, Collected)
        assert not found.cloned


def test_drafts_of_a_dead_process_with_our_id_are_stepped_over(source: Path, target: Path) -> None:
    number = int(repr(draft._count).strip("count()"))
    old = target.parent / f".frame.{os.getpid()}-{number}.tmp"
    old.write_bytes(b"left behind")
    assert isinstance(collect(source, target), Collected)
    assert old.read_bytes() == b"left behind"


def test_many_at_once_do_not_meet(source: Path, target: Path) -> None:
    results: list[Collected | Uncollected] = []
    threads = [
        threading.Thread(target=lambda n=n: results.append(collect(source, target.with_name(f"{n % 4}.png"))))
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(isinstance(result, Collected) for result in results)
    assert left_in(target.parent) == ["0.png", "1.png", "2.png", "3.png"]


async def test_a_stream_is_taken_like_a_file(target: Path) -> None:
    found = await collect_stream(stream(PNG[:9], b"", PNG[9:]), target, MTIME, expected=len(PNG))
    assert isinstance(found, Collected)
    assert (found.bytes, found.sha256) == (len(PNG), hashlib.sha256(PNG).hexdigest())
    assert found.mtime == MTIME
    assert mtime_ns(target) == MTIME_NS
    assert left_in(target.parent) == [target.name]


async def test_a_stream_without_a_date_has_the_time_of_its_arrival(target: Path) -> None:
    found = await collect_stream(stream(PNG), target)
    assert isinstance(found, Collected)
    assert abs(found.mtime.timestamp() - mtime_ns(target) / 1e9) < 0.002


async def test_a_truncated_body_is_not_taken(target: Path) -> None:
    found = await collect_stream(stream(PNG[:-1]), target)
    assert isinstance(found, Uncollected)
    assert found.reason == "not_whole"
    short = await collect_stream(stream(PNG[:-1]), target, expected=len(PNG), accept="anything")
    assert isinstance(short, Uncollected)
    assert (short.reason, short.why) == ("changed", f"{len(PNG) - 1} of {len(PNG)} bytes came")
    assert left_in(target.parent) == []


async def test_an_endless_body_is_cut_off(target: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(65_536)

    found = await collect_stream(endless(), target, limit=3_000_000, accept="anything")
    assert isinstance(found, Uncollected)
    assert found.reason == "too_large"
    assert left_in(target.parent) == []


async def test_a_broken_connection_leaves_nothing(target: Path) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield PNG[:100]
        raise ConnectionError("peer closed")

    with pytest.raises(ConnectionError):
        await collect_stream(breaks(), target)
    assert left_in(target.parent) == []


async def test_a_cancelled_stream_leaves_nothing(target: Path) -> None:
    waiting = anyio.Event()

    async def hangs() -> AsyncIterator[bytes]:
        yield PNG[:100]
        waiting.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(collect_stream, hangs(), target)
        await waiting.wait()
        assert len(left_in(target.parent)) == 1
        group.cancel_scope.cancel()
    assert left_in(target.parent) == []


async def test_a_stream_into_a_vanished_folder_is_a_failure(target: Path) -> None:
    target.parent.rmdir()
    with pytest.raises(Failure, match=r"run\.unwritable"):
        await collect_stream(stream(PNG), target)
