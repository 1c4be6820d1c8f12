"""What keeps a long run small: scenes in pages, the newest frames in pages, packed attempts of scenes that are over."""

import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from comfytui.engine.hub import SAMPLE_INTERVAL, Hub, Unrecorded
from comfytui.model import events as e
from comfytui.model.changes import changed_places
from comfytui.model.envelope import decode, encode
from comfytui.model.fold import fold, fold_all
from comfytui.model.frame_rows import RECENT_FRAMES, FrameRow, FrameRows
from comfytui.model.packed import PackedAttempts, example_of, pack
from comfytui.model.paged import PAGE, Paged
from comfytui.model.state import Attempt, State
from tests.records.scripted import T0, brief, measured, telemetry
from tests.unit.scripted_run import Script, opened
from tests.unit.test_engine_hub import SetClock

LENGTHS = st.integers(0, 3 * PAGE + 1)


@given(LENGTHS, st.lists(st.integers(0, 3 * PAGE), max_size=5))
def test_pages_are_a_sequence_of_which_others_differ_in_what_was_replaced(length: int, places: list[int]) -> None:
    items = [object() for _ in range(length)]
    paged = before = Paged(items)
    for place in places:
        if place >= length:
            with pytest.raises(IndexError):
                paged.replaced(place, object())
        else:
            items[place] = object()
            paged = paged.replaced(place, items[place])
    assert (len(paged), list(paged), [paged[place] for place in range(length)]) == (length, items, items)
    assert paged[1:5] == tuple(items[1:5]) and paged == tuple(items) == Paged(items)
    assert (paged == before) == (not paged.changed_since(before))
    assert list(changed_places(before, paged)) == sorted({place for place in places if place < length})
    assert list(changed_places(paged, Paged(items[:-1]))) == list(range(max(0, length - 1))) or not length


@given(st.lists(st.tuples(st.integers(1, 30), st.sampled_from(["writing", "proven", "truncated"])), max_size=60))
def test_a_frame_has_one_row_which_comes_first_when_its_state_is_told(told: list[tuple[int, Any]]) -> None:
    rows, simple = FrameRows(), list[FrameRow]()
    for minute, (number, state) in enumerate(told):
        at = T0 + timedelta(minutes=minute)
        row = FrameRow(scene="s", attempt=1, name=f"{number}.png", state=state, at=at, bytes=minute)
        rows = rows.told(row)
        place = next((place for place, old in enumerate(simple) if old.name == row.name), None)
        if place is None:
            simple.insert(0, row)
        elif simple[place].state == state:
            simple[place] = replace(row, at=simple[place].at)
        elif state != "writing":
            del simple[place]
            simple.insert(0, row)
    assert rows == tuple(simple)
    assert rows.ended("s", 2) is rows
    assert rows.ended("s", 1) == tuple(row for row in simple if row.state != "writing")


def test_the_oldest_frames_go() -> None:
    rows = FrameRows()
    for number in range(2 * RECENT_FRAMES):
        rows = rows.told(FrameRow(scene="s", attempt=1, name=f"{number}.png", state="proven", at=T0))
    assert [row.name for row in rows] == [f"{2 * RECENT_FRAMES - 1 - place}.png" for place in range(RECENT_FRAMES)]
    assert len(rows) == RECENT_FRAMES and rows[0].name == f"{2 * RECENT_FRAMES - 1}.png"


# --- packed attempts --------------------------------------------------------------------------------------------------


def attempt(number: int = 1, **changes: Any) -> Attempt:
    frames = tuple(e.Frame(name=f"{number}_{at}_.png", bytes=at, sha256=f"{at:064x}") for at in range(3))
    made = Attempt(
        number=number, prompt_id=f"p-{number}", prefix="x/1", seed=1, planned_at=T0, phase="ended", status="success",
        telemetry=telemetry(), before=measured(1 << 40), after=measured(None, "note"), frames=frames,
    )  # fmt: skip
    return replace(made, **changes)


def test_packed_attempts_are_equal_to_what_they_were() -> None:
    attempts = (attempt(1), attempt(2, errors=("ümläut",)))
    for example in (b"", example_of((attempt(7),))):
        packed = pack(attempts, example)
        assert isinstance(packed, PackedAttempts) and pack(packed, example) is packed
        assert packed == attempts and attempts == packed
        assert (len(packed), packed[-1], packed[:1], list(packed)) == (2, attempts[1], attempts[:1], list(attempts))
        assert packed != attempts[:1] and pack(attempts[:1], example) != packed
    assert pack((), b"") == ()


@pytest.mark.parametrize("odd", [2**70, "\udc80"], ids=["a number of 70 bits", "half a character"])
def test_what_cannot_be_packed_stays_as_it_is(odd: object) -> None:
    attempts = (attempt(after=replace(measured(None), system={"odd": odd})),)
    assert example_of(attempts) == b""
    assert pack(attempts, b"") is attempts


def rendered(scene: str) -> Iterator[e.AnyEvent]:
    """Return the facts of a scene that is rendered at the first attempt, with texts of its own."""
    about: dict[str, Any] = {"scene": scene, "attempt": 1}
    yield e.AttemptPlanned(**about, prompt_id=f"prompt-{scene}", prefix=f"x/{scene}", seed=len(scene))
    yield e.PromptQueued(**about, number=1)
    yield e.ExecutionStarted(**about)
    yield e.GpuMeasured(**about, moment="before", measurement=measured(1 << 30))
    yield e.HistoryRead(**about, status="success", reads=1)
    yield e.ExecutionEnded(**about, status="success", success_at=T0, expected=1)
    yield e.FrameProven(
        **about, frame=e.Frame(name=f"{scene}_00001_.png", bytes=9, sha256=sha256(scene.encode()).hexdigest())
    )
    yield e.GpuMeasured(**about, moment="after", measurement=measured(1 << 29))
    yield e.AttemptEnded(**about, telemetry=telemetry(), exit_reason="success", status="success")
    yield e.SceneEnded(scene=scene, best=1, success=True, meets_floor=True, frames=1)


def test_what_is_told_late_of_a_scene_that_is_over_is_taken_all_the_same() -> None:
    script = Script()
    state = fold_all(script.all([opened("a", "b"), *rendered("a"), *rendered("b")]))
    assert all(isinstance(scene.attempts, PackedAttempts) for scene in state.scenes)
    state = fold(state, script.seal(e.FrameLost(scene="a", attempt=1, name="a_00001_.png", why="deleted")))
    state = fold(state, script.seal(e.AttemptNoted(scene="b", attempt=1, kind="note", text="late")))
    assert [refused.state for refused in state.scenes[0].attempts[0].refused] == ["missing"]
    assert state.scenes[1].attempts[0].notes == ("late",)
    assert state.scenes[1].attempts[0].prompt_id == "prompt-b"
    state = fold(state, script.seal(e.SceneReopened(scene="b", reason="again")))
    state = fold(state, script.seal(e.AttemptPlanned(scene="b", attempt=2, prompt_id="p2", prefix="x/2", seed=5)))
    assert [each.prompt_id for each in state.scenes[1].attempts] == ["prompt-b", "p2"]
    assert state.scenes[1].phase == "planned"


def grown(make: Callable[[], object]) -> int:
    """Return how many bytes what ``make`` returns holds."""
    gc.collect()
    tracemalloc.start()
    try:
        before, made, _ = tracemalloc.get_traced_memory()[0], make(), gc.collect()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert made
    return after - before


def test_a_scene_that_is_over_is_remembered_in_less_than_a_kilobyte() -> None:
    script, many = Script(), [f"scene-{number:03d}" for number in range(200)]
    first = fold(State(), script.seal(e.RunOpened(**dict_of(opened()), scenes=tuple(map(brief_of, many)))))
    lines = [encode(fact) for scene in many for fact in script.all(rendered(scene))]

    def scenes_alone() -> State:
        return replace(fold_all(map(decode, lines), first), notes=(), frames=FrameRows())  # of those only the newest

    assert grown(scenes_alone) / len(many) < 1000


def brief_of(scene: str) -> e.SceneBrief:
    return brief(1, id=scene, folder=scene)


def dict_of(event: e.RunOpened) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__ if name != "scenes"}


def test_a_fact_copies_little_of_a_long_story() -> None:
    scenes = Paged(range(10_000))
    page, pages = sys.getsizeof(tuple(range(PAGE))), sys.getsizeof(tuple(range(10_000 // PAGE + 1)))
    assert grown(lambda: scenes.replaced(5_000, -1)) < 2 * (page + pages)


def test_when_samples_were_told_is_forgotten_with_their_scenes() -> None:
    clock = SetClock()
    hub = Hub("", clock, Unrecorded())

    def tell() -> Hub:
        for number in range(2_000):
            clock.seconds += SAMPLE_INTERVAL
            hub.publish(
                e.Progress(
                    scene=f"scene-{number}", attempt=1, node="3", title="", value=1, maximum=2, nodes_done=0,
                    nodes_total=1,
                )
            )  # fmt: skip
        return hub

    assert grown(tell) < 50_000
