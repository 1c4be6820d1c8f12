"""Several servers: given as flags, in the environment or as ``[[servers]]``, and what is said of unusable ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from comfytui.cli.driving import credentials
from comfytui.cli.planning import make_plan, order_story
from comfytui.clock import system_clock
from comfytui.errors import Failure
from comfytui.model.plan import RunPlan
from comfytui.records.rundir import readable
from comfytui.settings.merged import Settings, load
from comfytui.settings.servers_table import ServerEntry

SECRET = "Bearer s3cr3t-of-a"
TWO = f"""
[[servers]]
url = "http://a:1"
name = "gpu-a"
output_dir = "out"
headers = {{ Authorization = "{SECRET}" }}
tags = ["24gb", "fast"]
weight = 2

[[servers]]
url = "b"
command = ["python", "main.py"]
env = {{ HF_TOKEN = "hf_abcdef" }}
"""


def settings(folder: Path, text: str = TWO, environ: dict[str, str] | None = None, **flags: Any) -> Settings:
    file = folder / "comfytui.toml"
    file.write_text(text, encoding="utf-8")
    return load(flags, {"COMFYTUI_CONFIG": str(file)} | (environ or {}), folder)


def plan_of(chosen: Settings, folder: Path, **scene: Any) -> RunPlan:
    story = folder / "story.json"
    story.write_text(json.dumps({"scenes": [{"prompt": "a light"} | scene]}), encoding="utf-8")
    order = order_story(story, chosen)
    return make_plan(order, chosen, run_id="r", created_at=system_clock().now(), simulator_speed="instant")


def test_a_table_each_and_a_name_for_each(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    a, b = chosen.servers
    assert (a.url, a.name, a.output_dir, a.tags, a.weight) == (
        "http://a:1", "gpu-a", tmp_path / "out", ("24gb", "fast"), 2.0,
    )  # fmt: skip
    assert (b.url, b.name, b.output_dir, b.tags, b.weight) == ("http://b", "b", None, (), 1.0)
    assert b.start is not None and b.start.command == ("python", "main.py")
    assert (chosen.server, chosen.urls) == ("http://a:1", ("http://a:1", "http://b"))


def test_the_plan_names_them_and_holds_no_secret(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    plan = plan_of(chosen, tmp_path, serverTags="24gb")
    assert [(server.name, server.url) for server in plan.servers] == [("gpu-a", "http://a:1"), ("b", "http://b")]
    assert plan.scenes[0].server_tags == ("24gb",)
    assert b"s3cr3t" not in readable(plan) and b"hf_abc" not in readable(plan)
    assert "s3cr3t" not in repr(chosen)


def test_each_is_sent_its_own_headers_and_no_other_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(settings(tmp_path), tmp_path)
    monkeypatch.setenv("COMFYTUI_TOKEN", "for-all")
    found = credentials(*plan.servers)
    assert (found.of("gpu-a").token, found.of("gpu-a").headers) == (None, {"Authorization": SECRET})
    assert (found.of("b").token, found.of("b").headers) == ("for-all", {})
    assert found.of("b").server_env == {"HF_TOKEN": "hf_abcdef"} and not found.of("gpu-a").server_env
    assert "s3cr3t" not in repr(found) and "hf_" not in repr(found)


def test_a_header_may_name_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_A", "s3cr3t")
    text = '[[servers]]\nurl = "http://a"\nheaders = { X-Key = "k ${KEY_OF_A}" }'
    plan = plan_of(settings(tmp_path, text, {"KEY_OF_A": "s3cr3t"}), tmp_path)
    assert plan.server.name == "", "the only server of a run has no name"
    assert credentials(*plan.servers).of("").headers == {"X-Key": "k s3cr3t"}
    (tmp_path / "comfytui.toml").write_text("", encoding="utf-8")
    monkeypatch.setenv("COMFYTUI_TOKEN", "for-all")
    forgotten = credentials(*plan.servers).of("")
    assert (forgotten.token, forgotten.headers) == (None, {}), "it had a login of its own, and gets nobody else's"
    with pytest.raises(Failure, match=r"servers\[0\]\.headers\.X-Key .* KEY_OF_A is not set") as told:
        settings(tmp_path, text)
    assert told.value.code == "config.value"


def test_flags_and_environment_name_several(tmp_path: Path) -> None:
    by_flag = settings(tmp_path, "", server=("http://a:1", "sim", "sim"))
    assert [entry.name for entry in by_flag.servers] == ["a:1", "sim", "sim-2"]
    by_variable = settings(tmp_path, "", {"COMFYTUI_SERVER": "box:1 box:2"})
    assert by_variable.urls == ("http://box:1", "http://box:2")
    assert settings(tmp_path, "", server="box").servers == ()


def test_a_flag_chooses_among_the_tables_by_name_or_address(tmp_path: Path) -> None:
    for flag in ("gpu-a", "http://a:1"):
        (one,) = settings(tmp_path, server=flag).servers
        assert (one.url, one.tags) == ("http://a:1", ("24gb", "fast"))
    named, plain = settings(tmp_path, server=("gpu-a", "http://c")).servers
    assert named.name == "gpu-a" and plain == ServerEntry(url="http://c", name="c")
    assert settings(tmp_path, server="http://elsewhere").servers == ()


def test_one_output_folder_for_all_who_have_none(tmp_path: Path) -> None:
    text = '[[servers]]\nurl = "a"\n[[servers]]\nurl = "b"\noutput_dir = "own"'
    shared, own = settings(tmp_path, text, output_dir=str(tmp_path / "shared")).servers
    assert (shared.output_dir, own.output_dir) == (tmp_path / "shared", tmp_path / "own")


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ('servers = "a"', "servers in", "no list of tables; write"),
        ('servers = []', "servers in", "no list of tables; write"),
        ("[[servers]]\nname = 'a'", "servers[0].url", "it is missing"),
        ("[[servers]]\nurl = 'a'\nwieght = 2", "servers[0].wieght", "did you mean `weight`?"),
        ("[[servers]]\nurl = 'a'\nweight = 0", "servers[0].weight", "0 is not a number above 0"),
        ("[[servers]]\nurl = 'a'\nname = 'a b'", "servers[0].name", "'a b' is no name"),
        ("[[servers]]\nurl = 'a'\ntags = 'x'", "servers[0].tags", "'x' is no list of texts"),
        ("[[servers]]\nurl = 'a'\ntags = ['x y']", "servers[0].tags", "'x y' is no tag"),
        ("[[servers]]\nurl = 'a'\nheaders = 1", "servers[0].headers", "it is no table of headers"),
        ("[[servers]]\nurl = 'a'\nheaders = {'b c' = 'x'}", "servers[0].headers", "'b c' is no name of a header"),
        ("[[servers]]\nurl = 'a'\nheaders = {b = 7}", "servers[0].headers", "the value of b is not text"),
        ("[[servers]]\nurl = 'a'\nenv = {A = 'x'}", "servers[0].env", "`command` is missing"),
        ("[[servers]]\nurl = 'sim'\ncommand = ['x']", "servers[0].command", "the simulator has its own"),
        ("[[servers]]\nurl='localhost:1'\n[[servers]]\nurl='127.0.0.1:1/'", "servers[1].url", "another"),
        ("[[servers]]\nurl='a'\nname='n'\n[[servers]]\nurl='b'\nname='n'", "servers[1].name", "'n' is that of another"),
        ("server = 'a'\n[[servers]]\nurl = 'b'", "servers in", "`server` is there too"),
        ("[server]\nurl = 'a'\n[[servers]]\nurl = 'b'", "servers in", "`server` is there too"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(text: str, place: str, why: str, tmp_path: Path) -> None:
    if text.startswith("servers ="):
        place = "servers in"
    with pytest.raises(Failure) as told:
        settings(tmp_path, text)
    assert told.value.code == "config.value"
    assert place in told.value.what and why in told.value.what, told.value.what


@pytest.mark.parametrize("twice", [("http://a", "http://a/"), ("http://localhost:1", "http://127.0.0.1:1")])
def test_a_server_given_twice_is_refused(twice: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(Failure, match="is given twice") as told:
        settings(tmp_path, "", server=twice)
    assert told.value.code == "config.value" and told.value.remedy
    with pytest.raises(Failure, match="is given twice"):
        settings(tmp_path, server=("http://a:1", "gpu-a"))


def test_tags_that_no_server_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"tags that scene .* asks for: 24gb, 80gb") as told:
        plan_of(settings(tmp_path), tmp_path, serverTags=["24gb", "80gb"])
    assert told.value.code == "story.server_tags" and told.value.remedy
