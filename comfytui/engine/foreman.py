"""The foreman: lets the planner decide, starts the attempts it names, and answers what people ask."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import anyio.abc
from anyio import to_thread
from msgspec import UNSET

from comfytui.clock import Clock
from comfytui.engine.asked import facts_for, refusal
from comfytui.engine.attempt.verdict import telemetry_of
from comfytui.engine.dispatch.protocol import Dispatch
from comfytui.engine.hub import Hub
from comfytui.engine.lanes import lanes_of, to_give_back
from comfytui.engine.planner import Settle, Submission, TryAgain, after_attempt, pulled, submissions
from comfytui.errors import Failure
from comfytui.model import commands as c
from comfytui.model import events as e
from comfytui.model.plan import RunPlan
from comfytui.model.state import Scene
from comfytui.model.workflow import prefix_for, seed_for
from comfytui.records.metadata import write_scene
from comfytui.records.rundir import RunDir

UNSENT = "stopped before its prompt was sent"
SKIPPED = "skipped by a person: its prompt was never sent"
IDLE_LOOK = 0.25
"""Seconds between two looks while one of several servers has nothing to do: a late one may be late without a word."""


class Foreman:
    """Takes the scenes of one run to their ends, as far as people let it."""

    def __init__(self, hub: Hub, plan: RunPlan, run_dir: RunDir, clock: Clock) -> None:
        self._hub, self._plan, self._run_dir, self._clock = hub, plan, run_dir, clock
        self._dispatch: Dispatch | None = None
        self._first_command = anyio.Event()
        self._resting = False
        self._checking = False
        self.stopped = False

    # --- the work ------------------------------------------------------------------------------------------------

    async def work(self, dispatch: Dispatch) -> None:
        """Return when every scene is over. Raises ``Failure`` ``run.unwritable``."""
        self._dispatch = dispatch
        async with anyio.create_task_group() as attempts:
            for scene in self._hub.state.scenes:
                if scene.latest is not None and not scene.over and scene.phase != "waiting":
                    attempts.start_soon(self._attempt, dispatch, scene.id, True)
            while not self._hub.standing.finished:
                self._end_cancelled()
                while submission := self._next_submission(dispatch):
                    self._plan_attempt(submission)
                    attempts.start_soon(self._attempt, dispatch, submission.scene)
                if not self._hub.standing.finished:
                    await self._balanced(dispatch)
            self._resting = True  # no await between the last look and this: no command falls in between

    def _next_submission(self, dispatch: Dispatch) -> Submission | None:
        """Return the attempt that is to be made now, if any."""
        state, standing, capacity = self._hub.state, self._hub.standing, dispatch.capacity()
        if state.several:
            due = pulled(state, standing, capacity, self._clock.now())
        else:
            due = submissions(state, sum(capacity.values()), standing)
        return next(iter(due), None)

    async def _balanced(self, dispatch: Dispatch) -> None:
        """Let slow servers give back what only waits there; return when all is to be looked at again: at the next fact,
        and while one of several has nothing to do also after a moment.
        """
        state = self._hub.state
        lanes = lanes_of(state, dispatch.capacity(), self._hub.standing, self._clock.now()) if state.several else []
        if state.run is not None and not state.run.held:
            for scene in to_give_back(lanes, self._hub.standing):
                dispatch.cancel(scene.id, "recall")
        if any(not lane.busy for lane in lanes):
            await self._hub.changed_within(IDLE_LOOK)
        else:
            await self._hub.changed()

    @contextmanager
    def checking(self) -> Iterator[None]:
        """Let the run be stopped inside the block, though every scene is over."""
        self._resting = self._checking = True
        try:
            yield
        finally:
            self._checking = False

    def all_over(self) -> bool:
        """End the scenes that were given up while they waited; tell whether every scene is over then."""
        self._end_cancelled()
        self._resting = self._hub.standing.finished
        return self._resting

    def _plan_attempt(self, submission: Submission) -> None:
        """Write the intent down before anything is sent."""
        scene = self._scene(submission.scene)
        number = submission.attempt
        fresh = seed_for(scene.brief.seed, self._plan.run_id, scene.id, number)
        self._hub.publish(
            e.AttemptPlanned(
                scene=scene.id,
                attempt=number,
                prompt_id=str(uuid.uuid4()),
                prefix=prefix_for(self._plan.run_id, scene.brief.folder, number, self._plan.mark),
                seed=fresh if scene.seed is None else scene.seed,
                reason=submission.reason,
                prompt=scene.prompt,
                server=submission.server or UNSET,
            )
        )
        if submission.note:
            self._hub.publish(e.AttemptNoted(scene=scene.id, attempt=number, kind="note", text=submission.note))

    async def _attempt(self, dispatch: Dispatch, scene_id: str, taken_over: bool = False) -> None:
        """See the scene's newest attempt to its end, then let the planner say what follows."""
        await self._hub.synced()
        await dispatch.submit(scene_id, self, taken_over=taken_over)
        self._follow_up(scene_id)
        scene = self._scene(scene_id)
        if scene.over:
            await to_thread.run_sync(write_scene, self._run_dir, self._hub.state, scene_id)

    def given_up(self, scene_id: str) -> bool:
        """Tell whether nobody wants the scene any more."""
        return self.stopped or self._scene(scene_id).given_up is not None

    def is_due(self, scene_id: str) -> bool:
        """Tell whether another attempt follows the newest one of the scene, which has ended."""
        return isinstance(self._next_step(self._scene(scene_id)), TryAgain)

    def _next_step(self, scene: Scene) -> TryAgain | Settle:
        return after_attempt(scene, self._plan.policy, self._plan.retry, stopped=self.stopped)

    def _follow_up(self, scene_id: str) -> None:
        """Say what follows the scene's newest attempt: another one, or its end."""
        scene = self._scene(scene_id)
        step = self._next_step(scene)
        if isinstance(step, TryAgain):
            self._hub.publish(
                e.SceneRequeued(
                    scene=scene_id, next_attempt=step.next_attempt, attempts=step.attempts, reason=step.reason
                )
            )
            return
        self._hub.publish(
            e.SceneEnded(
                scene=scene_id,
                best=step.best,
                success=step.success,
                meets_floor=step.meets_floor,
                frames=step.frames,
                cancelled=step.cancelled,
                stopped=step.cancelled and self.stopped and scene.given_up is None,
                skipped=step.skipped,
            )
        )

    def _record_unsent(self, scene: Scene) -> None:
        """Give a scene that was never sent its record all the same: every scene ends with telemetry."""
        self._plan_attempt(Submission(scene=scene.id, attempt=1, reason=""))
        attempt = self._scene(scene.id).attempts[-1]
        text = SKIPPED if scene.given_up == "skipped" else UNSENT
        self._hub.publish(e.AttemptNoted(scene=scene.id, attempt=1, kind="error", text=text))
        telemetry = telemetry_of(attempt, self._plan.policy, self._clock.now(), "unknown", "interrupted")
        self._hub.publish(
            e.AttemptEnded(scene=scene.id, attempt=1, telemetry=telemetry, exit_reason="unknown", status="interrupted")
        )

    # --- what people ask -----------------------------------------------------------------------------------------

    def command(self, command: c.AnyCommand) -> None:
        """Do what ``command`` asks, or refuse it; either way a ``CommandAnswered`` fact tells.

        What it amounts to is in the journal before the answer: nothing that was accepted is ever forgotten.
        """
        command = c.made_plain(command)
        why_not = self._refusal(command)
        if not why_not:
            self._obey(command)
        self._hub.publish(
            e.CommandAnswered(id=command.id, command=c.describe(command), accepted=not why_not, why=why_not)
        )
        self._first_command.set()

    async def commanded(self) -> None:
        """Return once a command has come."""
        await self._first_command.wait()

    def _refusal(self, command: c.AnyCommand) -> str:
        """Return why ``command`` cannot be done; empty when it can."""
        if self._resting and not (self._checking and isinstance(command, c.Stop)):
            return "the run is completing its records; ask again in a moment"
        if self.stopped and not isinstance(command, c.Stop | c.ReadServerLog):
            return "the run is stopping"
        if isinstance(command, c.ReadServerLog):  # it changes nothing, so that asking is doing
            return self._dispatch.read_log(command.server) if self._dispatch else "the server is not reached yet"
        return refusal(self._hub.state, command)

    def _obey(self, command: c.AnyCommand) -> None:
        for fact in facts_for(self._hub.state, command):
            self._hub.publish(fact)
        self.stopped = self.stopped or isinstance(command, c.Stop)
        if self._dispatch is not None and isinstance(command, c.Cancel | c.Stop):
            for scene in self._hub.state.scenes:
                if not scene.over and self.given_up(scene.id):
                    self._dispatch.cancel(scene.id)

    def _end_cancelled(self) -> None:
        """End the scenes that were given up while they waited: nothing of theirs is on the server."""
        standing = self._hub.standing
        for scene in [*standing.waiting()] if self.stopped else standing.given_up():
            if not scene.attempts:
                self._record_unsent(scene)
            self._follow_up(scene.id)

    def _scene(self, scene_id: str) -> Scene:
        scene = self._hub.state.scene(scene_id)
        if scene is None:
            raise Failure("internal", why=f"scene {scene_id} vanished", debug="events.jsonl")
        return scene
