"""The headless face: a run as plain lines for people, or as NDJSON for scripts. It knows feeds and nothing of sources.

Plain: ``HH:MM:SS  scene-001  what happened``, one line a fact; frames are summed up, progress is thinned out. JSON:
every fact's envelope as it is, samples thinned out, ``{"v":1,"feed":{...}}`` for news of the feed itself, and at the
end ``{"v":1,"summary":{...}}``.
"""

from collections.abc import AsyncIterator, Callable
from datetime import datetime, tzinfo
from typing import Any, Protocol

import msgspec

from comfytui.clock import Clock, in_zone
from comfytui.faces.idleness import Idleness
from comfytui.faces.printer import Printer
from comfytui.model import events as e
from comfytui.model.counted import counted
from comfytui.model.envelope import Envelope, encode
from comfytui.model.feed import AnotherRun, CaughtUp, FeedChanged, FeedItem
from comfytui.model.fold import fold
from comfytui.model.narrate import narrate
from comfytui.model.shares import contributions
from comfytui.model.state import Attempt, State
from comfytui.model.telemetry import to_mb
from comfytui.untrusted import plain

JSON_VERSION = 1
SAMPLE_INTERVAL = 5.0
"""Seconds between two lines about the same moving figure; one second when ``verbose``."""

_NARROWEST, _WIDEST = 9, 24
_LONGEST_TEXT = 100_000
_PREFIXES = {"warning": "WARNING: ", "error": "ERROR: "}


class OutputFormatter(Protocol):
    """Turns what a feed tells into lines. ``state`` is what is known of the run so far."""

    state: State
    known: Callable[[], State] | None
    """Returns a state at least as new as what was told, where this process keeps one: nothing is then folded twice."""

    def on_item(self, item: FeedItem) -> list[str]:
        """Return the lines for ``item``, often none."""
        ...

    def finalize(self) -> list[str]:
        """Return the last lines, once the feed has ended."""
        ...


async def follow(
    items: AsyncIterator[FeedItem], formatter: OutputFormatter, printer: Printer, *, while_read: bool = False
) -> int:
    """Print a feed to its end, and return the exit code: the run's own, 1 for a run whose runner died.

    When nobody reads the lines any more it goes on reading the feed, or (``while_read``) ends.
    """
    async for item in items:
        await printer.lines(formatter.on_item(item))
        if while_read and not printer.open:
            break
    await printer.lines(formatter.finalize())
    return exit_code(formatter.state)


def exit_code(state: State) -> int:
    """Return what a command about this run exits with: 1 for one without an end, 0 for a mere observation."""
    run = state.run
    if run is None or run.observing:
        return 0
    return 1 if run.exit_code is None else run.exit_code


class _Thinned:
    """Lets a sample of each kind through at most once in ``interval`` seconds of the run's own time."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._last: dict[tuple[str, ...], datetime] = {}

    def lets(self, envelope: Envelope) -> bool:
        event = envelope.event
        if not isinstance(event, e.Sample):
            return True
        key = e.sample_key(event)
        last = self._last.get(key)
        if last is not None and (envelope.at - last).total_seconds() < self._interval:
            return False
        self._last[key] = envelope.at
        return True

    def forget(self, scene: str) -> None:
        """Let the next progress of ``scene`` through: something else began."""
        self._last.pop(("progress", scene), None)


class _Learning:
    """What is known of the run so far."""

    known: Callable[[], State] | None = None

    def __init__(self) -> None:
        self.state = State()

    def _learn(self, envelope: Envelope) -> None:
        self.state = fold(self.state, envelope) if self.known is None else self.known()


class LineFormatter(_Learning):
    """Plain lines. ``progress`` says whether moving figures are told too; ``zone`` is ``None`` for this machine's."""

    def __init__(
        self, clock: Clock, *, progress: bool = False, verbose: bool = False, zone: tzinfo | None = None
    ) -> None:
        super().__init__()
        self._clock = clock
        self._progress = progress or verbose
        self._thinned = _Thinned(1.0 if verbose else SAMPLE_INTERVAL)
        self._zone = zone
        self._width = _NARROWEST
        self._caught_up = False
        self._was_live = False
        self._queue: int | None = None
        self._idleness = Idleness()

    def on_item(self, item: FeedItem) -> list[str]:
        """Return the lines for ``item``, often none."""
        match item:
            case CaughtUp():
                self._caught_up = True
                return []
            case AnotherRun():
                lines = self.finalize()
                self.state, self._caught_up, self._was_live = State(), False, False
                return lines
            case FeedChanged():
                return self._feed(item)
            case Envelope():
                self._learn(item)
                return [*self._event(item), *self._idle(item)]

    def finalize(self) -> list[str]:
        """Return how the run stands, in a line or two."""
        if self.state.run is None or self.state.run.observing:
            return []
        return [self._line(self._clock.now(), None, text) for text in closing(self.state)]

    def _feed(self, change: FeedChanged) -> list[str]:
        if change.recorded:
            return [self._line(self._clock.now(), None, f"WARNING: {change.why}")] if change.why else []
        gone, self._was_live = self._was_live and not change.live, change.live or self._was_live
        over = self.state.run is not None and self.state.run.ended_at is not None
        if over or (change.live and not gone):
            return []
        why = f": {change.why}" if change.why else ""
        return [self._line(self._clock.now(), None, f"WARNING: No runner answers{why}")]

    def _event(self, envelope: Envelope) -> list[str]:
        event = envelope.event
        match event:
            case e.RunOpened(run_id=""):
                return []  # a mere observation, which opens no run
            case e.RunOpened():
                widest = max((len(scene.id) for scene in event.scenes), default=0)
                self._width = min(max(_NARROWEST, widest), _WIDEST)
            case e.Progress():
                told = self._progress and self._caught_up and self._thinned.lets(envelope)
                return [self._line(envelope.at, event.scene, _progress(event))] if told else []
            case e.FrameWriting() | e.QueueDepth():
                return self._observed(envelope.at, event)
            case e.AttemptEnded():
                self._thinned.forget(event.scene)
        words = narrate(event)
        if words is None:
            return []
        level, text, scene = words
        line = self._line(envelope.at, scene, f"{_PREFIXES.get(level, '')}{text}")
        frames = self._frames(event) if isinstance(event, e.AttemptEnded) else None
        return [self._line(envelope.at, scene, frames), line] if frames else [line]

    def _idle(self, envelope: Envelope) -> list[str]:
        """Return why servers idle, where progress is told and that changed."""
        moves = isinstance(envelope.event, e.ExecutionStarted | e.ExecutionEnded | e.ServerFact)
        if not (moves and self._progress and self._caught_up):
            return []
        return [self._line(envelope.at, None, text) for text in self._idleness.news(self.state, envelope.at)]

    def _observed(self, at: datetime, sample: e.FrameWriting | e.QueueDepth) -> list[str]:
        """Return a line for what nobody's run tells: a queue that changed, a frame that landed on a watched server."""
        run = self.state.run
        if run is None or not run.observing or not self._caught_up:
            return []
        if isinstance(sample, e.QueueDepth):
            count = sample.ours + sample.others
            changed, self._queue = count != self._queue, count
            return [self._line(at, "server", f"Queue: {counted(count, 'prompt')}")] if changed else []
        if sample.state == "writing":
            return []
        return [self._line(at, "server", f"Frame {sample.name} {sample.state} ({to_mb(sample.bytes)} MB)")]

    def _frames(self, event: e.AttemptEnded) -> str | None:
        """Return what became of the frames of an attempt that ended, ``None`` if there were none."""
        scene = self.state.scene(event.scene)
        attempt = scene.attempt(event.attempt) if scene else None
        return frames_line(attempt) if attempt is not None else None

    def _line(self, at: datetime, scene: str | None, text: str) -> str:
        run = self.state.run
        nobody = "server" if run is not None and run.observing else "run"
        who = plain(scene or nobody, _WIDEST).ljust(self._width)
        return f"{in_zone(at, self._zone):%H:%M:%S}  {who}  {plain(text)}"


class JsonFormatter(_Learning):
    """NDJSON: one object a line, each with its version ``v``."""

    def __init__(self, *, verbose: bool = False) -> None:
        super().__init__()
        self._thinned = _Thinned(1.0 if verbose else SAMPLE_INTERVAL)
        self._caught_up = False

    def on_item(self, item: FeedItem) -> list[str]:
        """Return the line for ``item``, or none for a sample that is thinned out or recorded long ago."""
        match item:
            case CaughtUp():
                self._caught_up = True
                return [json_line(feed={"caught_up": True})]
            case AnotherRun():
                lines = self.finalize()
                self.state, self._caught_up = State(), False
                return lines
            case FeedChanged():
                return [json_line(feed={"live": item.live, "why": item.why})]
            case Envelope():
                self._learn(item)
                told = item.is_fact or (self._caught_up and self._thinned.lets(item))
                return [_plainly(encode(item).decode())] if told else []

    def finalize(self) -> list[str]:
        """Return the summary, as the last line."""
        return [json_line(summary=summary(self.state))]


def json_line(**body: object) -> str:
    """Return ``body`` as one line of JSON with the version."""
    return _plainly(msgspec.json.encode({"v": JSON_VERSION, **body}).decode())


def _plainly(line: str) -> str:
    """Return a line of JSON whose texts do nothing to a terminal, not even once it is decoded.

    Texts are plain from the source on; but a journal may be somebody else's, and a folder may have any name.
    """
    if line.isascii() and "\\" not in line and "\x7f" not in line:
        return line
    return msgspec.json.encode(_plain_texts(msgspec.json.decode(line))).decode()


def _plain_texts(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value, _LONGEST_TEXT)
    if isinstance(value, dict):
        return {plain(key, _LONGEST_TEXT): _plain_texts(inner) for key, inner in value.items()}
    return [_plain_texts(inner) for inner in value] if isinstance(value, list) else value


def summary(state: State) -> dict[str, Any]:
    """Return how the run stands, as the summary line of NDJSON has it; ``run`` is ``None`` for a mere observation."""
    run = state.run
    return {
        "run": run.id if run else None,
        "dir": run.dir if run else None,
        "outcome": run.outcome if run else None,
        "exit_code": exit_code(state),
        "validated": run.validated if run else None,
        "findings": list(run.findings) if run else [],
        "archive": run.archive if run else None,
        "duration_seconds": _seconds(state),
        "frames": sum(scene.frames for scene in state.scenes),
        "requeues": _requeues(state),
        **({"servers": msgspec.to_builtins(contributions(state))} if state.several else {}),
        "scenes": [
            {
                "id": scene.id,
                "phase": scene.phase,
                "success": scene.success,
                "meets_floor": scene.meets_floor,
                "frames": scene.frames,
                "floor": scene.brief.floor,
                "attempts": len(scene.attempts),
                "best": scene.best,
            }
            for scene in state.scenes
        ],
    }


def closing(state: State) -> list[str]:
    """Return the last words about a run: the figures, and where everything is."""
    run = state.run
    if run is None:
        return []
    won = sum(scene.success for scene in state.scenes)
    frames = sum(scene.frames for scene in state.scenes)
    requeues = _requeues(state)
    seconds = _seconds(state)
    ended = f", exit {run.exit_code}" if run.exit_code is not None else ", no end on record"
    took = f" in {duration_words(seconds)}" if seconds is not None else ""
    counts = f"{counted(frames, 'frame')}, {counted(requeues, 'requeue')}"
    figures = f"{won}/{len(state.scenes)} scenes succeeded{took}, {counts}{ended}"
    return [figures, *(told.words for told in contributions(state)), f"Run folder: {run.dir}"]


def frames_line(attempt: Attempt) -> str | None:
    """Return the frames of an attempt in words: ``Attempt 1: 24 frames proven (31.2 MB), 1 truncated``."""
    if not attempt.frames and not attempt.refused:
        return None
    proven = [frame for frame in attempt.frames if frame.verified]
    parts = [f"{counted(len(proven), 'frame')} proven ({to_mb(sum(frame.bytes for frame in proven))} MB)"]
    if unproven := len(attempt.frames) - len(proven):
        parts.append(f"{unproven} taken unproven")
    for state in ("truncated", "missing", "unsafe"):
        if count := sum(refusal.state == state for refusal in attempt.refused):
            parts.append(f"{count} {state}")
    return f"Attempt {attempt.number}: {', '.join(parts)}"


def _progress(sample: e.Progress) -> str:
    steps = f" {sample.value:g}/{sample.maximum:g}" if sample.maximum > 1 else ""
    title = sample.title or sample.node
    return f"Attempt {sample.attempt}: {title}{steps}, node {sample.nodes_done + 1} of {sample.nodes_total}"


def _requeues(state: State) -> int:
    return sum(max(0, len(scene.attempts) - 1) for scene in state.scenes)


def _seconds(state: State) -> float | None:
    """Return how long the run took, or has taken up to its newest event."""
    run = state.run
    if run is None or state.at is None:
        return None
    return round(((run.ended_at or state.at) - run.opened_at).total_seconds(), 1)


def duration_words(seconds: float) -> str:
    """Return ``seconds`` as people say them: ``4.2 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
