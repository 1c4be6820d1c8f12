"""Why a server does nothing for the run, and what it has done so far, told from the state alone."""

from datetime import timedelta
from pathlib import Path

import pytest

from comfytui.model import events as e
from comfytui.model.envelope import Envelope, encode
from comfytui.model.fold import fold_all
from comfytui.model.presence import cut_off, presence, why_idle
from comfytui.model.shares import Shares, contributions, load_of, shares_of
from comfytui.model.state import State
from comfytui.records.registry.entry import read_contributions
from comfytui.records.report.timeline import read_timeline
from comfytui.records.rundir import RunDir
from comfytui.records.summary import lines
from tests.ui.script import Script, several


def state_of(script: Script) -> State:
    return fold_all(item for item in script.items if hasattr(item, "event"))


def reasons(script: Script) -> dict[str, str]:
    state = state_of(script)
    load, shares = load_of(state), shares_of(state)
    return {server.name: why_idle(state, server, load, shares, script.at) for server in state.servers}


def pair(scenes: int = 4, tags: tuple[str, ...] = (), wanted: tuple[str, ...] = ()) -> Script:
    """Two servers, of which ``b`` has ``tags``; every scene wants ``wanted``."""
    script = Script()
    script.briefs = (
        e.ServerBrief(name="a", url="http://a", tags=wanted),
        e.ServerBrief(name="b", url="http://b", tags=tags),
    )
    script.opened_with(
        tuple(
            e.SceneBrief(id=f"scene-{n:03d}", folder=f"s{n}", floor=1, prompt="p", server_tags=wanted)
            for n in range(1, scenes + 1)
        )
    )
    return script.reached(server="a", url="http://a").reached(server="b", url="http://b")


def test_each_server_says_what_keeps_it_from_working() -> None:
    night = several(5).wait(3)
    assert reasons(night) == {
        "gpu-a": "", "gpu-b": "", "gpu-c": "away, tried again in 9 s",
        "attic": "left out: wrong workflow (node SVD_img2vid_Conditioning missing), tried again in 54 s",
        "box-5": "its turn comes",
    }  # fmt: skip


def test_one_that_is_not_waited_for_any_more_says_so() -> None:
    night = pair().tell(e.ServerAway(server="b", code="c", what="w", remedy="r", away=0.0, next_try=1.0))
    assert reasons(night.tell(e.ServerGivenUp(server="b", away=600.0)))["b"] == "away, not waited for any more"


def test_a_server_that_nobody_has_reached_says_so() -> None:
    script = Script()
    script.briefs = (e.ServerBrief(name="a", url="http://a"), e.ServerBrief(name="b", url="http://b"))
    assert reasons(script.opened(1).reached(server="a"))["b"] == "not reached yet"


def test_a_queue_that_is_held_holds_all() -> None:
    assert reasons(pair().tell(e.QueueHeld(held=True))) == {"a": "held", "b": "held"}


def test_nothing_waits_once_the_rest_is_on_other_servers() -> None:
    night = pair(1).queued("scene-001", server="a").executing("scene-001")
    assert reasons(night) == {"a": "", "b": "nothing is waiting"}


@pytest.mark.parametrize(
    ("tags", "told"), [(("8gb",), "its tags fit no waiting scene"), ((), "every waiting scene asks for tags")]
)
def test_a_server_whose_tags_fit_nothing_says_so(tags: tuple[str, ...], told: str) -> None:
    assert reasons(pair(tags=tags, wanted=("24gb",))) == {"a": "its turn comes", "b": told}


def test_a_prompt_that_waits_says_for_whom() -> None:
    night = pair().queued("scene-001", server="b").pulse(others=1, server="b")
    assert reasons(night)["b"] == "behind prompts of others"
    assert reasons(night.pulse(server="b"))["b"] == "its prompt is about to begin"


def test_a_slow_one_is_told_to_be_slow_only_beside_a_faster_one_that_answers() -> None:
    night = pair().rendered("scene-001", 1, 10, server="a").rendered("scene-002", 1, 40, server="b")
    assert reasons(night)["b"] == "slower: the last scenes end sooner elsewhere"
    assert reasons(night)["a"] == "its turn comes"
    night.tell(e.ServerAway(server="a", code="c", what="w", remedy="r", away=0.0, next_try=1.0))
    assert reasons(night)["b"] == "its turn comes"


def test_after_the_run_nothing_is_to_be_explained() -> None:
    assert reasons(pair(0).ended()) == {"a": "", "b": ""}


def test_what_each_did_is_counted_once_however_it_is_learnt() -> None:
    night, shares = pair(4), Shares()
    night.rendered("scene-001", 3, 10, server="a").rendered("scene-002", 2, 30, server="b").rendered(
        "scene-003", 1, 20, server="a"
    )
    state = State()
    for item in night.items:
        state = fold_all([item], state)
        shares.take(state)
    whole = shares_of(state)
    for name in "ab":
        assert shares.of(name) == whole.of(name)
    assert (whole.of("a").scenes, whole.of("a").frames, whole.of("a").executed, whole.of("a").pace) == (
        2,
        4,
        30.0,
        15.0,
    )
    assert whole.began is not None
    assert whole.rate("a", whole.began + timedelta(hours=2)) == 1.0 and whole.rate("c", whole.began) is None


def test_a_run_of_one_server_has_no_shares() -> None:
    shares = shares_of(state_of(Script().opened(1).reached().rendered("scene-001", 25, 10)))
    assert shares.began is None and shares.of("").scenes == 0


def test_the_run_is_cut_off_only_when_no_server_answers() -> None:
    night = pair()
    assert not cut_off(state_of(night))
    for name, gone in (("a", False), ("b", True)):
        night.tell(e.ServerAway(server=name, code="c", what="w", remedy="r", away=0.0, next_try=1.0))
        assert cut_off(state_of(night)) is gone
    assert [presence(server) for server in state_of(night).servers] == ["away", "away"]


def test_a_scene_that_was_given_up_before_a_server_was_chosen_is_no_servers() -> None:
    night = pair(2).rendered("scene-001", 3, 10, server="a").queued("scene-002")
    night.attempt_ended("scene-002", status="interrupted").scene_ended("scene-002", 0, success=False, meets=False)
    night.tell(e.RunSettled())
    settled = night.items[-1]
    assert isinstance(settled, Envelope)
    told = [line.partition("] ")[2] for line in lines(settled, state_of(night)) if "Server " in line]
    assert told == ["Server a: scenes=1 | frames=3 | executed=10.0s", "Server b: scenes=0 | frames=0 | executed=0.0s"]
    assert [told.scenes for told in contributions(state_of(night))] == [1, 0]


def test_a_past_run_tells_what_each_did_and_its_report_names_them(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    night = pair(2).rendered("scene-001", 3, 10, server="a").rendered("scene-002", 2, 30, server="b").ended()
    run.journal.write_bytes(b"".join(encode(item) + b"\n" for item in night.items if isinstance(item, Envelope)))
    assert [told.words for told in read_contributions(run)] == [
        "a: 1 scene, 3 frames, busy 25 % of the time", "b: 1 scene, 2 frames, busy 74 % of the time",
    ]  # fmt: skip
    timeline = read_timeline(run.journal)
    assert timeline is not None and sorted(steps.server for steps in timeline.steps.values()) == ["a", "b"]
    alone = RunDir(tmp_path / "alone")
    alone.path.mkdir()
    assert read_contributions(alone) == [], "without a journal nothing is told"
    told = Script().opened(1).reached().rendered("scene-001", 25, 10).items
    alone.journal.write_bytes(b"".join(encode(item) + b"\n" for item in told if isinstance(item, Envelope)))
    assert read_contributions(alone) == []
