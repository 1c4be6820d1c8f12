"""How far the terminal is behind, as its answers tell: a question behind a picture is answered when it was read.

The kernel holds some twenty kilobytes for a terminal and tells nobody, which is twenty seconds on a bad line. So the
terminal is asked where its cursor is (``CSI 6 n``, ECMA-48 DSR, which all answer since the VT100), once much was
written, and until the answer comes little more is. Pure: time is given, in monotonic seconds.
"""

QUESTION = "\x1b[6n"

GRACE = 0.5
"""Seconds within which an answer comes where the line is good; from then on nothing is drawn until it is there."""
PATIENCE = 10.0
"""Seconds after which an answer is not waited for any more: a whole screen takes as long at a kilobyte a second."""
MUCH = 1000
"""Bytes that are written before the terminal is asked."""
ALWAYS_READ = 500
"""Bytes a second that any terminal takes: what is written slower than that asks nothing."""
ALLOWED = 4000
"""Bytes that may follow a question at most, as when a person opens another screen, before its answer has come."""
FIRST_ANSWER, LAST_ANSWER = 0.3, 4.0
"""Seconds after a question in which leaving waits for the first answer, and that it waits for a later one."""


class Flow:
    """What is on its way to one terminal. Only one question is open at any time."""

    def __init__(self) -> None:
        self._answers = False
        self._slow = False
        self._asked_at: float | None = None
        self._since, self._ahead = 0, 0.0  # bytes behind the question and before it
        self._unasked, self._counted_at = 0.0, 0.0

    def wrote(self, count: int, now: float) -> None:
        """Learn that ``count`` bytes were written."""
        self._since += count
        self._unasked, self._counted_at = self._unread(now) + count, now

    def _unread(self, now: float) -> float:
        """Return how many bytes since the last question any terminal may still have to read."""
        return max(0.0, self._unasked - (now - self._counted_at) * ALWAYS_READ)

    def wants_to_ask(self, now: float) -> bool:
        """Tell whether the terminal is to be asked now."""
        if self._asked_at is not None and (not self._answers or now - self._asked_at < PATIENCE):
            return False
        return self._unread(now) >= (1 if self._slow else MUCH)

    def asked(self, now: float) -> None:
        """Learn that the question was sent."""
        self._asked_at, self._ahead, self._since, self._unasked = now, self._unread(now), 0, 0.0

    def answered(self, now: float) -> bool:
        """Learn that an answer came; return whether it was awaited."""
        if self._asked_at is None:
            return False
        late = now - self._asked_at >= GRACE
        if self._answers and (late or self._ahead >= MUCH):  # a prompt answer to a question alone says little
            self._slow = late
        self._answers, self._asked_at = True, None
        return True

    def behind(self, now: float) -> bool:
        """Tell whether what only changed has to wait. Never where the terminal does not answer."""
        if self._asked_at is None or not self._answers:
            return False
        waited = now - self._asked_at
        return waited < PATIENCE and (self._slow or waited >= GRACE or self._since >= ALLOWED)

    def full(self, now: float) -> bool:
        """Tell whether even a whole new screen has to wait."""
        return self.behind(now) and self._since >= ALLOWED

    def last_wait(self, now: float) -> float:
        """Return how many seconds leaving should wait for the open answer, lest it is typed into the shell."""
        if self._asked_at is None:
            return 0.0
        return LAST_ANSWER if self._answers else max(0.0, self._asked_at + FIRST_ANSWER - now)
