"""Playing a run that a test interferes with: it goes on in the background while the test waits, looks and acts."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio

from comfytui.engine.runner import Runner
from comfytui.model import commands as c
from comfytui.model import events as e
from comfytui.model.envelope import Envelope
from comfytui.model.state import State
from comfytui.records import journal as journals
from comfytui.records.rundir import RunDir
from comfytui.simulator import Simulator
from tests.engine.stage import LONGEST, Outcome


class Play:
    """A run that goes on in the background."""

    def __init__(self, runner: Runner, simulator: Simulator) -> None:
        self.runner, self.simulator = runner, simulator
        self.code: int | None = None
        self._commands = 0

    @property
    def state(self) -> State:
        """What is known of the run now."""
        return self.runner.hub.state

    async def until(self, condition: Callable[[State], object]) -> State:
        """Return the state as soon as the run is open and ``condition`` holds for it."""
        while not (self.state.run and condition(self.state)):
            assert self.code is None, "the run is over, and it never came to that"
            await self.runner.hub.changed()
        return self.state

    def ask(self, command: type[c.AnyCommand], **fields: Any) -> e.CommandAnswered:
        """Send a command and return its answer."""
        self._commands += 1
        asked = command(id=f"command-{self._commands}", **fields)
        answers: list[e.CommandAnswered] = []

        def note(envelope: Envelope, state: State) -> None:
            if isinstance(envelope.event, e.CommandAnswered):
                answers.append(envelope.event)

        self.runner.hub.record_with(note)
        self.runner.command(asked)
        assert [answer.id for answer in answers] == [asked.id], "each command is answered, once and at once"
        self.runner.hub._recorders.remove(note)
        return answers[0]

    @property
    def outcome(self) -> Outcome:
        """What the run left behind, once it is over."""
        assert self.code is not None
        return Outcome(self.code, self.runner, self.simulator)


@asynccontextmanager
async def playing(runner: Runner, simulator: Simulator) -> AsyncIterator[Play]:
    """Drive ``runner`` in the background; on leaving the context, wait for its end."""
    play = Play(runner, simulator)

    async def drive() -> None:
        with anyio.fail_after(LONGEST):
            play.code = await runner.drive()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(drive)
        yield play


def phase_is(number: int, *phases: str) -> Callable[[State], bool]:
    """Return the condition that scene ``number`` (from 1) is in one of ``phases``."""
    return lambda state: state.scenes[number - 1].phase in phases


def facts(run_dir: RunDir) -> list[e.AnyEvent]:
    """Return every fact in the journal of the run, in order."""
    return [envelope.event for envelope in journals.read(run_dir.journal) if envelope.is_fact]


def of_kind(events: Iterable[e.AnyEvent], *kinds: type[e.Fact]) -> list[Any]:
    """Return those of ``events`` that are one of ``kinds``."""
    return [event for event in events if isinstance(event, kinds)]
