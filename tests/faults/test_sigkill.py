"""SIGKILL at random points, of the runner, of the server, of both: every run ends whole, and nothing is rendered twice.

Some seeds of each here; ``COMFYTUI_FAULTS=all`` plays 25 of each.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfytui.model.fold import fold_all
from comfytui.records import journal
from tests.faults.killing import FACTS, FRAMES, SCENES, KilledRun, Server

ALL = os.environ.get("COMFYTUI_FAULTS") == "all"


def seeds(some: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("seed", range(25 if ALL else some))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def run(tmp_path: Path, server: Server, request: pytest.FixtureRequest) -> Iterator[KilledRun]:
    run = KilledRun(tmp_path, server, seed=hash_of(request.node.originalname) + request.getfixturevalue("seed"))
    yield run
    run.clean_up()


def hash_of(name: str) -> int:
    """Return a number that differs from test to test and is the same on every machine."""
    return sum(map(ord, name)) * 1000


@seeds(3)
def test_the_runner_is_killed_and_nothing_is_rendered_twice(run: KilledRun, seed: int) -> None:
    run.begin()
    assert run.wait_for_lines(run.dice.randint(1, FACTS)), run.told()
    run.kill()
    code = kill_and_resume(run)
    assert code == 0, run.told()
    run.check()
    assert len(run.server.executed()) == SCENES
    assert len(list(run.server.output.rglob("*.png"))) == SCENES * FRAMES


def kill_and_resume(run: KilledRun) -> int:
    """Resume the run, kill that as well now and then, and return the exit code of the one that lived."""
    while len(run.kills) < 4 and run.dice.random() < 0.5:
        run.resume()
        if not run.wait_for_lines(run.dice.randint(0, 50)):
            return run.ended()
        run.kill()
    run.resume()
    return run.ended()


@seeds(3)
def test_the_server_is_killed_and_comes_back(run: KilledRun, seed: int) -> None:
    run.begin()
    assert run.wait_for_lines(run.dice.randint(1, FACTS)), run.told()
    run.kills.append(run.lines())
    run.server.kill()
    time.sleep(run.dice.uniform(0, 1))
    run.server.start()
    assert ended(run) == 0, run.told()
    run.check()
    assert_budget_is_untouched(run)


@seeds(1)
def test_both_are_killed_and_the_server_comes_back(run: KilledRun, seed: int) -> None:
    run.begin()
    assert run.wait_for_lines(run.dice.randint(1, FACTS)), run.told()
    for kill in run.dice.sample([run.kill, run.server.kill], 2):
        kill()
        time.sleep(run.dice.uniform(0, 0.3))
    run.server.start()
    run.resume()
    assert run.ended() == 0, run.told()
    run.check()
    assert_budget_is_untouched(run)


def ended(run: KilledRun) -> int:
    """Return how the run ended; one that found no server as it began, or within its wait, is resumed once."""
    code = run.ended()
    if code == 2:
        run.resume()
        code = run.ended()
    return code


def assert_budget_is_untouched(run: KilledRun) -> None:
    """No attempt failed but those that were lost with the server."""
    state = fold_all(journal.read(run.run_dir.journal))
    statuses = [attempt.status for scene in state.scenes for attempt in scene.attempts[:-1]]
    assert set(statuses) <= {"lost"}, run.told()
