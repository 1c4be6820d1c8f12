"""How the dashboard is made ready for its terminal: the theme that is asked for, and a line that is slow."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfytui.cli.faces import SPARING, Face, prepare_dashboard, show
from comfytui.cli.looks import print_themes
from comfytui.errors import Failure
from comfytui.faces.tui.options import DashboardOptions, sparing
from comfytui.faces.tui.palettes import PALETTES
from comfytui.settings.merged import Settings, load
from tests.ui.script import FixedClock, ScriptedFeed

NO_FILE = {"COMFYTUI_CONFIG": ""}
SSH = {**NO_FILE, "SSH_CONNECTION": "10.0.0.1 4022 10.0.0.2 22"}


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Put the environment back as it was."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def settings(tmp_path: Path, environ: dict[str, str], **flags: object) -> Settings:
    return load(flags, environ, tmp_path)


def test_a_line_over_ssh_is_spared_unless_that_is_refused(tmp_path: Path) -> None:
    assert settings(tmp_path, SSH).ssh
    assert not settings(tmp_path, NO_FILE).ssh
    assert not settings(tmp_path, SSH, ssh=False).ssh
    assert settings(tmp_path, NO_FILE, ssh=True).ssh
    assert not settings(tmp_path, {**SSH, "COMFYTUI_SSH": "off"}).ssh
    (tmp_path / "comfytui.toml").write_text("ssh = false\n", encoding="utf-8")
    assert not settings(tmp_path, {"SSH_CONNECTION": "x"}).ssh


def test_textual_is_told_before_it_is_imported_and_what_a_person_set_stays(tmp_path: Path) -> None:
    for name in SPARING:
        os.environ.pop(name, None)
    os.environ["TEXTUAL_FPS"] = "30"
    prepare_dashboard(settings(tmp_path, NO_FILE))
    assert "TEXTUAL_ANIMATIONS" not in os.environ
    prepare_dashboard(settings(tmp_path, SSH))
    assert {name: os.environ[name] for name in SPARING} == {**SPARING, "TEXTUAL_FPS": "30"}


def test_a_slow_line_is_painted_less_often() -> None:
    usual, slow = DashboardOptions(), sparing(DashboardOptions())
    assert usual.facts_within < slow.facts_within <= 2
    assert usual.samples_every < slow.samples_every <= 2
    assert usual.mouse and not slow.mouse


def test_a_theme_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="'tartan' is none of flight-deck, daylight"):
        prepare_dashboard(settings(tmp_path, NO_FILE, theme="tartan"))


def test_themes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_themes() == 0
    told = capsys.readouterr().out
    assert [line.split()[0] for line in told.splitlines()] == list(PALETTES)
    assert "\x1b" not in told


@pytest.mark.parametrize(("environ", "mouse"), [(NO_FILE, True), (SSH, False)])
def test_the_mouse_is_left_to_a_slow_terminal_and_paths_are_printed_on_leaving(
    environ: dict[str, str],
    mouse: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from comfytui.faces.tui.app import Dashboard

    asked: dict[str, object] = {}

    def run(self: Dashboard, **more: object) -> str:
        asked.update(more)
        self.paths.append("/runs/x/scene-001")
        return "stopped"

    monkeypatch.setattr(Dashboard, "run", run)
    feed = ScriptedFeed([])
    left = show(
        feed, FixedClock(), Face("dashboard"), settings(tmp_path, environ), title="comfytui", owns_run=False
    )  # fmt: skip
    assert left == "stopped"
    assert asked["mouse"] is mouse
    assert capsys.readouterr().out == "/runs/x/scene-001\n"
