"""What the socket said about one prompt: hints for the attempt that waits for it, never conclusions."""

import anyio

from comfytui.clock import Clock, wait_for

SUCCESS_SETTLES = 0.6
"""Seconds for which ``executing`` with node null is awaited after ``execution_success``: a full garbage collection may
hold it back up to 0.45 s, and history is only sure to be there with it (ComfyUI 0.3.64 and 0.8.0)."""


class PromptSignals:
    """The hints on one prompt, and a bell that rings at each."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stirred = anyio.Event()
        self.heard_at = self.moved_at = clock.monotonic()
        self.executing = False
        self.over_at: float | None = None
        """When (monotonic) the end of the prompt counts as hinted."""
        self.reconcile = False
        self.cancelled = False
        self.recalled = False
        """The prompt is wanted back, unless it executes already: another server would be done with it sooner."""
        self.nodes_done = 0

    def heard(self) -> None:
        """Something was said about the prompt that changes nothing by itself."""
        self.heard_at = self._clock.monotonic()

    def moved(self) -> None:
        """The socket told something of the prompt: it is alive."""
        self.moved_at = self._clock.monotonic()

    def stir(self) -> None:
        """Something changed about the server itself: whoever waits is to look."""
        self._ring()

    def started(self) -> None:
        """The prompt executes."""
        self.heard()
        if not self.executing:
            self.executing = True
            self._ring()

    def ending(self) -> None:
        """The prompt has succeeded; its end follows."""
        self.heard()
        if self.over_at is None:
            self.over_at = self.heard_at + SUCCESS_SETTLES
            self._ring()

    def over(self) -> None:
        """The prompt has ended, however."""
        self.heard()
        self.over_at = self.heard_at
        self._ring()

    def missed(self) -> None:
        """The socket was connected anew: something may have been missed."""
        self.reconcile = True
        self._ring()

    def cancel(self) -> None:
        """A person wants the prompt to end."""
        self.cancelled = True
        self._ring()

    def recall(self) -> None:
        """Another server would be done with the prompt sooner: it is to come back if it only waits."""
        self.recalled = True
        self._ring()

    async def wait(self, seconds: float) -> None:
        """Return at the next hint, or after ``seconds``."""
        await wait_for(self._stirred, seconds, self._clock)

    def _ring(self) -> None:
        self._stirred.set()
        self._stirred = anyio.Event()
