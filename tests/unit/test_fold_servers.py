"""What is known of several servers, and that a journal without names is read as it always was."""

from typing import Any

from msgspec.structs import replace

from comfytui.model import events as e
from comfytui.model.envelope import Envelope, decode, encode
from comfytui.model.fold import fold_all
from comfytui.model.narrate import narrate
from comfytui.model.openmetrics import openmetrics
from comfytui.model.policy import QueuePolicy
from comfytui.model.state import State
from tests.engine.stage import START, brief

GPU = e.GpuFigures(index=0, name="cuda:0")
OPENED = e.RunOpened(
    run_id="r", run_dir="/r", story=e.StoryBrief(id="s"), scenes=(brief(1), brief(2)), workflow="smoke",
    server="http://a", policy=QueuePolicy(), version="1",
)  # fmt: skip
TWO = (e.ServerBrief(name="a", url="http://a", tags=("24gb",), weight=2.0), e.ServerBrief(name="b", url="http://b"))
SEVERAL = replace(OPENED, servers=TWO)


def planned(scene: int, number: int = 1, **more: Any) -> e.AttemptPlanned:
    return e.AttemptPlanned(scene=f"scene-{scene:03}", attempt=number, prompt_id="p", prefix="x", seed=1, **more)


def state(*told: e.AnyEvent) -> State:
    seq, envelopes = 0, []
    for event in told:
        seq += isinstance(event, e.Fact)
        envelopes.append(decode(encode(Envelope(seq=seq, at=START, run="r", event=event))))
    return fold_all(envelopes)


def test_each_has_its_own_state() -> None:
    after = state(
        SEVERAL,
        e.ServerReached(server="b", url="http://b/", version="1.0"),
        e.ServerAway(server="a", code="c", what="It is gone.", remedy="Wait.", away=0.0, next_try=1.0),
        e.GpuSampled(server="b", source="nvml", devices=(GPU,)),
        e.QueueDepth(server="a", ours=2, others=1),
        e.ServerLog(server="b", lines=("hello",)),
    )
    a, b = after.servers
    assert (a.name, a.tags, a.weight, a.away_since, a.trouble, a.ours) == ("a", ("24gb",), 2.0, START, "It is gone.", 2)
    assert (b.url, b.reached, b.gpu_source, len(b.gpu)) == ("http://b/", True, "nvml", 1)
    assert b.log is not None and b.log.lines == ("hello",) and b.ours is None
    assert after.several and after.server is a and after.server_called("b") is b
    assert after.gpu == () and after.server_log is None, "the old names speak of the first server"


def test_an_attempt_knows_its_server() -> None:
    after = state(SEVERAL, planned(1, server="b"), planned(2, server="a"))
    assert [(s.attempts[0].server_name, s.attempts[0].server) for s in after.scenes] == [
        ("b", "http://b"), ("a", "http://a"),
    ]  # fmt: skip


def test_one_that_is_left_out_takes_part_again_once_it_is_reached() -> None:
    out = e.ServerLeftOut(server="b", code="server.unreachable", what="No answer.", remedy="Start it.", next_try=5.0)
    left = state(SEVERAL, out).servers[1]
    assert (left.left_out, left.trouble, left.next_try) == (True, "No answer.", 5.0)
    back = state(SEVERAL, out, e.ServerReached(server="b", url="http://b", version="1")).servers[1]
    assert (back.left_out, back.trouble, back.reached) == (False, "", True)


def test_without_names_all_is_about_the_one_server() -> None:
    after = state(OPENED, e.ServerReached(url="http://a", version="1"), planned(1), e.Pulse(latency=0.1))
    assert not after.several and after.server.name == ""
    assert (after.server.version, after.server.latency) == ("1", 0.1)
    assert (after.scenes[0].attempts[0].server, after.scenes[0].attempts[0].server_name) == ("http://a", "")


def test_what_a_run_of_one_server_writes_does_not_speak_of_names() -> None:
    for event in (OPENED, planned(1), e.Pulse(latency=0.1), e.ServerBack(away=1.0), e.RunNoted(text="x")):
        line = encode(Envelope(seq=1, at=START, run="r", event=event))
        assert line.count(b'"server"') == isinstance(event, e.RunOpened) and b'"servers"' not in line


def test_of_a_server_that_the_run_does_not_have_nothing_is_learnt() -> None:
    before = state(SEVERAL)
    assert state(SEVERAL, e.Pulse(server="c", latency=1.0)).servers == before.servers


def test_samples_of_two_servers_do_not_replace_each_other() -> None:
    keys = {e.sample_key(e.Pulse(latency=1.0)), *(e.sample_key(e.Pulse(server=n, latency=1.0)) for n in "ab")}
    assert len(keys) == 3


def test_metrics_tell_the_servers_apart() -> None:
    told = openmetrics(
        state(SEVERAL, e.Pulse(server="a", latency=0.25), e.GpuSampled(server="b", source="nvml", devices=(GPU,)))
    )
    assert 'comfytui_server_up{server="a"} 1' in told and 'comfytui_server_latency_seconds{server="a"} 0.25' in told
    alone = openmetrics(state(OPENED, e.Pulse(latency=0.25)))
    assert "comfytui_server_up 1" in alone


def test_lines_begin_with_the_name() -> None:
    assert narrate(e.SocketChanged(state="open", server="a")) == ("info", "a: Socket open", None)
    assert narrate(e.RunNoted(text="Hm.", server="b")) == ("info", "b: Hm.", None)
    assert narrate(e.SocketChanged(state="open")) == ("info", "Socket open", None)
    queued = e.PromptQueued(scene="s", attempt=1, number=5, server="a")
    assert narrate(queued) == ("info", "Attempt 1 queued on a as number 5", "s")
