"""An evening at the dashboard of a real demo, in a pty: driven by keys, and read as a person reads the screen."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfytui.records.lock import holder_of
from comfytui.records.rundir import find_run
from tests.e2e.command import comfytui

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pty")

if sys.platform != "win32":
    from tests.e2e.terminal import Opens, Size, Terminal, eventually, terminals

ESCAPE, ENTER = "\x1b", "\r"


@pytest.fixture
def opens(tmp_path: Path) -> Iterator["Opens"]:
    with terminals(tmp_path) as start:
        yield start
    for held in (tmp_path / "runs").glob("2*"):  # where the test failed, a runner still waits
        if (runner := holder_of(find_run(tmp_path / "runs", held.name))) is not None:
            os.kill(runner.pid, signal.SIGTERM)


@pytest.mark.parametrize("size", [(120, 40), (60, 15)], ids=["120x40", "60x15"])
def test_an_evening_at_the_demo(size: "Size", tmp_path: Path, opens: "Opens") -> None:
    first = opens("demo", "--workflow", "smoke", size=size)
    first.shows("executing")
    hold_and_filter(first)
    cancel_and_rerun(first)
    look_around(first)
    first.does("q", "Detach")
    first.press("d")
    assert first.process.wait(20) == 0
    assert first.left_on == []
    run = find_run(tmp_path / "runs")
    first.shows("goes on")

    second = opens("attach", run.run_id, size=size)
    see_a_frame(second)
    cancel_everything(second)
    second.press("q")
    assert second.process.wait(20) == 0
    assert second.left_on == []
    assert comfytui("validate", str(run.path), cwd=tmp_path).returncode == 0


def hold_and_filter(seat: "Terminal") -> None:
    """Hold the queue, so that the last scene waits however slow the machine is, and show that scene alone."""
    seat.does("h", "HELD")
    seat.does("/scene-003", "▌ · waiting     scene-003")
    seat.does(ENTER, "enter Open")


def cancel_and_rerun(seat: "Terminal") -> None:
    """Open the scene, give it up, and ask for it once more."""
    seat.does(ENTER, "Story")
    seat.does("x", "Cancel scene-003?")
    seat.does("y", "cancelled")
    seat.does("r", "rerun by a person")
    seat.does(ESCAPE, "enter Open")
    seat.does(ESCAPE, "scene-001  ")
    seat.shows_no_more("fits")


def look_around(seat: "Terminal") -> None:
    """Mark, sort by turn (what waits comes before what is over), and read the keys."""
    seat.does(" ", "•")
    seat.press("s")
    eventually(lambda: seat.text.find("waiting     scene-003") < seat.text.find("scene-001  "), lambda: seat.text)
    seat.does("?", "Mark the scene")
    seat.press(ESCAPE)
    seat.shows_no_more("Mark the scene")
    seat.press(ESCAPE)
    seat.shows_no_more("•")


def see_a_frame(seat: "Terminal") -> None:
    """Let the newest frame of the run fill the screen."""
    seat.shows("HELD")
    seat.press("2")
    seat.shows("proven")
    seat.does(ENTER, " of ")
    seat.shows("▀")
    seat.press(ESCAPE)
    seat.shows_no_more("▀")
    seat.does("1", "enter Open")


def cancel_everything(seat: "Terminal") -> None:
    """Give up all that is not over."""
    seat.does("*", "•")
    seat.does("x", "Cancel")
    seat.does("y", "exit 1")
