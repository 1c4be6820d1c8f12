"""The table ``[notify]``: what may be said in it, and that the webhook's address is shown nowhere."""

from pathlib import Path

import pytest
from msgspec import json

from comfytui.cli.planning import make_plan, order_sample
from comfytui.clock import system_clock
from comfytui.errors import Failure
from comfytui.settings.merged import Settings, load
from comfytui.settings.notify_table import Notify, webhook_of

ADDRESS = "https://hooks.example.com/T0/sEcReT-5f0c"


def settings(tmp_path: Path, text: str, **environ: str) -> Settings:
    (tmp_path / "comfytui.toml").write_text(text, encoding="utf-8")
    return load({}, environ, tmp_path)


def test_defaults(tmp_path: Path) -> None:
    assert settings(tmp_path, "").notify == Notify()


def test_everything_said(tmp_path: Path) -> None:
    lines = ["bell = false", 'desktop = "osc777"', "title = false", 'events = ["scene_failed"]']
    told = settings(tmp_path, "\n".join(["[notify]", *lines, f'webhook = "{ADDRESS}"'])).notify
    assert (told.bell, told.desktop, told.title, told.events) == (False, "osc777", False, ("scene_failed",))
    assert told.webhook == ADDRESS
    assert told.file == tmp_path / "comfytui.toml"
    assert "sEcReT" not in repr(told)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("bell = 1", "1 is neither true nor false"),
        ('desktop = "growl"', "'growl' is none of auto, osc9, osc777, off"),
        ('events = "all"', "'all' is no list"),
        ('events = [["run_finished"]]', "a list is none of run_finished, scene_failed, server_lost"),
        ('events = ["lunch"]', "'lunch' is none of run_finished, scene_failed, server_lost"),
        ('web_hook = "x"', "there is no such setting; did you mean `webhook`?"),
        ('webhook = "ftp://sEcReT"', "it is no address that begins with https://"),
        ('webhook = "https://sEcReT:port/"', "it is no address that begins with https://"),
        ('webhook = "sEcReT"', "it is no address that begins with https://"),
        ("webhook = 5", "it is no address that begins with https://"),
    ],
)
def test_what_cannot_be_used(line: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(Failure) as found:
        settings(tmp_path, f"[notify]\n{line}\n")
    assert found.value.code == "config.value"
    assert why in found.value.what
    assert "sEcReT" not in str(found.value)


def test_an_unusable_webhook_of_the_environment_is_told_without_it(tmp_path: Path) -> None:
    with pytest.raises(Failure) as found:
        settings(tmp_path, "", COMFYTUI_WEBHOOK="gopher://sEcReT")
    assert found.value.what.startswith("The variable COMFYTUI_WEBHOOK is not usable: it is no address")
    assert "sEcReT" not in str(found.value)


def test_the_environment_wins_and_the_file_is_read_as_it_is_now(tmp_path: Path) -> None:
    file = tmp_path / "comfytui.toml"
    file.write_text(f'[notify]\nwebhook = "{ADDRESS}"\n', encoding="utf-8")
    assert webhook_of({}, file) == ADDRESS
    assert webhook_of({"COMFYTUI_WEBHOOK": "https://other.example/x"}, file) == "https://other.example/x"
    file.write_text("", encoding="utf-8")
    assert webhook_of({}, file) is None
    assert webhook_of({}, None) is None


def test_the_plan_of_a_run_names_the_file_and_never_the_address(tmp_path: Path) -> None:
    said = settings(tmp_path, f'[notify]\nevents = ["server_lost"]\nwebhook = "{ADDRESS}"\n')
    plan = make_plan(
        order_sample(said), said, run_id="20260101-000000", created_at=system_clock().now(), simulator_speed="instant"
    )
    assert plan.news == ("server_lost",)
    assert plan.notify_file == str(tmp_path / "comfytui.toml")
    assert b"sEcReT" not in json.encode(plan)
