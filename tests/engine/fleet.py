"""Several simulators on one virtual clock, a run that they share, and what came of it."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from msgspec.structs import replace

from comfytui.engine.runner import Reason, Runner
from comfytui.engine.server.credentials import Credentials
from comfytui.model import events as e
from comfytui.model.events import SceneBrief
from comfytui.model.plan import RunPlan, ServerPlan
from comfytui.model.state import State
from comfytui.records import journal as journals
from comfytui.records.rundir import RunDir, create_run, write_plan
from comfytui.records.validate import validate_run
from comfytui.simulator import Faults, Simulator, Speed
from tests.engine.stage import LONGEST, Stage

SCENE = 0.5
"""Seconds that a scene of one frame takes at the usual speed."""


@dataclass
class Member:
    """One server of the fleet: its name, how much slower than usual it is, what it is like otherwise."""

    name: str
    slower: float = 1.0
    faults: tuple[Any, ...] = ()
    plan: Mapping[str, Any] = field(default_factory=dict)
    output: Path | None = None
    url: str | None = None
    """Where nobody answers; no simulator is made for it."""


class Fleet:
    """The running simulators by name, and the run that they share."""

    def __init__(self, stage: Stage, members: Sequence[Member]) -> None:
        self.stage, self.members = stage, members
        self.simulators: dict[str, Simulator] = {}
        self.runner: Runner

    def plan(self, run_dir: RunDir, scenes: tuple[SceneBrief, ...]) -> RunPlan:
        """Return the plan of a run of ``scenes`` on all of them."""
        servers = tuple(
            replace(
                ServerPlan(url=one.url or self.simulators[one.name].url, name=one.name, watch="poll"), **dict(one.plan)
            )
            for one in self.members
        )
        plan = self.stage.plan(run_dir, servers[0].url, scenes)
        return replace(plan, server=servers[0], more_servers=servers[1:], mark="0a1b2c3d")

    def open(self, *scenes: SceneBrief, credentials: Credentials | None = None) -> Runner:
        """Make a run folder with its plan, and a runner for it."""
        run_dir = create_run(self.stage.runs, self.stage.clock)
        plan = self.plan(run_dir, scenes)
        write_plan(run_dir, plan, b"{}")
        self.runner = Runner(run_dir, plan, self.stage.clock, credentials or Credentials())
        return self.runner

    def again(self, reason: Reason = "resume") -> Runner:
        """Return another runner for the same run."""
        self.runner = Runner(self.runner.run_dir, self.runner.plan, self.stage.clock, Credentials(), reason)
        return self.runner

    async def drive(self, *during: Callable[[], Any]) -> "Shared":
        """Drive the runner to its end, with ``during`` beside it."""
        with self.runner as runner, anyio.fail_after(LONGEST):
            async with anyio.create_task_group() as tasks:
                for each in during:
                    tasks.start_soon(each)
                code = await runner.drive()
                tasks.cancel_scope.cancel()
        return Shared(code, runner)

    async def until(self, condition: Callable[[State], object]) -> State:
        """Return the state as soon as ``condition`` holds for it."""
        while not hasattr(self.runner, "hub") or not condition(self.runner.hub.state):
            await anyio.sleep(0.05)
        return self.runner.hub.state


class Shared:
    """What the run left behind."""

    def __init__(self, code: int, runner: Runner) -> None:
        self.code, self.run_dir, self.state = code, runner.run_dir, runner.hub.state

    @property
    def facts(self) -> list[Any]:
        """Every fact of the journal."""
        return [envelope.event for envelope in journals.read(self.run_dir.journal) if envelope.is_fact]

    def at(self, kind: type[e.Fact]) -> list[float]:
        """Return when facts of that kind were told, in seconds since the run was opened."""
        facts = [env for env in journals.read(self.run_dir.journal) if env.is_fact]
        return [(env.at - facts[0].at).total_seconds() for env in facts if isinstance(env.event, kind)]

    @property
    def wall(self) -> float:
        """Seconds from the first prompt that was planned to the last scene's end."""
        return self.at(e.SceneEnded)[-1] - self.at(e.AttemptPlanned)[0]

    @property
    def shares(self) -> Counter[str]:
        """How many scenes each server rendered."""
        return Counter(scene.chosen.server_name for scene in self.state.scenes if scene.chosen is not None)

    @property
    def findings(self) -> list[str]:
        """What the validator says of the run."""
        return [str(finding) for finding in validate_run(self.run_dir.path)]

    @property
    def summary(self) -> str:
        """The run's summary."""
        return self.run_dir.summary.read_text(encoding="utf-8")


@asynccontextmanager
async def fleet(stage: Stage, *members: Member, shared: bool = True) -> AsyncIterator[Fleet]:
    """Serve a simulator for each of ``members``; ``shared``: all of them write into one output folder."""
    made = Fleet(stage, members)
    async with AsyncExitStack() as stack:
        for member in members:
            if member.url is not None:
                continue
            output = member.output or (stage.output if shared else stage.output / member.name)
            output.mkdir(exist_ok=True)
            simulator = Simulator(
                output_dir=output, speed=Speed(save_frame=SCENE * member.slower), faults=Faults(*member.faults),
                now=lambda: stage.clock.now().timestamp(),
            )  # fmt: skip
            made.simulators[member.name] = await stack.enter_async_context(simulator.serve())
        yield made
