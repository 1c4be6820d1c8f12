"""How long it still takes: from the run's own scenes, and only once one of them is through."""

from datetime import timedelta

from comfytui.model.eta import pace, remaining_seconds, scene_seconds
from comfytui.model.fold import fold_all
from comfytui.model.state import State
from tests.ui.script import Script


def state_of(script: Script) -> State:
    return fold_all(item for item in script.items if hasattr(item, "event"))


def test_nothing_is_said_before_a_scene_is_through() -> None:
    script = Script().opened(3).queued("scene-001").executing("scene-001").wait(500)
    assert remaining_seconds(state_of(script), script.at) is None
    assert remaining_seconds(State(), script.at) is None


def test_a_failed_scene_teaches_nothing() -> None:
    script = Script().opened(3).broke("scene-001", seconds=2)
    assert remaining_seconds(state_of(script), script.at) is None


def test_the_median_counts_for_each_scene_that_remains() -> None:
    script = Script().opened(6)
    for number, seconds in enumerate((40.0, 60.0, 400.0), 1):
        script.rendered(f"scene-{number:03d}", frames=1, seconds=seconds)
    assert remaining_seconds(state_of(script), script.at) == 3 * 60


def test_what_executes_counts_by_what_it_lacks_and_never_below_zero() -> None:
    script = Script().opened(3).rendered("scene-001", frames=1, seconds=50)
    script.queued("scene-002").executing("scene-002").wait(20)
    state = state_of(script)
    assert remaining_seconds(state, script.at) == 50 + 30
    assert remaining_seconds(state, script.at + timedelta(hours=1)) == 50


def test_all_attempts_of_a_scene_count_and_waiting_in_the_queue_does_not() -> None:
    script = Script().opened(2).queued("scene-001").wait(1000).executing("scene-001").wait(30).executed("scene-001")
    script.attempt_ended("scene-001", status="partial", reason="postExecution").queued("scene-001", 2, "again")
    script.wait(1000).executing("scene-001", 2).wait(20).executed("scene-001", 2).attempt_ended("scene-001", 2)
    script.scene_ended("scene-001", best=2)
    state = state_of(script)
    assert scene_seconds(state.scenes[0]) == 50
    assert remaining_seconds(state, script.at) == 50


def test_nothing_remains_when_all_is_over() -> None:
    script = Script().opened(2).rendered("scene-001", frames=1).broke("scene-002")
    assert remaining_seconds(state_of(script), script.at) == 0
    assert pace(()) is None
