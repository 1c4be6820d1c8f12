"""Facts in words: the one place that turns an event into a line a person reads, for the log pane and headless lines."""

from comfytui.model import events as e
from comfytui.model.away import away_words, spelled
from comfytui.model.counted import counted
from comfytui.model.telemetry import to_mb

Level = str


def narrate(event: e.AnyEvent) -> tuple[Level, str, str | None] | None:
    """Return ``(level, text, scene)`` of a fact worth a line, or ``None`` for one that only moves figures.

    Where a run has several servers, what is about one of them begins with its name.
    """
    told = _narrated(event)
    name = e.named(event.server) if isinstance(event, e.ServerFact | e.RunNoted) else ""
    if told is None or not name:
        return told
    level, text, scene = told
    return level, f"{name}: {text}", scene


def _narrated(event: e.AnyEvent) -> tuple[Level, str, str | None] | None:
    match event:
        case e.AttemptFact():
            return _attempt(event)
        case e.RunOpened(scenes=()):
            return None  # a server is watched; there is no run
        case e.RunOpened():
            scenes = counted(len(event.scenes), "scene")
            of = f"; {event.sweep.words} of {event.sweep.sweep}" if event.sweep else ""
            on = f", on {len(event.servers)} servers" if event.servers else ""
            what = f"{event.story.id}, {scenes}, workflow {event.workflow}{on}{of}"
            return "info", f"Run {event.run_id} opened: {what}", None
        case e.RunnerStarted(reason="observe"):
            return "info", f"Watching the server (process {event.pid})", None
        case e.RunnerStarted():
            return "info", f"Runner started: process {event.pid} on {event.host} ({event.reason})", None
        case e.RunNoted():
            remedy = f" {event.remedy}" if event.remedy else ""
            return event.level, f"{event.text}{remedy}", event.scene
        case e.SuiteStarted(again=True):
            return None
        case e.SuiteStarted():
            return "info", f"Check suite {event.label}: {event.command}", None
        case e.SuiteRan(suite=suite):
            return "info" if suite.exit_code == 0 else "warning", f"{suite.label} exitCode={suite.exit_code}", None
        case e.RunSettled():
            return "info", "Every scene is at rest; completing the records", None
        case e.RunEnded():
            return "info" if event.exit_code == 0 else "warning", f"Run {event.outcome}, exit {event.exit_code}", None
        case e.RunValidated(passed=True):
            return "info", "Validation passed", None
        case e.RunValidated():
            first = _because(f"first of {len(event.findings)}: {event.findings[0]}") if event.findings else ""
            return "error", f"Validation failed{first}", None
        case e.RunArchived():
            return "info", f"Archive written: {event.path} ({to_mb(event.bytes)} MB)", None
        case e.QueueHeld():
            return "info", "Queue held" if event.held else "Queue released", None
        case e.CommandAnswered():
            answer = "accepted" if event.accepted else "refused"
            return ("info" if event.accepted else "warning"), f"{event.command}: {answer}{_because(event.why)}", None
        case e.SceneRequeued():
            text = f"Requeued, attempt {event.next_attempt}/{event.attempts}: {event.reason}"
            return "warning", text, event.scene
        case e.SceneReopened():
            return "info", f"Reopened: {event.reason}", event.scene
        case e.SceneMoved():
            return (
                "info",
                f"Moved {f'before {event.before}' if event.before else 'to the end of the queue'}",
                event.scene,
            )
        case e.SceneEnded():
            return _scene_ended(event)
        case _:
            return _server(event)


def _because(why: str) -> str:
    return f", {why}" if why else ""


def _scene_ended(event: e.SceneEnded) -> tuple[Level, str, str]:
    if event.cancelled:
        return "warning", f"Cancelled with {counted(event.frames, 'frame')} kept", event.scene
    if event.skipped:
        kept = f" with {counted(event.frames, 'frame')} of attempt {event.best}" if event.frames else ", not rendered"
        return "warning", f"Skipped{kept}", event.scene
    if not event.success:
        return "error", f"Failed with {counted(event.frames, 'frame')} proven (best: attempt {event.best})", event.scene
    level = "info" if event.meets_floor else "warning"
    below = "" if event.meets_floor else ", below its floor"
    return level, f"Done: {counted(event.frames, 'frame')} proven{below} (attempt {event.best})", event.scene


def _server(event: e.AnyEvent) -> tuple[Level, str, str | None] | None:
    match event:
        case e.ServerReached():
            version = event.version or "unknown version"
            frames = event.output_dir if event.frames_by == "disk" else "fetched over HTTP"
            return "info", f"ComfyUI {version} at {event.url}; frames: {frames}", None
        case e.ServerStarted():
            return "info", f"{'ComfyUI started with PID' if event.ready else 'Starting ComfyUI: PID'} {event.pid}", None
        case e.ServerDied():
            return "error", f"ComfyUI (PID {event.pid}) died: {event.why}", None
        case e.ServerStopped(skipped=""):
            return "info", f"ComfyUI with PID {event.pid} stopped", None
        case e.ServerStopped():
            return "info", f"ComfyUI stop skipped for PID {event.pid}: {event.skipped}", None
        case e.ServerTroubled():
            return "error", f"{event.what} {event.remedy} [{event.code}]", None
        case e.ServerLeftOut():
            return "error", f"Left out: {event.what} {event.remedy} [{event.code}]", None
        case e.ServerAway(away=away) if away < 1:
            return "warning", f"{event.what} {_waiting(event.wait)} [{event.code}]", None
        case e.ServerAway():
            return "warning", f"{away_words(event.away, event.next_try, event.wait).capitalize()}", None
        case e.ServerGivenUp(away=away) if away < 1:
            return None  # why it is left out was just told
        case e.ServerGivenUp():
            return "error", f"The server has been away for {spelled(event.away)}: not waited for any more", None
        case e.ServerBack():
            return "info", f"The server answers again, after {spelled(event.away)}", None
        case e.ServerRestarted():
            return "warning", f"The server was restarted{_because(event.why)}", None
        case e.SocketChanged():
            level = "info" if event.state == "open" else "warning"
            return level, f"Socket {event.state}{_because(event.why)}", None
        case _:
            return None


def _waiting(wait: float | None) -> str:
    return "Waiting for it" + ("." if wait is None else f" up to {spelled(wait)}.")


def stall_note(step: e.StallWord) -> str:
    """Return what the fallback notes of an attempt say of that step of the stall watchdog."""
    return f"stalled on the server: {_STALL_STEPS[step]}"


_STALL_STEPS: dict[e.StallWord, str] = {
    "look": "looking again over HTTP",
    "interrupt": "interrupted by its id",
    "delete": "deleted from the queue by its id",
    "give_up": "given up",
    "moved": "it moves again",
}


def _stalled(event: e.StallNoticed) -> str:
    if event.step == "moved":
        return f"Attempt {event.attempt} moves again, after {spelled(event.quiet)} without a sign"
    quiet = f"no progress, frame or GPU activity for {spelled(event.quiet)} (limit {spelled(event.limit)})"
    return f"Attempt {event.attempt}: {quiet}; {_STALL_STEPS[event.step]}"


def _attempt(event: e.AttemptFact) -> tuple[Level, str, str] | None:
    number, scene = event.attempt, event.scene
    match event:
        case e.FrameProven() | e.HistoryRead() | e.GpuMeasured():
            return None
        case e.PromptQueued():
            place = "" if event.number is None else f" as number {event.number}"
            return "info", f"Attempt {number} queued on {event.server or 'the server'}{place}", scene
        case e.ExecutionStarted():
            return "info", f"Attempt {number} executing", scene
        case e.ExecutionEnded(status="success" | "cached" | "partial"):
            expected = "" if event.expected is None else f", {counted(event.expected, 'frame')}"
            level = "warning" if event.status == "partial" else "info"
            return level, f"Attempt {number}: ComfyUI reports {event.status}{expected}", scene
        case e.ExecutionEnded():
            message = event.error.message if event.error else None
            return "error", f"Attempt {number}: {event.status}{_because(message or '')}", scene
        case e.StallNoticed():
            return ("info" if event.step == "moved" else "warning"), _stalled(event), scene
        case e.FrameRefused():
            return "warning", f"Frame {event.name} {event.state}: {event.why}", scene
        case e.FrameLost():
            return "warning", f"Frame {event.name} of attempt {number} is lost: {event.why}", scene
        case e.CopyForced():
            return "warning", f"Attempt {number}: frames copied unproven, see {event.debug_path}", scene
        case e.AttemptNoted():
            return ("info" if event.kind == "note" else event.kind), f"Attempt {number}: {event.text}", scene
        case e.AttemptEnded():
            why = "" if event.exit_reason == event.status else f" ({event.exit_reason})"
            seconds = f"{event.telemetry.duration_seconds:.1f} s"
            return "info", f"Attempt {number} ended: {event.status} after {seconds}{why}", scene
        case _:
            return None
