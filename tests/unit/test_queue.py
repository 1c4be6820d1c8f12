"""The order of waiting scenes: by rule, and as people change it."""

from typing import Any

import pytest
from msgspec.structs import replace

from comfytui.model import events as e
from comfytui.model.narrate import narrate
from comfytui.model.news import news_of
from comfytui.model.queue import ahead, placings, waiting
from comfytui.model.state import State
from tests.unit.test_engine_planner import attempt, scene, state


def moved(now: State, *chosen: str, by: int) -> State:
    """Return ``now`` after a move."""
    placed = {each.scene: each.turn for each in placings(now, chosen, by)}
    return replace(now, scenes=tuple(replace(s, turn=placed.get(s.id, s.turn)) for s in now.scenes))


def order(now: State) -> str:
    """Return the numbers of the waiting scenes in the order of their turns."""
    return "".join(scene.id[-1] for scene in waiting(now))


FIVE = state(*["waiting"] * 5)
S1, S2, S3, S4, S5 = (scene.id for scene in FIVE.scenes)


@pytest.mark.parametrize(
    ("chosen", "by", "after"),
    [
        ((S3,), -1, "13245"),
        ((S3,), 1, "12435"),
        ((S3,), -9, "31245"),
        ((S3,), 9, "12453"),
        ((S1,), -1, "12345"),
        ((S5,), 1, "12345"),
        ((S3,), 0, "12345"),
        ((S4, S2), -1, "24135"),  # what is moved together is gathered, in its own order
        ((S2, S3), 1, "14235"),
        ((S4, S5), 1, "12345"),
        ((S1, S2, S3, S4, S5), 1, "12345"),
        ((S1, "nobody"), 1, "21345"),
    ],
)
def test_moving(chosen: tuple[str, ...], by: int, after: str) -> None:
    assert order(moved(FIVE, *chosen, by=by)) == after
    assert bool(placings(FIVE, chosen, by)) == (after != "12345")


def test_each_placing_names_what_comes_next() -> None:
    assert [(each.scene, each.before) for each in placings(FIVE, (S1, S3), 9)] == [(S1, S3), (S3, None)]
    assert [(each.scene, each.before) for each in placings(FIVE, (S3,), -1)] == [(S3, S2)]


def test_what_was_tried_comes_first_unless_somebody_moved_it() -> None:
    again = scene(attempt(frames=3), number=4, phase="waiting")
    now = state(*["waiting"] * 5, s4=again)
    assert order(now) == "41235"
    assert order(moved(now, S4, by=2)) == "12435"
    assert order(moved(now, S5, by=-9)) == "54123"


def test_what_is_on_the_server_over_or_given_up_has_no_turn() -> None:
    now = state("done", "executing", "waiting", "waiting", "skipped", s4=scene(number=4, given_up="skipped"))
    assert order(now) == "3"


def test_a_thousand_moves_lose_nobody() -> None:
    now = FIVE
    for number in range(1000):
        now = moved(now, (S2, S4, S5, S1)[number % 4], by=(-1, 2, -3, 1)[number % 4])
    assert sorted(order(now)) == list("12345")


def test_two_that_leapfrog_for_ever_come_to_an_end_in_words_never_in_a_lie() -> None:
    now, before = FIVE, order(FIVE)
    for _ in range(200):
        for chosen in (S2, S3):
            after = moved(now, chosen, by=1) if order(now).index(chosen[-1]) < 3 else moved(now, chosen, by=-1)
            assert placings(now, (chosen,), 1) or placings(now, (chosen,), -1)
            now = after
    assert sorted(order(now)) == sorted(before)


def test_what_comes_before_what() -> None:
    now = state("done", "executing", "queued", "waiting", "waiting")
    assert ahead(now) == {S3: 0, S4: 1, S5: 2}
    assert ahead(moved(now, S5, by=-1)) == {S3: 0, S5: 1, S4: 2}


# --- what is told of it ------------------------------------------------------------------------------------------


def ended(**fields: Any) -> e.SceneEnded:
    return e.SceneEnded(**{"scene": "s", "best": 1, "success": False, "meets_floor": False, "frames": 0} | fields)


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        (ended(skipped=True), "Skipped, not rendered"),
        (ended(skipped=True, frames=3, success=True), "Skipped with 3 frames of attempt 1"),
        (e.SceneMoved(scene="s", turn=1.5, before="t"), "Moved before t"),
        (e.SceneMoved(scene="s", turn=9.0), "Moved to the end of the queue"),
    ],
)
def test_words(fact: e.AnyFact, words: str) -> None:
    told = narrate(fact)
    assert told is not None
    assert told[1:] == (words, "s")


def test_nobody_is_called_for_what_a_person_wanted() -> None:
    assert news_of(ended(skipped=True), State()) is None
    assert news_of(ended(cancelled=True), State()) is None
    assert news_of(ended(), State()) is not None
