"""Scripted runs for the tests of the records room."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from comfytui.model import events as e
from comfytui.records.rundir import RunDir
from tests.records.scripted import Script, brief


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Callable[..., Script]]:
    """Return a maker of runs under a temporary folder."""
    made: list[Script] = []

    def make(scenes: int = 1, **more: Any) -> Script:
        made.append(Script(tmp_path / "runs", [brief(n) for n in range(1, scenes + 1)], **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def good_run(script: Callable[..., Script]) -> Script:
    """Return a settled run of two scenes: one that succeeded at once, one at its second attempt."""
    run = script(2)
    play_well(run)
    return run


@pytest.fixture(scope="session")
def good_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run as :func:`good_run` makes it, to be copied: making one syncs the disk many times."""
    run = Script(tmp_path_factory.mktemp("good"), [brief(1), brief(2)])
    play_well(run)
    run.close()
    return run.run.path


@pytest.fixture
def good_copy(good_folder: Path, tmp_path: Path) -> RunDir:
    """Return a copy of a good run that may be broken."""
    return RunDir(shutil.copytree(good_folder, tmp_path / "copied" / good_folder.name))


def play_well(run: Script) -> None:
    run.attempt("scene-001")
    run.end("scene-001")
    note = "/system_stats unavailable after execution; used nvml fallback"
    run.attempt("scene-002", frames=1, unproven=1)
    run.requeue("scene-002", 2)
    run.attempt("scene-002", 2, reads=("error", "pending", "success"), notes=(note,))
    run.end("scene-002")
    run.settle()


@pytest.fixture(scope="session")
def ended_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a good run that came to its end."""
    run = Script(tmp_path_factory.mktemp("ended"), [brief(1), brief(2)])
    play_well(run)
    run.publish(e.RunEnded(outcome="finished", exit_code=0))
    run.publish(e.RunValidated(passed=True, findings=()))
    run.close()
    return run.run.path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Return an empty folder for runs."""
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.fixture
def ended(ended_folder: Path, runs: Path) -> Callable[[str], RunDir]:
    """Return a maker of runs that ended, by their ids, under ``runs``."""
    return lambda name: RunDir(shutil.copytree(ended_folder, runs / name))
