"""The table ``[server]``: the command that starts ComfyUI, whose it is, and what is said of unusable values."""

from pathlib import Path
from typing import Any

import pytest

from comfytui.cli.planning import make_plan, order_sample
from comfytui.clock import system_clock
from comfytui.errors import Failure
from comfytui.model.plan import ServerPlan
from comfytui.records.rundir import readable
from comfytui.settings.layers import from_file
from comfytui.settings.merged import DEMO, Settings, load
from comfytui.settings.server_table import ServerStart, env_in
from comfytui.settings.table import DEFAULT_SERVER, SERVER_KEYS

COMMAND = 'command = ["python", "main.py"]\n'
SECRET = "hf_abcdefgh"


def written(folder: Path, table: str) -> Path:
    path = folder / "comfytui.toml"
    path.write_text(f"[server]\n{table}", encoding="utf-8")
    return path


def settings(file: Path, **flags: object) -> Settings:
    return load(flags, {"COMFYTUI_CONFIG": str(file)}, file.parent)


def start(file: Path) -> ServerStart:
    found = settings(file).start
    assert found is not None
    return found


def test_the_whole_table(tmp_path: Path) -> None:
    text = (
        f'url = "http://box:1"\n{COMMAND}cwd = "ComfyUI"\nready_timeout = 5\nstop_grace = 0\nenv = {{ A = "{SECRET}" }}'
    )
    file = written(tmp_path, text)
    assert settings(file).server == "http://box:1"
    assert start(file) == ServerStart(
        command=("python", "main.py"), cwd=tmp_path / "ComfyUI", file=file, env={"A": SECRET},
        ready_timeout=5.0, stop_grace=0.0,
    )  # fmt: skip
    assert SECRET not in repr(start(file))
    assert set(SERVER_KEYS) >= {"url", "command", "cwd", "env", "ready_timeout", "stop_grace"}


def test_defaults_are_those_that_the_reference_tells(tmp_path: Path) -> None:
    file = written(tmp_path, COMMAND)
    assert settings(file).server == DEFAULT_SERVER == SERVER_KEYS["url"][1]
    found = start(file)
    assert (found.cwd, found.env) == (tmp_path, {})
    assert (f"{found.ready_timeout:g}", f"{found.stop_grace:g}") == (
        SERVER_KEYS["ready_timeout"][1], SERVER_KEYS["stop_grace"][1],
    )  # fmt: skip
    assert (ServerPlan(url="x").ready_timeout, ServerPlan(url="x").stop_grace) == (
        found.ready_timeout, found.stop_grace,
    )  # fmt: skip


def test_a_table_with_only_an_address_starts_nothing(tmp_path: Path) -> None:
    file = written(tmp_path, 'url = "box"')
    assert settings(file).server == "http://box"
    assert settings(file).start is None


def test_a_program_with_a_path_is_found_from_the_folder_it_runs_in(tmp_path: Path) -> None:
    file = written(tmp_path, 'command = ["venv/bin/python", "main.py"]\ncwd = "ComfyUI"')
    assert start(file).command == (str(tmp_path / "ComfyUI" / "venv/bin/python"), "main.py")
    file = written(tmp_path, 'command = ["~/venv/bin/python"]')
    assert start(file).command == (str(Path.home() / "venv/bin/python"),)


@pytest.mark.parametrize("other", ["http://other:8188", "sim"])
def test_a_command_belongs_to_its_server(tmp_path: Path, other: str) -> None:
    file = written(tmp_path, COMMAND)
    assert settings(file, server=other).start is None
    assert settings(file, server=DEFAULT_SERVER).start is not None
    assert load({}, {"COMFYTUI_CONFIG": str(file), "COMFYTUI_SERVER": other}, tmp_path).start is None
    assert load({}, {"COMFYTUI_CONFIG": str(file)}, tmp_path, DEMO).start is None


@pytest.mark.parametrize(
    ("table", "place", "why"),
    [
        ('command = "python main.py"', "server.command", "write a list"),
        ("command = []", "server.command", "it is empty"),
        ("command = 3", "server.command", "3 is no list of words"),
        ('command = ["python", 3]', "server.command", "word 2 (3)"),
        ('command = [" "]', "server.command", "word 1"),
        ('command = ["python", "a\\u0000b"]', "server.command", "word 2"),
        ('comand = ["python"]', "server.comand", "did you mean `command`?"),
        ('token = "x"', "server.token", "secrets are not kept in files"),
        ('url = "ftp://x"', "server.url", "neither http"),
        ('url = "sim"\n' + COMMAND, "server.command", "simulator"),
        ('cwd = "x"', "server.cwd", "`command` is missing"),
        (COMMAND + "cwd = 3", "server.cwd", "3 is not text"),
        (COMMAND + "ready_timeout = 0", "server.ready_timeout", "0 is not more than 0"),
        (COMMAND + 'ready_timeout = "long"', "server.ready_timeout", "'long' is not a number"),
        (COMMAND + "stop_grace = -1", "server.stop_grace", "-1 is less than 0"),
        (COMMAND + "stop_grace = nan", "server.stop_grace", "is not a number"),
        (COMMAND + "stop_grace = true", "server.stop_grace", "true is not a number"),
        (COMMAND + "stop_grace = 1e30", "server.stop_grace", "is more than"),
        (COMMAND + "env = 3", "server.env", "3 is no table"),
        (COMMAND + "env = { A = 424242 }", "server.env.A", "put it in quotes"),
        (COMMAND + 'env = { "A=B" = "x" }', "server.env.A=B", "no name of a variable"),
        (COMMAND + 'env = { A = "x\\u0000" }', "server.env.A", "is not text"),
    ],
)
def test_what_is_of_no_use_is_named_by_its_place(tmp_path: Path, table: str, place: str, why: str) -> None:
    file = written(tmp_path, table)
    with pytest.raises(Failure) as raised:
        from_file(file)
    assert raised.value.code == "config.value"
    assert raised.value.what.startswith(f"{place} in {file} is not usable: ")
    assert why in raised.value.what
    assert "424242" not in raised.value.what, "a value of env may be a secret"


def test_a_server_that_is_neither_text_nor_table(tmp_path: Path) -> None:
    file = tmp_path / "comfytui.toml"
    file.write_text("server = 3")
    with pytest.raises(Failure, match=r"server in .* 3 is not text"):
        from_file(file)


def test_the_plan_says_how_to_start_and_no_value_of_env(tmp_path: Path) -> None:
    file = written(tmp_path, f'{COMMAND}env = {{ A = "{SECRET}" }}')
    found = settings(file)
    plan = make_plan(
        order_sample(found), found, run_id="20261123-010000", created_at=system_clock().now(), simulator_speed="demo"
    )
    assert plan.server.command == ("python", "main.py")
    assert (plan.server.cwd, plan.server.env_file) == (str(tmp_path), str(file))
    assert SECRET.encode() not in readable(plan)
    assert env_in(Path(plan.server.env_file or "")) == {"A": SECRET}


@pytest.mark.parametrize(("content", "code"), [(None, "config.unreadable"), ("[server", "config.unreadable")])
def test_a_file_that_is_gone_when_its_env_is_wanted(tmp_path: Path, content: Any, code: str) -> None:
    file = tmp_path / "comfytui.toml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(Failure) as raised:
        env_in(file)
    assert raised.value.code == code


@pytest.mark.parametrize("content", ["", 'server = "http://box"'])
def test_a_file_that_no_longer_has_an_env(tmp_path: Path, content: str) -> None:
    file = tmp_path / "comfytui.toml"
    file.write_text(content)
    assert env_in(file) == {}
