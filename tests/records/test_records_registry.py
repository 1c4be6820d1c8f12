"""Past runs: listed from their folders and from the index, chosen, compared, and cleared away."""

import os
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from comfytui.cli.past_runs import row
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.model.catalog import RunEntry
from comfytui.model.plan import RunPlan, ServerPlan
from comfytui.model.policy import QueuePolicy
from comfytui.model.workflow import load_workflow
from comfytui.records import lock
from comfytui.records.lock import RunLock
from comfytui.records.registry import index, pruning
from comfytui.records.registry.choosing import age, choose
from comfytui.records.registry.comparing import compare
from comfytui.records.registry.earlier import earlier_spent
from comfytui.records.registry.entry import read_entry
from comfytui.records.registry.index import NAME, list_entries
from comfytui.records.registry.pruning import Pruned, judge, prune
from comfytui.records.rundir import RunDir, write_plan
from tests.records.conftest import play_well
from tests.records.scripted import Script

NOW = datetime(2026, 3, 20, tzinfo=UTC)


def names(entries: Sequence[RunEntry]) -> list[str]:
    return [entry.run_id for entry in entries]


# --- one run -------------------------------------------------------------------------------------------------------


def test_a_run_that_ended_is_told_from_its_metadata_and_the_end_of_its_journal(ended: Callable[[str], RunDir]) -> None:
    entry = read_entry(ended("20260301-102000"))
    assert (entry.story, entry.planned, entry.well, entry.frames, entry.requeues) == ("tale", 2, 2, 6, 1)
    assert (entry.outcome, entry.exit_code, entry.word, entry.went_well) == ("finished", 0, "finished", True)
    assert entry.seconds is not None
    assert entry.seconds > 0
    assert not entry.open


def test_a_run_that_was_cut_short_is_folded(script: Callable[..., Script]) -> None:
    run = script(3)
    run.attempt("scene-001")
    run.end("scene-001")
    run.attempt("scene-002", frames=2)
    entry = read_entry(run.run)
    assert (entry.word, entry.planned, entry.well, entry.frames, entry.seconds) == ("cut short", 3, 1, 5, None)
    assert entry.open
    assert not entry.went_well


def test_a_run_that_was_taken_up_again_has_not_ended(script: Callable[..., Script]) -> None:
    run = script(2)
    play_well(run)
    run.publish(e.RunEnded(outcome="finished", exit_code=0))
    assert read_entry(run.run).word == "finished"
    run.start("rerun")
    entry = read_entry(run.run)
    assert (entry.word, entry.ended_at, entry.well) == ("cut short", None, 2)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[1]", b'{"Scenes": 7, "Story": []}', b"\xff\xfe\x00", b"[" * 100_000,
        b'{"Scenes": [{"FrameCount": 1' + b"0" * 400 + b"}]}", b'{"Timestamp": "0001-01-01T00:00:00+14:00"}',
    ],
)  # fmt: skip
def test_metadata_that_makes_no_sense_is_no_traceback(ended: Callable[[str], RunDir], content: bytes) -> None:
    run = ended("20260301-102000")
    run.metadata.write_bytes(content)
    entry = read_entry(run)
    assert entry.run_id == "20260301-102000"
    assert entry.outcome == "finished"


def test_a_run_without_a_journal_is_told_from_its_metadata(ended: Callable[[str], RunDir]) -> None:
    run = ended("20260301-102000")
    run.journal.unlink()
    entry = read_entry(run)
    assert (entry.word, entry.well, entry.exit_code, entry.opened_at) == ("well", 2, None, None)
    assert entry.went_well
    assert not entry.open


def test_a_torn_journal_is_read_as_far_as_it_goes(ended: Callable[[str], RunDir]) -> None:
    run = ended("20260301-102000")
    content = run.journal.read_bytes()
    run.journal.write_bytes(content[: len(content) // 2])
    entry = read_entry(run)
    assert entry.word == "cut short"
    assert entry.planned == 2


def test_what_no_record_tells_is_not_told_as_nothing(ended: Callable[[str], RunDir], runs: Path) -> None:
    run = ended("20260301-102000")
    run.journal.write_bytes(b"nothing of it is left\n")
    entry = read_entry(run)
    assert (entry.planned, entry.well, entry.frames, entry.requeues) == (None, None, None, None)
    assert row(entry)[3:6] == ("-/-", "-", "-")
    run.journal.unlink()
    run.metadata.write_bytes(
        b'{"Scenes": [{"FrameCount": 3, "Success": true, "MeetsFrameFloor": true}, {"Success": true}]}'
    )
    entry = read_entry(run)
    assert (entry.planned, entry.well, entry.frames, entry.requeues) == (2, 1, None, None)


def test_a_run_that_never_began_says_so(runs: Path) -> None:
    run = RunDir(runs / "20260301-102000")
    run.path.mkdir()
    run.plan.write_bytes(b"{}")
    assert list_entries(runs)[0].problem == "it was never begun"


# --- all of them ---------------------------------------------------------------------------------------------------


def test_runs_are_listed_newest_first_and_what_is_no_run_is_not(ended: Callable[[str], RunDir], runs: Path) -> None:
    for name in ("20260302-000000", "20260301-000000", "20260303-000000"):
        ended(name)
    (runs / "archives").mkdir()
    (runs / "20260304-000000").mkdir()
    (runs / "20260305-000000").write_text("a file")
    (runs / "20260306-000000").symlink_to(runs / "nowhere")
    assert names(list_entries(runs)) == ["20260303-000000", "20260302-000000", "20260301-000000"]
    assert list_entries(runs / "nowhere") == []


def test_what_has_not_changed_is_not_read_again(
    ended: Callable[[str], RunDir], runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended("20260301-000000")
    first = list_entries(runs)
    read: list[str] = []
    monkeypatch.setattr(index, "read_entry", lambda run: read.append(run.run_id) or read_entry(run))
    assert list_entries(runs) == first
    assert read == []
    ended("20260302-000000")
    assert len(list_entries(runs)) == 2
    assert read == ["20260302-000000"]


def test_a_run_whose_journal_grew_is_read_again(ended: Callable[[str], RunDir], runs: Path) -> None:
    run = ended("20260301-000000")
    assert list_entries(runs)[0].outcome == "finished"
    run.journal.write_bytes(run.journal.read_bytes().replace(b'"outcome":"finished"', b'"outcome":"interrupted"'))
    assert list_entries(runs)[0].outcome == "interrupted"


@pytest.mark.parametrize("damage", [b"", b"no index", b"\x82\xa7version\xff", msgspec.msgpack.encode({"version": 99})])
def test_a_damaged_index_is_made_anew(ended: Callable[[str], RunDir], runs: Path, damage: bytes) -> None:
    ended("20260301-000000")
    first = list_entries(runs)
    (runs / NAME).write_bytes(damage)
    assert list_entries(runs) == first
    assert (runs / NAME).read_bytes() != damage


def test_runs_that_were_moved_are_told_at_their_new_place(ended: Callable[[str], RunDir], runs: Path) -> None:
    ended("20260301-000000")
    list_entries(runs)
    moved = runs.rename(runs.with_name("moved"))
    assert list_entries(moved)[0].path == str(moved / "20260301-000000")


def test_a_folder_that_takes_no_index_is_listed_all_the_same(
    ended: Callable[[str], RunDir], runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise Failure("run.unwritable", place=str(runs), why="No space left on device")

    monkeypatch.setattr(index, "write_atomic", full)
    ended("20260301-000000")
    assert len(list_entries(runs)) == 1
    assert not (runs / NAME).exists()


def test_a_run_that_vanishes_while_it_is_read_is_no_fault(
    ended: Callable[[str], RunDir], runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended("20260301-000000")

    def vanishing(run: RunDir) -> RunEntry:
        shutil.rmtree(run.path)
        return read_entry(run)

    monkeypatch.setattr(index, "read_entry", vanishing)
    assert [entry.planned for entry in list_entries(runs)] == [None]
    monkeypatch.undo()
    assert list_entries(runs) == []


def test_a_run_that_is_driven_now_is_running(ended: Callable[[str], RunDir], runs: Path) -> None:
    run = ended("20260301-000000")
    with RunLock.acquire(run):
        assert [entry.word for entry in list_entries(runs)] == ["running"]
    assert [entry.word for entry in list_entries(runs)] == ["finished"]


# --- choosing ------------------------------------------------------------------------------------------------------


def entry(run_id: str = "20260301-000000", days: float = 1, **more: Any) -> RunEntry:
    at = NOW - timedelta(days=days)
    told: dict[str, Any] = {"opened_at": at, "ended_at": at, "outcome": "finished", "exit_code": 0, "planned": 1}
    return RunEntry(run_id=run_id, path=f"/runs/{run_id}", **{**told, **more})


def test_failed_ones_are_those_that_ended_badly_or_not_at_all() -> None:
    well, badly = entry(), entry(exit_code=1)
    short, now = entry(outcome=None, exit_code=None), entry(outcome=None, exit_code=None, driven=True)
    assert choose([well, badly, short, now], failed=True) == [badly, short]


def test_choosing_by_story_and_age() -> None:
    entries = [entry(story="a", days=1), entry(story="b", days=1), entry(story="a", days=8)]
    assert choose(entries, story="a", since=NOW - age("7d")) == entries[:1]
    assert choose([replace(entries[0], opened_at=None, ended_at=None)], since=NOW - age("7d")) == []


@pytest.mark.parametrize("text", ["", "7", "d", "-3d", "7 days", "1y", "999999d", "٣d"])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(Failure) as refused:
        age(text)
    assert refused.value.code == "runs.age"


# --- comparing -----------------------------------------------------------------------------------------------------


def test_two_runs_are_compared_scene_by_scene(ended: Callable[[str], RunDir], runs: Path) -> None:
    before, after = ended("20260301-000000"), ended("20260302-000000")
    content = msgspec.json.decode(after.metadata.read_bytes())
    content["Scenes"][0]["FrameCount"] = 2
    content["Scenes"][0]["Telemetry"]["GPU"]["Name"] = "\x1b[31mother"
    content["Scenes"][1]["SceneId"] = "scene-009"
    after.metadata.write_bytes(msgspec.json.encode(content))
    first, ninth, second = compare(before, after)
    assert first.before is not None
    assert first.after is not None
    assert (first.before.frames, first.after.frames, first.after.floor) == (3, 2, 3)
    assert [(change.field, change.after) for change in first.telemetry] == [("GPU.Name", "other")]
    assert (ninth.scene, ninth.before) == ("scene-009", None)
    assert (second.scene, second.after) == ("scene-002", None)


def test_a_run_without_a_record_is_not_compared(ended: Callable[[str], RunDir]) -> None:
    run = ended("20260301-000000")
    run.metadata.unlink()
    with pytest.raises(Failure) as refused:
        compare(run, run)
    assert refused.value.code == "run.no_record"


# --- clearing away -------------------------------------------------------------------------------------------------


def stays(entries: Sequence[RunEntry], **limits: Any) -> list[str]:
    given = {"keep_last": None, "keep_days": None, **limits}
    return [one.run_id for one in judge(entries, NOW, **given) if not one.goes]


def test_what_either_limit_keeps_stays() -> None:
    entries = [entry(str(day), days=day) for day in (1, 10, 20, 40)]
    assert stays(entries, keep_last=1) == ["1"]
    assert stays(entries, keep_days=15) == ["1", "10"]
    assert stays(entries, keep_last=3, keep_days=15) == ["1", "10", "20"]
    assert stays(entries) == ["1", "10", "20", "40"], "without a limit nothing goes"


def test_a_limit_that_is_older_than_time_keeps_everything() -> None:
    assert stays([entry("1", days=1)], keep_days=10**12) == ["1"]


def test_what_is_under_way_or_can_be_resumed_stays() -> None:
    entries = [
        entry("driven", driven=True), entry("short", outcome=None), entry("paused", outcome="paused", exit_code=1),
        entry("stopped", outcome="interrupted", exit_code=130), entry("failed", outcome="failed", exit_code=2),
        entry("ageless", opened_at=None, ended_at=None),
    ]  # fmt: skip
    assert stays(entries, keep_last=0) == ["driven", "short", "paused", "stopped"]
    assert stays(entries, keep_last=0, unfinished=True) == ["driven"]
    assert "ageless" in stays(entries, keep_days=0)


def pruned(runs: Path, entries: Sequence[RunEntry]) -> dict[str, Pruned]:
    judged = judge(entries, NOW + timedelta(days=900), keep_last=0, keep_days=None)
    return {one.run_id: one for one in prune(runs, entries, judged)}


def test_old_runs_go_and_their_archives_stay(ended: Callable[[str], RunDir], runs: Path) -> None:
    run = ended("20260301-000000")
    run.archive.parent.mkdir()
    run.archive.write_bytes(b"zip")
    outside = runs.parent / "outside"
    outside.mkdir()
    (outside / "keep").write_text("me")
    (run.path / "link").symlink_to(outside)
    assert pruned(runs, list_entries(runs))["20260301-000000"].goes
    assert not run.path.exists()
    assert run.archive.exists()
    assert (outside / "keep").exists()
    assert list_entries(runs) == []


def test_a_run_that_somebody_drives_by_now_stays(ended: Callable[[str], RunDir], runs: Path) -> None:
    run = ended("20260301-000000")
    entries = list_entries(runs)
    with RunLock.acquire(run):
        told = pruned(runs, entries)["20260301-000000"]
    assert not told.goes
    assert told.why == Failure("run.locked", run=run.run_id, pid=os.getpid()).what
    assert run.metadata.exists()


def test_a_run_that_was_resumed_in_the_meantime_stays(ended: Callable[[str], RunDir], runs: Path) -> None:
    run = ended("20260301-000000")
    entries = list_entries(runs)
    run.journal.write_bytes(run.journal.read_bytes().replace(b'"outcome":"finished"', b'"outcome":"interrupted"'))
    told = pruned(runs, entries)["20260301-000000"]
    assert (told.goes, told.why) == (False, "it changed in the meantime")
    assert run.metadata.exists()


def test_a_run_that_is_a_link_stays(ended: Callable[[str], RunDir], runs: Path) -> None:
    run = ended("20260301-000000")
    elsewhere = runs.parent / "20260301-000000"
    run.path.rename(elsewhere)
    run.path.symlink_to(elsewhere)
    told = pruned(runs, list_entries(runs))["20260301-000000"]
    assert (told.goes, told.why) == (False, "it is a link to another place")
    assert (elsewhere / "events.jsonl").exists()


def test_a_removal_that_was_cut_off_is_finished_by_the_next(
    ended: Callable[[str], RunDir], runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ended("20260301-000000")

    def cut_off(path: Path) -> None:
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr(pruning.shutil, "rmtree", cut_off)
    assert not pruned(runs, list_entries(runs))["20260301-000000"].goes
    assert not run.path.exists(), "nobody finds half a run"
    assert list_entries(runs) == []
    monkeypatch.undo()
    pruned(runs, [])
    assert [path.name for path in runs.iterdir() if path.name != NAME] == []


def test_the_lock_is_held_until_the_run_is_out_of_sight(
    ended: Callable[[str], RunDir], runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seen = ended("20260301-000000"), []

    def looking(one: RunDir) -> RunEntry:
        seen.append(lock.holder_of(one) is not None)
        return read_entry(one)

    entries = list_entries(runs)
    monkeypatch.setattr(pruning, "read_entry", looking)
    pruned(runs, entries)
    assert seen == [True]
    assert not run.path.exists()


def planned(run: RunDir, workflow: str = "smoke", url: str = "http://here") -> RunDir:
    plan = RunPlan(
        run_id=run.run_id, created_at=NOW, version="1", story=e.StoryBrief(id="tale"), scenes=(),
        workflow=load_workflow(workflow), policy=QueuePolicy(), server=ServerPlan(url=url),
    )  # fmt: skip
    write_plan(run, plan)
    return run


def test_what_scenes_took_is_learnt_from_earlier_runs_that_are_like_it(ended: Callable[[str], RunDir]) -> None:
    first, second, now, later = (planned(ended(f"2026030{day}-000000")) for day in (1, 2, 3, 4))
    each = len(earlier_spent(second))
    assert each and earlier_spent(first) == ()
    assert (len(earlier_spent(now)), len(earlier_spent(later))) == (2 * each, 3 * each)
    planned(first, workflow="txt2img")
    assert len(earlier_spent(now)) == each, "another workflow teaches nothing"
    planned(second, url="http://elsewhere")
    assert earlier_spent(now) == (), "nor does another server"


def test_runs_that_cannot_be_read_teach_nothing(ended: Callable[[str], RunDir]) -> None:
    broken, bare, now = (planned(ended(f"2026030{day}-000000")) for day in (1, 2, 3))
    broken.plan.write_bytes(b"{")
    bare.journal.unlink()
    assert earlier_spent(now) == ()
    now.plan.unlink()
    assert earlier_spent(now) == ()
