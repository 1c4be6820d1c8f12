"""The foreman: lets the planner decide, starts the attempts it names, and answers what people ask."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import anyio.abc
from anyio import to_thread

from comfytui.clock import Clock
from comfytui.engine.asked import facts_for, refusal
from comfytui.engine.attempt.desk import Desk
from comfytui.engine.attempt.driver import AttemptDriver
from comfytui.engine.attempt.verdict import telemetry_of
from comfytui.engine.hub import Hub
from comfytui.engine.planner import Settle, Submission, TryAgain, after_attempt, submissions
from comfytui.engine.server.connection import Connection
from comfytui.engine.server.make_room import make_room
from comfytui.errors import Failure
from comfytui.model import commands as c
from comfytui.model import events as e
from comfytui.model.failure_classes import class_of
from comfytui.model.plan import RunPlan
from comfytui.model.state import Scene
from comfytui.model.workflow import prefix_for, seed_for
from comfytui.records.metadata import write_scene
from comfytui.records.rundir import RunDir, prepare_scene

UNSENT = "stopped before its prompt was sent"
SKIPPED = "skipped by a person: its prompt was never sent"


class Foreman:
    """Takes the scenes of one run to their ends, as far as people let it."""

    def __init__(self, hub: Hub, plan: RunPlan, run_dir: RunDir, clock: Clock) -> None:
        self._hub, self._plan, self._run_dir, self._clock = hub, plan, run_dir, clock
        self._connection: Connection | None = None
        self._first_command = anyio.Event()
        self._resting = False
        self._checking = False
        self.stopped = False

    # --- the work ------------------------------------------------------------------------------------------------

    async def work(self, connection: Connection) -> None:
        """Return when every scene is over. Raises ``Failure`` ``run.unwritable``."""
        self._connection = connection
        desk = connection.desk
        async with anyio.create_task_group() as attempts:
            for scene in self._hub.state.scenes:
                if scene.latest is not None and not scene.over and scene.phase != "waiting":
                    attempts.start_soon(self._attempt, desk, scene.id, True)
            while not self._hub.standing.finished:
                self._end_cancelled()
                for submission in submissions(self._hub.state, self._plan.policy, self._hub.standing):
                    self._plan_attempt(submission)
                    attempts.start_soon(self._attempt, desk, submission.scene)
                if not self._hub.standing.finished:
                    await self._hub.changed()
            self._resting = True  # no await between the last look and this: no command falls in between

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
            )
        )
        if submission.note:
            self._hub.publish(e.AttemptNoted(scene=scene.id, attempt=number, kind="note", text=submission.note))

    async def _attempt(self, desk: Desk, scene_id: str, taken_over: bool = False) -> None:
        """Drive the scene's newest attempt, then let the planner say what follows."""
        scene = self._scene(scene_id)
        attempt = scene.attempts[-1]
        await self._hub.synced()
        if attempt.phase != "ended":
            await to_thread.run_sync(prepare_scene, self._run_dir, scene.brief)
            driver = AttemptDriver(desk, scene, attempt, taken_over=taken_over)
            if self._given_up(self._scene(scene_id)):
                driver.signals.cancel()
            await driver.drive()
        await self._make_room(desk, scene_id)
        self._follow_up(scene_id)
        scene = self._scene(scene_id)
        if scene.over:
            await to_thread.run_sync(write_scene, self._run_dir, self._hub.state, scene_id)

    async def _make_room(self, desk: Desk, scene_id: str) -> None:
        """Let the server give GPU memory back where the scene's newest attempt ran out of it and another is due."""

        def due() -> bool:
            return isinstance(self._next_step(self._scene(scene_id)), TryAgain)

        attempt = self._scene(scene_id).attempts[-1]
        if class_of(attempt) == "oom" and due():
            await make_room(desk, scene_id, attempt, due)

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
        if isinstance(command, c.ReadServerLog):
            return "" if self._connection else "the server is not reached yet"
        return refusal(self._hub.state, command)

    def _obey(self, command: c.AnyCommand) -> None:
        for fact in facts_for(self._hub.state, command):
            self._hub.publish(fact)
        self.stopped = self.stopped or isinstance(command, c.Stop)
        if self._connection is None:
            return
        if isinstance(command, c.ReadServerLog):
            self._connection.log.ask()
        elif isinstance(command, c.Cancel | c.Stop):
            for scene in self._hub.state.scenes:
                if not scene.over and self._given_up(scene):
                    for signals in self._connection.desk.router.signals_of(scene.id):
                        signals.cancel()

    def _end_cancelled(self) -> None:
        """End the scenes that were given up while they waited: nothing of theirs is on the server."""
        standing = self._hub.standing
        for scene in [*standing.waiting()] if self.stopped else standing.given_up():
            if not scene.attempts:
                self._record_unsent(scene)
            self._follow_up(scene.id)

    def _given_up(self, scene: Scene) -> bool:
        return self.stopped or scene.given_up is not None

    def _scene(self, scene_id: str) -> Scene:
        scene = self._hub.state.scene(scene_id)
        if scene is None:
            raise Failure("internal", why=f"scene {scene_id} vanished", debug="events.jsonl")
        return scene
