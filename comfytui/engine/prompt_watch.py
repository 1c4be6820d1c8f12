"""The life of one prompt on the server: waited for with the socket's hints, concluded over HTTP, given up by policy."""

from collections.abc import Callable

from anyio import to_thread

from comfytui.engine import ending as endings
from comfytui.engine.desk import Desk
from comfytui.engine.ending import Ending
from comfytui.engine.signals import PromptSignals
from comfytui.engine.submitting import withdraw
from comfytui.engine.voice import AttemptVoice
from comfytui.engine.waiting import RESOLUTION, GiveUp, GiveUpReason, Look, ReadHistory, Reconcile, WaitOn, next_step
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.records.atomic import write_atomic
from comfytui.sources.comfy.wire import HistoryEntry


class PromptWatch:
    """Waits for the end of a prompt that is on the server.

    ``folder`` is the scene's folder in the run; ``partial`` tells that the server refused some of the prompt's outputs;
    ``on_executing`` is called once, when the prompt is seen to execute.
    """

    def __init__(
        self, desk: Desk, voice: AttemptVoice, signals: PromptSignals, folder: str, *, partial: bool,
        on_executing: Callable[[], None],
    ) -> None:  # fmt: skip
        self._desk, self._voice, self._signals, self._folder = desk, voice, signals, folder
        self._partial, self._on_executing = partial, on_executing
        self._reads = len(voice.attempt.history)
        self._silent_reads = self._reads_after_hint = 0
        self._submitted_at = self._read_at = self._answered_at = desk.clock.monotonic()
        self._executing_at: float | None = None
        self._answered = True

    async def end(self) -> Ending:
        """Return how the prompt ended, once it has or is given up."""
        while True:
            if self._signals.executing and self._executing_at is None:
                self._executing_at = self._desk.clock.monotonic()
                self._on_executing()
            ending: Ending | None = None
            match next_step(self._look(), self._desk.policy):
                case WaitOn(seconds=seconds):
                    await self._signals.wait(seconds)
                case ReadHistory():
                    ending = self._ending_of(await self._read_history())
                case Reconcile():
                    ending = await self._reconcile()
                case GiveUp(reason=reason):
                    ending = await self._surrender(reason)
            if ending is not None:
                return ending

    def _look(self) -> Look:
        now, router, signals = self._desk.clock.monotonic(), self._desk.router, self._signals
        heard = router.heard_at if router.open else self._answered_at
        return Look(
            since_submit=now - self._submitted_at,
            since_executing=None if self._executing_at is None else now - self._executing_at,
            since_heard=now - (router.heard_at if router.open else self._submitted_at),
            since_heard_of_it=now - max(signals.heard_at, self._submitted_at),
            since_read=now - self._read_at,
            since_contact=now - max(heard, self._answered_at),
            answered=self._answered,
            reads=self._reads,
            silent_reads=self._silent_reads,
            hint_in=None if signals.over_at is None else signals.over_at - now,
            reads_after_hint=self._reads_after_hint,
            reconcile=signals.reconcile,
            cancelled=signals.cancelled,
        )

    async def _read_history(self) -> HistoryEntry | None:
        """Read ``/history/<prompt_id>`` and tell of it; ``None`` while it holds no outcome or cannot be read."""
        over_at = self._signals.over_at
        hinted = over_at is not None and self._desk.clock.monotonic() >= over_at - RESOLUTION
        entry: HistoryEntry | None = None
        status: e.HistoryWord = "pending"
        message = ""
        try:
            entry = await self._desk.http.history(self._voice.prompt_id)
            self._answered, self._answered_at = True, self._desk.clock.monotonic()
        except Failure as failure:
            self._answered = False
            status, message = "error", failure.what
        if entry is not None and entry.outcome is None:
            entry, message = None, "the entry tells no outcome yet"
        if entry is not None:
            status = "success"
            path = self._desk.run_dir.attempt_history(self._folder, self._voice.number)
            await to_thread.run_sync(write_atomic, path, entry.raw)
        self._reads += 1
        self._silent_reads += 1
        self._reads_after_hint += hinted
        self._read_at = self._desk.clock.monotonic()
        self._voice.tell(e.HistoryRead, reads=self._reads, status=status, message=message)
        return entry

    async def _reconcile(self) -> Ending | None:
        """Find the prompt: in the queue, in history, or nowhere. ``None``: it is still on its way."""
        self._signals.reconcile = False
        try:
            place = (await self._desk.http.queue()).where(self._voice.prompt_id)
        except Failure as failure:
            self._answered, self._read_at = False, self._desk.clock.monotonic()
            self._silent_reads += 1
            self._voice.note("note", f"/queue unavailable: {failure.what}")
            return None
        self._answered, self._answered_at = True, self._desk.clock.monotonic()
        self._read_at = self._answered_at
        if place is not None:
            self._silent_reads += 1
            if place == "running":
                self._signals.started()
            return None
        entry = await self._read_history()
        if entry is not None:
            return self._ending_of(entry)
        looks = self._voice.attempt.history
        return endings.of_loss() if looks and looks[-1].status == "pending" else None

    async def _surrender(self, reason: GiveUpReason) -> Ending:
        """Take the prompt off the server before anything else is sent, and see how it ended after all."""
        policy, server = self._desk.policy, self._desk.http.address.url
        surrendered = endings.of_surrender(reason, policy, server)
        if reason == "serverLost":
            return surrendered
        if not await withdraw(self._desk, self._voice.prompt_id):
            self._voice.note("warning", "The prompt could not be taken off the server; it may still run there")
        if policy.history_max_attempts and self._reads >= policy.history_max_attempts:
            return surrendered
        told = self._ending_of(await self._read_history())
        if told is None:
            return surrendered
        return told if told.success_at is not None else endings.with_files(surrendered, told)

    def _ending_of(self, entry: HistoryEntry | None) -> Ending | None:
        if entry is None:
            return None
        if self._executing_at is None and entry.started_at is not None:
            self._executing_at = self._desk.clock.monotonic()
            self._on_executing()  # it began and ended between two looks
        return endings.of_history(entry, self._desk.clock.now(), partial=self._partial)
