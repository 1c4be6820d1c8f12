"""What happens to the connection, injected: the verdict stays right, and no frame is lost."""

from msgspec.structs import replace

from comfytui.simulator import faults as f
from comfytui.simulator.speed import Speed
from tests.engine.stage import Stage, brief
from tests.faults.test_frames_and_history import settled

SLOW = Speed(save_frame=2.0)


async def test_a_deaf_socket(stage: Stage) -> None:
    outcome = await stage.play(f.SocketDeaf(), scenes=(brief(1), brief(2)), speed=SLOW)
    settled(outcome)
    assert outcome.exit_code == 0
    assert [s.frames for s in outcome.state.scenes] == [5, 5]
    assert [a.status for s in outcome.state.scenes for a in s.attempts] == ["success", "success"]


async def test_a_refused_socket(stage: Stage) -> None:
    outcome = await stage.play(f.SocketRefused(), scenes=(brief(1), brief(2)), speed=SLOW)
    settled(outcome)
    assert outcome.exit_code == 0
    assert [s.frames for s in outcome.state.scenes] == [5, 5]
    assert outcome.state.server.socket == "refused"


async def test_a_socket_dropped_before_the_end_is_told(stage: Stage) -> None:
    for before in ("execution_start", "executed", "execution_success", "executing"):
        outcome = await stage.play(f.SocketDropped(before=before, times=1), speed=SLOW)
        settled(outcome)
        assert outcome.exit_code == 0, before
        assert (outcome.attempt().status, outcome.attempt().proven) == ("success", 5)


async def test_a_half_open_socket(stage: Stage) -> None:
    outcome = await stage.play(f.SocketHalfOpen(after_messages=3), speed=SLOW)
    settled(outcome)
    assert outcome.exit_code == 0
    assert outcome.attempt().proven == 5


async def test_a_socket_that_was_unregistered_by_a_late_cleanup(stage: Stage) -> None:
    outcome = await stage.play(
        f.SocketDropped(after_messages=4, nth=1), f.SocketLingers(seconds=1.0, nth=1), speed=SLOW
    )
    settled(outcome)
    assert outcome.exit_code == 0
    assert outcome.attempt().proven == 5


async def test_a_post_that_was_reset_after_it_arrived_runs_once(stage: Stage) -> None:
    outcome = await stage.play(f.ConnectionReset(after=True, times=1), speed=SLOW)
    settled(outcome)
    assert outcome.exit_code == 0
    assert outcome.simulator.prompts_executed == [outcome.attempt().prompt_id]


async def test_a_post_that_never_arrived_is_sent_again(stage: Stage) -> None:
    outcome = await stage.play(f.ConnectionReset(after=False, times=2), speed=SLOW)
    settled(outcome)
    assert outcome.exit_code == 0
    assert len(outcome.scene().attempts) == 1
    assert outcome.simulator.prompts_executed == [outcome.attempt().prompt_id]


async def test_a_server_that_chooses_the_prompt_id_itself(stage: Stage) -> None:
    outcome = await stage.play(f.IdIgnored(), scenes=(brief(1), brief(2)), speed=SLOW)
    settled(outcome)
    assert outcome.exit_code == 0
    ids = [scene.attempts[0].prompt_id for scene in outcome.state.scenes]
    assert outcome.simulator.prompts_executed == ids
    assert ids != [body["prompt_id"] for body in outcome.posts()]
    assert [scene.prompt_id for scene in outcome.metadata.scenes] == ids


async def test_a_server_that_dies_and_comes_back_loses_no_scene(stage: Stage) -> None:
    stage.policy = replace(stage.policy, scene_retry_budget=0)
    outcome = await stage.play(
        f.Death(at="SaveImage", step=2, nth=1, restart_after=20.0), scenes=(brief(1), brief(2), brief(3)), speed=SLOW
    )
    settled(outcome)
    assert outcome.exit_code == 0
    assert [s.frames for s in outcome.state.scenes] == [5, 5, 5]
    assert outcome.scene(1).attempts[0].status == "lost"


async def test_a_server_that_stays_away_ends_the_scenes_as_lost(stage: Stage) -> None:
    stage.policy = replace(stage.policy, server_wait_seconds=60)
    outcome = await stage.play(f.Death(at="SaveImage", step=2, nth=1), scenes=(brief(1), brief(2)), speed=SLOW)
    settled(outcome)
    assert outcome.exit_code == 1
    assert {s.attempts[-1].status for s in outcome.state.scenes} == {"lost"}
    assert outcome.scene(1).frames >= 1, "whole frames of a lost prompt are kept"


async def test_history_that_is_broken_for_a_while(stage: Stage) -> None:
    outcome = await stage.play(f.BrokenJson(times=3), f.WrongTypes(times=2), speed=SLOW)
    settled(outcome)
    assert outcome.exit_code == 0
    assert [look.status for look in outcome.attempt().history].count("error") >= 2


async def test_a_server_that_wants_a_login_is_told_apart(stage: Stage) -> None:
    outcome = await stage.play(f.Answered(status=401, text="login please"))
    assert outcome.exit_code == 2
    assert outcome.state.server.trouble_code == "server.auth"


async def test_a_login_page_is_not_comfyui(stage: Stage) -> None:
    outcome = await stage.play(f.Answered.login_page())
    assert outcome.exit_code == 2
    assert outcome.state.server.trouble_code in ("server.auth", "server.not_comfyui")
