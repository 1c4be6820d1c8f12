"""How long it still takes: a range from the run's own scenes, and only once they tell enough."""

import time
from collections.abc import Iterable
from datetime import UTC, timedelta

import pytest
from msgspec.structs import replace

from comfytui.faces.tui.panes.figures import span, wall_range
from comfytui.model.eta import Estimate, Known, Spent, learn, reminded, run_estimate, scene_estimate, typical
from comfytui.model.events import SceneEnded, SceneReopened, ServerBrief
from comfytui.model.fold import fold_all
from comfytui.model.state import State
from tests.ui.script import MIDNIGHT, Script
from tests.ui.stage import stage
from tests.unit.test_lanes import Yard


def state_of(script: Script) -> State:
    return fold_all(item for item in script.items if hasattr(item, "event"))


def estimate(script: Script, after: float = 0) -> Estimate | None:
    state = state_of(script)
    return run_estimate(learn(Known(), state), state, script.at + timedelta(seconds=after))


def rendered(scenes: int, seconds: Iterable[float], floor: int = 1) -> Script:
    script = Script().opened(scenes, floor)
    for number, each in enumerate(seconds, 1):
        script.rendered(f"scene-{number:03d}", frames=1, seconds=each)
    return script


def test_nothing_is_said_before_two_scenes_are_through() -> None:
    assert estimate(Script().opened(3).queued("scene-001").executing("scene-001").wait(500)) is None
    assert estimate(rendered(3, [50])) is None
    assert run_estimate(Known(), State(), MIDNIGHT) == Estimate(likely=0, late=0)


def test_failures_alone_teach_nothing_and_count_once_something_was_rendered() -> None:
    script = Script().opened(6).broke("scene-001", seconds=10).broke("scene-002", seconds=10)
    assert estimate(script) is None
    found = estimate(script.rendered("scene-003", frames=1, seconds=10))
    assert found is not None
    assert found.likely == pytest.approx(30)


def test_scenes_that_take_the_same_leave_no_doubt() -> None:
    found = estimate(rendered(6, [40, 40, 40]))
    assert found is not None
    assert (found.likely, found.late) == (pytest.approx(120), pytest.approx(120))


def test_the_range_widens_with_the_spread_and_with_how_little_is_known() -> None:
    little, much = estimate(rendered(12, [40, 60])), estimate(rendered(20, [40, 60] * 5))
    assert little is not None
    assert much is not None
    assert little.likely == much.likely == pytest.approx(500)
    assert little.late > much.late > 500 + 30


def test_for_one_scene_the_median_counts_and_for_many_the_mean() -> None:
    one, many = estimate(rendered(4, [40, 60, 400])), estimate(rendered(103, [40, 60, 400]))
    assert one is not None
    assert many is not None
    assert one.likely == pytest.approx(60)
    assert many.likely == pytest.approx(100 * 500 / 3, rel=0.01)


def test_nine_out_of_ten_nights_end_by_p90_and_half_by_p50() -> None:
    """Scenes of one and the same chance, drawn without a random generator: every fifth is slow."""
    nights = 200
    draws = [[40 + 7 * ((n * 37 + k * 61) % 11) + 60 * ((n * 13 + k * 29) % 5 == 0) for k in range(30)]
             for n in range(nights)]  # fmt: skip
    by_likely = by_late = 0
    for night in draws:
        found = estimate(rendered(30, night[:10]))
        assert found is not None
        by_likely += sum(night[10:]) <= found.likely
        by_late += sum(night[10:]) <= found.late
    assert 0.3 < by_likely / nights < 0.7
    assert by_late / nights > 0.82


def test_what_executes_is_judged_by_those_that_took_longer() -> None:
    script = rendered(5, [30, 50, 70]).queued("scene-004").executing("scene-004")
    state = state_of(script)
    known = learn(Known(), state)

    def left(after: float) -> Estimate | None:
        return scene_estimate(known, state, "scene-004", script.at + timedelta(seconds=after))

    assert left(0) == Estimate(likely=50, late=70)
    assert left(40) == Estimate(likely=20, late=30)
    assert left(71) is None
    later = run_estimate(known, state, script.at + timedelta(seconds=71))
    assert later is not None
    assert later.likely == pytest.approx(50)


def stepped(script: Script, scene: str, load: float, steps: float, save: float) -> Script:
    script.queued(scene).executing(scene).wait(load).progress(scene, 1).wait(steps).progress(scene, 20)
    script.progress(scene, 0, 1, "Save").wait(save).executed(scene, frames=1).frame(scene, 1)
    return script.attempt_ended(scene).scene_ended(scene, 1)


def test_the_cold_load_of_the_first_scene_does_not_count_for_the_rest() -> None:
    script = Script().opened(8, 1)
    stepped(script, "scene-001", 300, 40, 5)
    stepped(script, "scene-002", 4, 40, 5)
    stepped(script, "scene-003", 4, 40, 5)
    found = estimate(script)
    assert found is not None
    assert (found.likely, found.late) == (pytest.approx(5 * 49), pytest.approx(5 * 49))
    told = typical(learn(Known(), state_of(script)))
    assert told is not None
    assert (told.wait, told.load, told.steps, told.save) == (0, 4, 40, 5)


def test_what_executes_is_judged_by_its_present_part() -> None:
    script = Script().opened(4, 1)
    stepped(script, "scene-001", 10, 40, 5)
    stepped(script, "scene-002", 10, 40, 5)
    script.queued("scene-003").executing("scene-003").wait(10).progress("scene-003", 1).wait(30)
    known = learn(Known(), state_of(script))

    def left(script: Script) -> Estimate | None:
        return scene_estimate(known, state_of(script), "scene-003", script.at)

    assert left(script) == Estimate(likely=15, late=15)
    script.wait(10).progress("scene-003", 20).progress("scene-003", 0, 1, "Save").wait(2)
    assert left(script) == Estimate(likely=3, late=3)


def test_waiting_for_other_people_counts_and_waiting_for_our_own_does_not() -> None:
    script = Script().opened(4, 1).queued("scene-001").wait(7).executing("scene-001").wait(20).queued("scene-002")
    script.wait(20).executed("scene-001", frames=1).frame("scene-001", 1).attempt_ended("scene-001")
    script.scene_ended("scene-001", 1).wait(7).executing("scene-002").wait(40).executed("scene-002", frames=1)
    script.frame("scene-002", 1).attempt_ended("scene-002").scene_ended("scene-002", 1)
    told = typical(learn(Known(), state_of(script)))
    assert told is not None
    assert (told.wait, told.busy) == (7, 40)
    found = estimate(script)
    assert found is not None
    assert found.likely == pytest.approx(2 * 47)


def test_an_end_that_is_told_after_the_next_has_begun_is_an_end() -> None:
    script = Script().opened(2, 1).queued("scene-001").executing("scene-001").queued("scene-002").wait(40)
    script.executing("scene-002").wait(0.1).executed("scene-001", frames=1).frame("scene-001", 1)
    script.attempt_ended("scene-001").scene_ended("scene-001", 1).wait(40).executed("scene-002", frames=1)
    state = state_of(script.frame("scene-002", 1).attempt_ended("scene-002").scene_ended("scene-002", 1))
    assert [spent.wait for spent in learn(Known(), state).spent] == [0, 0]


def test_all_attempts_of_a_scene_count() -> None:
    script = Script().opened(4).rendered("scene-001", frames=1, seconds=50)
    script.queued("scene-002").executing("scene-002").wait(30).executed("scene-002")
    script.attempt_ended("scene-002", status="partial", reason="postExecution").queued("scene-002", 2, "again")
    script.executing("scene-002", 2).wait(20).executed("scene-002", 2).attempt_ended("scene-002", 2)
    found = estimate(script.scene_ended("scene-002", best=2))
    assert found is not None
    assert found.likely == pytest.approx(100)


def test_a_scene_waits_for_those_before_it() -> None:
    script = rendered(6, [40, 40]).queued("scene-003").executing("scene-003").wait(10)
    state = state_of(script)
    known = learn(Known(), state)
    found = [scene_estimate(known, state, f"scene-{n:03d}", script.at) for n in range(1, 7)]
    assert [each and round(each.likely) for each in found] == [None, None, 30, 70, 110, 150]
    assert scene_estimate(known, state, "nobody", script.at) is None


def test_nothing_remains_when_all_is_over() -> None:
    script = Script().opened(2).rendered("scene-001", frames=1).broke("scene-002")
    assert estimate(script) == Estimate(likely=0, late=0)


def test_learning_step_by_step_is_learning_at_once_and_a_reopened_scene_is_to_come_again() -> None:
    script = rendered(6, [40, 50, 60]).broke("scene-004").queued("scene-005").executing("scene-005").wait(3)
    state, known = State(), Known()
    for item in script.items:
        state = fold_all([item], state)
        known = learn(known, state)
    assert known == learn(Known(), state)
    assert learn(known, state) is known
    script.items.clear()
    state = fold_all(script.tell(SceneReopened(scene="scene-001", reason="asked")).items, state)
    assert learn(known, state).waiting == (0, 5)
    before = state_of(rendered(6, [40]))
    assert learn(known, before) == learn(Known(), before)
    assert state.run is not None
    another = replace(state, run=replace(state.run, id="another"), scenes=before.scenes)
    assert learn(known, another).spent == learn(Known(), another).spent


def test_several_servers_share_what_is_to_come() -> None:
    def left(takes: dict[str, float]) -> float:
        yard = Yard(takes, 24)
        yard.play(until=12)
        found = run_estimate(learn(Known(), yard.state), yard.state, yard.at)
        assert found is not None and found.likely <= found.late
        return found.likely

    assert left({"a": 10.0, "b": 10.0}) == pytest.approx(60, rel=0.15)
    assert left({"a": 10.0, "b": 10.0, "c": 10.0, "d": 10.0}) == pytest.approx(30, rel=0.15)
    assert left({"a": 10.0, "slow": 40.0}) == pytest.approx(96, rel=0.25), "12 scenes at 1.25 every 10 s"


def test_others_prompts_and_what_executes_are_judged_by_the_scenes_own_server() -> None:
    script = Script()
    script.briefs = (ServerBrief(name="a", url="http://a"), ServerBrief(name="slow", url="http://slow"))
    script.opened(9, 1).reached(server="a").reached(server="slow")
    script.queued("scene-001", server="slow").executing("scene-001").queued("scene-002", server="a")
    script.wait(10).executing("scene-002").wait(10).executed("scene-002", frames=1).frame("scene-002", 1)
    script.attempt_ended("scene-002").scene_ended("scene-002", 1)
    state = state_of(script)
    assert learn(Known(), state).spent[-1].wait == pytest.approx(10), "nothing had ended on its server"
    script.wait(80).executed("scene-001", frames=1).frame("scene-001", 1)
    script.attempt_ended("scene-001").scene_ended("scene-001", 1)
    script.rendered("scene-003", 1, 100, server="slow").rendered("scene-004", 1, 10, server="a")
    script.queued("scene-005", server="slow").executing("scene-005").wait(20)
    state = state_of(script)
    found = scene_estimate(learn(Known(), state), state, "scene-005", script.at)
    assert found is not None
    assert found.likely == pytest.approx(80, abs=2), "half of all scenes take 10 s, none of its own server's do"


def test_earlier_runs_are_outweighed_by_each_scene_of_this_one() -> None:
    earlier = [Spent(wait=0, busy=100.0)] * 7

    def left(script: Script) -> float:
        state = state_of(script)
        found = run_estimate(reminded(learn(Known(), state), earlier), state, script.at)
        assert found is not None
        return found.likely

    assert left(rendered(6, [])) == pytest.approx(600), "before the first scene the past alone tells"
    assert left(rendered(12, [10, 10])) == pytest.approx(10 * (3 * 100 + 2 * 10) / 5 + 36)
    assert left(rendered(12, [10] * 5)) == pytest.approx(70), "five of its own are enough"
    known = learn(Known(), state_of(rendered(6, [])))
    assert reminded(known, ()) is known and known.learning


async def test_the_dashboard_begins_with_what_earlier_runs_took() -> None:
    night = Script().opened(10, 1).reached().queued("scene-001").executing("scene-001").wait(5).caught_up()
    async with stage(night, earlier=lambda: (Spent(wait=0, busy=60.0), Spent(wait=0, busy=62.0))) as shown:
        assert "ETA learning" in shown.text()
        shown.app.lessons.look_back()
        await shown.until(lambda: "10-11 min left" in shown.text() or "~10 min left" in shown.text())
    async with stage(rendered(12, [40] * 6).caught_up(), earlier=lambda: pytest.fail("it knows enough")) as shown:
        shown.app.lessons.look_back()
        await shown.settle()


def test_ten_thousand_scenes_cost_little_a_change() -> None:
    script = Script().opened(10_000, 1)
    for number in range(1, 4):
        script.rendered(f"scene-{number:03d}", frames=1, seconds=20)
    state = state_of(script)
    known = learn(Known(), state)
    script.items.clear()
    after = fold_all(script.queued("scene-004").executing("scene-004").items, state)
    began = time.perf_counter()
    for _ in range(20):
        run_estimate(learn(known, after), after, script.at)
    assert (time.perf_counter() - began) / 20 < 0.02  # 0.5 ms on an idle machine


@pytest.mark.parametrize(
    ("likely", "late", "words"),
    [(700, 1080, "12-18 min"), (42, 118, "40 s to 2 min"), (700, 710, "~12 min"),
     (12_000, 14_000, "3 h 20 min to 3 h 50 min"),
     (7200, 10_800, "2-3 h"), (0, 0, "~10 s")],
)  # fmt: skip
def test_a_range_in_words(likely: float, late: float, words: str) -> None:
    assert span(likely, late) == words


def test_a_range_on_the_clock_names_the_day_when_it_is_another() -> None:
    now = MIDNIGHT + timedelta(hours=23)
    at = [now + timedelta(minutes=n) for n in (10, 25, 90, 60 * 26)]
    assert wall_range(at[0], at[1], now, UTC) == "23:10-23:25"
    assert wall_range(at[0], at[0], now, UTC) == "23:10"
    assert wall_range(at[1], at[2], now, UTC) == "23:25-Sun 00:30"
    assert wall_range(at[2], at[3], now, UTC) == "Sun 00:30-Mon 01:00"


def test_a_scene_that_failed_without_an_attempt_on_record_teaches_nothing() -> None:
    script = rendered(3, [40, 40])
    script.tell(SceneEnded(scene="scene-003", best=0, success=False, meets_floor=False, frames=0))
    state = state_of(script)
    assert learn(Known(), state).done == 2


def test_what_a_clock_that_jumped_makes_of_it_is_still_a_time() -> None:
    far = Estimate(likely=1e12, late=1e13).clock(MIDNIGHT)
    assert far[0] == far[1] > MIDNIGHT + timedelta(days=365)
    assert wall_range(*far, MIDNIGHT, UTC)
