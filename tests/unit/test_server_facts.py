"""The facts of a server that we started: what the state remembers of it, and what people read."""

from datetime import UTC, datetime

import pytest

from comfytui.model import events as e
from comfytui.model.envelope import Envelope
from comfytui.model.fold import fold
from comfytui.model.narrate import narrate
from comfytui.model.state import OwnProcess, State

STARTED = e.ServerStarted(pid=7, created=1.5, executable="/bin/sh", host="box")
READY = e.ServerStarted(pid=7, created=1.5, executable="/usr/bin/python", host="box", ready=True, restarts=2)


def after(*facts: e.AnyFact) -> State:
    state = State()
    for fact in facts:
        state = fold(state, Envelope(seq=state.seq + 1, at=datetime(2026, 11, 23, tzinfo=UTC), run="r", event=fact))
    return state


def test_the_newest_identity_of_our_server_is_remembered() -> None:
    assert after(STARTED).server.own == OwnProcess(pid=7, created=1.5, executable="/bin/sh", host="box")
    server = after(STARTED, READY).server
    assert server.own == OwnProcess(pid=7, created=1.5, executable="/usr/bin/python", host="box")
    assert server.restarts == 2
    assert after(READY, STARTED).server.restarts == 2, "a runner that starts it anew has not forgotten them"


@pytest.mark.parametrize(
    "end", [e.ServerDied(pid=7, why=""), e.ServerStopped(pid=7), e.ServerStopped(pid=7, skipped="x")]
)
def test_one_that_is_over_is_not_ours_any_more(end: e.AnyFact) -> None:
    assert after(READY, end).server.own is None
    other = e.ServerStarted(pid=8, created=1.5, executable="/usr/bin/python", host="box")
    assert after(other, end).server.own is not None, "it was another one that ended"


@pytest.mark.parametrize(
    ("fact", "level", "text"),
    [
        (STARTED, "info", "Starting ComfyUI: PID 7"),
        (READY, "info", "ComfyUI started with PID 7"),
        (e.ServerDied(pid=7, why="it is gone"), "error", "ComfyUI (PID 7) died: it is gone"),
        (e.ServerStopped(pid=7), "info", "ComfyUI with PID 7 stopped"),
        (e.ServerStopped(pid=7, skipped="why"), "info", "ComfyUI stop skipped for PID 7: why"),
    ],
)
def test_what_people_read(fact: e.AnyFact, level: str, text: str) -> None:
    assert narrate(fact) == (level, text, None)
