"""A terminal that reads a kilobyte a second, as over a bad line: the run does not notice, and it shows the present."""

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from comfytui.clock import system_clock
from comfytui.faces.tui.flow import QUESTION
from comfytui.model.envelope import Envelope
from comfytui.records import journal
from tests.bench.dashboard import scripted

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pty")

if sys.platform != "win32":
    from tests.e2e.terminal import Opens, Terminal, eventually, terminals

SLOW, WATCHED = 1000, 6.0
LATE = 5.0
"""Seconds that the screen may be behind: two of them are the beat of a dashboard that is told to be sparing."""


@pytest.fixture
def opens(tmp_path: Path) -> Iterator["Opens"]:
    with terminals(tmp_path) as start:
        yield start


def told(run: Path) -> list[Envelope]:
    return list(journal.read(run / "events.jsonl"))


def shown_at(text: str) -> int:
    """Return the seconds since the run began that the header tells."""
    told = re.search(r"scenes +(\d+):(\d\d)", text)
    assert told is not None, text
    return 60 * int(told[1]) + int(told[2])


def test_a_slow_terminal_gets_fewer_pictures_and_then_the_present(tmp_path: Path, opens: "Opens") -> None:
    with scripted(tmp_path / "runs", 40) as folder:
        run = Path(folder)
        began = told(run)[0].at
        seat = opens("attach", folder, "--ssh")
        seat.shows("executing")
        before, seat.bytes_a_second = told(run), SLOW
        taken, since = len(seat.raw), time.monotonic()
        eventually(lambda: time.monotonic() - since > WATCHED)
        late = behind(began, seat.text)
        after, read = told(run), len(seat.raw) - taken
        assert late < LATE, f"while {read} bytes were read"
        assert after[-1].seq - before[-1].seq > WATCHED, "two facts a second, as before"
        seat.does("?", "Mark the scene")
        seat.bytes_a_second = None
        seat.press("\x1b")
        seat.shows_no_more("Mark the scene")
        eventually(lambda: behind(began, seat.text) < LATE, lambda: seat.text)
        seat.bytes_a_second = 4 * SLOW
        with seat.shell() as typed:
            seat.press("q")
            assert seat.process.wait(20) == 0
            eventually(lambda: seat.left_on == [])
            assert typed() == b"", "no answer is left for the shell"


def test_keys_draw_no_further_than_a_slow_terminal_has_read(tmp_path: Path, opens: "Opens") -> None:
    with scripted(tmp_path / "runs", 40) as folder:
        seat = opens("attach", folder)
        goes_on(seat)
        seat.bytes_a_second = SLOW
        for key in "jjkk" * 8:
            seat.press(key)
            time.sleep(0.1)
        os.kill(seat.process.pid, signal.SIGSTOP)
        taken, seat.bytes_a_second = len(seat.raw), None
        assert on_its_way(seat, taken) < LATE * SLOW


def goes_on(seat: "Terminal") -> None:
    """Return once the run is shown and its time goes on."""
    seat.shows("executing")
    shown = shown_at(seat.text)
    eventually(lambda: shown_at(seat.text) > shown)


def on_its_way(seat: "Terminal", taken: int) -> int:
    """Return how many bytes the program, which is stopped, has written beyond the ``taken`` ones."""
    waiting = -1
    while waiting != (waiting := len(seat.raw) - taken):
        time.sleep(0.2)
    return waiting


def test_a_terminal_that_never_answers_is_asked_once_and_drawn_to_as_before(tmp_path: Path, opens: "Opens") -> None:
    with scripted(tmp_path / "runs", 40) as folder:
        seat = opens("attach", folder, answers=False)
        goes_on(seat)
        seat.press("q")
        assert seat.process.wait(10) == 0
        assert seat.raw.count(QUESTION.encode()) == 1


def behind(began: datetime, text: str) -> float:
    return (system_clock().now() - began).total_seconds() - shown_at(text)
