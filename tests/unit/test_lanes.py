"""Which server takes the next scene: played out in pure time, with the planner alone, on servers of any speed."""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from comfytui.engine.lanes import MOST_PATIENCE, PATIENCE_UNKNOWN, lanes_of, patience, to_give_back
from comfytui.engine.planner import allowed, pulled
from comfytui.engine.standing import Standing
from comfytui.model import events as e
from comfytui.model.envelope import Envelope
from comfytui.model.failure_classes import FREE_RETRIES, class_of
from comfytui.model.fold import fold
from comfytui.model.policy import QueuePolicy
from comfytui.model.state import State
from comfytui.model.telemetry import ExecutionFailure, ExecutionStatus
from tests.records.scripted import telemetry

T0 = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
POLICY = QueuePolicy()
MOVED = ExecutionFailure(
    node_id=None, node_type=None, exception_type=None, message="It is gone.", code="prompt.handed_over"
)


class Yard:
    """Servers that execute a scene in so many seconds each, and the planner that feeds them."""

    def __init__(
        self, takes: Mapping[str, float], scenes: int, tags: Mapping[str, str] | None = None,
        frames: Sequence[int] = (), **more: Any,
    ) -> None:  # fmt: skip
        self.takes, self.now, self.state = dict(takes), 0.0, State()
        self.standing = Standing()
        self.ends: list[tuple[float, str, str, int]] = []
        self.queues: dict[str, list[tuple[str, int]]] = {name: [] for name in takes}
        sizes = frames or [1] * scenes
        briefs = [
            e.SceneBrief(id=f"s{n}", folder=f"s{n}", floor=1, prompt="p", expected_frames=size, **more)
            for n, size in enumerate(sizes, 1)
        ]
        servers = tuple(
            e.ServerBrief(name=name, url=f"http://{name}", tags=tuple((tags or {}).get(name, "").split()))
            for name in takes
        )
        self.tell(
            e.RunOpened(
                run_id="r", run_dir="/r", story=e.StoryBrief(id="s"), scenes=tuple(briefs), workflow="w",
                server="http://a", servers=servers, policy=POLICY, version="0",
            )
        )  # fmt: skip

        for name in takes:
            self.tell(e.ServerReached(server=name, url=f"http://{name}", version="1"))

    def tell(self, fact: e.AnyFact) -> None:
        at = T0 + timedelta(seconds=self.now)
        self.state = fold(self.state, Envelope(seq=self.state.seq + 1, at=at, run="r", event=fact))
        self.standing.follow(self.state.scenes)

    @property
    def capacity(self) -> dict[str, int]:
        return dict.fromkeys(self.takes, 1 + POLICY.lookahead)

    @property
    def at(self) -> datetime:
        return T0 + timedelta(seconds=self.now)

    def dispatch(self) -> None:
        """Give back and hand out what is due now."""
        for scene in to_give_back(lanes_of(self.state, self.capacity, self.standing, self.at), self.standing):
            attempt = scene.attempts[-1]
            self.queues[attempt.server_name].remove((scene.id, attempt.number))
            self.move(scene.id, attempt.number)
        while due := pulled(self.state, self.standing, self.capacity, self.at):
            (one,) = due
            self.tell(
                e.AttemptPlanned(
                    scene=one.scene, attempt=one.attempt, prompt_id="p", prefix="x", seed=1, server=one.server
                )
            )  # fmt: skip
            self.tell(e.PromptQueued(scene=one.scene, attempt=one.attempt, number=1))
            self.queues[one.server].append((one.scene, one.attempt))
            self.start(one.server)

    def move(self, scene: str, attempt: int) -> None:
        """End an attempt so that another server takes its scene."""
        self.ended(scene, attempt, "lost", MOVED)
        self.tell(e.SceneRequeued(scene=scene, next_attempt=attempt + 1, attempts=9, reason="moved"))

    def ended(self, scene: str, attempt: int, status: ExecutionStatus, error: ExecutionFailure | None = None) -> None:
        success_at = self.at if status == "success" else None
        self.tell(e.ExecutionEnded(scene=scene, attempt=attempt, status=status, success_at=success_at, error=error))
        told = telemetry(self.at, self.at, success_at=success_at, status=status)
        self.tell(e.AttemptEnded(scene=scene, attempt=attempt, telemetry=told, exit_reason="unknown", status=status))

    def start(self, name: str) -> None:
        """Let the server execute the next of its queue, unless it is at work."""
        if self.queues[name] and not any(end[1] == name for end in self.ends):
            scene, attempt = self.queues[name].pop(0)
            known = self.state.scene(scene)
            assert known is not None
            seconds = self.takes[name] * known.brief.expected_frames
            heapq.heappush(self.ends, (self.now + seconds, name, scene, attempt))
            self.tell(e.ExecutionStarted(scene=scene, attempt=attempt))

    def play(self, until: int = 0) -> float:
        """Play until so many scenes are left; return the seconds since the beginning."""
        while sum(not scene.over for scene in self.state.scenes) > until:
            self.dispatch()
            soon = self.now + 0.25
            if not self.ends or self.ends[0][0] > soon:
                self.now = soon  # somebody may be late
                continue
            self.now, name, scene, attempt = heapq.heappop(self.ends)
            self.ended(scene, attempt, "success")
            self.tell(e.SceneEnded(scene=scene, best=attempt, success=True, meets_floor=True, frames=1))
            self.start(name)
        return self.now

    def kill(self, name: str) -> None:
        """Let a server die, and move what it had."""
        self.tell(e.ServerAway(server=name, code="c", what="Gone.", remedy="Wait.", away=0.0, next_try=1.0))
        lost = [(scene, attempt) for _, on, scene, attempt in self.ends if on == name] + self.queues[name]
        self.ends = [end for end in self.ends if end[1] != name]
        heapq.heapify(self.ends)
        self.queues[name] = []
        for scene, attempt in lost:
            self.move(scene, attempt)

    @property
    def shares(self) -> Counter[str]:
        return Counter(scene.attempts[-1].server_name for scene in self.state.scenes)


def test_forty_scenes_on_four_servers() -> None:
    yard = Yard(dict.fromkeys("abcd", 0.5), 40)
    assert yard.play() == 40 * 0.5 / 4
    assert yard.shares == dict.fromkeys("abcd", 10)
    assert all(len(scene.attempts) == 1 for scene in yard.state.scenes)


@pytest.mark.parametrize("scenes", [5, 9, 13, 40, 101])
@pytest.mark.parametrize("slow", [1.5, 2.0, 4.0, 30.0])
def test_a_slow_server_does_not_hold_the_end_up(scenes: int, slow: float) -> None:
    yard = Yard({"a": 0.5, "b": 0.5, "slow": slow}, scenes)
    ideal = scenes / (2 / 0.5 + 1 / slow)
    assert yard.play() <= max(1.10 * ideal, ideal + slow + 0.25, (scenes / 2) * 0.5 + 0.5)
    assert sum(len(scene.attempts) - 1 for scene in yard.state.scenes) <= 2, "what is under way is seldom moved"


@pytest.mark.parametrize("left", [35, 20, 8, 4])
def test_one_killed_and_one_slow(left: int) -> None:
    yard = Yard({"a": 0.5, "b": 0.5, "c": 0.5, "slow": 2.0}, 40)
    began = yard.play(until=left)
    yard.kill("a")
    took = yard.play() - began
    assert took <= 1.25 * left / (2 / 0.5 + 1 / 2.0) + 0.5  # what the dead one was at is begun anew
    assert all(scene.success for scene in yard.state.scenes)


def test_a_prompt_that_waits_behind_a_slow_one_goes_to_who_is_idle() -> None:
    """Nothing is known of the slow one when it is given a second prompt."""
    yard = Yard({"a": 0.5, "slow": 20.0}, 4)
    assert yard.play() == 20.0
    assert yard.shares == {"a": 3, "slow": 1}
    moved = [attempt for scene in yard.state.scenes for attempt in scene.attempts if attempt.status == "lost"]
    assert [(one.server_name, one.executing_at) for one in moved] == [("slow", None)]


def test_a_server_that_had_a_long_scene_is_not_taken_for_a_slow_one() -> None:
    yard = Yard({"a": 0.5, "b": 0.5}, 41, frames=[20, *[1] * 40])
    assert yard.play() <= 15.5, "ten seconds of the long one, then the rest of the short ones between both"
    assert yard.shares["a"] >= 10


def test_a_heavier_server_comes_first() -> None:
    yard = Yard({"a": 0.5, "b": 0.5}, 1)
    heavy = replace(yard.state.servers[1], weight=2.0)
    yard.state = replace(yard.state, servers=(yard.state.servers[0], heavy))
    yard.dispatch()
    assert yard.shares == {"b": 1}


def test_a_server_that_is_busy_with_prompts_of_others_comes_last() -> None:
    yard = Yard({"a": 0.5, "b": 0.5}, 1)
    busy = replace(yard.state.servers[0], others=3)
    yard.state = replace(yard.state, servers=(busy, yard.state.servers[1]))
    yard.dispatch()
    assert yard.shares == {"b": 1}


def test_what_failed_on_one_server_is_rather_tried_on_another() -> None:
    yard = Yard({"a": 0.5, "b": 0.5}, 1)
    yard.dispatch()
    assert yard.shares == {"a": 1}
    yard.ends.clear()
    yard.ended("s1", 1, "error")
    yard.tell(e.SceneRequeued(scene="s1", next_attempt=2, attempts=2, reason="error"))
    yard.dispatch()
    assert [attempt.server_name for attempt in yard.state.scenes[0].attempts] == ["a", "b"]


def test_tags_are_kept() -> None:
    yard = Yard({"a": 0.5, "big": 4.0}, 6, {"big": "24gb"}, server_tags=("24gb",))
    yard.play()
    assert yard.shares == {"big": 6}


def test_nobody_takes_a_scene_while_all_are_away_and_one_that_is_given_up_fails_it() -> None:
    yard = Yard({"a": 0.5, "b": 0.5}, 2)
    for name in "ab":
        yard.kill(name)
    assert pulled(yard.state, yard.standing, yard.capacity, yard.at) == []
    yard.tell(e.ServerGivenUp(server="a", away=600.0))
    assert pulled(yard.state, yard.standing, yard.capacity, yard.at) == [], "b is still waited for"
    yard.tell(e.ServerGivenUp(server="b", away=600.0))
    assert [one.server for one in pulled(yard.state, yard.standing, yard.capacity, yard.at)] == ["a"]


def test_how_long_a_scene_stays_with_a_server_that_is_silent() -> None:
    yard = Yard({"a": 0.5, "b": 0.5}, 4)
    scene = yard.state.scenes[0]

    def stays() -> float | None:
        return patience(yard.state, yard.standing, yard.capacity, scene, "a")

    assert stays() == PATIENCE_UNKNOWN
    yard.play(until=2)
    assert stays() == 0.25, "half of what a scene takes"
    yard.kill("b")
    assert stays() is None, "there is nobody else"
    slow = Yard({"a": 600.0, "b": 600.0}, 4)
    slow.play(until=2)
    assert patience(slow.state, slow.standing, slow.capacity, scene, "a") == MOST_PATIENCE


def test_what_was_moved_costs_nothing_and_is_bounded_only_where_it_had_begun() -> None:
    yard = Yard({"a": 5.0, "b": 5.0}, 2)
    yard.dispatch()
    for _ in range(FREE_RETRIES + 2):
        scene = yard.state.scenes[0]
        attempt = scene.attempts[-1]
        yard.tell(e.ExecutionStarted(scene=scene.id, attempt=attempt.number))
        yard.move(scene.id, attempt.number)
        yard.tell(replace(_planned(scene.id, attempt.number + 1), server="b"))
    scene = yard.state.scenes[0]
    assert class_of(scene.attempts[0]) == "moved"
    assert allowed(scene, POLICY) == 1 + POLICY.scene_retry_budget + FREE_RETRIES
    waited = replace(scene, attempts=tuple(replace(one, executing_at=None) for one in scene.attempts[:-1]))
    assert allowed(waited, POLICY) == 1 + POLICY.scene_retry_budget + FREE_RETRIES + 2


def _planned(scene: str, number: int) -> e.AttemptPlanned:
    return e.AttemptPlanned(scene=scene, attempt=number, prompt_id=f"p{number}", prefix="x", seed=1)


def test_what_is_given_back_is_what_waits_behind_all_others() -> None:
    """Looking at the history of one that waits before it changes nothing about its turn."""
    yard = Yard({"fast": 1.0, "slow": 50.0}, 4)
    for number in (1, 2, 3):
        yard.tell(e.AttemptPlanned(scene=f"s{number}", attempt=1, prompt_id="p", prefix="x", seed=1, server="slow"))
        yard.tell(e.PromptQueued(scene=f"s{number}", attempt=1, number=number))
        yard.now += 1
    yard.tell(e.ExecutionStarted(scene="s1", attempt=1))
    yard.tell(e.AttemptPlanned(scene="s4", attempt=1, prompt_id="p", prefix="x", seed=1, server="fast"))
    yard.tell(e.ExecutionStarted(scene="s4", attempt=1))
    yard.now += 1
    yard.ended("s4", 1, "success")
    yard.now += 60
    yard.tell(e.HistoryRead(scene="s2", attempt=1, reads=1, status="pending"))
    lanes = lanes_of(yard.state, yard.capacity, yard.standing, yard.at)
    assert [scene.id for scene in to_give_back(lanes, yard.standing)] == ["s3"]
