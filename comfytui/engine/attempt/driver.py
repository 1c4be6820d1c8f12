"""One attempt: from the journalled intent, over the prompt's life on the server, to its proven frames and telemetry."""

import traceback
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
from anyio import to_thread

from comfytui.engine.attempt.desk import Desk
from comfytui.engine.attempt.verdict import exit_reason, final_status, telemetry_of
from comfytui.engine.attempt.voice import AttemptVoice
from comfytui.engine.frames.collecting import FrameCollector
from comfytui.engine.frames.done_marker import await_marker
from comfytui.engine.pausing import first_failure, flattened
from comfytui.engine.prompt import ending as endings
from comfytui.engine.prompt.ending import Ending
from comfytui.engine.prompt.submitting import WITHDRAWAL, submit, withdraw
from comfytui.engine.prompt.watch import PromptWatch
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.model.state import Attempt, Scene
from comfytui.model.workflow import Values, render
from comfytui.records.atomic import write_atomic
from comfytui.sources.comfy.wire import PromptRejection, PromptReply
from comfytui.sources.gpu.measure import unavailable

TAKEN_OVER = "Taken over from a runner that had gone: VRAM before or after execution may not be of that very moment"

STILL_ARRIVING = 1.0
"""Seconds after which a POST of a runner that died has been taken in: a server that collects garbage answers nobody
for 0.4 s, and then not in the order in which it was asked (ComfyUI 0.3.64 and 0.8.0)."""

FAILED_PATIENCE = 1.0
"""Seconds for which frames of a prompt that did not succeed are still waited for: whole ones are worth keeping."""


class AttemptDriver:
    """Drives the newest attempt of one scene to its end. Everything it learns goes to the hub as facts.

    ``taken_over``: the attempt was planned by a runner that is gone, so its prompt may be on the server already.
    """

    def __init__(self, desk: Desk, scene: Scene, attempt: Attempt, *, taken_over: bool = False) -> None:
        self._desk, self._scene, self._taken_over = desk, scene, taken_over
        self._voice = AttemptVoice(desk.hub, scene.id, attempt)
        self._executed = attempt.executing_at is not None and attempt.after is None
        self._ending_told = False
        self.signals = desk.router.watch(attempt.prompt_id, scene.id, attempt.number)
        self._collector = FrameCollector(
            self._voice,
            prefix=attempt.prefix,
            floor=scene.brief.floor,
            expected=scene.brief.expected_frames,
            target=desk.run_dir.frames(scene.brief.folder, attempt.number),
            shelf=desk.shelf,
            hub=desk.hub,
            clock=desk.clock,
            policy=desk.policy,
        )

    async def drive(self) -> None:
        """Drive the attempt; it always ends with an ``AttemptEnded`` fact.

        Raises ``Failure`` ``run.unwritable`` when the run folder's disk fails: then nothing can be recorded.
        """
        self._desk.collectors.append(self._collector)
        try:
            async with anyio.create_task_group() as measures:
                ending = await self._live(measures)
                if not self._ending_told:
                    self._tell_ended(ending)
                if self._executed:
                    measures.start_soon(self._measure, "after")
                timed_out = await self._collected(ending)
        finally:
            self._desk.router.forget(self._voice.prompt_id)
            self._desk.collectors.remove(self._collector)
        attempt = self._voice.attempt
        gave_up = "cancelled" if timed_out and self.signals.cancelled else ending.gave_up
        reason = exit_reason(attempt, gave_up=gave_up, frames_timed_out=timed_out)
        status = final_status(attempt, frames_timed_out=timed_out)
        telemetry = telemetry_of(attempt, self._desk.policy, self._desk.clock.now(), reason, status)
        self._voice.tell(e.AttemptEnded, telemetry=telemetry, exit_reason=reason, status=status)
        await self._desk.hub.synced()

    async def _live(self, measures: anyio.abc.TaskGroup) -> Ending:
        """Submit the prompt and wait for its end; frames are taken meanwhile."""
        ending: Ending | None = None
        try:
            await to_thread.run_sync(_make_folder, self._collector.target)
            async with anyio.create_task_group() as following:
                following.start_soon(self._collector.follow)
                ending = await self._submit_and_wait(measures)
                following.cancel_scope.cancel()
        except Exception as problem:  # noqa: BLE001 - whatever it is, the scene fails with it and the run goes on
            failure = first_failure(problem)
            if failure is not None and failure.code == "run.unwritable":
                raise failure from None
            return endings.of_failure(failure) if failure else await self._unexpected(problem)
        return ending if ending is not None else endings.of_loss()

    async def _submit_and_wait(self, measures: anyio.abc.TaskGroup) -> Ending:
        if self._taken_over and (recorded := await self._recorded()) is not None:
            return recorded
        found = self._taken_over and await self._was_sent()

        def executing(seen: bool) -> None:
            self._executed = True
            if self._voice.attempt.executing_at is None:
                self._voice.tell(e.ExecutionStarted)
                if seen and not found:  # else nobody saw it begin, and VRAM is not what it was then
                    measures.start_soon(self._measure, "before")

        partial = found and bool(self._voice.attempt.warnings)
        if not found:
            if self._taken_over:
                await self.signals.wait(STILL_ARRIVING)
            reply = await self._submit()
            if isinstance(reply, PromptRejection):
                return endings.of_rejection(reply)
            partial = bool(reply.warnings)
            found = self._taken_over and reply.number is None
            self._tell_queued(reply)
        if found:  # a runner before us got it onto the server: what became of it is to be looked for
            self._voice.note("note", TAKEN_OVER)
            self.signals.missed()
        watch = PromptWatch(
            self._desk, self._voice, self.signals, partial=partial, on_executing=executing,
            grew_at=lambda: self._collector.grew_at, save=lambda raw: measures.start_soon(self._save_history, raw),
        )  # fmt: skip
        return await watch.end()

    async def _recorded(self) -> Ending | None:
        """Return how the prompt ended if a runner before us told so already, and its files are known here."""
        attempt = self._voice.attempt
        if attempt.execution_ended_at is None:
            return None
        path = self._desk.run_dir.attempt_history(self._scene.brief.folder, attempt.number)
        ending = endings.of_record(attempt, await to_thread.run_sync(_content, path))
        self._ending_told = ending is not None
        if self._ending_told and self._executed:
            self._voice.note("note", TAKEN_OVER)
        return ending

    async def _was_sent(self) -> bool:
        """Tell whether the prompt has been on the server: the journal says so, or files that only it can have left."""
        attempt = self._voice.attempt
        if attempt.queued_at is None and await self._desk.shelf.unreported(attempt.prefix, ()):
            self._voice.tell(e.PromptQueued, number=None)
        return self._voice.attempt.queued_at is not None

    def _tell_queued(self, reply: PromptReply) -> None:
        self._desk.server.numbered(reply.number)
        ours = self._voice.prompt_id
        foreign = reply.prompt_id if reply.prompt_id != ours else None
        self._voice.tell(e.PromptQueued, number=reply.number, warnings=reply.warnings, prompt_id=foreign)
        if foreign is not None:
            self._desk.router.rename(ours, foreign)
            self._voice.note("note", "The server chose the prompt's id itself; a crash now could render it twice")

    async def _submit(self) -> PromptReply | PromptRejection:
        return await submit(self._desk, self._voice, self._make_prompt, self.signals, perhaps_sent=self._taken_over)

    async def _make_prompt(self) -> dict[str, Any]:
        attempt, brief = self._voice.attempt, self._scene.brief
        values = Values(
            prefix=attempt.prefix,
            prompt=attempt.prompt if attempt.prompt is not None else brief.prompt,
            negative=brief.negative_prompt,
            keyframe=await self._upload_keyframe(),
            seed=attempt.seed,
            frame_count=brief.expected_frames,
        )
        return render(self._desk.workflow, values)

    async def _upload_keyframe(self) -> str:
        """Put the scene's keyframe onto the server; return the name that LoadImage knows it by, empty without one."""
        original = self._scene.brief.keyframe
        if original is None or not self._desk.workflow.needs_keyframe:
            return ""
        path = self._desk.run_dir.scene_keyframe(self._scene.brief.folder, original)
        run = self._voice.attempt.prefix.split("/")[1]  # with what tells it from a run of the same id elsewhere
        name = f"{run}-{self._scene.brief.folder}{path.suffix}"
        return await self._desk.http.upload_image(path, name, "comfytui")

    async def _collected(self, ending: Ending) -> bool:
        """Collect the frames; an error of our own leaves out what it keeps from being collected, and is told."""
        try:
            return await self._collect(ending)
        except Exception as problem:  # noqa: BLE001 - as above
            failure = first_failure(problem)
            if failure is not None and failure.code == "run.unwritable":
                raise failure from None
            trouble = endings.of_failure(failure) if failure else await self._unexpected(problem)
            self._voice.note("error", trouble.error.message if trouble.error else "the frames could not be collected")
            return ending.success_at is not None

    async def _collect(self, ending: Ending) -> bool:
        """Collect the frames; return whether a successful prompt's frames were still lacking when time ran out."""
        if ending.status == "rejected" or ending.gave_up == "handedOver":
            return False
        succeeded = ending.success_at is not None
        if self._desk.policy.done_marker:  # a prompt that failed writes none any more
            marker_patience = self._desk.policy.done_marker_timeout_seconds if succeeded else 0
            await await_marker(self._desk, self._voice, self.signals, float(marker_patience))
        patience = float(self._desk.policy.post_execution_timeout_seconds) if succeeded else FAILED_PATIENCE
        async with anyio.create_task_group() as hurrying:
            hurrying.start_soon(self._hurry)
            lacking = await self._collector.finish(ending.files, patience)
            hurrying.cancel_scope.cancel()
        if not (lacking and succeeded):
            return False
        candidates = await self._collector.force()
        if candidates:
            path = self._desk.run_dir.forced_copy_debug(self._scene.brief.folder, self._voice.number)
            await to_thread.run_sync(write_atomic, path, ("\n".join(candidates) + "\n").encode())
            self._voice.tell(e.CopyForced, debug_path=self._desk.run_dir.relative(path))
        return True

    async def _hurry(self) -> None:
        """Once the attempt is cancelled, wait for what is missing no longer than for that of a failed one."""
        while not self.signals.cancelled:
            await self.signals.wait(60.0)
        self._collector.hurry(FAILED_PATIENCE)

    def _tell_ended(self, ending: Ending) -> None:
        expected = sum(file.type == "output" for file in ending.files) if ending.reported else None
        self._voice.tell(
            e.ExecutionEnded,
            status=ending.status,
            success_at=ending.success_at,
            error=ending.error,
            expected=expected,
        )

    async def _save_history(self, raw: bytes) -> None:
        path = self._desk.run_dir.attempt_history(self._scene.brief.folder, self._voice.number)
        await to_thread.run_sync(write_atomic, path, raw)

    async def _measure(self, moment: e.MomentWord) -> None:
        if self._desk.server.away and self._desk.name:  # another server takes the scene; nobody waits for this one
            self._voice.tell(e.GpuMeasured, moment=moment, measurement=unavailable(moment))
            return
        before = self._voice.attempt.before if moment == "after" else None
        try:
            measurement = await self._desk.measure(moment, like=before.device if before else None)
        except Exception as problem:  # noqa: BLE001 - as above; a figure is lost, and nothing else
            measurement = unavailable(moment)
            self._voice.note("error", (await self._kept(problem)).what)
        self._voice.tell(e.GpuMeasured, moment=moment, measurement=measurement)

    async def _unexpected(self, problem: BaseException) -> Ending:
        """Return how the scene ends with an error of our own, which leaves nobody to watch the prompt."""
        failure = await self._kept(problem)
        if self._voice.attempt.phase in ("queued", "executing"):
            await withdraw(self._desk, self._voice, within=WITHDRAWAL)
        return endings.of_failure(failure)

    async def _kept(self, problem: BaseException) -> Failure:
        """Keep what is known of an error of our own where a person can find it, and return what is told of it."""
        path = self._desk.run_dir.queue_error_debug(self._scene.brief.folder)
        text = "".join(traceback.format_exception(problem))
        await to_thread.run_sync(write_atomic, path, text.encode("utf-8", "replace"))
        fault = next((one for one in flattened(problem) if not isinstance(one, Failure)), problem)
        why = f"{type(fault).__name__} in attempt {self._voice.number} of {self._scene.id}"
        return Failure("internal", why=why, debug=self._desk.run_dir.relative(path))


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise Failure("run.unwritable", place=str(path), why=problem.strerror or str(problem)) from problem
