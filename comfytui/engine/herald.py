"""The herald: tells a webhook the news of a run. It listens, and nothing in the run ever waits for it."""

import contextlib
import math
from collections import deque
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, Protocol

import anyio
import msgspec

from comfytui.clock import Clock, wait_for
from comfytui.engine.hub import Hub
from comfytui.errors import Failure
from comfytui.model import events as e
from comfytui.model.envelope import Envelope
from comfytui.model.news import News, NewsKind, news_of
from comfytui.model.state import State
from comfytui.sources.webhook import Untold

PAUSES = (1.0, 5.0)
"""Seconds before the second and the third try, which is the last."""
PENDING = 32
"""News that may wait; the oldest give way, so that a webhook that hangs costs no memory."""
LAST_WORDS = 5.0
"""Seconds for which a run that is over waits for its last news to be told."""
UNSAID = 2.0
"""Seconds of these after which somebody who waits with it is told why."""


class Post(Protocol):
    """Takes the body of a POST. Raises ``Untold``."""

    async def __call__(self, body: bytes) -> None:
        """Post ``body``."""
        ...


class Herald:
    """Tells ``post`` those news of ``hub`` that are of one of ``kinds``, from now on."""

    def __init__(self, hub: Hub, post: Post, kinds: Collection[NewsKind], clock: Clock) -> None:
        self._hub, self._post, self._kinds, self._clock = hub, post, kinds, clock
        self._waiting: deque[bytes] = deque(maxlen=PENDING)
        self._arrived = anyio.Event()
        self._working = anyio.CancelScope()
        self._ending = anyio.Event()
        self._deadline = math.inf
        """When (monotonic) the last news are given up."""
        self._ended = anyio.Event()
        self._warned = False
        self.failure: Failure | None = None
        """Why news could not be told after the run was over, when no journal takes it any more."""
        hub.record_with(self._take)

    async def work(self) -> None:
        """Tell what there is to tell, until :meth:`finish` returns."""
        with self._working:
            while True:
                while self._waiting:
                    await self._tell(self._waiting.popleft())
                if self._ending.is_set():
                    self._ended.set()
                    return
                self._arrived = anyio.Event()
                await self._arrived.wait()

    async def finish(self, on_wait: Callable[[], object] = lambda: None) -> None:
        """Let the last news be told, for five seconds at most; to be called once the run is over.

        ``on_wait`` is called when that takes longer than two seconds.
        """
        self._deadline = self._clock.monotonic() + LAST_WORDS
        self._ending.set()
        self._arrived.set()
        try:
            with anyio.move_on_after(LAST_WORDS) as waiting:
                await wait_for(self._ended, UNSAID, self._clock)
                if not self._ended.is_set():
                    on_wait()
                await self._ended.wait()
        finally:
            self._working.cancel()
        if waiting.cancelled_caught and self.failure is None:
            self.failure = Failure("notify.webhook", why=f"it did not take the last news within {LAST_WORDS:g} s")

    def _take(self, envelope: Envelope, state: State) -> None:
        news = news_of(envelope.event, state)
        if news is not None and news.kind in self._kinds:
            self._waiting.append(body_of(news, state, envelope.at))
            self._arrived.set()

    async def _tell(self, body: bytes) -> None:
        why = ""
        for pause in (0.0, *PAUSES):
            if not await self._paused(pause):
                break
            try:
                await self._post(body)
                return
            except Untold as fault:
                why = fault.why
                if not fault.again:
                    break
        self._warn(Failure("notify.webhook", why=why))

    async def _paused(self, seconds: float) -> bool:
        """Wait for so long and return ``True``; ``False``, at once, where the last news are given up before that."""
        until = self._clock.monotonic() + seconds
        await wait_for(self._ending, seconds, self._clock)
        if until > self._deadline:
            return False
        await self._clock.sleep(max(0.0, until - self._clock.monotonic()))
        return True

    def _warn(self, failure: Failure) -> None:
        """Say once that the webhook is not told: as a fact while the run goes on, else in ``failure``."""
        run = self._hub.state.run
        if self._ending.is_set() or run is None or run.settled_at is not None:
            self.failure = failure
        elif not self._warned:
            note = e.RunNoted(level="warning", text=failure.what, code=failure.code, remedy=failure.remedy)
            with contextlib.suppress(Failure):  # a disk that is full is met by the run itself
                self._hub.publish(note)
        self._warned = True


def body_of(news: News, state: State, at: datetime) -> bytes:
    """Return what is posted: JSON with the sentence as ``text`` (Slack and its kin) and ``content`` (Discord)."""
    run = state.run
    told: dict[str, Any] = {
        "v": 1,
        "event": news.kind,
        "run": run.id if run is not None else None,
        "story": run.story.id if run is not None else None,
        "scene": news.scene,
        "at": at.isoformat().replace("+00:00", "Z"),
        "text": f"comfytui: {news.text}",
        "content": f"comfytui: {news.text}",
    }
    return msgspec.json.encode(told)
