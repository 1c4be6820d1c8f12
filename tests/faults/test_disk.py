"""What a disk does to a run, injected: it pauses, nothing is lost or half-written, and resume finishes it."""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from comfytui.engine.runner import Runner
from comfytui.engine.server.credentials import Credentials
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.model.envelope import Envelope
from comfytui.model.state import State
from comfytui.records import journal
from comfytui.records.atomic import is_temporary
from comfytui.records.lock import holder_of
from comfytui.records.rundir import RunDir
from comfytui.simulator import Simulator
from comfytui.simulator.speed import Speed
from tests.engine.stage import LONGEST, Outcome, Stage, brief
from tests.faults.disks import files_no_larger_than, fill, read_only, small_disk
from tests.faults.test_frames_and_history import settled

SLOW = Speed(sampling_step=0.05, save_frame=2.0)
SCENES = (brief(1), brief(2), brief(3))
When = Callable[[Envelope, State], bool]


def proven(count: int) -> When:
    """Return whether that many frames of the run are proven."""
    return lambda env, state: (
        isinstance(env.event, e.FrameProven) and sum(a.proven for s in state.scenes for a in s.attempts) == count
    )


def fact(kind: type[e.Fact]) -> When:
    return lambda env, state: isinstance(env.event, kind)


def at(runner: Runner, when: When, act: Callable[[], object]) -> None:
    """Do ``act`` once, right after the fact that ``when`` waits for."""
    done: list[bool] = []

    def look(envelope: Envelope, state: State) -> None:
        if not done and when(envelope, state):
            done.append(True)
            act()

    runner.hub.record_with(look)


async def drive(runner: Runner, simulator: Simulator) -> Outcome:
    with anyio.fail_after(LONGEST):
        code = await runner.drive()
    return Outcome(code, runner, simulator)


async def resumed(stage: Stage, paused: Runner, simulator: Simulator) -> Outcome:
    """Take the run up again, as ``comfytui resume`` does."""
    with Runner(paused.run_dir, paused.plan, stage.clock, Credentials(), "resume") as runner:
        return await drive(runner, simulator)


def is_paused(runner: Runner, outcome: Outcome) -> None:
    """The run came to rest with exit code 1 and words; nothing is half-written, and it is free for another runner."""
    assert outcome.exit_code == 1
    assert runner.paused is not None
    assert runner.paused.code == "run.paused"
    assert f"comfytui resume {runner.run_dir.path}" in runner.paused.remedy
    assert outcome.posts("/interrupt") == []
    assert not [path for path in runner.run_dir.path.rglob("*") if is_temporary(path.name)]
    for scene in outcome.state.scenes:
        for attempt in scene.attempts:
            for frame in attempt.frames:
                path = runner.run_dir.frames(scene.brief.folder, attempt.number) / frame.name
                assert not path.exists() or path.stat().st_size == frame.bytes
    assert holder_of(runner.run_dir) is None


def is_told(run_dir: RunDir) -> None:
    """The journal says that the run is paused, and how to go on."""
    facts = [envelope.event for envelope in journal.read(run_dir.journal) if envelope.is_fact]
    noted, ended = facts[-2:]
    assert isinstance(noted, e.RunNoted)
    assert (noted.code, noted.level) == ("run.paused", "error")
    assert "comfytui resume" in (noted.remedy or "")
    assert ended == e.RunEnded(outcome="paused", exit_code=1)


def is_finished(outcome: Outcome, first: Outcome) -> None:
    """All scenes are whole, and what had begun before the pause was not rendered twice."""
    settled(outcome)
    assert outcome.exit_code == 0
    assert [scene.frames for scene in outcome.state.scenes] == [5] * len(outcome.state.scenes)
    assert outcome.attempt().prompt_id == first.attempt().prompt_id
    assert outcome.simulator.prompts_executed.count(first.attempt().prompt_id) == 1
    assert len(outcome.scene(1).attempts) == 1
    assert outcome.run_dir.archive.is_file()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 32) as place:
        yield place


# --- full, for real ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leave", [0, 6000])
async def test_a_disk_that_fills_up_in_the_middle_pauses_the_run(stage: Stage, disk: Path, leave: int) -> None:
    stage.runs = disk / "runs"
    async with stage.simulator(speed=SLOW) as simulator:
        with stage.open(simulator, *SCENES) as runner:
            at(runner, proven(2), lambda: fill(disk, leave))
            first = await drive(runner, simulator)
        is_paused(runner, first)
        assert "No space left" in runner.paused.what  # type: ignore[union-attr]
        assert {"delete": [first.attempt(2).prompt_id]} in first.posts("/queue"), "nothing more is rendered to no end"
        read = journal.read(runner.run_dir.journal)
        assert sum(envelope.is_fact for envelope in read) >= first.state.seq
        assert read.corrupt == 0
        with pytest.raises(Failure) as told:
            await resumed(stage, runner, simulator)
        assert told.value.code == "run.unwritable", "the disk is still full"
        (disk / "ballast").unlink()
        is_finished(await resumed(stage, runner, simulator), first)


async def test_what_was_executing_is_collected_after_the_pause(stage: Stage, disk: Path) -> None:
    stage.runs = disk / "runs"
    async with stage.simulator(speed=SLOW) as simulator:
        with stage.open(simulator, *SCENES) as runner:
            at(runner, proven(2), lambda: fill(disk))
            first = await drive(runner, simulator)
        (disk / "ballast").unlink()
        await stage.clock.sleep(600)
        assert simulator.prompts_executed == [first.attempt().prompt_id]
        is_finished(await resumed(stage, runner, simulator), first)


async def test_a_full_disk_at_the_end_costs_the_archive_only(stage: Stage, disk: Path) -> None:
    stage.runs = disk / "runs"
    async with stage.simulator() as simulator:
        with stage.open(simulator) as runner:
            (runner.run_dir.logs / "server.log").write_bytes(os.urandom(3 << 20))
            at(runner, fact(e.RunSettled), lambda: fill(disk, 1 << 20))
            outcome = await drive(runner, simulator)
        archive_is_missing(runner, outcome)
        (disk / "ballast").unlink()
        again = await resumed(stage, runner, simulator)
        archive_is_there(again, outcome)


async def test_too_little_space_is_told_before_the_first_prompt(stage: Stage, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8) as disk:
        stage.runs = disk / "runs"
        outcome = await stage.play(scenes=SCENES)
        assert outcome.exit_code == 2
        assert outcome.posts() == []
        note = outcome.state.notes[-2]
        assert "8 MB are free" in note.text
        assert "15 frames to come of 512x288" in note.text


# --- limits and faults that need no disk of their own --------------------------------------------------------------


async def test_a_journal_that_may_not_grow_pauses_the_run(stage: Stage) -> None:
    with contextlib.ExitStack() as limits:
        async with stage.simulator(speed=SLOW) as simulator:
            with stage.open(simulator, *SCENES) as runner:

                def limit() -> None:
                    limits.enter_context(files_no_larger_than(runner.run_dir.journal.stat().st_size + 100))

                # The journal is then the largest of all files, also of those that the simulator writes.
                large = e.RunNoted(text="x" * 400_000)
                at(runner, fact(e.RunnerStarted), lambda: runner.hub.publish(large))
                at(runner, proven(2), limit)
                first = await drive(runner, simulator)
            is_paused(runner, first)
            limits.close()
            reading = journal.read(runner.run_dir.journal)
            assert [envelope.seq for envelope in reading if envelope.is_fact][-1] == first.state.seq
            assert reading.corrupt == 0, "what an append left that failed is taken back"
            is_finished(await resumed(stage, runner, simulator), first)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
async def test_a_disk_that_does_not_sync_pauses_the_run(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    async with stage.simulator(speed=SLOW) as simulator:
        with monkeypatch.context() as patch, stage.open(simulator, *SCENES) as runner:
            at(runner, proven(2), lambda: patch.setattr(os, "fsync", fail))
            first = await drive(runner, simulator)
        is_paused(runner, first)
        is_told(runner.run_dir)
        assert os.strerror(code) in runner.paused.what  # type: ignore[union-attr]
        is_finished(await resumed(stage, runner, simulator), first)


Damage = Callable[[RunDir], "contextlib.AbstractContextManager[None]"]


@contextlib.contextmanager
def a_folder_for_the_summary(run: RunDir) -> Iterator[None]:
    run.summary.unlink()
    run.summary.mkdir()
    yield
    run.summary.rmdir()


@contextlib.contextmanager
def a_summary_on_a_full_device(run: RunDir) -> Iterator[None]:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    run.summary.unlink()
    run.summary.symlink_to("/dev/full")
    yield
    run.summary.unlink()


@contextlib.contextmanager
def a_scene_folder_that_is_gone(run: RunDir) -> Iterator[None]:
    shutil.rmtree(run.scene("scene-001"))
    yield


@contextlib.contextmanager
def a_file_for_the_frames(run: RunDir) -> Iterator[None]:
    frames = run.frames("scene-001", 1)
    frames.rename(run.path / "away")
    frames.write_bytes(b"")
    yield
    frames.unlink()
    (run.path / "away").rename(frames)


@contextlib.contextmanager
def a_scene_record_that_is_a_folder(run: RunDir) -> Iterator[None]:
    run.scene_json("scene-001").mkdir()
    yield
    run.scene_json("scene-001").rmdir()


@contextlib.contextmanager
def frames_that_are_read_only(run: RunDir) -> Iterator[None]:
    with read_only(run.frames("scene-001", 1)):
        yield


@pytest.mark.parametrize(
    "damage",
    [
        a_folder_for_the_summary,
        a_summary_on_a_full_device,
        a_scene_folder_that_is_gone,
        a_file_for_the_frames,
        a_scene_record_that_is_a_folder,
        frames_that_are_read_only,
    ],
    ids=lambda damage: damage.__name__,
)
async def test_a_place_that_cannot_be_written_pauses_the_run(stage: Stage, damage: Damage) -> None:
    with contextlib.ExitStack() as damaged:
        async with stage.simulator(speed=SLOW) as simulator:
            with stage.open(simulator) as runner:
                at(runner, proven(2), lambda: damaged.enter_context(damage(runner.run_dir)))
                first = await drive(runner, simulator)
            is_paused(runner, first)
            is_told(runner.run_dir)
            damaged.close()
            is_finished(await resumed(stage, runner, simulator), first)


async def test_a_run_folder_that_is_deleted_ends_the_runner_in_words(stage: Stage) -> None:
    async with stage.simulator(speed=SLOW) as simulator:
        with stage.open(simulator, *SCENES) as runner:
            at(runner, proven(2), lambda: shutil.rmtree(runner.run_dir.path))
            outcome = await drive(runner, simulator)
        assert outcome.exit_code == 1
        assert runner.paused is not None
        assert runner.paused.code == "run.gone"
        assert not runner.run_dir.path.exists(), "it is not made anew, with holes in it"
        assert outcome.posts("/interrupt") == []
        await stage.clock.sleep(600)
        assert len(list(stage.output.rglob("scene-001-a1_*.png"))) == 5, "the server's frames are all there"


# --- the archive ---------------------------------------------------------------------------------------------------


def archive_is_missing(runner: Runner, outcome: Outcome) -> None:
    assert outcome.exit_code == 1
    assert runner.paused is None
    assert outcome.findings == []
    assert outcome.metadata.archive is None
    assert outcome.state.run is not None
    assert (outcome.state.run.outcome, outcome.state.run.archive) == ("finished", None)
    assert any("[archive.unwritten]" in n.text or "archive could not be written" in n.text for n in outcome.state.notes)
    assert not list(runner.run_dir.path.parent.rglob("*.zip")) + list(runner.run_dir.path.parent.rglob("*.tmp"))


def archive_is_there(again: Outcome, first: Outcome) -> None:
    assert again.exit_code == 0
    assert again.findings == []
    assert again.run_dir.archive.is_file()
    assert again.metadata.archive == str(again.run_dir.archive)
    assert again.simulator.prompts_executed == first.simulator.prompts_executed
    assert [len(scene.attempts) for scene in again.state.scenes] == [1]


async def test_an_archive_that_cannot_be_written_is_written_by_resume(stage: Stage) -> None:
    archives = stage.runs / "archives"

    def block() -> None:
        archives.rmdir()
        archives.write_bytes(b"in the way")

    async with stage.simulator() as simulator:
        with stage.open(simulator) as runner:
            at(runner, fact(e.RunSettled), block)
            outcome = await drive(runner, simulator)
        archive_is_missing(runner, outcome)
        archives.unlink()
        archive_is_there(await resumed(stage, runner, simulator), outcome)


# --- before the first prompt ---------------------------------------------------------------------------------------


async def test_a_runs_folder_without_room_for_archives_is_told_before_the_first_prompt(stage: Stage) -> None:
    async with stage.simulator() as simulator:
        with stage.open(simulator) as runner:
            (stage.runs / "archives").write_bytes(b"in the way")
            with pytest.raises(Failure) as told:
                await runner.drive()
        assert (told.value.code, told.value.exit_code) == ("run.unwritable", 2)
        assert Outcome(2, runner, simulator).posts() == []
        assert holder_of(runner.run_dir) is None


async def test_a_tight_disk_is_a_warning(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comfytui.engine.server.preflight.free_bytes", lambda folder: 18 << 20)
    outcome = await stage.play()
    settled(outcome)
    assert outcome.exit_code == 0
    warnings = [note.text for note in outcome.state.notes if note.level == "warning"]
    assert any("Space is tight" in text and "18 MB free" in text for text in warnings)


@pytest.mark.parametrize("named", [True, False])
async def test_an_output_folder_that_may_not_be_listed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    listed = os.scandir

    def scandir(folder: Any) -> Any:
        if folder == stage.output:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return listed(folder)

    monkeypatch.setattr("comfytui.engine.server.preflight.os.scandir", scandir)
    async with stage.simulator() as simulator:
        opened = stage.open(simulator)
        server = replace(opened.plan.server, output_dir=str(stage.output) if named else None)
        with Runner(opened.run_dir, replace(opened.plan, server=server), stage.clock, Credentials()) as runner:
            outcome = await drive(runner, simulator)
    assert outcome.exit_code == (2 if named else 0)
    assert any("Permission denied" in note.text for note in outcome.state.notes)
