"""Which frames an attempt wants, under which names, and when a file that proves nothing counts as finished."""

from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfytui.engine.attempt.voice import AttemptVoice
from comfytui.engine.frames.collecting import FrameCollector
from comfytui.engine.frames.listing import LARGEST_SHARE, LEARNT, SMALL
from comfytui.engine.frames.rest import Rest
from comfytui.engine.frames.shelves import Brought, DiskShelf, Wanted, on_disk, together, wanted_of
from comfytui.engine.hub import Hub, Unrecorded
from comfytui.model.policy import QueuePolicy
from comfytui.model.state import Attempt
from comfytui.sources.comfy.wire import OutputFile
from comfytui.sources.frames.collect import Accept, Uncollected
from comfytui.sources.frames.folder import Change, FrameSeen
from tests.sources.driven_clock import DrivenClock


def file(name: str, subfolder: str = "", kind: str = "output") -> OutputFile:
    return OutputFile(node="9", key="images", filename=name, subfolder=subfolder, type=kind)


def names(*files: OutputFile) -> list[str]:
    wanted, unsafe = wanted_of(files)
    assert unsafe == []
    return [w.name for w in wanted]


def test_reported_frames_keep_their_names_and_order() -> None:
    files = [file(f"a_{n:05}_.png", "comfytui/run") for n in (3, 1, 2)]
    wanted, unsafe = wanted_of(files)
    assert [w.file for w in wanted] == files
    assert [w.name for w in wanted] == ["a_00003_.png", "a_00001_.png", "a_00002_.png"]
    assert unsafe == []


def test_previews_in_the_temp_folder_are_no_frames() -> None:
    assert names(file("p.png", kind="temp"), file("i.png", kind="input"), file("f.png")) == ["f.png"]


def test_a_frame_that_is_reported_twice_is_wanted_once() -> None:
    assert names(file("f.png", "a\\b"), file("f.png", "a/b"), file("f.png", "/a/b/")) == ["f.png"]


@pytest.mark.parametrize(
    "files",
    [
        (file("f.png", "one"), file("f.png", "two")),
        (file("f.png"), file("F.PNG", "two")),  # one name for Windows and macOS
        (file("f.png"), file("f.png", "夜"), file("f.png", "昼")),  # folders that leave nothing of their names
        (file("f.png"), file("f.png", "a b"), file("f.png", "a-b")),  # folders that leave the same
        (file("f.png"), file("f.png", "a"), file("a-f.png")),  # a name that the other one would get
        (file("n" * 240 + ".png"), file("n" * 240 + ".png", "a"), file("n" * 240 + ".png", "b")),  # long ones
    ],
)
def test_frames_of_one_name_get_names_of_their_own(files: tuple[OutputFile, ...]) -> None:
    made = names(*files)
    assert len({name.lower() for name in made}) == len(files)
    assert made[0] == files[0].filename
    assert all(PurePosixPath(name).suffix.lower() == ".png" for name in made)
    assert all(len(name.encode()) <= 255 for name in made)


@pytest.mark.parametrize("name", ['what "is" this?.png', "a<b>c|d*.png", "ends-in-a-dot.png.", "ends in a space.png "])
def test_a_name_that_windows_cannot_hold_becomes_one_that_it_can(name: str) -> None:
    (made,) = names(file(name))
    assert not set(made) & set('<>:"|?*')
    assert not made.endswith((".", " "))


@pytest.mark.parametrize(
    "bad",
    [
        file("../escape.png"),
        file("f.png", "../.."),
        file("f.png", "/etc/../.."),
        file("/etc/passwd"),
        file("C:\\win.ini"),
        file("f.png", "C:\\out"),
        file("nul.png"),
        file("a\x00b.png"),
        file("\x1b[2Jf.png"),
        file("\u202egnp.f"),
        file("n" * 10_000 + ".png"),
        file(""),
    ],
)
def test_unsafe_names_are_set_apart(bad: OutputFile) -> None:
    wanted, unsafe = wanted_of([bad, file("good.png")])
    assert [w.name for w in wanted] == ["good.png"]
    assert len(unsafe) == 1


PARTS = st.sampled_from(["f.png", "F.png", "a-f.png", "b-f.png", "a-b-f.png", "夜.png"])
FOLDERS = st.sampled_from(["", "a", "b", "A", "a/b", "a b", "a-b", "夜", "昼", "夜/a"])


@given(st.lists(st.builds(file, PARTS, FOLDERS), max_size=12))
def test_no_two_frames_ever_share_a_name(files: list[OutputFile]) -> None:
    wanted, _ = wanted_of(files)
    assert len({w.name.casefold() for w in wanted}) == len(wanted)
    assert len(wanted) == len({(f.subfolder, f.filename) for f in files})


def test_frames_that_nobody_reported_never_take_the_name_of_one_that_was() -> None:
    reported, _ = wanted_of([file("s-a1_00001_.png", "elsewhere")])
    both = together(reported, [on_disk("s-a1_00001_.png", "comfytui/run"), on_disk("s-a1_00002_.png", "comfytui/run")])
    assert len({w.name for w in both}) == 3
    assert both[0].name == "s-a1_00001_.png"
    assert both[2].name == "s-a1_00002_.png"


# --- rest --------------------------------------------------------------------------------------------------------


def seen(rest: Rest, *looks: tuple[float, object]) -> list[bool]:
    return [rest.seen("f.bmp", mark, at) for at, mark in looks]


def test_a_file_is_at_rest_after_a_window_without_change() -> None:
    assert seen(Rest(2.0, 3), (0, "a"), (1.9, "a"), (2.0, "a"), (9, "a")) == [False, False, True, True]


def test_each_change_begins_a_new_window() -> None:
    assert seen(Rest(2.0, 3), (0, "a"), (1, "b"), (2.5, "b"), (3, "b")) == [False, False, False, True]


def test_growth_without_rest_costs_no_retry() -> None:
    looks = [(n * 0.5, n) for n in range(50)]
    assert seen(Rest(2.0, 0), *looks, (26.5, 49)) == [False] * 50 + [True]


def test_a_file_that_never_stays_the_same_is_never_taken_for_finished() -> None:
    looks = []
    for change in range(5):  # each time it rests for long, and changes after all
        looks += [(change * 10.0, change), (change * 10.0 + 5, change)]
    assert seen(Rest(2.0, 3), *looks) == [False, True] * 4 + [False, False]


def test_without_a_window_the_first_look_is_enough() -> None:
    assert seen(Rest(0.0, 3), (0, "a")) == [True]


def test_files_rest_each_for_itself() -> None:
    rest = Rest(2.0, 3)
    assert not rest.seen("a.bmp", 1, 0.0)
    assert not rest.seen("b.bmp", 1, 1.5)
    assert rest.seen("a.bmp", 1, 2.0)
    assert not rest.seen("b.bmp", 1, 2.0)


# --- while it executes -----------------------------------------------------------------------------------------------


class Shelf:
    """Gives no frame, and remembers for which it was asked."""

    via: Literal["disk"] = "disk"

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def take(self, wanted: Wanted, target: Path, accept: Accept) -> Brought | Uncollected:
        self.asked.append(wanted.name)
        return Uncollected(name=wanted.name, reason="missing", why="it is not there")

    async def stamp(self, wanted: Wanted) -> tuple[int, int] | None:
        return None

    async def unreported(
        self, prefix: str, known: Sequence[Wanted], seen: Collection[str] | None = None
    ) -> list[Wanted]:
        return []


def collector_of(shelf: Shelf, clock: DrivenClock, target: Path) -> FrameCollector:
    hub = Hub("", clock, Unrecorded())
    attempt = Attempt(number=1, prompt_id="p", prefix="x/s-a1", seed=1, planned_at=clock.now())
    return FrameCollector(
        AttemptVoice(hub, "s", attempt), prefix="x/s-a1", floor=1, expected=1, target=target, shelf=shelf, hub=hub,
        clock=clock, policy=QueuePolicy(),
    )  # fmt: skip


def frame_seen(number: int, change: Change = "added") -> FrameSeen:
    path = Path(f"s-a1_{number:05}_.png")
    return FrameSeen(path=path, name=path.name, bytes=9, mtime_ns=1, change=change)


async def followed(collector: FrameCollector, clock: DrivenClock) -> None:
    """Return once the collector has taken what is at rest, and waits for the rest."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(collector.follow)
        await clock.somebody_sleeps()
        tasks.cancel_scope.cancel()


async def test_a_frame_is_taken_once_the_next_is_begun_and_not_before(tmp_path: Path) -> None:
    clock, shelf = DrivenClock(), Shelf()  # a clock that stands still: nothing comes to rest by itself
    collector = collector_of(shelf, clock, tmp_path)
    for number in (2, 1, 1, 3):  # events of one moment come in any order
        collector.observe(frame_seen(number))
    await followed(collector, clock)
    assert sorted(shelf.asked) == ["s-a1_00001_.png", "s-a1_00002_.png"]


async def test_a_file_that_is_deleted_while_another_is_taken_is_passed_over(tmp_path: Path) -> None:
    clock = DrivenClock()

    class DeletedMeanwhile(Shelf):
        async def take(self, wanted: Wanted, target: Path, accept: Accept) -> Brought | Uncollected:
            collector.observe(frame_seen(2, "deleted"))
            return await super().take(wanted, target, accept)

    shelf = DeletedMeanwhile()
    collector = collector_of(shelf, clock, tmp_path)
    for number in (1, 2, 3):
        collector.observe(frame_seen(number))
    await followed(collector, clock)
    assert shelf.asked == ["s-a1_00001_.png"]


class Ticking(DrivenClock):
    """A clock by which each look at the time takes a tenth of a second: so long does a listing take."""

    def monotonic(self) -> float:
        self.advance(0.1)
        return super().monotonic()


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    for number in range(SMALL + 1):
        (tmp_path / f"other-{number}-a1_00001_.png").touch()
    return tmp_path


async def looked(shelf: DiskShelf, scene: str, seen: Collection[str] | None = ()) -> list[str]:
    """Return what is found of a scene after one reported frame, which lies there."""
    reported = f"{scene}-a1_00001_.png"
    (shelf.output_dir / reported).touch()
    found = await shelf.unreported(f"{scene}-a1", [Wanted(name=reported, file=file(reported))], seen)
    return [wanted.name for wanted in found]


async def learnt(folder: Path, clock: DrivenClock) -> DiskShelf:
    shelf = DiskShelf(folder, clock)
    for number in range(LEARNT):
        assert await looked(shelf, f"first-{number}") == []
    return shelf


async def test_a_crowded_folder_is_listed_now_and_then_once_it_is_known_that_all_is_reported(crowded: Path) -> None:
    clock = Ticking()
    shelf = await learnt(crowded, clock)
    (crowded / "s-a1_00002_.png").touch()
    assert await looked(shelf, "s") == [], "the last listing took a tenth of a second just now"
    clock.advance(0.1 / LARGEST_SHARE)
    assert await looked(shelf, "s") == ["s-a1_00002_.png"]
    (crowded / "t-a1_00002_.png").touch()
    assert await looked(shelf, "t") == ["t-a1_00002_.png"], "one such frame, and there may be more"


@pytest.mark.parametrize("seen", [None, ("s-a1_00001_.png", "s-a1_00002_.png")], ids=["too few", "seen"])
async def test_a_crowded_folder_is_listed_at_once_where_something_says_so(
    crowded: Path, seen: Collection[str] | None
) -> None:
    shelf = await learnt(crowded, Ticking())
    (crowded / "s-a1_00002_.png").touch()
    assert await looked(shelf, "s", seen) == ["s-a1_00002_.png"]


async def test_a_small_folder_is_always_listed(tmp_path: Path) -> None:
    shelf = await learnt(tmp_path, Ticking())
    (tmp_path / "s-a1_00002_.png").touch()
    assert await looked(shelf, "s") == ["s-a1_00002_.png"]
