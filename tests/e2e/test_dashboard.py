"""The dashboard in a real terminal (a pty): it is left, killed and joined again, and the run does not notice."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfytui.records.lock import holder_of
from comfytui.records.rundir import find_run
from tests.e2e.command import comfytui, story

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pty")

if sys.platform != "win32":
    from tests.e2e.terminal import Opens, eventually, terminals


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator["Opens"]:
    """Opens terminals that are closed with the test."""
    with terminals(tmp_path) as start:
        yield start


def a_run(tmp_path: Path) -> list[str]:
    return ["run", str(story(tmp_path, scenes=1, frames=3)), "--server", "sim", "--workflow", "txt2img"]


def at_rest(tmp_path: Path) -> bool:
    return holder_of(find_run(tmp_path / "runs")) is None


def test_a_dashboard_that_is_left_and_joined_again(tmp_path: Path, terminal: "Opens") -> None:
    first = terminal(*a_run(tmp_path))
    first.shows("executing")
    first.press("q")
    first.shows("Detach")
    first.press("d")
    assert first.process.wait(20) == 0
    run = find_run(tmp_path / "runs")
    first.shows(f"Run {run.run_id} goes on.")
    assert first.raw.count(b"\x1b[22;2t") == first.raw.count(b"\x1b[23;2t") == 1, "the terminal has its title back"
    assert f"0/1 comfytui {run.run_id}\x07".encode() in first.raw
    assert not at_rest(tmp_path), "the run goes on"
    second = terminal("attach")
    second.shows("executing")
    eventually(lambda: at_rest(tmp_path))
    second.shows("exit 0")
    second.press("q")
    assert second.process.wait(20) == 0
    assert comfytui("attach", "--headless", cwd=tmp_path).returncode == 0


def test_a_dashboard_that_is_killed_leaves_the_run_going(tmp_path: Path, terminal: "Opens") -> None:
    first = terminal(*a_run(tmp_path))
    first.shows("executing")
    first.process.kill()
    first.process.wait()
    assert not at_rest(tmp_path)
    eventually(lambda: at_rest(tmp_path))
    assert comfytui("attach", "--headless", cwd=tmp_path).returncode == 0
    assert comfytui("validate", str(find_run(tmp_path / "runs").path), cwd=tmp_path).returncode == 0


def test_a_run_that_ends_while_it_is_watched_gives_its_exit_code(tmp_path: Path, terminal: "Opens") -> None:
    watched = terminal(*a_run(tmp_path), "--frame-floor", "9", "--retry-budget", "0")
    watched.shows("exit 1")
    watched.press("q")
    assert watched.process.wait(20) == 1


def test_a_server_is_watched_without_a_run(tmp_path: Path, terminal: "Opens") -> None:
    watching = terminal("--server", "sim")
    watching.shows("WATCHING")
    watching.press("q")
    assert watching.process.wait(20) == 0
    assert not (tmp_path / "runs").exists()


def test_a_terminal_that_goes_away_without_a_word_takes_the_dashboard_with_it(tmp_path: Path) -> None:
    with terminals(tmp_path) as start:
        watching = start("--server", "sim")
        watching.shows("WATCHING")
        watching.hang_up()
        assert watching.process.wait(20) == 129


def test_a_theme_that_is_none_is_told_before_anything_is_made(tmp_path: Path, terminal: "Opens") -> None:
    told = terminal(*a_run(tmp_path), "--theme", "tartan")
    assert told.process.wait(20) == 2
    told.shows("The theme is not usable: 'tartan' is none of")
    assert not (tmp_path / "runs").exists()
