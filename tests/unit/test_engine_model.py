"""Planner, fold and a model of a server that answers as it likes: every run comes to its right end."""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from comfytui.engine.asked import facts_for, refusal
from comfytui.engine.attempt.verdict import exit_reason, final_status, telemetry_of
from comfytui.engine.planner import TryAgain, after_attempt, allowed, fulfilled, submissions
from comfytui.engine.standing import Standing, executions
from comfytui.model import commands as c
from comfytui.model import events as e
from comfytui.model.envelope import Envelope, decode, encode
from comfytui.model.failure_classes import FREE_RETRIES, TABLE, class_of
from comfytui.model.fold import fold, fold_all
from comfytui.model.policy import QueuePolicy
from comfytui.model.queue import first_of, waiting
from comfytui.model.state import Attempt, Scene, ScenePhase, State
from comfytui.model.telemetry import ExecutionFailure, ExecutionStatus, inconsistencies

T0 = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
SUCCEEDED = ("success", "cached", "partial")
ENDS = [status for status in get_args(ExecutionStatus) if status not in ("rejected", "lost")]


class Run(RuleBasedStateMachine):
    """A run whose rules are what may happen next; the foreman's part (publish what the planner says) is played here."""

    @initialize(
        scenes=st.integers(1, 5), budget=st.integers(0, 3), lookahead=st.integers(0, 3), floor=st.integers(1, 3)
    )
    def open(self, scenes: int, budget: int, lookahead: int, floor: int) -> None:
        self.policy = QueuePolicy(scene_retry_budget=budget, lookahead=lookahead)
        self.state, self.journal, self.at = State(), list[bytes](), T0
        self.queue: list[tuple[str, int]] = []  # what the server has, the first executes
        self._standing = Standing()
        self.ended: dict[str, int] = {}
        self.reopened: dict[str, int] = {}
        briefs = tuple(
            e.SceneBrief(id=f"s{n}", folder=f"s{n}", floor=floor, prompt="p", expected_frames=floor)
            for n in range(scenes)
        )
        self.tell(
            e.RunOpened(
                run_id="r", run_dir="/r", story=e.StoryBrief(id="s"), scenes=briefs, workflow="w", server="http://s",
                policy=self.policy, version="0",
            )
        )  # fmt: skip

    # --- the hub and the foreman, as far as they matter here ------------------------------------------------------

    def tell(self, event: e.AnyFact) -> None:
        self.at += timedelta(seconds=1)
        envelope = Envelope(seq=self.state.seq + 1, at=self.at, run="r", event=event)
        self.journal.append(encode(envelope))
        self.state = fold(self.state, envelope)

    @property
    def standing(self) -> Standing:
        return self._standing.follow(self.state.scenes)

    def scene(self, scene_id: str) -> Scene:
        found = self.state.scene(scene_id)
        assert found is not None
        return found

    def attempt(self, place: tuple[str, int]) -> Attempt:
        found = self.scene(place[0]).attempt(place[1])
        assert found is not None
        return found

    def planned(self) -> list[tuple[str, int]]:
        return [(s.id, len(s.attempts)) for s in self.state.scenes if s.phase == "planned"]

    def end(self, place: tuple[str, int], status: ExecutionStatus, frames: int = 0, code: str = "prompt.x") -> None:
        """End the attempt as its driver does, and let the planner say what follows."""
        if place in self.queue:
            self.queue.remove(place)
        scene, number = place
        succeeded = status in SUCCEEDED
        error = None
        if not succeeded:
            error = ExecutionFailure(node_id=None, node_type=None, exception_type=None, message="why", code=code)
        names: dict[str, Any] = {"scene": scene, "attempt": number}
        self.tell(
            e.ExecutionEnded(**names, status=status, success_at=self.at if succeeded else None, error=error, expected=5)
        )
        for frame in range(frames):
            proven = e.Frame(name=f"f{frame}.png", bytes=1, sha256="0" * 64)
            self.tell(e.FrameProven(**names, frame=proven))
        attempt = self.attempt(place)
        reason = exit_reason(attempt, gave_up=None, frames_timed_out=False)
        verdict = final_status(attempt, frames_timed_out=False)
        telemetry = telemetry_of(attempt, self.policy, self.at, reason, verdict)
        assert inconsistencies(telemetry) == []
        self.tell(e.AttemptEnded(**names, telemetry=telemetry, exit_reason=reason, status=verdict))
        self.follow_up(scene)

    def follow_up(self, scene_id: str) -> None:
        step = after_attempt(self.scene(scene_id), self.policy)
        if isinstance(step, TryAgain):
            assert not self.scene(scene_id).over
            self.tell(
                e.SceneRequeued(
                    scene=scene_id, next_attempt=step.next_attempt, attempts=step.attempts, reason=step.reason
                )
            )
            return
        self.ended[scene_id] = self.ended.get(scene_id, 0) + 1
        self.tell(
            e.SceneEnded(
                scene=scene_id, best=step.best, success=step.success, meets_floor=step.meets_floor, frames=step.frames,
                cancelled=step.cancelled, skipped=step.skipped,
            )
        )  # fmt: skip

    # --- what may happen -----------------------------------------------------------------------------------------

    @rule()
    def plan(self) -> None:
        found = submissions(self.state, 1 + self.policy.lookahead, self.standing)
        assert found == submissions(self.state, 1 + self.policy.lookahead)
        for due in found:
            self.tell(
                e.AttemptPlanned(
                    scene=due.scene, attempt=due.attempt, prompt_id=f"{due.scene}-{due.attempt}",
                    prefix=f"{due.scene}-a{due.attempt}", seed=1, reason=due.reason,
                )
            )  # fmt: skip

    @precondition(lambda self: self.planned())
    @rule(taken=st.sampled_from(["yes", "yes", "yes", "no", "away"]))
    def answer_the_post(self, taken: str) -> None:
        for place in self.planned():
            if taken == "no":
                self.end(place, "rejected")
            elif taken == "away":
                self.end(place, "lost", code="server.lost")
            else:
                self.queue.append(place)
                self.tell(e.PromptQueued(scene=place[0], attempt=place[1], number=len(self.queue)))

    @precondition(lambda self: self.queue)
    @rule()
    def execute(self) -> None:
        place = self.queue[0]
        if self.attempt(place).executing_at is None:
            self.tell(e.ExecutionStarted(scene=place[0], attempt=place[1]))

    @precondition(lambda self: self.queue)
    @rule(status=st.sampled_from([*ENDS, "success", "success"]), frames=st.integers(0, 4))
    def end_what_executes(self, status: ExecutionStatus, frames: int) -> None:
        self.end(self.queue[0], status, frames)

    @precondition(lambda self: self.queue)
    @rule(frames=st.integers(0, 4))
    def let_the_server_die(self, frames: int) -> None:
        for place in list(self.queue):
            self.end(place, "lost", frames, code="prompt.lost")

    def ask(self, command: c.AnyCommand) -> bool:
        """Do what ``command`` asks as the foreman does; tell whether it was accepted."""
        why_not = refusal(self.state, command)
        for fact in [] if why_not else facts_for(self.state, command):
            self.tell(fact)
        return not why_not

    @precondition(lambda self: not self.standing.finished)
    @rule(data=st.data(), how=st.sampled_from([c.Cancel, c.Skip]))
    def give_up(self, data: st.DataObject, how: type[c.Cancel | c.Skip]) -> None:
        scene = data.draw(st.sampled_from([s for s in self.state.scenes if not s.over]))
        if not self.ask(how(id="give up", scenes=(scene.id,))):
            assert how is c.Skip, "whatever is not over can be cancelled"
            assert scene.phase != "waiting"
            return
        if scene.phase == "waiting" and scene.attempts:
            self.follow_up(scene.id)
            return
        if scene.phase == "waiting":  # never sent: it gets its record all the same
            self.tell(e.AttemptPlanned(scene=scene.id, attempt=1, prompt_id="p", prefix="x", seed=1))
        self.end((scene.id, len(self.scene(scene.id).attempts)), "interrupted")

    @precondition(lambda self: any(s.over for s in self.state.scenes))
    @rule(data=st.data())
    def rerun(self, data: st.DataObject) -> None:
        scene = data.draw(st.sampled_from([s for s in self.state.scenes if s.over]))
        if self.reopened.get(scene.id, 0) < 2:
            self.reopened[scene.id] = self.reopened.get(scene.id, 0) + 1
            assert self.ask(c.Rerun(id="rerun", scenes=(scene.id,)))

    @rule(data=st.data(), by=st.integers(-3, 3))
    def move(self, data: st.DataObject, by: int) -> None:
        scene = data.draw(st.sampled_from(self.state.scenes))
        before = [s.id for s in waiting(self.state)]
        self.ask(c.Move(id="move", scenes=(scene.id,), by=by))
        assert sorted(s.id for s in waiting(self.state)) == sorted(before)

    @rule(held=st.booleans())
    def hold_or_release(self, held: bool) -> None:
        was = self.state.run is not None and self.state.run.held
        assert self.ask(c.Hold(id="hold") if held else c.Release(id="release")) is (held != was)

    @rule()
    def take_the_run_up_from_its_journal(self) -> None:
        known = fold_all(decode(line) for line in self.journal)
        assert known == self.state
        self.state = known

    # --- what always holds ---------------------------------------------------------------------------------------

    @invariant()
    def no_two_attempts_of_a_scene_are_open(self) -> None:
        for scene in self.state.scenes:
            open_attempts = [a.number for a in scene.attempts if a.phase != "ended"]
            assert len(open_attempts) <= 1
            assert open_attempts in ([], [len(scene.attempts)])

    @invariant()
    def the_server_has_no_more_than_one_and_those_ahead(self) -> None:
        open_attempts = [a for s in self.state.scenes for a in s.attempts if a.phase != "ended"]
        assert len(open_attempts) <= 1 + self.policy.lookahead

    @invariant()
    def the_budget_is_kept(self) -> None:
        for scene in self.state.scenes:
            counted = [a for a in scene.attempts if a.status is None or TABLE[class_of(a)].rule != "free"]
            assert len(counted) <= 1 + self.policy.scene_retry_budget + scene.extra_attempts
            assert len(scene.attempts) <= allowed(scene, self.policy)
            assert len(scene.attempts) <= 1 + self.policy.scene_retry_budget + scene.extra_attempts + FREE_RETRIES

    @invariant()
    def how_the_scenes_stand_is_what_a_look_at_all_of_them_finds(self) -> None:
        standing, scenes = self.standing, self.state.scenes
        wait = [scene for scene in scenes if scene.phase == "waiting"]
        assert standing.finished == all(scene.over for scene in scenes)
        assert list(standing.waiting()) == wait
        assert standing.given_up() == [scene for scene in wait if scene.given_up is not None]
        assert first_of(self.state, standing.candidates()) == waiting(self.state)[:1]
        assert standing.durations == sorted(seconds for scene in scenes for _, seconds in executions(scene))
        for phase in get_args(ScenePhase):
            assert standing.count(phase) == sum(scene.phase == phase for scene in scenes)

    @invariant()
    def every_scene_ends_once_for_each_time_it_was_opened(self) -> None:
        for scene in self.state.scenes:
            assert self.ended.get(scene.id, 0) == self.reopened.get(scene.id, 0) + scene.over

    @invariant()
    def a_scene_that_is_over_is_its_best_attempt(self) -> None:
        for scene in self.state.scenes:
            if scene.over:
                best = scene.chosen
                assert best is not None
                assert best.telemetry is not None
                assert (scene.frames, scene.success) == (best.proven, best.succeeded)
                assert scene.meets_floor == (best.proven >= scene.brief.floor)
                assert all(a.telemetry is None or a.proven <= best.proven for a in scene.attempts)

    def teardown(self) -> None:
        """From wherever the run is, a server that behaves brings it to its end."""
        if not hasattr(self, "policy"):
            return
        self.tell(e.QueueHeld(held=False))
        for _ in range(500):
            if self.standing.finished:
                break
            self.plan()
            if self.planned():
                self.answer_the_post("yes")
            assert self.queue, "nothing is under way, and the run is not finished"
            self.end(self.queue[0], "success", 4)
        assert self.standing.finished
        self.every_scene_ends_once_for_each_time_it_was_opened()
        assert fulfilled(self.state) == all(s.success and s.meets_floor for s in self.state.scenes)


TestRun = Run.TestCase
TestRun.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
