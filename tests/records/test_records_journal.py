"""The journal: what was appended is read back, whatever happened to the file's end or middle; every fault is told."""

import errno
import os
import subprocess
import sys
import textwrap
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfytui.errors import Failure
from comfytui.model.envelope import Envelope, encode
from comfytui.model.events import Pulse, RunNoted
from comfytui.records import journal as journal_module
from comfytui.records.journal import Journal, read, tail

T0 = datetime(2026, 3, 1, 2, 3, 4, tzinfo=UTC)


def note(seq: int, text: str = "something") -> Envelope:
    return Envelope(seq=seq, at=T0 + timedelta(seconds=seq), run="r", event=RunNoted(text=text))


def notes(count: int) -> list[Envelope]:
    return [note(seq) for seq in range(1, count + 1)]


def write(path: Path, envelopes: list[Envelope]) -> None:
    with Journal(path) as journal:
        for envelope in envelopes:
            journal.append(envelope)


LAST = len(encode(note(2)))
"""As many bytes as a line has without its line break."""


class Flaky:
    """A file that takes ``room`` bytes and then fails with ``code``."""

    def __init__(self, file: Any, room: int, code: int = errno.ENOSPC, *, stubborn: bool = False) -> None:
        self.file, self.room, self.code, self.stubborn = file, room, code, stubborn

    def truncate(self, size: int) -> int:
        if self.stubborn:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return int(self.file.truncate(size))

    def write(self, data: Any) -> int:
        if not self.room:
            raise OSError(self.code, os.strerror(self.code))
        taken = bytes(data)[: self.room]
        self.room -= len(taken)
        return int(self.file.write(taken))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def test_what_is_appended_is_read_back_in_order(tmp_path: Path) -> None:
    written = [*notes(3), Envelope(seq=3, at=T0, run="r", event=Pulse(latency=0.25)), note(4, "Zeile\nzwei … 🎬")]
    write(tmp_path / "events.jsonl", written)
    reading = read(tmp_path / "events.jsonl")
    assert list(reading) == written
    assert (reading.problems, reading.corrupt) == ([], 0)


def test_a_line_is_with_the_operating_system_when_append_returns(tmp_path: Path) -> None:
    """A process that is killed right after ``append`` (no flush, no close) leaves the line behind."""
    path = tmp_path / "events.jsonl"
    script = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from comfytui.model.envelope import decode
        from comfytui.records.journal import Journal
        Journal(Path({str(path)!r})).append(decode({encode(note(1))!r}))
        os._exit(9)
    """)
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=30).returncode == 9
    assert list(read(path)) == [note(1)]


def test_opening_an_existing_journal_appends(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, notes(2))
    before = path.read_bytes()
    write(path, [note(3)])
    assert path.read_bytes() == before + encode(note(3)) + b"\n"


def test_a_torn_last_line_stays_as_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, notes(2))
    torn = path.read_bytes() + encode(note(3))[:20]
    path.write_bytes(torn)
    write(path, [note(3)])
    assert path.read_bytes().startswith(torn + b"\n")
    reading = read(path)
    assert [e.seq for e in reading] == [1, 2, 3]
    assert [problem.line for problem in reading.problems] == [3]


@given(data=st.data())
def test_a_journal_cut_anywhere_still_gives_every_whole_line(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    written = [note(seq, data.draw(st.text(max_size=40))) for seq in range(1, data.draw(st.integers(1, 6)) + 1)]
    lines = [encode(envelope) + b"\n" for envelope in written]
    whole = b"".join(lines)
    path = tmp_path_factory.mktemp("cut") / "events.jsonl"
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])

    ends = [sum(map(len, lines[: i + 1])) for i in range(len(lines))]
    expected = [e for e, end in zip(written, ends, strict=True) if cut >= end - 1]  # only its line break may be missing
    reading = read(path)
    assert list(reading) == expected
    torn = cut > 0 and cut not in ends and cut + 1 not in ends
    assert reading.corrupt == torn
    assert [p.line for p in reading.problems] == ([len(expected) + 1] if torn else [])
    assert all("torn off" in p.why for p in reading.problems)

    write(path, [note(99)])  # taking the run up again loses nothing and hides nothing
    again = read(path)
    assert list(again) == [*expected, note(99)]
    assert again.corrupt == torn


def test_every_byte_offset_of_one_journal(tmp_path: Path) -> None:
    lines = [encode(envelope) + b"\n" for envelope in notes(3)]
    whole, path = b"".join(lines), tmp_path / "events.jsonl"
    ends = [sum(map(len, lines[: i + 1])) - 1 for i in range(3)]  # where each line lacks only its line break
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        assert [e.seq for e in read(path)] == [seq for seq, end in enumerate(ends, 1) if cut >= end], cut


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"\x00\x00\x00\x00", "not an envelope"),
        (b"{}", "not an envelope"),
        (b"[1, 2]", "not an envelope"),
        (b"", "not an envelope"),
        (b"\xff\xfe\xfd", "not an envelope"),
        (b"[" * 100_000, "not an envelope"),
        (b'{"seq":1,"at":"2026-03-01T02:03:04","run":"r","event":{"type":"pulse","latency":1}}', "not an envelope"),
        (
            b'{"seq":1,"at":"2026-03-01T02:03:04Z","run":"r","event":{"type":"pulse","latency":"x"}}',
            "pulse does not fit",
        ),
        (b'{"seq":1,"at":"2026-03-01T02:03:04Z","run":"r","event":{"type":"run_noted","text":"\xff"}}', "does not fit"),
    ],
)
def test_a_corrupt_line_in_the_middle_is_told_and_passed_over(tmp_path: Path, line: bytes, why: str) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(encode(note(1)) + b"\n" + line + b"\n" + encode(note(2)) + b"\n")
    reading = read(path)
    assert [e.seq for e in reading] == [1, 2]
    assert [problem.line for problem in reading.problems] == [2]
    assert why in reading.problems[0].why
    assert "torn off" not in reading.problems[0].why
    told = tail(path)
    assert [e.seq for e in told.envelopes] == [1, 2]
    assert [why in problem for problem in told.problems] == [True]


def test_an_event_of_a_newer_version_is_kept_by_name(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"v":1,"seq":1,"at":"2026-03-01T02:03:04Z","run":"r","event":{"type":"moon_rose","phase":3}}\n')
    reading = read(path)
    assert [getattr(e.event, "kind", None) for e in reading] == ["moon_rose"]
    assert reading.corrupt == 0


def test_an_endless_line_is_passed_over_without_being_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MAX_LINE", 1000)
    path = tmp_path / "events.jsonl"
    path.write_bytes(encode(note(1)) + b"\n" + b"x" * 5500 + b"\n" + encode(note(2)) + b"\n")
    reading = read(path)
    assert [e.seq for e in reading] == [1, 2]
    assert [(p.line, p.why) for p in reading.problems] == [(2, "longer than 1000 bytes")]


def test_problems_are_counted_beyond_those_that_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MAX_PROBLEMS", 5)
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"junk\n" * 50 + encode(note(1)) + b"\n")
    reading = read(path)
    assert len(list(reading)) == 1
    assert (len(reading.problems), reading.corrupt) == (5, 50)


@pytest.mark.parametrize("stubborn", [False, True])
@pytest.mark.parametrize("room", [0, 1, 10, LAST])
def test_a_full_disk_is_a_failure_and_what_it_took_is_taken_back(tmp_path: Path, room: int, stubborn: bool) -> None:
    """A ``stubborn`` disk does not even take back; then what it took stays apart."""
    path = tmp_path / "events.jsonl"
    journal = Journal(path)
    journal.append(note(1))
    real = journal._file
    journal._file = Flaky(real, room, stubborn=stubborn)  # type: ignore[assignment]
    with pytest.raises(Failure) as told:
        journal.append(note(2))
    assert told.value.code == "run.unwritable"
    assert "No space left" in str(told.value)
    assert path.read_bytes() == encode(note(1)) + b"\n" + (encode(note(2))[:room] if stubborn else b"")
    journal._file = real  # space was made
    journal.append(note(2))
    journal.close()
    reading = read(path)
    assert [e.seq for e in reading] == ([1, 2, 2] if stubborn and room == LAST else [1, 2])
    assert [p.line for p in reading.problems] == ([2] if stubborn and 0 < room < LAST else [])


def test_a_disk_that_takes_a_line_in_pieces_gets_all_of_it(tmp_path: Path) -> None:
    class Sips(Flaky):
        def write(self, data: Any) -> int:
            return int(self.file.write(bytes(data)[:7]))

    journal = Journal(tmp_path / "events.jsonl")
    journal._file = Sips(journal._file, 0)  # type: ignore[assignment]
    for envelope in notes(3):
        journal.append(envelope)
    journal.close()
    assert list(read(tmp_path / "events.jsonl")) == notes(3)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_really_full_device_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").symlink_to("/dev/full")
    journal = Journal(tmp_path / "events.jsonl")
    with pytest.raises(Failure, match="No space left"):
        journal.append(note(1))
    journal._file.close()


def test_a_failing_disk_is_told_by_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "events.jsonl")
    journal.append(note(1))

    def fail(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(Failure) as told:
        journal.sync()
    assert told.value.code == "run.unwritable"
    with pytest.raises(Failure):
        journal.close()
    journal.close()  # it is closed all the same, and stays so


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not let an open file be removed")
def test_a_folder_that_was_removed_is_told_by_sync(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    journal = Journal(folder / "events.jsonl")
    (folder / "events.jsonl").unlink()
    folder.rmdir()
    journal.append(note(1))  # the system takes it: nobody will ever read it
    for told in (journal.sync, journal.close):
        with pytest.raises(Failure, match="removed"):
            told()


def test_a_journal_in_no_folder_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(Failure) as told:
        Journal(tmp_path / "gone" / "events.jsonl")
    assert told.value.code == "run.unwritable"


def test_a_journal_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    for attempt in (lambda: list(read(tmp_path / "none")), lambda: tail(tmp_path / "none")):
        with pytest.raises(Failure) as told:
            attempt()
        assert told.value.code == "journal.unreadable"


def test_sync_in_other_threads_goes_together_with_append(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    journal, done = Journal(path), threading.Event()

    def keep_syncing() -> None:
        while not done.is_set():
            journal.sync()

    threads = [threading.Thread(target=keep_syncing) for _ in range(3)]
    for thread in threads:
        thread.start()
    written = notes(2000)
    for envelope in written:
        journal.append(envelope)
    done.set()
    for thread in threads:
        thread.join(10)
    journal.close()
    journal.sync()  # late callers of a group commit find it closed
    reading = read(path)
    assert list(reading) == written
    assert reading.corrupt == 0


def test_a_follower_reads_what_was_added_and_leaves_what_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, notes(2))
    first = tail(path)
    assert ([e.seq for e in first.envelopes], first.offset, first.more) == ([1, 2], path.stat().st_size, False)
    assert tail(path, first.offset).envelopes == []

    line = encode(note(3)) + b"\n"
    with path.open("ab") as file:
        file.write(line[:15])
    growing = tail(path, first.offset)
    assert (growing.envelopes, growing.offset, growing.problems) == ([], first.offset, [])
    with path.open("ab") as file:
        file.write(line[15:])
    second = tail(path, growing.offset)
    assert [e.seq for e in second.envelopes] == [3]


@pytest.mark.parametrize("limit", [1, 50, 150, 1000, 100_000])
def test_a_follower_that_is_far_behind_catches_up_in_pieces(tmp_path: Path, limit: int) -> None:
    path = tmp_path / "events.jsonl"
    write(path, notes(50))
    got: list[Envelope] = []
    offset, more, rounds = 0, True, 0
    while more:
        told = tail(path, offset, limit)
        got += told.envelopes
        offset, more, rounds = told.offset, told.more, rounds + 1
        assert rounds <= 50
    assert got == notes(50)


def test_a_follower_of_a_journal_that_was_replaced_starts_again(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, notes(5))
    offset = tail(path).offset
    path.unlink()
    write(path, notes(1))
    told = tail(path, offset)
    assert [e.seq for e in told.envelopes] == [1]
    assert "shrank" in told.problems[0]


def test_a_follower_gets_past_an_endless_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MAX_LINE", 1000)
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"x" * 5500 + b"\n" + encode(note(1)) + b"\n")
    got, offset, problems = [], 0, []
    for _ in range(20):
        told = tail(path, offset, 300)
        got += told.envelopes
        problems += told.problems
        offset = told.offset
    assert got == [note(1)]
    assert problems


def test_an_odd_name_does_not_keep_a_fact_from_being_recorded(tmp_path: Path) -> None:
    write(tmp_path / "events.jsonl", [note(1, "frame_\udcff\ud83d.png"), note(2, "fine")])
    texts = [e.event.text for e in read(tmp_path / "events.jsonl") if isinstance(e.event, RunNoted)]
    assert texts == ["frame_\ufffd\ufffd.png", "fine"]
