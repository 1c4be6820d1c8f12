"""The foreman knows only the protocol: whatever renders behind it, its own servers or a queue of somebody else's."""

from collections.abc import Mapping
from typing import Any, Literal, cast

import anyio
import pytest

from comfytui.engine.dispatch.protocol import Client, Dispatch
from comfytui.engine.dispatch.stations import opened
from comfytui.engine.foreman import Foreman
from comfytui.engine.hub import Hub, Unrecorded
from comfytui.model import commands as c
from comfytui.model import events as e
from comfytui.records.rundir import create_run, write_plan
from tests.engine.stage import LONGEST, Stage, brief
from tests.records.scripted import telemetry


class Queue:
    """Renders as a queue does that hands prompts to whoever is there: every attempt takes two seconds."""

    def __init__(self, hub: Hub, stage: Stage) -> None:
        self._hub, self._stage = hub, stage
        self.asked: list[tuple[str, str]] = []
        self.most = self._now = 0
        self.listening = False
        self._cancelled: set[str] = set()

    def capacity(self) -> Mapping[str, int]:
        return {"": 3}

    async def submit(self, scene_id: str, client: Client, *, taken_over: bool = False) -> None:
        scene = self._hub.state.scene(scene_id)
        assert scene is not None and self.listening and not client.given_up(scene_id)
        number = scene.attempts[-1].number
        self._now += 1
        self.most = max(self.most, self._now)
        self._hub.publish(e.PromptQueued(scene=scene_id, attempt=number, number=1))
        await self._stage.clock.sleep(2.0)
        self._now -= 1
        status: Any = "interrupted" if scene_id in self._cancelled else "success"
        at = self._stage.clock.now()
        success_at = at if status == "success" else None
        told = telemetry(at, at, success_at=success_at, status=status)
        self._hub.publish(e.ExecutionEnded(scene=scene_id, attempt=number, status=status, success_at=success_at))
        if success_at is not None:
            frame = e.Frame(name="f.png", bytes=1, sha256="0" * 64)
            self._hub.publish(e.FrameProven(scene=scene_id, attempt=number, frame=frame))
        self._hub.publish(
            e.AttemptEnded(scene=scene_id, attempt=number, telemetry=told, exit_reason="unknown", status=status)
        )

    def cancel(self, scene_id: str, how: Literal["give_up", "recall"] = "give_up") -> None:
        self.asked.append((scene_id, how))
        self._cancelled.add(scene_id)

    async def events(self) -> None:
        self.listening = True
        await anyio.sleep_forever()

    def read_log(self, server: str) -> str:
        return "a queue has no log"


async def test_a_queue_can_stand_behind_the_foreman(stage: Stage) -> None:
    run_dir = create_run(stage.runs, stage.clock)
    plan = stage.plan(run_dir, "http://queue", tuple(brief(number, frames=1) for number in range(1, 5)))
    write_plan(run_dir, plan, b"{}")
    hub = Hub(plan.run_id, stage.clock, Unrecorded())
    hub.publish(
        e.RunOpened(
            run_id=plan.run_id, run_dir=str(run_dir.path), story=plan.story, scenes=plan.scenes, workflow="w",
            server="http://queue", policy=plan.policy, version="0",
        )
    )  # fmt: skip
    foreman = Foreman(hub, plan, run_dir, stage.clock)
    queue = Queue(hub, stage)
    dispatch: Dispatch = queue

    async def give_up() -> None:
        await anyio.sleep(1.0)
        foreman.command(c.Cancel(id="1", scenes=("scene-003",)))
        foreman.command(c.ReadServerLog(id="2"))

    answers: list[str] = []
    hub.record_with(lambda env, _: answers.append(env.event.why) if isinstance(env.event, e.CommandAnswered) else None)
    with anyio.fail_after(LONGEST):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dispatch.events)
            tasks.start_soon(give_up)
            await foreman.work(dispatch)
            tasks.cancel_scope.cancel()
    assert [scene.phase for scene in hub.state.scenes] == ["done", "done", "cancelled", "done"]
    assert queue.asked == [("scene-003", "give_up")] and queue.most == 3
    assert answers == ["", "a queue has no log"]


class Slow:
    """Servers that take their time to be left."""

    async def live(self, leave: anyio.Event) -> None:
        await leave.wait()
        await anyio.sleep(600.0)

    async def meet(self, *, everyone: bool) -> None:
        await anyio.sleep(0.0)


async def test_who_leaves_at_once_does_not_wait_for_servers_to_end(stage: Stage) -> None:
    began = anyio.current_time()
    with anyio.move_on_after(5.0):
        async with opened(cast(Any, Slow()), everyone=False):
            pass
    assert anyio.current_time() - began == pytest.approx(5.0)
