"""What is on its way to a terminal: when it is asked, and what has to wait for its answer."""

import sys
from itertools import pairwise
from threading import Event
from typing import Any

import pytest

from comfytui.clock import system_clock
from comfytui.faces.tui.flow import ALLOWED, ALWAYS_READ, FIRST_ANSWER, GRACE, LAST_ANSWER, MUCH, PATIENCE, Flow


class Line:
    """A terminal that reads ``rate`` bytes a second and answers ``trip`` seconds later, and a program that draws.

    It counts time in hundredths; ``late`` lists how many bytes were unread at each of them.
    """

    def __init__(self, rate: float, trip: float = 0.0) -> None:
        self.flow, self.hundredths = Flow(), 0
        self.written, self.read, self.rate, self.trip = 0.0, 0.0, rate, trip
        self.questions: list[float] = []
        self.drawn: list[float] = []
        self.late: list[float] = []
        self._open: tuple[float, float | None] | None = None
        self.ask()
        self.goes_on(trip + 0.02)

    @property
    def now(self) -> float:
        return self.hundredths / 100

    def ask(self) -> None:
        self.flow.asked(self.now)
        self.questions.append(self.now)
        self._open = self.written, None

    def draw(self, size: int) -> bool:
        """Draw a picture unless that has to wait."""
        if self.flow.wants_to_ask(self.now):
            self.ask()
        if self.flow.behind(self.now):
            return False
        self.written += size
        self.flow.wrote(size, self.now)
        self.drawn.append(self.now)
        if self.flow.wants_to_ask(self.now):
            self.ask()
        return True

    def goes_on(self, seconds: float) -> None:
        for _ in range(round(seconds * 100)):
            self.hundredths += 1
            self.read = min(self.written, self.read + self.rate / 100)
            self.late.append(self.written - self.read)
            if self._open is not None:
                place, answer_at = self._open
                if answer_at is None and self.read >= place:
                    self._open = place, self.now + self.trip
                elif answer_at is not None and self.now >= answer_at:
                    self._open = None
                    assert self.flow.answered(self.now)

    def draws(self, size: int, every: float, seconds: float) -> None:
        """Draw a picture of ``size`` bytes ``every`` so many seconds, later where it has to wait."""
        due, end = self.hundredths, self.hundredths + round(100 * seconds)
        while self.hundredths < end:
            if self.hundredths >= due and self.draw(size):
                due = self.hundredths + round(100 * every)
            self.goes_on(0.01)


def test_a_slow_line_never_has_more_than_some_seconds_before_it() -> None:
    line = Line(rate=1000)
    line.draws(1500, 0.5, 60)
    assert max(line.late) <= 3 * 1500
    assert max(line.late[1000:]) <= 1500 + 10
    assert max(b - a for a, b in pairwise(line.drawn)) < 2


def test_a_good_line_is_asked_seldom_and_holds_nothing_up() -> None:
    line = Line(rate=1e6, trip=0.2)
    line.draws(1500, 0.5, 60)
    assert len(line.drawn) == 120
    assert len(line.questions) <= 1 + 120
    assert all(abs(b - a - 0.5) < 0.02 for a, b in pairwise(line.drawn))


def test_keys_in_quick_succession_are_answered_on_a_good_line() -> None:
    line = Line(rate=1e6, trip=0.1)
    line.draws(500, 0.03, 10)
    assert max(b - a for a, b in pairwise(line.drawn)) < 0.05


def test_a_line_with_little_on_it_is_not_asked() -> None:
    line = Line(rate=1e6)
    line.draws(ALWAYS_READ - 50, 1.0, 60)
    assert len(line.questions) == 1


def test_a_line_that_becomes_good_is_found_out() -> None:
    line = Line(rate=1000)
    line.draws(1500, 0.5, 20)
    line.rate = 1e6
    line.draws(1500, 0.5, 2)
    drawn = len(line.drawn)
    line.draws(1500, 0.5, 10)
    assert len(line.drawn) - drawn == 20


def test_a_terminal_that_never_answers_is_never_waited_for() -> None:
    flow = Flow()
    flow.asked(0.0)
    for tenth in range(1000):
        flow.wrote(1000, tenth / 10)
        assert not flow.behind(tenth / 10)
        assert not flow.full(tenth / 10)
        assert not flow.wants_to_ask(tenth / 10)
    assert flow.last_wait(0.1) == FIRST_ANSWER - 0.1
    assert flow.last_wait(FIRST_ANSWER + 1) == 0


def test_an_answer_that_got_lost_is_given_up() -> None:
    flow = Flow()
    flow.asked(0.0)
    assert flow.answered(0.1)
    flow.wrote(MUCH, 1.0)
    assert flow.wants_to_ask(1.0)
    flow.asked(1.0)
    assert not flow.behind(1.0) and not flow.wants_to_ask(1.0)
    assert flow.behind(1.0 + GRACE)
    assert flow.last_wait(2.0) == LAST_ANSWER
    assert not flow.behind(1.0 + PATIENCE)
    flow.wrote(MUCH, 1.0 + PATIENCE)
    assert flow.wants_to_ask(1.0 + PATIENCE)


def test_only_a_lot_keeps_a_whole_new_screen_waiting() -> None:
    flow = Flow()
    flow.asked(0.0)
    flow.answered(0.0)
    flow.asked(0.0)
    assert flow.behind(GRACE) and not flow.full(GRACE)
    flow.wrote(ALLOWED, 0.1)
    assert flow.behind(0.1) and flow.full(0.1)
    assert flow.answered(0.2)
    assert not flow.behind(0.2) and flow.last_wait(0.2) == 0
    assert not flow.answered(0.3), "what nobody asked for is no answer"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such driver")
def test_an_answer_may_come_before_the_question_is_done_with(monkeypatch: pytest.MonkeyPatch) -> None:
    from textual.drivers.linux_driver import LinuxDriver
    from textual.events import CursorPosition

    from comfytui.faces.tui.asking_driver import AskingDriver

    driver: Any = AskingDriver.__new__(AskingDriver)  # without signal handlers and without a terminal
    driver.input_tty, driver._flow, driver._answered, driver._now = True, Flow(), Event(), system_clock().monotonic
    sent: list[str] = []

    def write(_driver: object, data: str) -> None:
        sent.append(data)
        if data == "\x1b[6n":
            driver.process_message(CursorPosition(0, 0))

    monkeypatch.setattr(LinuxDriver, "write", write)
    for _ in range(3):
        driver.write("─" * MUCH)
        driver.ask()
        assert driver._answered.is_set()
    assert sent == ["─" * MUCH, "\x1b[6n"] * 3
    assert driver._flow.last_wait(driver._now()) == 0
