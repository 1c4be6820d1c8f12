"""How an event changes what is known: ``fold(state, envelope) -> state``, pure, the only writer of State.

A fact whose number is not above the state's has been folded already and changes nothing, so a reader may fold the
journal, then the live stream, and need not care where they overlap. Samples are latest-wins and may come in any order
with respect to facts.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from comfytui.model import events as e
from comfytui.model.envelope import Envelope
from comfytui.model.fold_server import fold_server_fact, fold_server_sample, servers_of
from comfytui.model.frame_rows import FrameRow
from comfytui.model.narrate import narrate, stall_note
from comfytui.model.packed import example_of, pack
from comfytui.model.paged import Paged
from comfytui.model.state import (
    RECENT_NOTES,
    Attempt,
    AttemptPhase,
    HistoryLook,
    Note,
    OwnProcess,
    Refusal,
    Run,
    Scene,
    ScenePhase,
    State,
    Steps,
)


def fold(state: State, envelope: Envelope) -> State:
    """Return the state after ``envelope``; the same object when it changes nothing."""
    event = envelope.event
    if not isinstance(event, e.Fact):
        return _fold_sample(state, event, envelope.at)
    if envelope.seq <= state.seq:
        return state
    changed = _fold_fact(state, event, envelope.at)
    return replace(_remember(changed, envelope), seq=envelope.seq, at=envelope.at)


def fold_all(envelopes: Any, state: State | None = None) -> State:
    """Return the state after all of ``envelopes``, beginning with ``state`` or with nothing known."""
    folded = state if state is not None else State()
    for envelope in envelopes:
        folded = fold(folded, envelope)
    return folded


def _remember(state: State, envelope: Envelope) -> State:
    line = narrate(envelope.event)
    if line is None:
        return state
    level, text, scene = line
    note = Note(at=envelope.at, seq=envelope.seq, level=level, text=text, scene=scene)  # type: ignore[arg-type]
    return replace(state, notes=(*state.notes[-(RECENT_NOTES - 1) :], note))


def _fold_sample(state: State, sample: e.Sample, at: datetime) -> State:
    match sample:
        case e.Progress(scene=scene):
            current = state.scene(scene)
            if current is None or current.phase != "executing":
                return state
            return _step_told(replace(state, at=at, progress={**state.progress, scene: sample}), sample, at)
        case e.FrameWriting():
            row = FrameRow(
                scene=sample.scene, attempt=sample.attempt, name=sample.name, state=sample.state, at=at,
                bytes=sample.bytes,
            )  # fmt: skip
            return replace(state, frames=state.frames.told(row))
        case e.ServerSample():
            return fold_server_sample(state, sample, at)
        case _:
            return state


def _fold_fact(state: State, fact: e.Fact, at: datetime) -> State:
    match fact:
        case e.RunOpened():
            scenes = Paged(Scene(brief=brief) for brief in fact.scenes)
            run = Run(
                id=fact.run_id, dir=fact.run_dir, story=fact.story, workflow=fact.workflow, policy=fact.policy,
                version=fact.version, opened_at=at, inputs=fact.inputs, sweep=fact.sweep,
            )  # fmt: skip
            index = {scene.id: place for place, scene in enumerate(scenes)}
            return replace(state, run=run, scenes=scenes, index=index, servers=servers_of(fact))
        case e.AttemptFact():
            return _fold_attempt(state, fact, at)
        case e.SceneRequeued():
            return _scene(state, fact.scene, lambda s: replace(s, phase="waiting", next_reason=fact.reason))
        case e.SceneEnded():
            return _scene(state, fact.scene, lambda s: _scene_ended(s, fact))
        case e.SceneReopened():
            return _reopen(state, fact)
        case e.SceneGivenUp():
            return _scene(state, fact.scene, lambda s: s if s.over else replace(s, given_up=fact.how))
        case e.SceneMoved():
            return _scene(state, fact.scene, lambda s: replace(s, turn=fact.turn))
        case e.ServerFact():
            return fold_server_fact(state, fact, at)
        case _:
            return _fold_run(state, fact, at)


def _fold_run(state: State, fact: e.Fact, at: datetime) -> State:
    run = state.run
    if run is None:
        return state
    match fact:
        case e.RunnerStarted():
            run = replace(
                run, runner_pid=fact.pid, runner_started=fact.started, runner_host=fact.host, ended_at=None,
                outcome=None, exit_code=None, observing=fact.reason == "observe", settled_at=None,
                validated=None, findings=(),
            )  # fmt: skip
        case e.RunSettled():
            run = replace(run, settled_at=at, archive=None)
        case e.SuiteStarted():
            suite = OwnProcess(pid=fact.pid, created=fact.created, executable=fact.executable, host=fact.host)
            run = replace(run, suite=suite)
        case e.SuiteRan():
            others = tuple(suite for suite in run.suites if suite.label != fact.suite.label)
            run = replace(run, suites=(*others, fact.suite), suite=None)
        case e.RunEnded():
            run = replace(run, ended_at=at, outcome=fact.outcome, exit_code=fact.exit_code)
        case e.RunValidated():
            run = replace(run, validated=fact.passed, findings=fact.findings)
        case e.RunArchived():
            run = replace(run, archive=fact.path)
        case e.QueueHeld():
            run = replace(run, held=fact.held)
        case _:
            return state
    return replace(state, run=run)


def _scene(state: State, scene_id: str, change: Callable[[Scene], Scene]) -> State:
    place = state.index.get(scene_id)
    if place is None:
        return state
    scene = change(state.scenes[place])
    if not scene.over:
        return replace(state, scenes=state.scenes.replaced(place, scene))
    example = state.example or example_of(scene.attempts)
    scene = replace(scene, attempts=pack(scene.attempts, example))
    return replace(state, scenes=state.scenes.replaced(place, scene), example=example)


def _scene_ended(scene: Scene, fact: e.SceneEnded) -> Scene:
    ended: ScenePhase = "done" if fact.success else "failed"
    phase = "cancelled" if fact.cancelled else "skipped" if fact.skipped else ended
    return replace(
        scene, phase=phase, best=fact.best or None, success=fact.success, meets_floor=fact.meets_floor,
        frames=fact.frames, next_reason="", stopped=fact.stopped, given_up=None, turn=None,
    )  # fmt: skip


def _reopen(state: State, fact: e.SceneReopened) -> State:
    def reopened(scene: Scene) -> Scene:
        return replace(
            scene, phase="waiting", next_reason=fact.reason, extra_attempts=scene.extra_attempts + 1,
            seed=fact.seed, prompt=fact.prompt, stopped=False, given_up=None,
        )  # fmt: skip

    return _scene(state, fact.scene, reopened)


def _fold_attempt(state: State, fact: e.AttemptFact, at: datetime) -> State:
    if isinstance(fact, e.AttemptPlanned):
        attempt = Attempt(
            number=fact.attempt, prompt_id=fact.prompt_id, prefix=fact.prefix, seed=fact.seed, planned_at=at,
            reason=fact.reason, prompt=fact.prompt, server=state.server_called(e.named(fact.server)).url,
            server_name=e.named(fact.server),
        )  # fmt: skip
        planned = _scene(state, fact.scene, lambda s: _with_attempt(replace(s, phase="planned", turn=None), attempt))
        return _without_progress(planned, fact.scene)
    scene = state.scene(fact.scene)
    attempt_now = scene.attempt(fact.attempt) if scene else None
    if attempt_now is None:
        return state
    attempt = _advance(attempt_now, fact, at)
    if isinstance(fact, e.ExecutionEnded):
        attempt = replace(attempt, steps=state.steps.get(fact.scene, attempt.steps))
    folded = _scene(state, fact.scene, lambda s: _with_attempt(s, attempt))
    match fact:
        case e.FrameProven(frame=frame):
            row = FrameRow(
                scene=fact.scene, attempt=fact.attempt, name=frame.name, bytes=frame.bytes, at=at,
                state="proven" if frame.verified else "unproven", sha256=frame.sha256, via=frame.via,
            )  # fmt: skip
            return replace(folded, frames=folded.frames.told(row))
        case e.FrameRefused() | e.FrameLost():
            verdict = fact.state if isinstance(fact, e.FrameRefused) else "missing"
            row = FrameRow(scene=fact.scene, attempt=fact.attempt, name=fact.name, state=verdict, at=at, why=fact.why)
            return replace(folded, frames=folded.frames.told(row))
        case e.ExecutionEnded():
            return _without_progress(folded, fact.scene)
        case e.AttemptEnded():
            frames = folded.frames.ended(fact.scene, fact.attempt)
            return _without_progress(replace(folded, frames=frames), fact.scene)
        case _:
            return folded


def _step_told(state: State, sample: e.Progress, at: datetime) -> State:
    if sample.maximum <= 1:
        return state
    known = state.steps.get(sample.scene)
    return replace(state, steps={**state.steps, sample.scene: Steps(first=known.first if known else at, last=at)})


def _without_progress(state: State, scene_id: str) -> State:
    if scene_id not in state.progress and scene_id not in state.steps:
        return state
    return replace(
        state, progress={scene: sample for scene, sample in state.progress.items() if scene != scene_id},
        steps={scene: steps for scene, steps in state.steps.items() if scene != scene_id},
    )  # fmt: skip


def _with_attempt(scene: Scene, attempt: Attempt) -> Scene:
    """Put ``attempt`` into its scene. The scene's phase follows its newest attempt, and only while it goes forward.

    What is told late (a note on an attempt that ended, a frame of the one before) is kept with the attempt, and neither
    reopens a scene that is over nor takes one back that waits for its next attempt.
    """
    before = scene.attempt(attempt.number)
    if before is None:
        attempts = (*scene.attempts, attempt)
    else:
        attempts = tuple(attempt if a.number == attempt.number else a for a in scene.attempts)
    if scene.over or attempts[-1] is not attempt:
        return replace(scene, attempts=attempts)
    # An attempt that ended leaves its scene collecting until the planner says requeued or ended.
    phase: ScenePhase = "collecting" if attempt.phase == "ended" else attempt.phase
    if before is not None and before.phase == attempt.phase:
        phase = scene.phase
    return replace(scene, attempts=attempts, phase=phase, frames=attempt.proven)


_PHASES: tuple[AttemptPhase, ...] = ("planned", "queued", "executing", "collecting", "ended")


def _later(now: AttemptPhase, then: AttemptPhase) -> AttemptPhase:
    """Return the later of two phases: the socket may tell of the execution before the POST is answered."""
    return max(now, then, key=_PHASES.index)


def _advance(a: Attempt, fact: e.AttemptFact, at: datetime) -> Attempt:
    match fact:
        case e.FrameProven(frame=frame):
            others = [f for f in a.frames if f.name != frame.name]
            return replace(a, frames=(*others, frame), refused=_without(a.refused, frame.name))
        case e.PromptQueued():
            return replace(
                a, phase=_later(a.phase, "queued"), queued_at=at, warnings=(*a.warnings, *fact.warnings),
                prompt_id=fact.prompt_id or a.prompt_id,
            )  # fmt: skip
        case e.ExecutionStarted():
            return replace(a, phase=_later(a.phase, "executing"), executing_at=at)
        case e.GpuMeasured(moment="before"):
            return replace(a, before=fact.measurement)
        case e.GpuMeasured():
            return replace(a, after=fact.measurement)
        case e.HistoryRead():
            look = HistoryLook(at=at, status=fact.status, message=fact.message)
            return replace(a, history=(*a.history, look))
        case e.StallNoticed(step="interrupt" | "delete" | "give_up" as step):
            note = stall_note(step)
            return a if note in a.notes else replace(a, notes=(*a.notes, note))
        case e.ExecutionEnded():
            return replace(
                a, phase=_later(a.phase, "collecting"), execution_ended_at=at, status=fact.status,
                success_at=fact.success_at, error=fact.error, expected=fact.expected,
            )  # fmt: skip
        case e.FrameLost():
            refusal = Refusal(name=fact.name, state="missing", why=fact.why)
            kept = tuple(frame for frame in a.frames if frame.name != fact.name)
            return replace(a, frames=kept, refused=(*_without(a.refused, fact.name), refusal))
        case e.FrameRefused():
            refusal = Refusal(name=fact.name, state=fact.state, why=fact.why)
            return replace(a, refused=(*_without(a.refused, fact.name), refusal))
        case e.DoneMarkerAwaited():
            return replace(a, marker_waited=fact.waited, marker_path=fact.path)
        case e.CopyForced():
            return replace(a, forced_debug_path=fact.debug_path)
        case e.AttemptNoted(kind="note"):
            return replace(a, notes=(*a.notes, fact.text))
        case e.AttemptNoted(kind="warning"):
            return replace(a, warnings=(*a.warnings, fact.text))
        case e.AttemptNoted():
            return replace(a, errors=(*a.errors, fact.text))
        case e.AttemptEnded():
            return replace(
                a, phase="ended", ended_at=at, status=fact.status, exit_reason=fact.exit_reason,
                telemetry=fact.telemetry,
            )  # fmt: skip
        case _:
            return a


def _without(refused: tuple[Refusal, ...], name: str) -> tuple[Refusal, ...]:
    return tuple(refusal for refusal in refused if refusal.name != name) if refused else refused
