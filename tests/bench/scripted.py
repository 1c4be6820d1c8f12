"""``python -m tests.bench.scripted FOLDER SCENES``: a run that renders by script, for dashboards to attach to.

It is journalled and served as a runner does it, but nothing is rendered: half of its scenes are done, one executes
with ten steps and two frames a second, and its GPU is read once a second. It prints the folder of the run and ends
with its standard input.
"""

import sys
from pathlib import Path

import anyio
from anyio import to_thread

from comfytui.clock import Clock, system_clock
from comfytui.engine.hub import Hub
from comfytui.link.backlog import JournalBacklog
from comfytui.link.server import LinkServer
from comfytui.model import events as e
from comfytui.model.policy import QueuePolicy
from comfytui.records.journal import Journal
from comfytui.records.lock import RunLock, this_process
from comfytui.records.rundir import create_run
from tests.unit.scripted_run import attempt_ended

FRAMES, STEPS = 20, 100
TICK = 0.1


async def serve(runs: Path, scenes: int) -> None:
    """Serve the run until standard input ends."""
    clock = system_clock()
    run = create_run(runs, clock)
    lock = RunLock.acquire(run)
    with Journal(run.journal) as journal:
        hub = Hub(run.run_id, clock, journal)
        names = [f"scene-{number:05}" for number in range(1, scenes + 1)]
        _open(hub, str(run.path), names)
        for name in names[: scenes // 2]:
            _planned(hub, name)
            _done(hub, name)
        async with (
            LinkServer(run.path, hub, JournalBacklog(run.journal), lambda _: None, clock).open(),
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(_render, hub, clock, names[scenes // 2 :])
            print(run.path, flush=True)
            await to_thread.run_sync(sys.stdin.buffer.read)
            tasks.cancel_scope.cancel()
            hub.close()
    lock.release()


def _open(hub: Hub, folder: str, names: list[str]) -> None:
    briefs = tuple(e.SceneBrief(id=n, folder=n, prompt="a lighthouse", floor=FRAMES) for n in names)
    story = e.StoryBrief(id="bench", logline="Light after light.")
    hub.publish(
        e.RunOpened(
            run_id=hub.run_id, run_dir=folder, story=story, scenes=briefs, workflow="txt2img",
            server="http://127.0.0.1:8188", policy=QueuePolicy(), version="bench",
        )
    )  # fmt: skip
    us = this_process()
    hub.publish(e.RunnerStarted(pid=us.pid, started=us.started, host=us.host, reason="run"))
    device = e.Device(name="GPU", type="cuda", index=0, vram_total=24 << 30, vram_free=20 << 30)
    hub.publish(e.ServerReached(url="http://127.0.0.1:8188", version="0.8.0", devices=(device,)))
    hub.publish(e.SocketChanged(state="open"))


def _planned(hub: Hub, scene: str) -> None:
    prompt_id = f"prompt-{scene}"
    hub.publish(e.AttemptPlanned(scene=scene, attempt=1, prompt_id=prompt_id, prefix=f"bench/{scene}-a1", seed=1))
    hub.publish(e.PromptQueued(scene=scene, attempt=1, number=1))
    hub.publish(e.ExecutionStarted(scene=scene, attempt=1))


def _done(hub: Hub, scene: str) -> None:
    hub.publish(attempt_ended(scene))
    hub.publish(e.SceneEnded(scene=scene, best=1, success=True, meets_floor=True, frames=FRAMES))


async def _render(hub: Hub, clock: Clock, names: list[str]) -> None:
    """Let scene after scene execute: ten progress samples and two frames a second, one GPU reading a second."""
    for name in names:
        _planned(hub, name)
        for tick in range(FRAMES * 5):
            hub.publish(
                e.Progress(
                    scene=name, attempt=1, node="3", title="KSampler", value=tick % STEPS, maximum=STEPS,
                    nodes_done=3, nodes_total=7,
                )
            )  # fmt: skip
            if tick % 5 == 4:
                frame = e.Frame(name=f"{name}_{tick:05}_.png", bytes=1_150_000 + tick, sha256="0" * 64, verified=True)
                hub.publish(e.FrameProven(scene=name, attempt=1, frame=frame))
            if tick % 10 == 0:
                _read_gauges(hub, tick)
            await clock.sleep(TICK)
        _done(hub, name)


def _read_gauges(hub: Hub, tick: int) -> None:
    figures = e.GpuFigures(
        index=0, name="GPU", utilization=60.0 + tick % 40, vram_used=(8 << 30) + (tick << 24), vram_total=24 << 30,
        temperature=55.0 + tick % 10, power=240.0 + tick % 60,
    )  # fmt: skip
    hub.publish(e.GpuSampled(source="nvml", devices=(figures,)))
    hub.publish(e.Pulse(latency=0.002))
    hub.publish(e.QueueDepth(ours=2, others=0))


if __name__ == "__main__":
    anyio.run(serve, Path(sys.argv[1]), int(sys.argv[2]))
