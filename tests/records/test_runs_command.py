"""``comfytui runs`` as a person types it: lists, one run, two side by side, and clearing away."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from comfytui.cli import run as command_line
from comfytui.cli.commands import comfytui
from comfytui.records.rundir import RunDir

Maker = Callable[[str], RunDir]


@pytest.fixture
def told(runs: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return what ``comfytui runs`` prints, line by line."""
    monkeypatch.setenv("COMFYTUI_CONFIG", "")

    def tell(*arguments: str, code: int = 0) -> list[str]:
        words = ("runs", *arguments, "--runs-dir", str(runs))
        done = CliRunner().invoke(comfytui, words, standalone_mode=False, catch_exceptions=False)
        assert done.return_value == code
        return done.output.splitlines()

    return tell


def decoded(lines: list[str], key: str) -> list[dict[str, Any]]:
    return [json.loads(line)[key] for line in lines]


def broken(run: RunDir) -> None:
    """Let the run have ended badly, its first scene a frame short."""
    run.journal.write_bytes(run.journal.read_bytes().replace(b'"exit_code":0', b'"exit_code":1'))
    content = msgspec.json.decode(run.metadata.read_bytes())
    content["Scenes"][0] |= {"FrameCount": 2, "MeetsFrameFloor": False}
    run.metadata.write_bytes(msgspec.json.encode(content))


def test_runs_are_listed_and_chosen(ended: Maker, told: Callable[..., list[str]]) -> None:
    ended("20260301-000000")
    broken(ended("20260302-000000"))
    head, newest, oldest = told()
    assert head.split() == ["RUN", "STORY", "STATE", "SCENES", "FRAMES", "REQUEUES", "TOOK", "OPENED"]
    assert newest.split()[:7] == ["20260302-000000", "tale", "not", "well", "1/2", "5", "1"]
    assert oldest.split()[:6] == ["20260301-000000", "tale", "finished", "2/2", "6", "1"]
    assert [run["run_id"] for run in decoded(told("--failed", "--json"), "run")] == ["20260302-000000"]
    assert decoded(told("--json"), "run")[1]["went_well"] is True
    assert told("--story", "another")[0].startswith("No such runs in ")
    assert told("--story", "another", "--json") == []


def test_one_run_is_told(ended: Maker, told: Callable[..., list[str]]) -> None:
    run = ended("20260301-000000")
    facts = dict(line.split(maxsplit=1) for line in told("show"))
    assert (facts["run"], facts["exit"], facts["folder"]) == ("20260301-000000", "0", str(run.path))
    assert facts["archive"] == "-"
    assert decoded(told("show", "20260301-000000", "--json"), "run")[0]["frames"] == 6


def test_two_runs_are_told_side_by_side(ended: Maker, told: Callable[..., list[str]]) -> None:
    ended("20260301-000000")
    broken(ended("20260302-000000"))
    lines = told("diff", "20260301-000000", "20260302-000000")
    assert lines[0].split() == ["SCENE", "FRAMES", "VERDICT", "TOOK", "FRAMES'", "VERDICT'", "TOOK'"]
    assert lines[1].split()[5:10] == ["2/3", "success,", "below", "its", "floor"]
    first, second = decoded(told("diff", "20260301-000000", "20260302-000000", "--json"), "scene")
    assert (first["before"]["frames"], first["after"]["frames"]) == (3, 2)
    assert second["telemetry"] == []


def test_old_runs_are_cleared_away_once_they_were_looked_at(ended: Maker, told: Callable[..., list[str]]) -> None:
    old, kept = ended("20260301-000000"), ended("20260302-000000")
    assert told("prune", "--keep-last", "1", "--dry-run") == [
        "20260302-000000  stays     one of the 1 newest", "20260301-000000  would go  old",
    ]  # fmt: skip
    assert old.metadata.exists()
    pruned = decoded(told("prune", "--keep-last", "1", "--json"), "pruned")
    assert [(each["run"], each["goes"]) for each in pruned] == [("20260302-000000", False), ("20260301-000000", True)]
    assert not old.path.exists()
    assert kept.metadata.exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("runs", "prune"), "runs.limit"),
        (("runs", "--since", "soon"), "runs.age"),
        (("runs", "show", "20260301-000000"), "run.not_found"),
        (("runs", "diff", "20260301-000000", "20260302-000000"), "run.not_found"),
    ],
)
def test_what_makes_no_sense_is_refused(
    words: tuple[str, ...], code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMFYTUI_CONFIG", "")
    assert command_line(words) == 2
    assert f"[{code}]" in capsys.readouterr().err
