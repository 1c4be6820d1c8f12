"""A stage for runs: a simulator that misbehaves as told, a plan, the real Runner, and what came of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import msgspec

from comfytui.clock import Clock
from comfytui.engine.runner import Runner
from comfytui.engine.server.credentials import Credentials
from comfytui.model.artifact import ArtifactMetadata
from comfytui.model.events import SceneBrief, StoryBrief
from comfytui.model.plan import RunPlan, ServerPlan
from comfytui.model.policy import QueuePolicy
from comfytui.model.state import Attempt, Scene, State
from comfytui.model.workflow import Workflow, load_workflow
from comfytui.records.rundir import RunDir, create_run, write_plan
from comfytui.records.validate import validate_run
from comfytui.simulator import Fault, Faults, Simulator, Speed

START = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
LONGEST = 24 * 3600.0
"""Virtual seconds after which a run that does not end is a failed test."""


class LoopClock:
    """The clock of the running loop: virtual in these tests."""

    def now(self) -> datetime:
        """Return the wall-clock time that goes with the loop."""
        moment = START + timedelta(seconds=self.monotonic())
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def monotonic(self) -> float:
        """Return the loop's seconds."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the loop."""
        await anyio.sleep(max(0.0, seconds))


def brief(number: int, frames: int = 5, **fields: Any) -> SceneBrief:
    """Return a scene of a few frames."""
    name = f"scene-{number:03}"
    return SceneBrief(
        id=name,
        folder=name,
        prompt=fields.pop("prompt", f"a lighthouse, number {number}, amber"),
        floor=fields.pop("floor", frames),
        expected_frames=frames,
        **fields,
    )


class Outcome:
    """What a run left behind."""

    def __init__(self, exit_code: int, runner: Runner, simulator: Simulator) -> None:
        self.exit_code = exit_code
        self.run_dir = runner.run_dir
        self.state: State = runner.hub.state
        self.simulator = simulator

    def scene(self, number: int = 1) -> Scene:
        """Return scene ``number``, from 1."""
        return self.state.scenes[number - 1]

    def attempt(self, scene: int = 1, number: int = 1) -> Attempt:
        """Return an attempt, both from 1."""
        return self.scene(scene).attempts[number - 1]

    @property
    def metadata(self) -> ArtifactMetadata:
        """The metadata as it is on the disk."""
        return msgspec.json.decode(self.run_dir.metadata.read_bytes(), type=ArtifactMetadata)

    @property
    def findings(self) -> list[str]:
        """What the validator says of the run."""
        return [str(finding) for finding in validate_run(self.run_dir.path)]

    def posts(self, path: str = "/prompt") -> list[Any]:
        """Return the bodies that were posted to ``path``."""
        return [r.body for r in self.simulator.requests if r.method == "POST" and r.path.removeprefix("/api") == path]


class Stage:
    """Sets a run up; :meth:`play` plays it to its end."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "output"
        self.runs = folder / "runs"
        self.output.mkdir()
        self.clock: Clock = LoopClock()
        self.workflow: Workflow = load_workflow("smoke")
        # Each reading is a request to the simulator, and hours go by: once a second they would be most of the traffic.
        self.policy = QueuePolicy(gpu_interval_seconds=10.0)
        self.remote = False

    @asynccontextmanager
    async def simulator(self, *faults: Fault, speed: Speed | None = None, **options: Any) -> AsyncIterator[Simulator]:
        """Serve a simulator whose time is the loop's."""
        now: Callable[[], float] = lambda: self.clock.now().timestamp()  # noqa: E731
        simulator = Simulator(
            output_dir=self.output, speed=speed or Speed(sampling_step=0.05, save_frame=0.1), faults=Faults(*faults),
            now=now, **options,
        )  # fmt: skip
        async with simulator.serve():
            yield simulator

    def plan(self, run_dir: RunDir, url: str, scenes: tuple[SceneBrief, ...]) -> RunPlan:
        """Return the plan of a run on the server at ``url``."""
        return RunPlan(
            run_id=run_dir.run_id,
            created_at=self.clock.now(),
            version="test",
            story=StoryBrief(id="story", logline="A light.", file="story.json"),
            scenes=scenes,
            workflow=self.workflow,
            policy=self.policy,
            server=ServerPlan(url=url, watch="poll"),
        )

    def open(self, simulator: Simulator, *scenes: SceneBrief) -> Runner:
        """Make a run folder with its plan, and a runner for it."""
        run_dir = create_run(self.runs, self.clock)
        plan = self.plan(run_dir, simulator.url, scenes or (brief(1),))
        write_plan(run_dir, plan, b"{}")
        return Runner(run_dir, plan, self.clock, Credentials())

    async def play(self, *faults: Fault, scenes: tuple[SceneBrief, ...] = (), **options: Any) -> Outcome:
        """Play a whole run on a fresh simulator and return what came of it."""
        async with self.simulator(*faults, **options) as simulator:
            with self.open(simulator, *scenes) as runner:
                with anyio.fail_after(LONGEST):
                    code = await runner.drive()
                return Outcome(code, runner, simulator)
