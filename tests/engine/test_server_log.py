"""The server's log on demand: asked for by a face, read once by whoever drives, told in words where it is not there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from comfytui.engine.hub import Hub
from comfytui.engine.observer import Observer
from comfytui.engine.server.credentials import Credentials
from comfytui.model import commands as c
from comfytui.model.events import CommandAnswered, ServerLog
from comfytui.model.plan import ServerPlan
from comfytui.records import journal as journals
from comfytui.simulator import Simulator
from comfytui.simulator import faults as f
from comfytui.simulator.speed import Speed
from tests.engine.playing import phase_is, playing
from tests.engine.stage import Stage

RAW = "/internal/logs/raw"


@asynccontextmanager
async def heard(hub: Hub) -> AsyncIterator[list[ServerLog | CommandAnswered]]:
    """Collect what the hub tells of the log."""
    found: list[ServerLog | CommandAnswered] = []

    async def listen() -> None:
        with hub.subscribe() as mailbox:
            listening.set()
            async for envelope in mailbox:
                if isinstance(envelope.event, ServerLog | CommandAnswered):
                    found.append(envelope.event)

    listening = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        await listening.wait()
        yield found
        tasks.cancel_scope.cancel()


async def told(hub: Hub) -> None:
    with anyio.fail_after(60):
        while hub.state.server_log is None:
            await anyio.sleep(0.05)


def reads(simulator: Simulator) -> int:
    return sum(request.path == RAW for request in simulator.requests)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (None, ""),
        (f.Answered(path=RAW, status=404, text="404: Not Found"), "does not offer its log"),
        (f.Answered(path=RAW, status=403, text="Forbidden"), "403"),
        (f.Answered(path=RAW, status=200, text="{}", content_type="application/json"), "entries"),
        (f.Answered.login_page(path=RAW), "login page"),
    ],
    ids=["there", "missing", "forbidden", "odd", "login page"],
)
async def test_a_run_reads_it_once_and_tells(stage: Stage, fault: f.Fault | None, why: str) -> None:
    async with stage.simulator(*([fault] if fault else []), speed=Speed(save_frame=1.0)) as simulator:
        with stage.open(simulator) as runner:
            async with playing(runner, simulator) as play:
                await play.until(phase_is(1, "executing"))
                assert reads(simulator) == 0, "nobody asked"
                assert play.ask(c.ReadServerLog).accepted
                await told(runner.hub)
                log = runner.hub.state.server_log
            assert play.outcome.exit_code == 0
            journalled = [type(envelope.event) for envelope in journals.read(runner.run_dir.journal)]
        assert log is not None
        if why:
            assert why in log.why
            assert log.lines == ()
        else:
            assert (log.why, bool(log.lines)) == ("", True)
        assert reads(simulator) == 1
        assert CommandAnswered in journalled
        assert ServerLog not in journalled, "the log is not ours to keep"


async def test_before_the_server_is_reached_it_is_refused(stage: Stage) -> None:
    async with stage.simulator() as simulator:
        with stage.open(simulator) as runner:
            async with heard(runner.hub) as found:
                runner.command(c.ReadServerLog(id="one"))
                await anyio.sleep(0.1)
            answer = found[0]
    assert isinstance(answer, CommandAnswered)
    assert (answer.accepted, answer.why) == (False, "the server is not reached yet")
    assert answer.command == "read server log"


async def test_an_observer_reads_it_too_and_refuses_all_else(stage: Stage) -> None:
    async with stage.simulator() as simulator:
        observer = Observer([ServerPlan(url=simulator.url, watch="poll")], stage.clock, Credentials())
        observer.command(c.ReadServerLog(id="early"))
        async with heard(observer.hub) as found, anyio.create_task_group() as tasks:
            tasks.start_soon(observer.drive)
            with anyio.fail_after(60):
                while not observer.hub.state.server.reached or observer.hub.state.server.socket != "open":
                    await anyio.sleep(0.05)
            observer.command(c.ReadServerLog(id="one"))
            observer.command(c.Hold(id="two"))
            await told(observer.hub)
            await anyio.sleep(0.1)
            tasks.cancel_scope.cancel()
    answers = [(each.id, each.accepted) for each in found if isinstance(each, CommandAnswered)]
    assert answers == [("one", True), ("two", False)]
    assert any(isinstance(each, ServerLog) and each.lines for each in found)
    assert reads(simulator) == 1
