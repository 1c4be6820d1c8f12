"""A night in the life of a run, told as envelopes: what UI tests feed the dashboard with, without any I/O."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import UNSET

from comfytui.model import events as e
from comfytui.model.commands import AnyCommand
from comfytui.model.envelope import Envelope
from comfytui.model.feed import CaughtUp, FeedChanged, FeedItem
from comfytui.model.policy import QueuePolicy
from comfytui.model.telemetry import (
    ExecutionFailure,
    ExecutionStatus,
    GpuTelemetry,
    HistoryExitReason,
    SystemTelemetry,
    Telemetry,
    to_mb,
    vram_delta_mb,
)

MIDNIGHT = datetime(2026, 1, 24, 0, 0, tzinfo=UTC)
RUN_ID = "20260124-000000"
GIB = 1024**3
CARD = e.Device(name="cuda:0 NVIDIA GeForce RTX 4090", type="cuda", index=0, vram_total=24 * GIB, vram_free=22 * GIB)

INPUTS = (
    e.VaryingInput(node="3", title="KSampler", kind="KSampler", name="seed", template="__SEED__"),
    e.VaryingInput(node="6", title="Positive", kind="CLIPTextEncode", name="text", template="__SCENE_PROMPT__, 35mm"),
    e.VaryingInput(node="9", title="Save", kind="SaveImage", name="filename_prefix", template="__SCENE_PREFIX__"),
)

TITLES = ("The lamp is lit", "Gulls over slate water", "A boat, far out", "Rain on the gallery", "Bridge at dawn",
          "The keeper climbs", "Oil and brass", "A letter, unopened")  # fmt: skip


class FixedClock:
    """A clock that stands where it is put. ``sleep`` returns at once."""

    def __init__(self, at: datetime = MIDNIGHT) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - MIDNIGHT).total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Script:
    """Writes envelopes. Each method tells one thing that happens; ``wait`` lets time pass."""

    def __init__(self) -> None:
        self.items: list[FeedItem] = []
        self.at = MIDNIGHT
        self.seq = 0
        self.policy = QueuePolicy()
        self.briefs: tuple[e.ServerBrief, ...] = ()
        """Of the servers, where there are several."""

    # --- telling -------------------------------------------------------------------------------------------------

    def tell(self, event: e.AnyEvent) -> "Script":
        self.seq += isinstance(event, e.Fact)
        self.items.append(Envelope(seq=self.seq, at=self.at, run=RUN_ID, event=event))
        return self

    def wait(self, seconds: float) -> "Script":
        self.at += timedelta(seconds=seconds)
        return self

    def caught_up(self, live: bool = True) -> "Script":
        self.items += [FeedChanged(live=live), CaughtUp()]
        return self

    # --- the run -------------------------------------------------------------------------------------------------

    def opened(self, scenes: int = 3, floor: int = 25, story: str = "the-lighthouse") -> "Script":
        briefs = tuple(
            e.SceneBrief(
                id=f"scene-{n:03d}", folder=f"scene-{n:03d}", floor=floor, expected_frames=floor,
                title=TITLES[(n - 1) % len(TITLES)],
                prompt=f"{TITLES[(n - 1) % len(TITLES)]}, slow dolly, volumetric light, 35mm film grain",
                negative_prompt="text, watermark", mood="quiet", camera_movement="slow dolly in",
            )
            for n in range(1, scenes + 1)
        )  # fmt: skip
        return self.opened_with(briefs, story)

    def opened_with(self, briefs: tuple[e.SceneBrief, ...], story: str = "the-lighthouse") -> "Script":
        self.tell(
            e.RunOpened(
                run_id=RUN_ID, run_dir=f"/data/runs/{RUN_ID}", scenes=briefs, workflow="svd",
                story=e.StoryBrief(id=story, logline="A keeper waits for a ship that will not come."),
                server="http://127.0.0.1:8188", policy=self.policy, version="0.1.0", inputs=INPUTS,
                servers=self.briefs or UNSET,
            )
        )  # fmt: skip
        return self.tell(e.RunnerStarted(pid=4711, started=0.0, host="box"))

    def reached(self, **more: object) -> "Script":
        facts: dict[str, object] = {
            "url": "http://127.0.0.1:8188", "version": "0.3.64", "os": "posix", "python": "3.12.3",
            "pytorch": "2.5.1+cu124", "output_dir": "/srv/comfyui/output", "devices": (CARD,),
        }  # fmt: skip
        self.tell(e.ServerReached(**{**facts, **more}))  # type: ignore[arg-type]
        return self.tell(e.SocketChanged(state="open", server=more.get("server", UNSET)))  # type: ignore[arg-type]

    def pulse(self, latency: float | None = 0.004, ours: int = 2, others: int = 0, server: e.Named = UNSET) -> "Script":
        return self.tell(e.Pulse(latency=latency, server=server)).tell(
            e.QueueDepth(ours=ours, others=others, server=server)
        )

    def gpu(self, load: float, used_gib: float, devices: int = 1, server: e.Named = UNSET) -> "Script":
        figures = tuple(
            e.GpuFigures(
                index=n, name="NVIDIA GeForce RTX 4090", utilization=max(0.0, load - 13 * n),
                vram_used=int(used_gib * GIB) - n * GIB, vram_total=24 * GIB, temperature=64 - 3 * n,
                power=311.6 - 40 * n,
            )
            for n in range(devices)
        )  # fmt: skip
        return self.tell(e.GpuSampled(source="nvml", devices=figures, server=server))

    def gpu_history(self, seconds: int = 120, devices: int = 1, server: e.Named = UNSET) -> "Script":
        """Two minutes of readings that end now: load in waves, VRAM in steps, as sampling and saving make them."""
        end = self.at
        for second in range(seconds, -1, -1):
            self.at = end - timedelta(seconds=second)
            phase = (seconds - second) % 40
            load = 6.0 if phase < 6 else 92.0 + (phase * 7 % 9) - 2 if phase < 34 else 40.0
            self.gpu(min(load, 100.0), 4.2 if phase < 4 else 14.0 + phase / 12, devices, server)
        return self

    def ended(self, outcome: str = "finished", exit_code: int = 0) -> "Script":
        if exit_code == 0:
            self.tell(e.RunValidated(passed=True))
        self.tell(e.RunArchived(path=f"/data/runs/archives/comfyui-e2e-{RUN_ID}.zip", bytes=48_200_000))
        return self.tell(e.RunEnded(outcome=outcome, exit_code=exit_code))  # type: ignore[arg-type]

    # --- a scene -------------------------------------------------------------------------------------------------

    def queued(self, scene: str, attempt: int = 1, reason: str = "", server: e.Named = UNSET) -> "Script":
        prompt_id = f"5f0c{int(scene[-3:]):04d}-0000-4000-8000-00000000000{attempt}"
        self.tell(
            e.AttemptPlanned(scene=scene, attempt=attempt, prompt_id=prompt_id, reason=reason,
                             prefix=f"{RUN_ID}_{scene}_a{attempt}", seed=1000 + attempt, server=server)
        )  # fmt: skip
        return self.tell(e.PromptQueued(scene=scene, attempt=attempt, number=self.seq, server=server))

    def executing(self, scene: str, attempt: int = 1, free_gib: float = 22.0) -> "Script":
        self.tell(e.ExecutionStarted(scene=scene, attempt=attempt))
        return self.measured(scene, attempt, "before", free_gib)

    def measured(self, scene: str, attempt: int, moment: str, free_gib: float) -> "Script":
        device = e.Device(name=CARD.name, type="cuda", index=0, vram_total=24 * GIB, vram_free=int(free_gib * GIB))
        reading = e.Measurement(source="system_stats", device=device, devices=(device,), system={"os": "posix"})
        return self.tell(e.GpuMeasured(scene=scene, attempt=attempt, moment=moment, measurement=reading))  # type: ignore[arg-type]

    def progress(
        self, scene: str, value: float, maximum: float = 20, title: str = "KSampler", done: int = 4
    ) -> "Script":
        return self.tell(
            e.Progress(scene=scene, attempt=1, node="3", title=title, value=value, maximum=maximum, nodes_done=done,
                       nodes_total=7)
        )  # fmt: skip

    def history(
        self, scene: str, status: str = "pending", attempt: int = 1, reads: int = 1, message: str = ""
    ) -> "Script":
        return self.tell(
            e.HistoryRead(scene=scene, attempt=attempt, reads=reads, status=status, message=message)  # type: ignore[arg-type]
        )

    def executed(self, scene: str, attempt: int = 1, status: ExecutionStatus = "success", frames: int = 25,
                 error: ExecutionFailure | None = None) -> "Script":  # fmt: skip
        return self.tell(
            e.ExecutionEnded(scene=scene, attempt=attempt, status=status, error=error, expected=frames,
                             success_at=self.at if status in ("success", "cached") else None)
        )  # fmt: skip

    def frame(self, scene: str, number: int, attempt: int = 1, size: int = 1_212_416) -> "Script":
        name = f"{RUN_ID}_{scene}_a{attempt}_{number:05d}_.png"
        proven = e.Frame(name=name, bytes=size + number * 977, sha256=f"{number:064x}")
        return self.tell(e.FrameProven(scene=scene, attempt=attempt, frame=proven))

    def writing(self, scene: str, number: int, size: int, attempt: int = 1) -> "Script":
        name = f"{RUN_ID}_{scene}_a{attempt}_{number:05d}_.png"
        return self.tell(e.FrameWriting(scene=scene, attempt=attempt, name=name, bytes=size))

    def refused(
        self, scene: str, number: int, state: str = "truncated", why: str = "no IEND chunk", attempt: int = 1
    ) -> "Script":
        name = f"{RUN_ID}_{scene}_a{attempt}_{number:05d}_.png"
        return self.tell(e.FrameRefused(scene=scene, attempt=attempt, name=name, state=state, why=why))  # type: ignore[arg-type]

    def attempt_ended(self, scene: str, attempt: int = 1, *, seconds: float = 48.3, status: ExecutionStatus = "success",
                      reason: HistoryExitReason = "success", delta_gib: float = -1.37, reads: int = 1,
                      error: ExecutionFailure | None = None, notes: Sequence[str] = ()) -> "Script":  # fmt: skip
        told = telemetry(self, seconds=seconds, status=status, reason=reason, delta_gib=delta_gib, reads=reads,
                         error=error, notes=tuple(notes))  # fmt: skip
        return self.tell(
            e.AttemptEnded(scene=scene, attempt=attempt, telemetry=told, exit_reason=reason, status=status)
        )

    def scene_ended(
        self, scene: str, frames: int = 25, best: int = 1, success: bool = True, meets: bool = True
    ) -> "Script":
        return self.tell(e.SceneEnded(scene=scene, best=best, success=success, meets_floor=meets, frames=frames))

    def rendered(self, scene: str, frames: int = 25, seconds: float = 48.0, delta_gib: float = -1.37,
                 server: e.Named = UNSET) -> "Script":  # fmt: skip
        """A scene from the queue to its end, all well."""
        self.queued(scene, server=server).executing(scene).wait(seconds).history(scene, "success")
        self.executed(scene, frames=frames)
        for number in range(1, frames + 1):
            self.frame(scene, number)
        self.wait(0.3).measured(scene, 1, "after", 22.0 + delta_gib)
        return self.attempt_ended(scene, seconds=seconds + 0.3, delta_gib=delta_gib).scene_ended(scene, frames)

    def broke(self, scene: str, seconds: float = 12.0) -> "Script":
        """A scene whose only attempt ends with an error of a node."""
        error = ExecutionFailure(
            node_id="3", node_type="KSampler", exception_type="torch.OutOfMemoryError",
            message="CUDA out of memory. Tried to allocate 2.50 GiB.", code="prompt.out_of_memory",
        )  # fmt: skip
        self.queued(scene).executing(scene).wait(seconds).history(scene, "error", message="status error")
        self.executed(scene, status="error", error=error, frames=0).measured(scene, 1, "after", 21.8)
        self.attempt_ended(scene, seconds=seconds, status="error", reason="unknown", error=error, delta_gib=-0.2)
        return self.scene_ended(scene, frames=0, success=False, meets=False)


def telemetry(script: Script, *, seconds: float, status: ExecutionStatus, reason: HistoryExitReason, delta_gib: float,
              reads: int, error: ExecutionFailure | None, notes: tuple[str, ...]) -> Telemetry:  # fmt: skip
    """A whole telemetry of an attempt that ends now."""
    before, after = 22 * GIB, int((22 + delta_gib) * GIB)
    ok = status in ("success", "cached")
    policy = script.policy
    return Telemetry(
        queue_start=script.at - timedelta(seconds=seconds), queue_end=script.at, duration_seconds=seconds,
        max_wait_seconds=policy.max_wait_seconds, poll_interval_seconds=policy.poll_interval_seconds,
        post_execution_timeout_seconds=policy.post_execution_timeout_seconds,
        scene_retry_budget=policy.scene_retry_budget, history_attempts=reads,
        history_attempt_limit=policy.history_max_attempts, history_exit_reason=reason, execution_success_detected=ok,
        execution_success_at=script.at - timedelta(seconds=1) if ok else None,
        history_post_execution_timeout_reached=reason == "postExecution", execution_status=status,
        execution_error=error, done_marker_detected=False, done_marker_wait_seconds=0.0, done_marker_path=None,
        forced_copy_triggered=False, forced_copy_debug_path=None,
        gpu=GpuTelemetry(
            name=CARD.name, type="cuda", index=0, vram_total=24 * GIB, vram_free_before=before, vram_free_after=after,
            vram_before_mb=to_mb(before), vram_after_mb=to_mb(after), vram_delta_mb=vram_delta_mb(before, after),
            source="system_stats",
        ),
        system=SystemTelemetry(before={"os": "posix"}, after={"os": "posix"}, fallback_notes=notes),
    )  # fmt: skip


class ScriptedFeed:
    """A feed that tells a script and then what :meth:`push` adds; commands are remembered in ``sent``."""

    def __init__(self, items: Sequence[FeedItem], failure: Exception | None = None) -> None:
        self.sent: list[AnyCommand] = []
        self.refusal: Exception | None = None
        self._items = list(items)
        self._failure = failure
        self._told = False
        self._more: asyncio.Queue[FeedItem] = asyncio.Queue()

    def push(self, items: Sequence[FeedItem]) -> None:
        for item in items:
            self._more.put_nowait(item)

    @property
    def drained(self) -> bool:
        """Whether everything has been told."""
        return self._told and self._more.empty()

    async def items(self) -> AsyncIterator[FeedItem]:
        for item in self._items:
            yield item
        self._told = True
        if self._failure is not None:
            raise self._failure
        while True:
            yield await self._more.get()

    async def send(self, command: AnyCommand) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.sent.append(command)


# --- the nights ---------------------------------------------------------------------------------------------------


def empty() -> Script:
    """Watching a server that has just been reached: no story, nothing happened."""
    script = Script()
    script.tell(
        e.RunOpened(run_id=RUN_ID, run_dir=f"/data/runs/{RUN_ID}", story=e.StoryBrief(id=""), scenes=(), workflow="",
                    server="http://127.0.0.1:8188", policy=script.policy, version="0.1.0")
    )  # fmt: skip
    script.tell(e.RunnerStarted(pid=4711, started=0.0, host="box", reason="observe")).reached()
    return script.tell(e.Pulse(latency=0.003)).tell(e.QueueDepth(ours=0, others=0)).caught_up()


def running() -> Script:
    """The middle of the night: done, requeued and failed scenes, one that executes, one on the server, some to come."""
    script = Script().opened(12).reached().wait(2)
    script.rendered("scene-001", seconds=51.2, delta_gib=-1.37).rendered("scene-002", seconds=47.9, delta_gib=-0.02)
    script.broke("scene-003").rendered("scene-004", seconds=62.5, delta_gib=0.41)
    # the first attempt of scene-005 comes three frames short, the second one executes
    script.queued("scene-005").executing("scene-005").wait(44).history("scene-005", "success").executed("scene-005")
    for number in range(1, 23):
        script.frame("scene-005", number)
    script.refused("scene-005", 23).wait(30).measured("scene-005", 1, "after", 21.1)
    script.attempt_ended("scene-005", seconds=74.4, status="partial", reason="postExecution", delta_gib=-0.9)
    script.tell(
        e.SceneRequeued(scene="scene-005", next_attempt=2, attempts=2, reason="frame count below floor (22/25)")
    )
    script.queued("scene-005", 2, "frame count below floor (22/25)").queued("scene-006").executing("scene-005", 2)
    script.wait(31).gpu_history().pulse(0.004, ours=2, others=1)
    for number in range(1, 13):
        script.wait(0.4).frame("scene-005", number, 2)
    script.wait(0.2).writing("scene-005", 13, 655_360, 2).progress("scene-005", 13)
    return script.caught_up()


def disconnected() -> Script:
    """Disconnected: the server went away while a scene executed."""
    script = Script().opened(6).reached().wait(1).rendered("scene-001").queued("scene-002").executing("scene-002")
    script.wait(9).progress("scene-002", 7).tell(e.SocketChanged(state="closed", why="1006, the server is gone"))
    script.tell(
        e.ServerTroubled(
            code="server.lost", what="The server at http://127.0.0.1:8188 went away: connection refused.",
            remedy="Look at the server's log; rerun the scenes that were lost.",
        )
    )  # fmt: skip
    return script.tell(e.Pulse(latency=None)).tell(e.GpuSampled(source="none", devices=())).wait(3).caught_up()


def finished(exit_code: int = 0) -> Script:
    """The morning after."""
    script = Script().opened(5).reached().wait(1)
    for number in range(1, 6):
        if number == 3 and exit_code:
            script.broke("scene-003")
        else:
            script.rendered(f"scene-{number:03d}", seconds=41.0 + number * 3.7)
    script.gpu_history().pulse(ours=0).ended("finished", exit_code)
    script.wait(4000)
    script.items.append(CaughtUp())
    script.items.append(FeedChanged(live=False, why="the run ended"))
    return script


def hostile() -> Script:
    """Everything a server or a story may try: markup, escapes, overlong, wide and combining text."""
    nasty = "[red]not red[/red] \x1b[31mnor this\x1b[0m \x07\u202egnp.exe"
    briefs = (
        e.SceneBrief(id="[bold]one[/]", folder="one", floor=5, prompt=nasty, title=nasty),
        e.SceneBrief(id="scene-二", folder="two", floor=5, prompt="橋の夜明け " * 40, title="橋の夜明け、霧と光"),
        e.SceneBrief(id="e\u0301tude", folder="three", floor=5, prompt="x" * 500, title="👩‍🚀 " * 20),
    )
    script = (
        Script()
        .opened_with(briefs, "[link=file:///etc/passwd]story[/link]")
        .reached(version="[blink]9\x1b]0;owned\x07")
    )
    for scene in ("[bold]one[/]", "scene-二"):
        script.tell(
            e.AttemptPlanned(scene=scene, attempt=1, prompt_id="[i]id[/i]", prefix="[b]p[/b]\x1b[2J", seed=1)
        ).tell(e.PromptQueued(scene=scene, attempt=1, number=1, warnings=(nasty,)))  # fmt: skip
    script.tell(e.ExecutionStarted(scene="[bold]one[/]", attempt=1)).wait(3)
    script.tell(
        e.Progress(
            scene="[bold]one[/]", attempt=1, node="3", title=nasty, value=3, maximum=9, nodes_done=1, nodes_total=2
        )
    )
    evil = e.Frame(name="[red]\x1b[2Jevil[/].png", bytes=12, sha256="")
    script.tell(e.FrameProven(scene="[bold]one[/]", attempt=1, frame=evil))
    script.tell(
        e.FrameRefused(scene="scene-二", attempt=1, name="../../\x1b]0;x\x07etc/passwd", state="unsafe", why=nasty)
    )
    script.tell(
        e.ServerTroubled(code="server.reply", what=f"The server said {nasty}", remedy="[b]Look[/b] at its log.")
    )
    return script.tell(e.RunNoted(text=nasty, level="warning", scene="scene-二")).caught_up()


def thousand(scenes: int = 1000, done: int | None = None) -> Script:
    """A very long story, well under way: the first ``done`` scenes (half of them) are over."""
    over = scenes // 2 - 1 if done is None else done
    script = Script().opened(scenes, floor=2).reached()
    for number in range(1, over + 1):
        script.rendered(f"scene-{number:03d}", frames=2, seconds=20)
    name = f"scene-{over + 1:03d}"
    script.queued(name).queued(f"scene-{over + 2:03d}").executing(name).wait(5).progress(name, 5)
    return script.caught_up()


def held() -> Script:
    """A queue that a person holds."""
    script = Script().opened(4).reached().rendered("scene-001").queued("scene-002").executing("scene-002").wait(8)
    return script.progress("scene-002", 6).tell(e.QueueHeld(held=True)).gpu_history(60, devices=2).pulse().caught_up()


def gone() -> Script:
    """A run whose runner died while a scene executed."""
    script = Script().opened(4).reached().rendered("scene-001").queued("scene-002").executing("scene-002").wait(8)
    script.progress("scene-002", 6).caught_up().wait(30)
    script.items.append(FeedChanged(live=False, why="the runner's socket closed"))
    return script.wait(300)


SERVERS = ("gpu-a", "gpu-b", "gpu-c", "attic", "box-5", "box-6", "box-7", "box-8", "remote.example.org:8188")
"""The servers of a run of several, by name."""


def several(count: int = 4) -> Script:
    """One run on ``count`` servers: two render, the third is away, the fourth left out, the others idle."""
    script = Script()
    script.briefs = tuple(
        e.ServerBrief(name=name, url=f"http://{name}" + ("" if ":" in name else ":8188"), tags=("24gb",) * (not place))
        for place, name in enumerate(SERVERS[:count])
    )
    script.opened(12, 4)
    for place, brief in enumerate(script.briefs):
        if place != 3:
            script.reached(server=brief.name, url=brief.url, frames_by="disk" if place < 2 else "http")
    script.wait(2)
    for number in range(1, 7):
        own = (SERVERS[:2] if number in (1, 2, 5) else SERVERS[:1]) if count < 3 else SERVERS[:3]
        slow = own[number % len(own)] == "gpu-b"
        script.rendered(f"scene-{number:03d}", 4, 66.0 if slow else 31.0, server=own[number % len(own)])
    script.queued("scene-007", server="gpu-a").queued("scene-008", server="gpu-b").queued("scene-009", server="gpu-a")
    if count > 2:
        script.tell(
            e.ServerAway(server="gpu-c", code="server.lost", away=0.0, next_try=15.0, wait=600.0,
                         what="The server at http://gpu-c:8188 went away: connection refused.",
                         remedy="Look at the server's log; its scenes go to the others meanwhile.")
        )  # fmt: skip
    if count > 3:
        script.tell(
            e.ServerLeftOut(server="attic", code="workflow.nodes_missing", next_try=60.0,
                            what="wrong workflow (node SVD_img2vid_Conditioning missing)",
                            remedy="Install the nodes on http://attic:8188, or leave it out.")
        )  # fmt: skip
    script.executing("scene-007").executing("scene-008").wait(3).progress("scene-007", 13).progress("scene-008", 4)
    for place, brief in enumerate(script.briefs):
        if place not in (2, 3):
            others = (e.OthersPrompt(id=f"b1c0-{place}", number=40 + place, nodes=9, running=False),) * (place == 1)
            ours = (2, 1)[place] if place < 2 else 0
            script.pulse(0.004 + place * 0.021, ours, len(others), brief.name).gpu_history(server=brief.name)
            script.tell(e.QueueListed(others=others, server=brief.name))
    return script.caught_up()
