"""The watchdog of one prompt: notices that it gives no sign of life, and climbs the ladder, each step a fact."""

from collections.abc import Callable

from comfytui.engine.attempt.desk import Desk
from comfytui.engine.attempt.voice import AttemptVoice
from comfytui.engine.prompt.signals import PromptSignals
from comfytui.engine.prompt.stalling import Silence, next_stall_step, stall_limit
from comfytui.model import events as e
from comfytui.sources.comfy.failures import TransportFailure


class StallWatch:
    """Watches the prompt that ``voice`` speaks for; ``grew_at`` tells when (monotonic) a frame of it last grew."""

    def __init__(self, desk: Desk, voice: AttemptVoice, signals: PromptSignals, grew_at: Callable[[], float]) -> None:
        self._desk, self._voice, self._signals, self._grew_at = desk, voice, signals, grew_at
        self._last: e.StallWord | None = None
        self._last_at = 0.0
        self._interrupts = 0
        self._quiet = 0.0
        self._limit: float | None = None
        self.unheard = ""
        """Why the server did not hear of the last step; empty when it did."""

    @property
    def acted(self) -> bool:
        """Whether the prompt was interrupted: its end is then our doing."""
        return self._interrupts > 0

    @property
    def quiet(self) -> float:
        """For how many seconds it had been silent at the last step."""
        return self._quiet

    @property
    def limit(self) -> float:
        """The seconds of silence that it was allowed."""
        return self._limit or 0.0

    def due(self, executing_at: float | None) -> tuple[e.StallWord | None, float | None]:
        """Return the step that is due now, and in how many seconds to look again (``None``: no need to).

        ``executing_at`` is when (monotonic) the prompt was seen to begin; before that it is not stalled but waits. What
        a socket that is not open does not tell is not known, and is not held against the prompt.
        """
        if executing_at is None or self._desk.server.away or not (self._desk.router.open or self.acted):
            return None, None
        self._limit = stall_limit(self._desk.hub.lane.durations, self._desk.policy.stall_seconds)
        if self._limit is None:
            return None, None
        now = self._desk.clock.monotonic()
        signs = (
            executing_at,
            self._signals.moved_at,
            self._grew_at(),
            self._desk.activity.at,
            self._desk.router.opened_at,
        )
        silence = Silence(
            quiet=now - max(signs), limit=self._limit, last=self._last, since_last=now - self._last_at,
            interrupts=self._interrupts,
        )  # fmt: skip
        step, again = next_stall_step(silence)
        if step is not None and not self.acted:
            self._quiet = silence.quiet if step != "moved" else now - self._last_at
        elif step is not None:
            self._quiet = silence.quiet
        return step, again

    async def take(self, step: e.StallWord) -> None:
        """Tell of ``step`` and do it; where the prompt is, is to be looked at afterwards."""
        self._last, self._last_at = step, self._desk.clock.monotonic()
        self._voice.tell(e.StallNoticed, step=step, quiet=round(self._quiet, 1), limit=round(self.limit, 1))
        if step not in ("interrupt", "delete"):
            return
        self.unheard = ""
        try:
            if step == "interrupt":
                self._interrupts += 1
                await self._desk.http.interrupt(self._voice.prompt_id)
            else:
                await self._desk.http.delete_pending([self._voice.prompt_id])
        except TransportFailure as failure:
            self.unheard = failure.what
            self._desk.server.doubt()
