"""The hub: every observation gets its number and time here, is journalled, folded, and handed on. Nowhere else.

A fact is on disk before anybody sees it. The hub is used from one event loop only.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

import anyio
import anyio.to_thread

from comfytui.clock import Clock, wait_for
from comfytui.engine.mailbox import Mailbox
from comfytui.engine.standing import LaneStanding, Standing
from comfytui.model.envelope import Envelope
from comfytui.model.events import AnyEvent, Fact, ServerLog, sample_key
from comfytui.model.fold import fold
from comfytui.model.state import Server, State

SAMPLE_INTERVAL = 1.0
"""Seconds between two samples of one kind in the journal."""

KINDS_AT_ONCE = 100
"""Kinds of samples (those of each scene are one) from which on those that were not told lately are forgotten."""


class HubLike(Protocol):
    """What the parts of one server need of the hub: ``server`` and ``lane`` are that server's."""

    run_id: str

    @property
    def state(self) -> State:
        """What is known of the run."""
        ...

    @property
    def server(self) -> Server:
        """What is known of the server."""
        ...

    @property
    def lane(self) -> LaneStanding:
        """How the scenes stand that are on it."""
        ...

    @property
    def has_readers(self) -> bool:
        """Whether anybody reads along."""
        ...

    def publish(self, event: AnyEvent) -> Envelope:
        """Tell of ``event``; where there are several servers it carries the name of this one."""
        ...

    async def commit(self, event: AnyEvent) -> Envelope:
        """Tell of ``event`` and return once it would survive the death of the machine."""
        ...

    async def synced(self) -> None:
        """Return once everything published so far would survive the death of the machine."""
        ...


class JournalLike(Protocol):
    """Where the hub writes: the journal of a run, or nothing for a mere observer."""

    def append(self, envelope: Envelope) -> None:
        """Write ``envelope`` so that it survives the death of this process."""
        ...

    def sync(self) -> None:
        """Make what was written survive the death of the machine."""
        ...


class Unrecorded:
    """The journal of an observer, who leaves nothing behind."""

    def append(self, envelope: Envelope) -> None:
        """Write nothing."""

    def sync(self) -> None:
        """Do nothing."""


Recorder = Callable[[Envelope, State], None]


class Hub:
    """The one writer of the journal and the one folder of State; readers subscribe."""

    def __init__(self, run_id: str, clock: Clock, journal: JournalLike, state: State | None = None) -> None:
        self.run_id = run_id
        self.state = state if state is not None else State()
        self._clock = clock
        self._journal = journal
        self._mailboxes: list[Mailbox] = []
        self._recorders: list[Recorder] = []
        self._journalled_at: dict[tuple[str, ...], float] = {}
        self._changed = anyio.Event()
        self._closed = False
        self._stamped = self.state.at
        self._sync = _GroupSync(journal)
        self._standing = Standing()

    def publish(self, event: AnyEvent) -> Envelope:
        """Number, stamp, journal, fold and hand on ``event``; return its envelope.

        Raises ``Failure`` ``run.unwritable`` when the journal cannot be written; then nobody has seen the event.
        """
        fact = isinstance(event, Fact)
        seq = self.state.seq + 1 if fact else self.state.seq
        envelope = Envelope(seq=seq, at=self._stamp(), run=self.run_id, event=event)
        if fact or self._due(event):
            self._journal.append(envelope)
        self.state = fold(self.state, envelope)
        for mailbox in self._mailboxes:
            mailbox.put(envelope)
        if fact:
            for recorder in self._recorders:
                recorder(envelope, self.state)
            self.stir()
        return envelope

    @property
    def standing(self) -> Standing:
        """How the scenes of ``state`` stand."""
        return self._standing.follow(self.state.scenes)

    @property
    def server(self) -> Server:
        """What is known of the only server, or of the first."""
        return self.state.server

    @property
    def lane(self) -> LaneStanding:
        """How the scenes stand that are on the only server."""
        return self.standing.on("")

    async def commit(self, event: AnyEvent) -> Envelope:
        """Publish ``event`` and return once it would survive the death of the machine (write-ahead)."""
        envelope = self.publish(event)
        await self._sync.wait()
        return envelope

    async def synced(self) -> None:
        """Return once everything published so far would survive the death of the machine."""
        await self._sync.wait()

    async def changed(self) -> None:
        """Return at the next fact. No fact is missed by a caller who looks at ``state`` and then waits."""
        await self._changed.wait()

    async def changed_within(self, seconds: float) -> None:
        """Return at the next fact, or after ``seconds``."""
        await wait_for(self._changed, seconds, self._clock)

    def stir(self) -> None:
        """Let those who wait for a change look again: something changed that is no fact."""
        self._changed.set()
        self._changed = anyio.Event()

    def record_with(self, recorder: Recorder) -> None:
        """Call ``recorder(envelope, state after it)`` for every fact from now on, in order."""
        self._recorders.append(recorder)

    @contextmanager
    def subscribe(self) -> Iterator[Mailbox]:
        """Return a mailbox that receives everything from now on, until the context ends."""
        mailbox = Mailbox(after=self.state.seq)
        self._mailboxes.append(mailbox)
        if self._closed:
            mailbox.close()
        try:
            yield mailbox
        finally:
            self._mailboxes.remove(mailbox)

    @property
    def has_readers(self) -> bool:
        """Whether anybody reads along: a face, or what tells one."""
        return bool(self._mailboxes)

    def close(self) -> None:
        """Let every subscriber end after what it has not read yet, also those that come later."""
        self._closed = True
        for mailbox in self._mailboxes:
            mailbox.close()

    def _stamp(self) -> datetime:
        """Return the time of an event: the clock's, but never before the event ahead of it."""
        now = self._clock.now()
        self._stamped = now if self._stamped is None else max(now, self._stamped)
        return self._stamped

    def _due(self, sample: AnyEvent) -> bool:
        key = sample_key(sample)  # type: ignore[arg-type]
        if key[0] == "frame_writing" or isinstance(sample, ServerLog):
            return False  # the frame's own fact follows within moments; the log is the server's own
        now = self._clock.monotonic()
        if now - self._journalled_at.get(key, -SAMPLE_INTERVAL) < SAMPLE_INTERVAL:
            return False
        if len(self._journalled_at) > KINDS_AT_ONCE:  # of scenes that are over
            self._journalled_at = {k: at for k, at in self._journalled_at.items() if now - at < SAMPLE_INTERVAL}
        self._journalled_at[key] = now
        return True


class _GroupSync:
    """One fsync for everybody who waits for one: a waiter is served by the first fsync that begins after it came."""

    def __init__(self, journal: JournalLike) -> None:
        self._journal = journal
        self._lock = anyio.Lock()
        self._wanted = 0
        self._served = 0

    async def wait(self) -> None:
        """Return once everything appended before this call is on the disk."""
        self._wanted += 1
        mine = self._wanted
        async with self._lock:
            if self._served >= mine:
                return
            covered = self._wanted
            await anyio.to_thread.run_sync(self._journal.sync)
            self._served = covered
