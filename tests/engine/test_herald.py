"""The herald: what it tells, how often it tries, and that the run never waits for it."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from comfytui.engine.herald import LAST_WORDS, PAUSES, PENDING, UNSAID, Herald
from comfytui.engine.hub import Hub, Unrecorded
from comfytui.model import events as e
from comfytui.model.news import NEWS_KINDS, NewsKind
from comfytui.model.policy import QueuePolicy
from comfytui.sources.webhook import Untold
from tests.engine.stage import LoopClock, brief

AWAY = e.ServerAway(code="server.lost", what="The server went away: refused.", remedy="Look.", away=0.0, next_try=1.0)


class Hook:
    """A webhook that answers as told: ``None`` takes it, an ``Untold`` is raised, ``...`` hangs."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.told: list[dict[str, Any]] = []
        self.tried_at: list[float] = []

    async def post(self, body: bytes) -> None:
        self.tried_at.append(anyio.current_time())
        answer = self.answers.pop(0) if self.answers else None
        if answer is ...:
            await anyio.sleep_forever()
        if answer is not None:
            raise answer
        self.told.append(json.loads(body))


@asynccontextmanager
async def heralded(hook: Hook, kinds: Sequence[NewsKind] = NEWS_KINDS) -> AsyncIterator[tuple[Hub, Herald]]:
    hub = Hub("20261123-010000", LoopClock(), Unrecorded())
    herald = Herald(hub, hook.post, kinds, LoopClock())
    opened(hub)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(herald.work)
        yield hub, herald
        tasks.cancel_scope.cancel()


def opened(hub: Hub) -> None:
    hub.publish(
        e.RunOpened(run_id=hub.run_id, run_dir="/runs/x", story=e.StoryBrief(id="story"), scenes=(brief(1), brief(2)),
                    workflow="smoke", server="http://box", policy=QueuePolicy(), version="test")
    )  # fmt: skip


def failed(number: int = 1) -> e.SceneEnded:
    return e.SceneEnded(scene=f"scene-{number:03}", best=1, success=False, meets_floor=False, frames=3)


def ended(hub: Hub) -> None:
    hub.publish(e.RunSettled())
    hub.publish(e.RunEnded(outcome="finished", exit_code=1))


def notes(hub: Hub) -> list[str]:
    return [note.text for note in hub.state.notes if "webhook" in note.text]


async def test_it_tells_what_is_news_and_nothing_else() -> None:
    hook = Hook()
    async with heralded(hook) as (hub, herald):
        hub.publish(failed())
        hub.publish(e.SceneEnded(scene="scene-002", best=1, success=True, meets_floor=True, frames=5))
        hub.publish(e.SceneEnded(scene="scene-002", best=1, success=False, meets_floor=False, frames=0, cancelled=True))
        hub.publish(AWAY)
        hub.publish(e.ServerAway(code="x", what="Still away.", remedy="", away=60.0, next_try=1.0))
        ended(hub)
        await herald.finish()
    assert [one["event"] for one in hook.told] == ["scene_failed", "server_lost", "run_finished"]
    assert hook.told[0]["text"] == hook.told[0]["content"] == "comfytui: scene-001 failed with 3 frames proven"
    assert hook.told[0]["scene"] == "scene-001"
    assert hook.told[2]["text"].startswith("comfytui: Run 20261123-010000 finished, exit 1: ")
    assert all(one["run"] == hub.run_id and one["story"] == "story" for one in hook.told)
    assert herald.failure is None


async def test_only_the_kinds_that_are_wanted() -> None:
    hook = Hook()
    async with heralded(hook, ["run_finished"]) as (hub, herald):
        hub.publish(failed())
        hub.publish(AWAY)
        ended(hub)
        await herald.finish()
    assert [one["event"] for one in hook.told] == ["run_finished"]


async def test_what_fails_for_a_while_is_tried_three_times_with_pauses() -> None:
    hook = Hook(Untold("it answers 500", again=True), Untold("no answer", again=True))
    async with heralded(hook) as (hub, _):
        hub.publish(failed())
        await anyio.sleep(60)
    begun = hook.tried_at[0]
    assert [at - begun for at in hook.tried_at] == [0.0, 1.0, 6.0]
    assert len(hook.told) == 1
    assert notes(hub) == []


async def test_what_is_refused_for_good_is_tried_once() -> None:
    hook = Hook(Untold("it answers 404", again=False))
    async with heralded(hook) as (hub, _):
        hub.publish(failed())
        await anyio.sleep(60)
    assert len(hook.tried_at) == 1
    assert notes(hub) == [
        "The webhook was not told the news: it answers 404. Check its address ([notify] webhook or COMFYTUI_WEBHOOK) "
        "and post there by hand; the run needs none of it."
    ]


async def test_failing_again_and_again_is_one_warning() -> None:
    hook = Hook(*[Untold("it answers 500", again=True)] * 30)
    async with heralded(hook) as (hub, _):
        for number in (1, 2, 1, 2):
            hub.publish(failed(number))
            await anyio.sleep(60)
    assert len(hook.tried_at) == 12
    assert len(notes(hub)) == 1


async def test_a_webhook_that_hangs_slows_nobody_and_keeps_only_so_much() -> None:
    hook = Hook(...)
    async with heralded(hook) as (hub, herald):
        begun = anyio.current_time()
        for _ in range(1000):
            hub.publish(failed())
        await anyio.lowlevel.checkpoint()
        assert anyio.current_time() == begun
        assert len(herald._waiting) <= PENDING
        ended(hub)
        await herald.finish()
        assert anyio.current_time() - begun == LAST_WORDS
    assert herald.failure is not None
    assert "did not take the last news within 5 s" in herald.failure.what
    assert notes(hub) == [], "after its end nothing is added to the record of a run"


async def test_a_webhook_that_hangs_does_not_hold_the_runner_after_the_last_words() -> None:
    hub = Hub("20261123-010000", LoopClock(), Unrecorded())
    herald = Herald(hub, Hook(...).post, NEWS_KINDS, LoopClock())
    opened(hub)
    begun = anyio.current_time()
    with anyio.fail_after(3600):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(herald.work)
            hub.publish(failed())
            ended(hub)
            await herald.finish()
    assert anyio.current_time() - begun == LAST_WORDS


async def test_last_news_that_are_refused_are_told_outside_the_journal() -> None:
    hook = Hook(Untold("it answers 410", again=False))
    async with heralded(hook) as (hub, herald):
        ended(hub)
        last = hub.state.seq
        await herald.finish()
    assert hub.state.seq == last
    assert herald.failure is not None
    assert herald.failure.code == "notify.webhook"


async def test_a_dead_webhook_holds_the_end_up_no_longer_than_it_is_tried_and_its_reason_is_told() -> None:
    hook = Hook(*[Untold("no connection", again=True)] * 30)
    said: list[float] = []
    async with heralded(hook) as (hub, herald):
        ended(hub)
        begun = anyio.current_time()
        await herald.finish(lambda: said.append(anyio.current_time()))
        assert anyio.current_time() - begun == PAUSES[0]
    assert [at - begun for at in hook.tried_at] == [0.0, PAUSES[0]]
    assert herald.failure is not None and "no connection" in herald.failure.what
    assert said == []


async def test_whoever_waits_with_a_webhook_that_hangs_is_told_why() -> None:
    said: list[float] = []
    async with heralded(Hook(...)) as (hub, herald):
        ended(hub)
        begun = anyio.current_time()
        await herald.finish(lambda: said.append(anyio.current_time()))
    assert [at - begun for at in said] == [UNSAID]


@pytest.mark.parametrize(("over_at", "delivered"), [(2.0, ["scene_failed", "run_finished"]), (0.5, ["run_finished"])])
async def test_a_pause_is_waited_for_at_the_end_where_a_try_may_still_follow(
    over_at: float, delivered: list[str]
) -> None:
    hook = Hook(*[Untold("no connection", again=True)] * 2)
    async with heralded(hook) as (hub, herald):
        hub.publish(failed())
        await anyio.sleep(over_at)
        ended(hub)
        await herald.finish()
    assert [one["event"] for one in hook.told] == delivered
