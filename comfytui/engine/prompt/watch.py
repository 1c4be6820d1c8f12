"""The life of one prompt on the server: waited for with the socket's hints, concluded over HTTP, given up by policy."""

from collections.abc import Callable

from comfytui.engine.attempt.desk import Desk
from comfytui.engine.attempt.voice import AttemptVoice
from comfytui.engine.prompt import ending as endings
from comfytui.engine.prompt.ending import Ending
from comfytui.engine.prompt.signals import PromptSignals
from comfytui.engine.prompt.stall_watch import StallWatch
from comfytui.engine.prompt.submitting import STILL_THERE, UNHEEDED, known, withdraw
from comfytui.engine.prompt.waiting import (
    RESOLUTION,
    GiveUp,
    GiveUpReason,
    Look,
    ReadHistory,
    Reconcile,
    WaitOn,
    next_step,
)
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.sources.comfy.wire import HistoryEntry

NO_OUTCOME = "the entry tells no outcome yet"


class PromptWatch:
    """Waits for the end of a prompt that is on the server.

    ``partial`` tells that the server refused some of the prompt's outputs;
    ``on_executing`` is called once, when the prompt executes (True) or has done so unseen (False); ``grew_at`` tells
    when (monotonic seconds) a frame of it last grew; ``save`` keeps the history entry that tells the end, while the
    frames are taken. No time runs out while the server is away.
    """

    def __init__(
        self, desk: Desk, voice: AttemptVoice, signals: PromptSignals, *, partial: bool,
        on_executing: Callable[[bool], None], grew_at: Callable[[], float], save: Callable[[bytes], object],
    ) -> None:  # fmt: skip
        self._desk, self._voice, self._signals = desk, voice, signals
        self._partial, self._on_executing, self._save = partial, on_executing, save
        self._reads = len(voice.attempt.history)
        self._silent_reads = self._reads_after_hint = self._failed_reads = 0
        self._submitted_at = self._read_at = self._answered_at = desk.clock.monotonic()
        self._executing_at: float | None = None
        self._away_before = self._away_before_executing = desk.server.away_in_all()
        self._life, self._breaks = desk.server.life, desk.server.breaks
        self._answered = True
        self._stall = StallWatch(desk, voice, signals, grew_at)

    async def end(self) -> Ending:
        """Return how the prompt ended, once it has or is given up."""
        while True:
            if self._signals.executing:
                self._executes()
            ending = await self._given_back() if self._signals.recalled else None
            if ending is not None:
                return ending
            stalled, again = self._stall.due(self._executing_at)
            match next_step(self._look(), self._desk.policy):
                case WaitOn() | ReadHistory() | Reconcile() if stalled is not None:
                    ending = await self._climb(stalled)
                case WaitOn(seconds=seconds):
                    await self._signals.wait(seconds if again is None else min(seconds, max(RESOLUTION, again)))
                case ReadHistory():
                    ending = self._ending_of(await self._read_history())
                case Reconcile():
                    ending = await self._reconcile()
                case GiveUp(reason=reason):
                    ending = await self._surrender(reason)
            if ending is not None:
                return self._after_stall(ending)

    def _executes(self, *, seen: bool = True) -> None:
        if self._executing_at is None:
            self._executing_at = self._desk.clock.monotonic()
            self._away_before_executing = self._desk.server.away_in_all()
            self._on_executing(seen)

    def _look(self) -> Look:
        now, router, signals = self._desk.clock.monotonic(), self._desk.router, self._signals
        server = self._desk.server
        away = server.away_in_all()
        heard = max(router.heard_at if router.open else self._answered_at, server.contact_at)
        executing_at = self._executing_at
        return Look(
            since_submit=now - self._submitted_at - (away - self._away_before),
            since_executing=None if executing_at is None else now - executing_at - (away - self._away_before_executing),
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
            away=server.away_for() if server.away else None,
            patience=self._desk.patience(self._voice.scene) if server.away else None,
            failed_reads=self._failed_reads,
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
            self._answer()
            self._failed_reads = 0
        except Failure as failure:
            self._no_answer()
            status, message = "error", failure.what
        if entry is not None and entry.outcome is None:
            entry, message = None, NO_OUTCOME
        if entry is not None:
            status = "success"
            self._save(entry.raw)
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
            self._no_answer()
            self._read_at = self._desk.clock.monotonic()
            self._silent_reads += 1
            self._voice.note("note", f"/queue unavailable: {failure.what}")
            return None
        self._answer()
        self._read_at = self._answered_at
        if place is not None:
            self._silent_reads += 1
            self._failed_reads = 0
            if place == "running":
                self._signals.started()
            return None
        entry = await self._read_history()
        if entry is not None:
            return self._ending_of(entry)
        looks = self._voice.attempt.history
        if not looks or looks[-1].status != "pending" or looks[-1].message == NO_OUTCOME:
            return None
        self._desk.server.forgot(life=self._life, breaks=self._breaks, executing=self._executing_at is not None)
        return endings.of_loss()

    async def _given_back(self) -> Ending | None:
        """Take a prompt that waits off the server for another; ``None``: it stays, since it executes or nobody says."""
        self._signals.recalled = False
        if self._executing_at is not None or self._desk.server.away:
            return None
        try:
            await self._desk.http.delete_pending([self._voice.prompt_id])
            if await known(self._desk, self._voice.prompt_id):
                return None
        except Failure:
            self._signals.reconcile = True
            return None
        return endings.of_hand_over(self._desk.name, "another server is free and done with it sooner")

    def _answer(self) -> None:
        self._answered, self._answered_at = True, self._desk.clock.monotonic()

    def _no_answer(self) -> None:
        self._answered = False
        self._failed_reads += 1
        self._desk.server.doubt()

    async def _climb(self, step: e.StallWord) -> Ending | None:
        """Take a step of the stall watchdog and see what came of it."""
        await self._stall.take(step)
        if step == "moved":
            return None
        ended = await self._reconcile()
        if ended is not None or step != "give_up":
            return ended
        self._voice.note("warning", f"{STILL_THERE}: {self._stall.unheard or UNHEEDED}")
        return endings.of_stall(self._stall.quiet, self._stall.limit)

    def _after_stall(self, ending: Ending) -> Ending:
        """Return the verdict ``stalled`` for a prompt whose end is the doing of the watchdog."""
        ours = self._stall.acted and not self._signals.cancelled and ending.status in ("interrupted", "lost")
        if not ours or ending.gave_up is not None:
            return ending
        return endings.with_files(endings.of_stall(self._stall.quiet, self._stall.limit), ending)

    async def _surrender(self, reason: GiveUpReason) -> Ending:
        """Take the prompt off the server before anything else is sent, and see how it ended after all."""
        policy, server = self._desk.policy, self._desk.http.address.url
        if reason == "handedOver":
            return endings.of_hand_over(self._desk.name, endings.unanswered(self._desk.server.away_for()))
        surrendered = endings.of_surrender(reason, policy, server)
        if reason == "serverLost":
            return surrendered
        await withdraw(self._desk, self._voice)
        if policy.history_max_attempts and self._reads >= policy.history_max_attempts:
            return surrendered
        told = self._ending_of(await self._read_history())
        if told is None:
            return surrendered
        return told if told.success_at is not None else endings.with_files(surrendered, told)

    def _ending_of(self, entry: HistoryEntry | None) -> Ending | None:
        if entry is None:
            return None
        if entry.started_at is not None:
            self._executes(seen=False)  # it began and ended between two looks
        return endings.of_history(entry, self._desk.clock.now(), partial=self._partial)
