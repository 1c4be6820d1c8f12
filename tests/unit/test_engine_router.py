"""What the socket says, turned into hints for the attempts that wait, samples for who watches, and facts."""

from typing import Any

import pytest
from msgspec.structs import replace

from comfytui.engine.hub import Hub, Unrecorded
from comfytui.engine.prompt.router import PROGRESS_INTERVAL, Router, queue_depth
from comfytui.engine.prompt.signals import SUCCESS_SETTLES, PromptSignals
from comfytui.model import events as e
from comfytui.model.state import Attempt, Scene, State
from comfytui.model.workflow import load_workflow
from comfytui.sources.comfy import messages as m
from comfytui.sources.comfy.history import NodeError
from comfytui.sources.comfy.socket import SocketClosed, SocketOpened, SocketRefused
from tests.unit.scripted_run import opened
from tests.unit.test_engine_hub import SetClock

OURS = "11111111-ours"
OTHER = "22222222-other"


class Stand:
    """A router with one prompt of ours, and everything that its hub tells."""

    def __init__(self) -> None:
        self.clock = SetClock()
        self.hub = Hub("r", self.clock, Unrecorded())
        self.told: list[e.AnyEvent] = []
        self.hub.publish(opened("scene-001", "scene-002"))
        self.router = Router(self.hub, self.clock, load_workflow("txt2img"))
        self.signals = self.router.watch(OURS, "scene-001", 1)

    def hear(self, *items: Any) -> list[e.AnyEvent]:
        """Let the router take these and return what the hub told of."""
        with self.hub.subscribe() as mailbox:
            events = []
            for item in items:
                self.router.take(item)
                events += [envelope.event for envelope in mailbox.take()]
        return events

    def at(self, seconds: float) -> None:
        self.clock.seconds = seconds


@pytest.fixture
def stand() -> Stand:
    return Stand()


def hints(signals: PromptSignals) -> tuple[bool, float | None, bool]:
    return signals.executing, signals.over_at, signals.reconcile


@pytest.mark.parametrize(
    ("message", "executing", "over_at"),
    [
        (m.ExecutionStart(prompt_id=OURS), True, None),
        (m.ExecutionCached(prompt_id=OURS), True, None),
        (m.Executing(prompt_id=OURS, node="3"), True, None),
        (m.Progress(prompt_id=OURS, node="3", value=1, maximum=20), True, None),
        (m.ProgressState(prompt_id=OURS, finished=1), True, None),
        (m.ExecutionSuccess(prompt_id=OURS), False, 7.0 + SUCCESS_SETTLES),
        (m.Executing(prompt_id=OURS, node=None), False, 7.0),
        (m.ExecutionError(prompt_id=OURS, error=NodeError()), False, 7.0),
        (m.ExecutionInterrupted(prompt_id=OURS), False, 7.0),
        (m.Executed(prompt_id=OURS, node="9"), False, None),
        (m.Preview(prompt_id=OURS, format="jpeg", size=3, image=b"abc"), False, None),
    ],
)
def test_each_message_on_our_prompt_is_a_hint(
    stand: Stand, message: m.Message, executing: bool, over_at: float | None
) -> None:
    stand.at(7.0)
    stand.hear(message)
    assert hints(stand.signals) == (executing, over_at, False)
    assert stand.signals.heard_at == 7.0


@pytest.mark.parametrize(
    "message",
    [
        m.Executing(prompt_id=OTHER, node=None),
        m.Executing(prompt_id=None, node=None),  # told to a client that comes back, about anyone's prompt
        m.ExecutionSuccess(prompt_id=OTHER),
        m.Progress(prompt_id=OTHER, node="3", value=1, maximum=2),
        m.Progress(prompt_id=None, node="3", value=1, maximum=2),
        m.Preview(format="jpeg", size=3, image=b"abc"),
        m.Unknown(kind="crystools.monitor"),
        m.Malformed(why="it is not JSON"),
        m.Status(remaining=None),
        m.Logs(lines=("a",)),
    ],
)
def test_what_is_about_others_is_heard_and_changes_nothing_of_ours(stand: Stand, message: m.Message) -> None:
    stand.at(7.0)
    assert stand.hear(message) == []
    assert hints(stand.signals) == (False, None, False)
    assert stand.signals.heard_at == 0.0
    assert stand.router.heard_at == 7.0


def test_the_end_comes_forward_when_it_is_told_after_the_success(stand: Stand) -> None:
    stand.at(1.0)
    stand.hear(m.ExecutionSuccess(prompt_id=OURS))
    stand.at(1.1)
    stand.hear(m.Executing(prompt_id=OURS, node=None))
    assert stand.signals.over_at == 1.1
    stand.at(1.2)
    stand.hear(m.ExecutionSuccess(prompt_id=OURS))  # told twice: the end stays where it is
    assert stand.signals.over_at == 1.1


def test_a_prompt_that_is_forgotten_hears_nothing(stand: Stand) -> None:
    stand.router.forget(OURS)
    stand.hear(m.Executing(prompt_id=OURS, node=None))
    assert hints(stand.signals) == (False, None, False)
    stand.router.forget(OURS)


def test_the_signals_of_a_scene_are_found_by_its_id(stand: Stand) -> None:
    other = stand.router.watch(OTHER, "scene-002", 1)
    assert stand.router.signals_of("scene-001") == [stand.signals]
    assert stand.router.signals_of("scene-002") == [other]
    assert stand.router.signals_of("scene-003") == []


# --- the connection ----------------------------------------------------------------------------------------------


def test_a_new_connection_makes_every_prompt_of_ours_look_anew(stand: Stand) -> None:
    other = stand.router.watch(OTHER, "scene-002", 1)
    assert stand.hear(SocketOpened()) == [e.SocketChanged(state="open")]
    assert stand.signals.reconcile
    assert other.reconcile
    assert stand.router.open


def test_a_change_of_the_connection_is_a_fact_once(stand: Stand) -> None:
    assert stand.hear(SocketOpened(), SocketOpened()) == [e.SocketChanged(state="open")]
    closed = SocketClosed("the connection broke")
    assert stand.hear(closed, closed) == [e.SocketChanged(state="closed", why="the connection broke")]
    assert not stand.router.open
    refused = SocketRefused("HTTP 500")
    assert stand.hear(refused, refused, refused) == [e.SocketChanged(state="refused", why="HTTP 500")]
    assert stand.hear(SocketRefused("HTTP 401")) == [e.SocketChanged(state="refused", why="HTTP 401")]
    assert stand.hear(SocketOpened()) == [e.SocketChanged(state="open")]


# --- progress ----------------------------------------------------------------------------------------------------


def progress(events: list[e.AnyEvent]) -> list[e.Progress]:
    return [event for event in events if isinstance(event, e.Progress)]


def test_progress_tells_scene_node_and_how_many_nodes_are_done(stand: Stand) -> None:
    (shown,) = progress(stand.hear(m.ProgressState(prompt_id=OURS, finished=4, running=(("5", 3.0, 20.0),))))
    workflow = load_workflow("txt2img")
    assert shown == e.Progress(
        scene="scene-001", attempt=1, node="5", title=workflow.node_titles["5"], value=3.0, maximum=20.0,
        nodes_done=4, nodes_total=len(workflow.graph),
    )  # fmt: skip
    stand.at(1.0)
    (later,) = progress(stand.hear(m.Executing(prompt_id=OURS, node="77")))
    assert (later.title, later.value, later.maximum, later.nodes_done) == ("77", 0.0, 0.0, 4)


def test_a_thousand_steps_a_second_are_shown_ten_times_a_second_and_to_the_last(stand: Stand) -> None:
    steps = []
    for step in range(1, 1001):
        stand.at(step / 1000)
        steps += progress(stand.hear(m.Progress(prompt_id=OURS, node="3", value=step, maximum=1000)))
    assert 10 <= len(steps) <= 1 / PROGRESS_INTERVAL + 2
    assert steps[0].value == 1
    assert steps[-1].value == 1000


def test_each_prompt_has_a_pace_of_its_own(stand: Stand) -> None:
    stand.router.watch(OTHER, "scene-002", 1)
    both = [m.Progress(prompt_id=one, node="3", value=1, maximum=9) for one in (OURS, OTHER)]
    assert {shown.scene for shown in progress(stand.hear(*both))} == {"scene-001", "scene-002"}


def test_progress_without_figures_is_shown_as_none(stand: Stand) -> None:
    (shown,) = progress(stand.hear(m.Progress(prompt_id=OURS, node="3", value=None, maximum=None)))
    assert (shown.value, shown.maximum) == (0.0, 0.0)


# --- the queue ---------------------------------------------------------------------------------------------------


def with_phases(hub: Hub, *phases: str) -> None:
    attempt = Attempt(number=1, prompt_id="p", prefix="x", seed=1, planned_at=hub.state.at or SetClock().now())
    scenes = tuple(
        Scene(brief=scene.brief, phase=phase, attempts=(attempt,))  # type: ignore[arg-type]
        for scene, phase in zip(hub.state.scenes, phases, strict=True)
    )
    hub.state = replace(hub.state, scenes=scenes)


@pytest.mark.parametrize(
    ("phases", "remaining", "ours", "others"),
    [
        (("waiting", "done"), 3, 0, 3),
        (("executing", "queued"), 2, 2, 0),
        (("executing", "queued"), 5, 2, 3),
        (("executing", "planned"), 1, 1, 0),  # one is still on its way there
        (("collecting", "executing"), 1, 1, 0),
        (("executing", "queued"), 0, 0, 0),
    ],
)
def test_the_servers_queue_is_told_apart_into_ours_and_others(
    stand: Stand, phases: tuple[str, ...], remaining: int, ours: int, others: int
) -> None:
    with_phases(stand.hub, *phases)
    assert queue_depth(stand.hub, remaining) == e.QueueDepth(ours=ours, others=others)
    assert stand.hear(m.Status(remaining=remaining)) == [e.QueueDepth(ours=ours, others=others)]
    assert (stand.hub.state.server.ours, stand.hub.state.server.others) == (ours, others)


def test_a_router_without_a_run_tells_of_the_queue_alone() -> None:
    clock = SetClock()
    hub = Hub("", clock, Unrecorded(), State())
    router = Router(hub, clock, None)
    for item in (SocketOpened(), m.Status(remaining=4), m.Progress(prompt_id="x", node="1", value=1, maximum=2)):
        router.take(item)
    assert (hub.state.server.socket, hub.state.server.others) == ("open", 4)
