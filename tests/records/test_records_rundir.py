"""The run folder: ids that nobody shares, what is found again, files that are whole or not there, one driver a run."""

import errno
import os
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from comfytui.errors import Failure
from comfytui.model.events import SceneBrief, StoryBrief
from comfytui.model.plan import RunPlan, ServerPlan
from comfytui.model.policy import QueuePolicy
from comfytui.model.workflow import load_workflow
from comfytui.records import atomic, lock
from comfytui.records.atomic import clean_leftovers, is_temporary, temporary, write_atomic
from comfytui.records.lock import Holder, RunLock, holder_of, this_process
from comfytui.records.rundir import (
    RunDir,
    create_run,
    find_run,
    list_runs,
    point_to,
    prepare_scene,
    read_plan,
    write_plan,
)

T0 = datetime(2026, 3, 1, 23, 59, 58, tzinfo=UTC)


class Stopped:
    """A clock that stands still."""

    def now(self) -> datetime:
        return T0

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        return


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return create_run(tmp_path / "runs", Stopped())


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- ids and finding ---------------------------------------------------------------------------------------------


def test_a_taken_id_gives_the_next_second_across_midnight(tmp_path: Path) -> None:
    ids = [create_run(tmp_path / "runs", Stopped()).run_id for _ in range(3)]
    assert ids == ["20260301-235958", "20260301-235959", "20260302-000000"]


def test_those_who_ask_at_once_get_a_folder_each(tmp_path: Path) -> None:
    made: list[RunDir] = []
    threads = [threading.Thread(target=lambda: made.append(create_run(tmp_path, Stopped()))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len({run.path for run in made}) == 12


def test_a_run_is_found_by_id_by_path_and_as_the_latest(tmp_path: Path) -> None:
    first, second = create_run(tmp_path, Stopped()), create_run(tmp_path, Stopped())
    for run in (first, second):
        run.journal.touch()
    assert find_run(tmp_path, first.run_id) == first
    assert find_run(tmp_path / "elsewhere", first.path) == first
    assert find_run(tmp_path, str(first.path)) == first
    assert find_run(tmp_path) == second
    point_to(first)
    assert find_run(tmp_path) == find_run(tmp_path, "latest") == first
    assert list_runs(tmp_path) == [second, first]


def test_an_id_in_the_present_folder_is_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = create_run(tmp_path, Stopped())
    run.journal.touch()
    monkeypatch.chdir(tmp_path)
    assert find_run(tmp_path / "elsewhere", run.run_id) == run


@pytest.mark.parametrize(
    "content",
    [None, b"", b"{", b"[" * 100_000, b'{"RunId": 3}', b'{"RunId": "../../etc"}', b'{"RunId": "20990101-000000"}'],
)
def test_without_a_usable_pointer_the_newest_folder_is_the_latest(tmp_path: Path, content: bytes | None) -> None:
    create_run(tmp_path, Stopped()).journal.touch()
    newest = create_run(tmp_path, Stopped())
    newest.journal.touch()
    (tmp_path / "20991231-000000").mkdir()  # no run: there is nothing in it
    (tmp_path / "archives").mkdir()
    pointer = tmp_path / "latest-run.json"
    if content is None:
        pointer.unlink()
    else:
        fields = msgspec.json.decode(pointer.read_bytes())
        try:
            pointer.write_bytes(msgspec.json.encode({**fields, **msgspec.json.decode(content)}))
        except (ValueError, RecursionError):
            pointer.write_bytes(content)
    assert find_run(tmp_path) == newest


@pytest.mark.parametrize("wanted", [None, "latest", "20260301-235958", "no/such", "nul\0byte", "x" * 5000])
def test_a_run_that_is_not_there_is_a_failure(tmp_path: Path, wanted: str | None) -> None:
    with pytest.raises(Failure) as told:
        find_run(tmp_path / "runs", wanted)
    assert told.value.code == "run.not_found"


def test_runs_that_cannot_be_made_are_a_failure(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    with pytest.raises(Failure) as told:
        create_run(tmp_path / "runs", Stopped())
    assert told.value.code == "run.unwritable"


# --- the plan, the story, the keyframes --------------------------------------------------------------------------


def plan_of(tmp_path: Path, *keyframes: str | None) -> RunPlan:
    scenes = tuple(
        SceneBrief(id=f"scene-{n:03d}", folder=f"scene-{n:03d}", floor=3, prompt="p", keyframe=keyframe)
        for n, keyframe in enumerate(keyframes, 1)
    )
    return RunPlan(
        run_id="20260301-235958",
        created_at=T0,
        version="0",
        story=StoryBrief(id="s", file=str(tmp_path / "My Story.toml")),
        scenes=scenes,
        workflow=load_workflow("smoke"),
        policy=QueuePolicy(),
        server=ServerPlan(url="http://x"),
    )


def test_a_plan_is_read_as_it_was_written_with_its_story_and_keyframes(run: RunDir, tmp_path: Path) -> None:
    picture = tmp_path / "Key Frame.PNG"
    picture.write_bytes(b"picture")
    plan = plan_of(tmp_path, str(picture), None, str(picture))
    write_plan(run, plan, b"story text")
    picture.unlink()  # the run does not need it any more
    assert read_plan(run) == plan
    assert (run.story / "My-Story.toml").read_bytes() == b"story text"
    assert len(list(run.story.iterdir())) == 2  # one copy of the keyframe that two scenes share
    for scene in plan.scenes:
        assert prepare_scene(run, scene) == prepare_scene(run, scene) == run.path / scene.folder
    assert (run.path / "scene-001" / "keyframe.png").read_bytes() == b"picture"
    assert (run.path / "scene-003" / "keyframe.png").read_bytes() == b"picture"
    assert not list((run.path / "scene-002").iterdir())


def test_keyframes_are_copied_where_the_disk_has_no_links(
    run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    picture = tmp_path / "a.jpg"
    picture.write_bytes(b"picture")
    plan = plan_of(tmp_path, str(picture))
    write_plan(run, plan)
    prepare_scene(run, plan.scenes[0])
    assert (run.path / "scene-001" / "keyframe.jpg").read_bytes() == b"picture"


def test_a_keyframe_that_went_away_is_a_failure(run: RunDir, tmp_path: Path) -> None:
    with pytest.raises(Failure) as told:
        write_plan(run, plan_of(tmp_path, str(tmp_path / "gone.png")))
    assert told.value.code == "story.keyframe_missing"
    assert "scene-001" in str(told.value)


@pytest.mark.parametrize(
    ("content", "code"),
    [(None, "run.not_found"), (b"{}", "run.plan"), (b"[" * 100_000, "run.plan"), (b"\xff", "run.plan")],
)
def test_a_plan_that_cannot_be_used_is_a_failure(run: RunDir, content: bytes | None, code: str) -> None:
    if content is not None:
        run.plan.write_bytes(content)
    with pytest.raises(Failure) as told:
        read_plan(run)
    assert told.value.code == code


def test_paths_in_the_records_are_relative_with_slashes(run: RunDir, tmp_path: Path) -> None:
    assert run.relative(run.frames("scene-001", 2)) == "scene-001/generated-frames-attempt-2"
    assert run.relative(tmp_path / "other") == str(tmp_path / "other")


# --- whole or not at all -----------------------------------------------------------------------------------------


def test_a_fault_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, b"old")

    def pieces() -> Iterator[bytes]:
        yield b"new"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(Failure, match="No space left"):
        write_atomic(path, pieces())
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a.json"]


def test_the_file_is_synced_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(handle: int) -> None:
        done.append("sync")
        real_sync(handle)

    def replace(path: Path, to: Path) -> Path:
        done.append("rename")
        return real_replace(path, to)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    write_atomic(tmp_path / "a.json", [b"a", b"b"])
    assert (tmp_path / "a.json").read_bytes() == b"ab"
    assert done[:2] == ["sync", "rename"]
    assert done[2:] == ([] if sys.platform == "win32" else ["sync"])


@pytest.mark.parametrize(("refusals", "written"), [(0, True), (3, True), (7, True), (8, False)])
def test_a_file_that_a_reader_holds_is_replaced_with_patience(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: int, written: bool
) -> None:
    """As on Windows, where a file that is open for reading cannot be replaced."""
    waits: list[float] = []
    left = [refusals]
    real = Path.replace

    def replace(path: Path, to: Path) -> Path:
        if left[0]:
            left[0] -= 1
            raise PermissionError(errno.EACCES, "held by a reader")
        return real(path, to)

    monkeypatch.setattr(atomic, "READERS_HOLD", True)
    monkeypatch.setattr(atomic, "_pause", waits.append)
    monkeypatch.setattr(Path, "replace", replace)
    if written:
        write_atomic(tmp_path / "a", b"x")
        assert len(waits) == refusals
    else:
        with pytest.raises(Failure, match="held by a reader"):
            write_atomic(tmp_path / "a", b"x")
        assert 1 <= sum(waits) <= 2
    assert (tmp_path / "a").exists() == written
    assert not [name for name in names_in(tmp_path) if is_temporary(name)]


def test_elsewhere_a_refusal_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, to: Path) -> Path:
        raise PermissionError(errno.EACCES, "not yours")

    monkeypatch.setattr(atomic, "READERS_HOLD", False)
    monkeypatch.setattr(atomic, "_pause", lambda seconds: pytest.fail("waited in vain"))
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(Failure, match="not yours"):
        write_atomic(tmp_path / "a", b"x")


def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_stay(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait(30)
    (tmp_path / f".scene.json.{dead.pid}-1.tmp").touch()
    living = temporary(tmp_path / "scene.json")
    living.touch()
    (tmp_path / "notes.tmp").touch()
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / f".a.{dead.pid}-2.tmp").touch()
    assert clean_leftovers(tmp_path) == [f".scene.json.{dead.pid}-1.tmp"]
    assert names_in(tmp_path) == sorted([living.name, "below", "notes.tmp"])
    assert clean_leftovers(tmp_path, deep=True) == [f".a.{dead.pid}-2.tmp"]


# --- one driver a run --------------------------------------------------------------------------------------------

HOLD = """
    import sys
    from pathlib import Path
    from comfytui.records.lock import RunLock
    from comfytui.records.rundir import RunDir
    with RunLock.acquire(RunDir(Path({path!r}))):
        print("held", flush=True)
        sys.stdin.read()
"""


def hold(run: RunDir) -> "subprocess.Popen[str]":
    script = textwrap.dedent(HOLD.format(path=str(run.path)))
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def finish(process: "subprocess.Popen[str]") -> None:
    process.communicate(timeout=30)


def test_a_run_that_another_process_drives_is_locked_until_that_lets_go(run: RunDir) -> None:
    process = hold(run)
    try:
        with pytest.raises(Failure) as told:
            RunLock.acquire(run)
        assert told.value.code == "run.locked"
        assert str(process.pid) in str(told.value)
        holder = holder_of(run)
        assert holder is not None and holder.pid == process.pid
    finally:
        finish(process)
    assert holder_of(run) is None
    with RunLock.acquire(run) as ours:
        assert ours.replaced is None
        assert holder_of(run) == this_process()
    assert holder_of(run) is None


def test_the_lock_of_a_killed_process_is_taken_over_and_told(run: RunDir) -> None:
    process = hold(run)
    process.kill()
    finish(process)
    assert holder_of(run) is None
    frames = run.frames("scene-001", 1)
    frames.mkdir(parents=True)
    for folder in (run.path, frames):
        (folder / f".half.json.{process.pid}-1.tmp").touch()
    with RunLock.acquire(run) as ours:
        assert ours.replaced is not None and ours.replaced.pid == process.pid
        assert not [path for path in run.path.rglob("*") if is_temporary(path.name)]


def test_a_process_that_was_given_the_same_number_later_is_not_the_holder(run: RunDir) -> None:
    ours = this_process()
    run.lock.write_bytes(msgspec.json.encode(msgspec.structs.replace(ours, started=ours.started - 1000)))
    with RunLock.acquire(run) as taken:
        assert taken.replaced is not None


def test_the_start_of_this_process_is_the_one_that_others_see() -> None:
    assert this_process().started == pytest.approx(psutil.Process().create_time(), abs=1.0)


def test_one_process_cannot_hold_a_run_twice(run: RunDir) -> None:
    with RunLock.acquire(run), pytest.raises(Failure, match="already being driven"):
        RunLock.acquire(run)


def test_a_holder_on_another_machine_is_left_alone(run: RunDir) -> None:
    run.lock.write_bytes(msgspec.json.encode(Holder(pid=1, started=0.0, host="another-box")))
    with pytest.raises(Failure) as told:
        RunLock.acquire(run)
    assert told.value.code == "run.locked_elsewhere"
    assert "another-box" in str(told.value) and str(run.lock) in str(told.value)
    assert holder_of(run) is not None


@pytest.mark.parametrize("content", [b"", b'{"pid": 12', b"junk", b"[" * 100_000])
def test_a_torn_lock_holds_nobody(run: RunDir, content: bytes) -> None:
    run.lock.write_bytes(content)
    assert holder_of(run) is None
    with RunLock.acquire(run):
        assert holder_of(run) == this_process()


def test_of_many_who_find_one_stale_lock_one_gets_it(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    run.lock.write_bytes(msgspec.json.encode(Holder(pid=2**22 + 1, started=0.0, host=this_process().host)))
    results: list[str] = []
    start = threading.Barrier(8)

    def take() -> None:
        start.wait(10)
        try:
            RunLock.acquire(run)
            results.append("got it")
        except Failure as failure:
            results.append(failure.code)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(results) == ["got it"] + ["run.locked"] * 7


def test_a_lock_that_cannot_be_judged_in_time_is_a_failure(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_try_lock", lambda file: False)
    monkeypatch.setattr(lock, "_pause", lambda seconds: None)
    with pytest.raises(Failure) as told:
        RunLock.acquire(run)
    assert told.value.code == "run.unwritable"


def test_a_lock_that_was_taken_away_is_not_released_for_its_new_holder(run: RunDir) -> None:
    ours = RunLock.acquire(run)
    other = Holder(pid=psutil.Process().ppid() or 1, started=0.0, host="another-box")
    run.lock.write_bytes(msgspec.json.encode(other))
    ours.release()
    assert holder_of(run) == other


def test_releasing_in_a_folder_that_is_gone_is_quiet(run: RunDir) -> None:
    ours = RunLock.acquire(run)
    run.lock.unlink()
    ours.release()


@pytest.mark.parametrize("pid", [-1, 0, 2**31, 2**70])
def test_a_lock_with_a_number_that_no_process_has_holds_nobody(run: RunDir, pid: int) -> None:
    run.lock.write_text(f'{{"pid":{pid},"started":1.0,"host":"{socket.gethostname()}"}}')
    assert holder_of(run) is None
    with RunLock.acquire(run):
        assert holder_of(run) == this_process()


def test_leftovers_of_a_number_that_no_process_has_are_removed(tmp_path: Path) -> None:
    (tmp_path / f".a.{2**70}-1.tmp").touch()
    assert clean_leftovers(tmp_path) == [f".a.{2**70}-1.tmp"]
