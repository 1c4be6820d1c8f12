"""What is done next for a prompt on the server: at each moment the one right thing, and never too often."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from comfytui.engine.prompt.waiting import (
    HINT_RETRIES,
    QUEUE_EVERY,
    RESOLUTION,
    SILENCE_OF_ONE,
    GiveUp,
    Look,
    ReadHistory,
    Reconcile,
    WaitOn,
    next_step,
)
from comfytui.model.policy import QueuePolicy

POLICY = QueuePolicy()
FRESH = Look(
    since_submit=0.0,
    since_executing=None,
    since_heard=0.0,
    since_heard_of_it=0.0,
    since_read=0.0,
    since_contact=0.0,
    answered=True,
    reads=0,
    silent_reads=0,
    hint_in=None,
    reads_after_hint=0,
    reconcile=False,
    cancelled=False,
)
SPENT = len(HINT_RETRIES) + 1
"""Reads of a history that the socket promised, after which it is no longer taken at its word."""


def look(**changes: Any) -> Look:
    return replace(FRESH, **changes)


def silent(seconds: float, **changes: Any) -> Look:
    """Return a look at a prompt on which everything has been silent for ``seconds``."""
    quiet = dict.fromkeys(("since_heard", "since_heard_of_it", "since_read"), seconds)
    return look(since_submit=seconds, **(quiet | changes))


def waits(at: Look, policy: QueuePolicy) -> float:
    """Return for how many seconds nothing is to be done."""
    step = next_step(at, policy)
    assert isinstance(step, WaitOn)
    return step.seconds


@pytest.mark.parametrize(
    ("at", "step"),
    [
        (look(), WaitOn(2.0)),
        (silent(1.5), WaitOn(0.5)),
        (silent(2.0), ReadHistory()),
        (silent(2.0, since_read=0.5), WaitOn(1.5)),  # looked half a second ago
        (silent(60.0, since_heard=0.5, since_heard_of_it=0.5, since_read=30.0), WaitOn(1.5)),  # the socket speaks
        # It speaks of others only: this prompt is looked at now and then all the same.
        (silent(9.0, since_heard=0.2), WaitOn(1.0)),
        (silent(SILENCE_OF_ONE * 2.0, since_heard=0.2), ReadHistory()),
        # Every so many silent looks the queue is asked first.
        (silent(2.0, silent_reads=QUEUE_EVERY - 2), ReadHistory()),
        (silent(2.0, silent_reads=QUEUE_EVERY - 1), Reconcile()),
        (silent(2.0, silent_reads=2 * QUEUE_EVERY - 1), Reconcile()),
        # After every connection of the socket, at once.
        (look(reconcile=True), Reconcile()),
        (look(reconcile=True, hint_in=0.5), Reconcile()),
    ],
)
def test_silence_and_connections(at: Look, step: object) -> None:
    assert next_step(at, POLICY) == step


@pytest.mark.parametrize(
    ("at", "step"),
    [
        (look(hint_in=0.0), ReadHistory()),
        (look(hint_in=-3.0), ReadHistory()),
        (look(hint_in=0.6), WaitOn(0.6)),  # success was told: history is sure to be there only a little later
        (look(hint_in=0.6, since_read=0.1, reads_after_hint=0), WaitOn(0.6)),
        (look(hint_in=0.0, silent_reads=QUEUE_EVERY - 1), ReadHistory()),
        # A connection that was made anew does not hurry the history that the socket promised.
        (look(hint_in=-0.1, reads_after_hint=1, since_read=0.01, reconcile=True), WaitOn(0.04)),
        (look(hint_in=-0.1, reads_after_hint=1, since_read=0.05, reconcile=True), ReadHistory()),
        # The promise was not kept: the queue is asked first, at the pace of polling.
        (look(hint_in=-9.0, reads_after_hint=SPENT, since_read=0.5), WaitOn(1.5)),
        (look(hint_in=-9.0, reads_after_hint=SPENT, since_read=2.0), Reconcile()),
        (look(hint_in=-9.0, reads_after_hint=SPENT, since_read=0.1, reconcile=True), Reconcile()),
    ],
)
def test_hints_of_the_socket(at: Look, step: object) -> None:
    assert next_step(at, POLICY) == step


@pytest.mark.parametrize("read", range(len(HINT_RETRIES)))
def test_a_promised_history_is_read_again_after_ever_longer_pauses(read: int) -> None:
    pause = HINT_RETRIES[read]
    early = look(hint_in=-1.0, reads_after_hint=read + 1, since_read=pause / 2)
    due = replace(early, since_read=pause)
    assert waits(early, POLICY) == pytest.approx(pause / 2)
    assert next_step(due, POLICY) == ReadHistory()


BOUNDED = QueuePolicy(max_wait_seconds=30, max_total_wait_seconds=100, server_wait_seconds=50)


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (look(since_executing=30.0, since_submit=40.0), "maxWait"),
        (look(since_executing=30.0 - RESOLUTION, since_submit=40.0), "maxWait"),
        (look(since_executing=29.9, since_submit=99.9), None),
        (look(since_submit=99.0), None),  # it waits behind others: max wait does not count yet
        (look(since_submit=100.0), "totalWait"),
        (look(since_submit=100.0, since_executing=29.0), "totalWait"),
        (look(since_contact=50.0, answered=False), "serverLost"),
        (look(since_contact=49.9, answered=False), None),
        (look(since_contact=500.0), None),  # nobody has asked it yet
        (look(cancelled=True), "cancelled"),
        (look(cancelled=True, since_submit=100.0, since_executing=30.0), "cancelled"),
    ],
)
def test_the_limits_that_end_the_wait(at: Look, reason: str | None) -> None:
    step = next_step(at, BOUNDED)
    assert step == GiveUp(reason) if reason else not isinstance(step, GiveUp)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("at", "left"),
    [
        (look(since_executing=29.5), 0.5),
        (look(since_submit=99.25), 0.75),
        (look(since_contact=49.75, answered=False), 0.25),
    ],
)
def test_no_wait_goes_beyond_a_limit(at: Look, left: float) -> None:
    assert waits(at, BOUNDED) == pytest.approx(left)


def test_a_server_that_answers_is_never_lost_however_little_it_is_waited_for() -> None:
    impatient = QueuePolicy(server_wait_seconds=0, poll_interval_seconds=5)
    assert next_step(silent(4.0, since_contact=4.0), impatient) == WaitOn(1.0)
    assert next_step(silent(5.0, since_contact=5.0), impatient) == ReadHistory()
    assert next_step(silent(0.0, since_contact=0.0, answered=False), impatient) == GiveUp("serverLost")


def test_the_limit_of_reads_is_exact_and_is_met_only_when_a_read_is_due() -> None:
    policy = QueuePolicy(history_max_attempts=3)
    assert next_step(silent(2.0, reads=2), policy) == ReadHistory()
    assert next_step(silent(2.0, reads=3), policy) == GiveUp("attemptLimit")
    assert next_step(silent(1.0, reads=3), policy) == WaitOn(1.0)
    assert next_step(silent(2.0, reads=10**6), POLICY) == ReadHistory()


SECONDS = st.floats(0, 10_000) | st.sampled_from([0.0, 0.6, 1.0, 2.0, 30.0, 600.0])
LOOKS = st.builds(
    Look,
    since_submit=SECONDS,
    since_executing=st.none() | SECONDS,
    since_heard=SECONDS,
    since_heard_of_it=SECONDS,
    since_read=SECONDS,
    since_contact=SECONDS,
    answered=st.booleans(),
    reads=st.integers(0, 20),
    silent_reads=st.integers(0, 20),
    hint_in=st.none() | st.floats(-100, 100),
    reads_after_hint=st.integers(0, 20),
    reconcile=st.booleans(),
    cancelled=st.booleans(),
)
POLICIES = st.builds(
    QueuePolicy,
    max_wait_seconds=st.integers(1, 1000),
    max_total_wait_seconds=st.integers(1, 10_000),
    server_wait_seconds=st.integers(0, 1000),
    history_max_attempts=st.integers(0, 20),
    poll_interval_seconds=st.integers(1, 60),
)


@given(at=LOOKS, policy=POLICIES)
def test_a_wait_is_positive_and_ends_before_anything_is_due(at: Look, policy: QueuePolicy) -> None:
    step = next_step(at, policy)
    if not isinstance(step, WaitOn):
        return
    assert RESOLUTION <= step.seconds <= policy.poll_interval_seconds + RESOLUTION
    assert at.since_submit + step.seconds <= policy.max_total_wait_seconds + RESOLUTION
    if at.since_executing is not None:
        assert at.since_executing + step.seconds <= policy.max_wait_seconds + RESOLUTION
    assert not at.cancelled
    assert not (at.hint_in is not None and at.hint_in <= RESOLUTION and at.reads_after_hint == 0)


@given(at=LOOKS, policy=POLICIES)
def test_history_is_never_read_beyond_its_limit(at: Look, policy: QueuePolicy) -> None:
    if policy.history_max_attempts and at.reads >= policy.history_max_attempts:
        assert not isinstance(next_step(at, policy), ReadHistory | Reconcile)


# --- a whole wait ------------------------------------------------------------------------------------------------


class Wait:
    """Follows ``next_step`` as the prompt watch does, for a prompt whose history never comes; time costs nothing."""

    def __init__(self, policy: QueuePolicy, **events: Any) -> None:
        self.policy, self.at, self.look = policy, 0.0, look()
        self.steps: list[tuple[float, object]] = []
        self._events: dict[str, list[float]] = events

    def run(self, until: float) -> object:
        """Return the reason for which it was given up before ``until``, or ``None``."""
        while self.at < until:
            step = next_step(self.look, self.policy)
            self.steps.append((self.at, step))
            assert len(self.steps) < 10_000, f"no end of it: {self.steps[-5:]}"
            match step:
                case GiveUp(reason=reason):
                    return reason
                case WaitOn(seconds=seconds):
                    self._pass(seconds)
                case _:
                    self._read(step)
        return None

    def _read(self, step: object) -> None:
        now = self.look
        hinted = now.hint_in is not None and now.hint_in <= RESOLUTION
        self.look = replace(
            now, since_read=0.0, since_contact=0.0, reads=now.reads + 1, silent_reads=now.silent_reads + 1,
            reads_after_hint=now.reads_after_hint + hinted,
            reconcile=now.reconcile and not isinstance(step, Reconcile),
        )  # fmt: skip

    def _pass(self, seconds: float) -> None:
        due = [(at, name) for name, moments in self._events.items() for at in moments if at > self.at]
        at, name = min(due, default=(float("inf"), ""))
        passed = min(seconds, at - self.at)
        now = self.look
        later = {
            name: getattr(now, name) + passed
            for name in ("since_submit", "since_heard", "since_heard_of_it", "since_read", "since_contact")
        }
        self.look = replace(
            now, **later,
            since_executing=None if now.since_executing is None else now.since_executing + passed,
            hint_in=None if now.hint_in is None else now.hint_in - passed,
        )  # fmt: skip
        self.at += passed
        if passed == at - (self.at - passed):
            self._happen(name)

    def _happen(self, name: str) -> None:
        heard = {"since_heard": 0.0, "since_heard_of_it": 0.0, "since_contact": 0.0}
        match name:
            case "executing":
                self.look = replace(self.look, since_executing=0.0, **heard)
            case "success":
                self.look = replace(self.look, hint_in=0.6, **heard)
            case "over":
                self.look = replace(self.look, hint_in=0.0, **heard)
            case "reconnected":
                self.look = replace(self.look, reconcile=True, since_heard=0.0, since_contact=0.0)

    def looks(self) -> list[float]:
        return [round(at, 3) for at, step in self.steps if isinstance(step, ReadHistory | Reconcile)]


def test_without_a_socket_history_is_polled_and_the_queue_asked_now_and_then() -> None:
    wait = Wait(POLICY)
    wait.run(21.0)
    assert wait.looks() == [2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0]
    assert [round(at) for at, step in wait.steps if step == Reconcile()] == [10, 20]


def test_history_is_read_as_soon_as_the_socket_tells_the_end() -> None:
    wait = Wait(POLICY, success=[1.0], over=[1.2])
    wait.run(1.25)
    assert wait.looks() == [1.2]


def test_a_success_whose_end_is_not_told_is_read_once_it_has_settled() -> None:
    wait = Wait(POLICY, success=[1.0])
    wait.run(1.62)
    assert wait.looks() == [1.6]


def test_a_promise_that_is_not_kept_is_followed_up_in_the_queue() -> None:
    wait = Wait(POLICY, over=[1.0])
    wait.run(10.0)
    kinds = [type(step) for _, step in wait.steps if not isinstance(step, WaitOn)]
    assert kinds == [ReadHistory] * SPENT + [Reconcile] * (len(kinds) - SPENT)
    assert wait.looks()[:SPENT] == [1.0, 1.05, 1.15, 1.35, 1.85, 2.85]


def test_execution_is_given_up_exactly_at_max_wait() -> None:
    wait = Wait(QueuePolicy(max_wait_seconds=30), executing=[12.25])
    assert wait.run(1000.0) == "maxWait"
    assert wait.at == pytest.approx(42.25, abs=2 * RESOLUTION)


def test_what_is_never_executed_is_given_up_exactly_at_the_total_wait() -> None:
    wait = Wait(QueuePolicy(max_wait_seconds=30, max_total_wait_seconds=95))
    assert wait.run(1000.0) == "totalWait"
    assert wait.at == pytest.approx(95, abs=2 * RESOLUTION)


MOMENTS = st.lists(st.floats(0, 60), max_size=4)


@settings(deadline=None)
@given(
    events=st.fixed_dictionaries(dict.fromkeys(("executing", "success", "over", "reconnected"), MOMENTS)),
    poll=st.integers(1, 10),
)
def test_however_the_socket_behaves_the_server_is_not_asked_all_the_time(
    events: dict[str, list[float]], poll: int
) -> None:
    wait = Wait(QueuePolicy(poll_interval_seconds=poll), **events)
    wait.run(60.0)
    happened = sum(map(len, events.values()))
    assert len(wait.looks()) <= 60 / poll + happened + SPENT + 1
