"""What is shown of a server that is only watched: the frames that land there, whatever their files are called."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from comfytui.engine.observer import Observer
from comfytui.engine.server.credentials import Credentials
from comfytui.model.plan import ServerPlan
from tests.engine.stage import Stage


@asynccontextmanager
async def observed(stage: Stage) -> AsyncIterator[Observer]:
    """Watch a server, the first look at its output folder taken: what was there before is no news."""
    async with stage.simulator() as simulator:
        observer = Observer([ServerPlan(url=simulator.url, watch="poll")], stage.clock, Credentials())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(observer.drive)
            await anyio.sleep(5)
            yield observer
            tasks.cancel_scope.cancel()


def shown(observer: Observer) -> list[tuple[str, str]]:
    return [(frame.name, frame.state) for frame in observer.hub.state.frames]


@pytest.mark.skipif(sys.platform != "linux", reason="only there a disk takes any bytes for a name")
async def test_a_name_that_no_terminal_should_see_is_stripped_at_every_look(stage: Stage) -> None:
    async with observed(stage) as observer:
        (stage.output / os.fsdecode(b"red\x1b[31m\xff_00001_.png")).write_bytes(b"\x89PNG")
        await anyio.sleep(5)
        assert shown(observer) == [("red\ufffd_00001_.png", "truncated")]


async def test_a_file_that_is_gone_before_it_rests_is_missing_and_not_truncated(stage: Stage) -> None:
    async with observed(stage) as observer:
        file = stage.output / "s_00001_.png"
        file.write_bytes(b"\x89PNG")
        with anyio.fail_after(5):
            while not shown(observer):
                await anyio.sleep(0.01)
        assert shown(observer) == [("s_00001_.png", "writing")]
        file.unlink()
        await anyio.sleep(5)
        assert shown(observer) == [("s_00001_.png", "missing")]
