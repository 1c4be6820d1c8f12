"""The archive: everything of the run and nothing else, proven by its manifest, whole or not there."""

import hashlib
import os
import socket
import stat
import sys
import zipfile
from pathlib import Path

import pytest

from comfytui.errors import Failure
from comfytui.records.archive import MANIFEST, write_archive
from comfytui.records.atomic import temporary
from comfytui.records.lock import RunLock
from tests.records.scripted import Script


def names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as packed:
        return packed.namelist()


def test_the_archive_holds_the_run_and_its_manifest_proves_it(good_run: Script, tmp_path: Path) -> None:
    run = good_run.run
    run.validation.write_text("run-summary validation: PASS\n")
    path = write_archive(run)
    assert path == run.archive == run.path.parent / "archives" / f"comfyui-e2e-{run.run_id}.zip"
    with zipfile.ZipFile(path) as packed:
        assert packed.testzip() is None
        packed.extractall(tmp_path / "out")
    folder = tmp_path / "out" / run.run_id
    on_disk = {p.relative_to(run.path).as_posix() for p in run.path.rglob("*") if p.is_file()}
    unpacked = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert unpacked == on_disk | {MANIFEST}
    assert {"artifact-metadata.json", "validation.txt", "events.jsonl", "run-summary.txt"} < unpacked
    listed = {line[66:]: line[:64] for line in (folder / MANIFEST).read_text().splitlines()}
    assert set(listed) == on_disk
    for name, digest in listed.items():
        assert hashlib.sha256((run.path / name).read_bytes()).hexdigest() == digest
        assert (folder / name).read_bytes() == (run.path / name).read_bytes()


def test_names_are_relative_sorted_and_frames_are_stored_as_they_are(good_run: Script) -> None:
    with zipfile.ZipFile(write_archive(good_run.run)) as packed:
        entries = packed.infolist()
    found = [entry.filename for entry in entries]
    assert all(name.startswith(f"{good_run.run.run_id}/") and ".." not in name and "\\" not in name for name in found)
    assert found[:-1] == sorted(found[:-1], key=lambda name: name.split("/"))
    kinds = {entry.filename.rpartition(".")[2]: entry.compress_type for entry in entries}
    assert kinds["png"] == zipfile.ZIP_STORED
    assert kinds["jsonl"] == kinds["txt"] == zipfile.ZIP_DEFLATED
    assert all(stat.S_IMODE(entry.external_attr >> 16) == 0o644 for entry in entries)


def test_packed_twice_it_is_the_same(good_run: Script) -> None:
    first = write_archive(good_run.run).read_bytes()
    assert write_archive(good_run.run).read_bytes() == first


def test_what_belongs_to_a_process_stays_out(good_run: Script, tmp_path: Path) -> None:
    run = good_run.run
    before = names(write_archive(run))
    secret = tmp_path / "secret"
    secret.write_text("not ours")
    private = run.path / ".link"
    private.mkdir()
    (private / "anything").write_text("x")
    (run.path / "run.link").write_text('{"token": "secret"}')
    temporary(run.metadata).write_text("half")
    temporary(run.scene_json("scene-001")).write_text("half")
    if sys.platform != "win32":
        (run.path / "linked.txt").symlink_to(secret)
        (run.path / "story" / "linked").symlink_to(tmp_path)
        (run.path / "loop").symlink_to(run.path)
        os.mkfifo(run.path / "pipe")
        with socket.socket(socket.AF_UNIX) as listening:
            here = Path.cwd()
            os.chdir(run.path)  # the whole path may be too long for a socket
            try:
                listening.bind("s.sock")
            finally:
                os.chdir(here)
            with RunLock.acquire(run):
                assert names(write_archive(run)) == before
    else:
        assert names(write_archive(run)) == before


def test_a_fault_leaves_the_older_archive(good_run: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    run = good_run.run
    before = write_archive(run).read_bytes()

    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(Failure, match="No space left"):
        write_archive(run)
    assert run.archive.read_bytes() == before
    assert [path.name for path in run.archive.parent.iterdir()] == [run.archive.name]


def test_a_journal_that_grows_meanwhile_is_packed_as_it_was(good_run: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fstat
    journal = good_run.run.journal

    def grow(handle: int) -> os.stat_result:
        facts = real(handle)
        with journal.open("ab") as file:
            file.write(b"x" * 100_000)
        return facts

    size = journal.stat().st_size
    monkeypatch.setattr(os, "fstat", grow)
    with zipfile.ZipFile(write_archive(good_run.run)) as packed:
        assert packed.testzip() is None
        assert packed.getinfo(f"{good_run.run.run_id}/events.jsonl").file_size >= size


@pytest.mark.parametrize("changed", [0, 5_000_000_000, 2**40])
def test_a_file_of_a_year_that_a_zip_does_not_know_can_be_packed(good_run: Script, changed: int) -> None:
    os.utime(good_run.run.summary, (changed, changed))
    assert names(write_archive(good_run.run))


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are text there")
def test_a_file_whose_name_is_no_text_can_be_packed(good_run: Script) -> None:
    Path(os.fsdecode(os.fsencode(good_run.run.path) + b"/caf\xe9.txt")).write_text("x")
    with zipfile.ZipFile(write_archive(good_run.run)) as packed:
        assert packed.read(f"{good_run.run.run_id}/caf\ufffd.txt") == b"x"
        assert "caf\ufffd.txt\n" in packed.read(f"{good_run.run.run_id}/{MANIFEST}").decode()
