"""The sweep: small slices beside what events name, all of the folder in the end, and seldom enough."""

from collections.abc import Collection
from pathlib import Path

import pytest

from comfytui.sources.frames import sweep as sweeping
from comfytui.sources.frames.folder import Batch, FolderView, FrameSeen
from comfytui.sources.frames.sweep import AGAIN, LARGEST_SHARE, Sweep
from tests.sources.driven_clock import DrivenClock

COST, COST_OF_ALL = 0.002, 5.0
"""Seconds of the driven clock that a look at some files takes, and one at everything."""


class CountingView(FolderView):
    """A view whose looks take time, and which remembers how many files each one asked."""

    def __init__(self, folder: Path, clock: DrivenClock) -> None:
        super().__init__(folder)
        self.asked: list[int | None] = []
        self._clock = clock

    def look(self, names: Collection[str] | None = None) -> Batch:
        self.asked.append(None if names is None else len(names))
        self._clock.advance(COST_OF_ALL if names is None else COST)
        return super().look(names)


@pytest.fixture
def clock() -> DrivenClock:
    return DrivenClock()


@pytest.fixture
def sweep(tmp_path: Path, clock: DrivenClock, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    monkeypatch.setattr(sweeping, "SLICE", 10)
    monkeypatch.setattr(sweeping, "LISTED", 40)
    return Sweep(CountingView(tmp_path, clock), clock)


def changes(batch: Batch) -> list[tuple[str, str]]:
    return [(seen.name, seen.change) for seen in batch if isinstance(seen, FrameSeen)]


def fill(folder: Path, count: int) -> None:
    for number in range(count):
        (folder / f"old-{number:04}").touch()


def asked(sweep: Sweep) -> list[int | None]:
    assert isinstance(sweep._view, CountingView)
    return sweep._view.asked


def test_the_folder_is_listed_once_and_then_events_tell(tmp_path: Path, sweep: Sweep, clock: DrivenClock) -> None:
    fill(tmp_path, 100)
    assert len(changes(sweep.look(None))) == 100
    for number in range(10):
        (tmp_path / f"new-{number}").touch()
        assert changes(sweep.look({f"new-{number}"})) == [(f"new-{number}", "added")]
        clock.advance(0.01)
    assert asked(sweep) == [None] + [1] * 10


def test_what_no_event_told_is_found_within_a_bound_in_slices(tmp_path: Path, sweep: Sweep, clock: DrivenClock) -> None:
    fill(tmp_path, 100)
    sweep.look(None)
    (tmp_path / "lost").touch()
    (tmp_path / "old-0007").write_bytes(b"grown")
    (tmp_path / "old-0099").unlink()
    found, began = list[tuple[str, str]](), clock.monotonic()
    while len(found) < 3:
        found += changes(sweep.look(()))
        clock.advance(0.25)
        assert clock.monotonic() - began < 30
    assert found == [("lost", "added"), ("old-0007", "changed"), ("old-0099", "deleted")]
    sizes = asked(sweep)[1:]
    assert max(size for size in sizes if size is not None) == 10
    assert None not in sizes, "the whole folder is looked at in one go once only"


def test_slices_take_their_share_of_the_time_and_no_more(tmp_path: Path, sweep: Sweep, clock: DrivenClock) -> None:
    fill(tmp_path, 400)
    sweep.look(None)
    began = clock.monotonic()
    while clock.monotonic() - began < 30:
        sweep.look(())
        clock.advance(0.01)
    spent = COST * sum(1 for size in asked(sweep)[1:] if size)
    assert 0.5 * LARGEST_SHARE < spent / 30 <= LARGEST_SHARE


def test_a_file_is_looked_at_once_more_after_its_last_event(tmp_path: Path, sweep: Sweep, clock: DrivenClock) -> None:
    fill(tmp_path, 1000)
    sweep.look(None)
    clock.advance(AGAIN)
    path = tmp_path / "growing"
    path.touch()
    assert changes(sweep.look({path.name})) == [(path.name, "added")]
    path.write_bytes(b"its event is lost")
    told_at, found = clock.monotonic(), list[tuple[str, str]]()
    while not found:
        found += changes(sweep.look(()))
        clock.advance(0.25)
        assert clock.monotonic() - told_at < 3 * AGAIN
    assert found == [(path.name, "changed")]
    assert clock.monotonic() - told_at >= AGAIN


def test_a_folder_that_was_exchanged_is_looked_at_as_a_whole(tmp_path: Path, clock: DrivenClock) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    fill(folder, 3)
    sweep = Sweep(FolderView(folder), clock)
    sweep.look(None)
    folder.rename(tmp_path / "old")
    folder.mkdir()
    (folder / "b").touch()
    assert changes(sweep.look(())) == [("b", "added"), *((f"old-{n:04}", "deleted") for n in range(3))]


def test_a_folder_that_cannot_be_listed_is_no_fault_of_the_sweep(tmp_path: Path, clock: DrivenClock) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    sweep = Sweep(FolderView(folder), clock)
    sweep.look(None)
    folder.rmdir()
    assert len(sweep.look(())) == 1
    clock.advance(AGAIN)
    assert sweep.look(()) == ()
