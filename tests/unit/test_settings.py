"""Settings: every field from every place, who wins, and what is said about a value that cannot be used."""

import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from comfytui.errors import Failure
from comfytui.model.policy import QueuePolicy
from comfytui.settings.layers import find_file, from_environment, from_file, from_flags, user_folder
from comfytui.settings.merged import DEMO, Layer, Settings, load, merge
from comfytui.settings.secrets import headers_of, token_of
from comfytui.settings.table import QUEUE, SETTINGS, Setting
from comfytui.settings.values import policy_range

# A value other than the default for every setting: as a text, as TOML, and as it is read.
SAMPLES: dict[str, tuple[str, str, Any]] = {
    "server": ("http://gpu:8188/comfy/", '"http://gpu:8188/comfy/"', "http://gpu:8188/comfy"),
    "workflow": ("smoke", '"smoke"', "smoke"),
    "output_dir": ("/srv/out", '"/srv/out"', Path("/srv/out")),
    "runs_dir": ("/srv/runs", '"/srv/runs"', Path("/srv/runs")),
    "watch": ("poll", '"poll"', "poll"),
    "theme": ("ansi", '"ansi"', "ansi"),
    "ascii": ("yes", "true", True),
    "ssh": ("yes", "true", True),
    "max_wait": ("77", "77", 77),
    "max_total_wait": ("777", "777", 777),
    "server_wait": ("90", "90", 90),
    "stall_timeout": ("75", "75", 75),
    "history_max_attempts": ("9", "9", 9),
    "poll_interval": ("5", "5", 5),
    "post_execution_timeout": ("44", "44", 44),
    "retry_budget": ("3", "3", 3),
    "frame_floor": ("12", "12", 12),
    "lookahead": ("2", "2", 2),
    "stability": ("0.5", "0.5", 0.5),
    "stability_retries": ("8", "8", 8),
    "done_marker": ("true", "true", True),
    "done_marker_timeout": ("21", "21", 21),
    "gpu_interval": ("0.25", "0.25", 0.25),
    "fast_iteration": ("on", "true", True),
    "llm": ("box:1234/v1/", '"http://box:1234/v1"', "http://box:1234/v1"),
    "llm_model": ("qwen", '"qwen"', "qwen"),
    "llm_seed": ("7", "7", 7),
    "llm_timeout_ms": ("500", "500", 500),
    "llm_temperature": ("0.35", "0.35", 0.35),
    "llm_request_format": ("direct-json", '"direct-json"', "direct-json"),
    "llm_health_url": ("http://box/health", '"http://box/health"', "http://box/health"),
    "llm_skip_health": ("1", "true", True),
}


def value_of(settings: Settings, setting: Setting) -> Any:
    if setting.name == "fast_iteration":
        return settings.policy.scene_retry_budget == 0
    if setting.llm:
        return getattr(settings.llm, setting.llm)
    return getattr(settings.policy, setting.policy) if setting.policy else getattr(settings, setting.name)


def written(folder: Path, text: str) -> Path:
    path = folder / "comfytui.toml"
    path.write_text(text, encoding="utf-8")
    return path


def toml(setting: Setting) -> str:
    table, _, key = setting.key.rpartition(".")
    line = f"{key} = {SAMPLES[setting.name][1]}\n"
    return f"[{table}]\n{line}" if table else line


def failure(work: Any, *args: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        work(*args)
    assert caught.value.exit_code == 2
    return caught.value


def test_every_field_of_the_policy_can_be_set_and_kinds_agree() -> None:
    hints = {"whole": int, "number": float, "switch": bool}
    by_field = {setting.policy: setting for setting in QUEUE if setting.policy}
    assert set(by_field) == set(QueuePolicy.__struct_fields__)
    for field in structs.fields(QueuePolicy):
        assert hints[by_field[field.name].kind].__name__ in str(field.type)


def test_the_variables_have_the_names_that_scripts_use() -> None:
    assert {s.variable for s in QUEUE if s.variable} == {
        "SCENE_MAX_WAIT_SECONDS", "SCENE_MAX_TOTAL_WAIT_SECONDS", "SCENE_HISTORY_MAX_ATTEMPTS",
        "SCENE_HISTORY_POLL_INTERVAL_SECONDS", "SCENE_POST_EXECUTION_TIMEOUT_SECONDS", "SCENE_RETRY_BUDGET",
    }  # fmt: skip


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: s.name)
def test_each_setting_is_read_from_each_place(setting: Setting, tmp_path: Path) -> None:
    text, _, wanted = SAMPLES[setting.name]
    assert value_of(merge([], tmp_path), setting) != wanted, "the sample must differ from the default"
    assert value_of(merge([from_flags({setting.name: text}, tmp_path)], tmp_path), setting) == wanted
    assert value_of(merge([from_file(written(tmp_path, toml(setting)))], tmp_path), setting) == wanted
    if setting.variable:
        layer = from_environment({setting.variable: f" {text} "}, tmp_path)
        assert value_of(merge([layer], tmp_path), setting) == wanted


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.variable], ids=lambda s: s.name)
def test_flags_win_over_environment_over_file_over_defaults(setting: Setting, tmp_path: Path) -> None:
    others = {
        "server": ("http://a", "http://b"), "workflow": ("smoke", "svd"), "output_dir": ("/a", "/b"),
        "runs_dir": ("/a", "/b"), "theme": ("a", "b"), "ascii": ("0", "0"), "ssh": ("0", "0"),
        "llm": ("http://a", "http://b"),
        "llm_temperature": ("1", "2"), "llm_request_format": ("openai-chat", "openai-chat"),
        "llm_health_url": ("http://a", "http://b"), "llm_skip_health": ("0", "0"),
    }  # fmt: skip
    by_variable, by_flag = others.get(setting.name, ("31", "41"))
    environ = {str(setting.variable): by_variable, "COMFYTUI_CONFIG": str(written(tmp_path, toml(setting)))}

    def wanted(text: str) -> Any:
        return value_of(merge([from_flags({setting.name: text}, tmp_path)], tmp_path), setting)

    assert (
        value_of(load({}, {"COMFYTUI_CONFIG": environ["COMFYTUI_CONFIG"]}, tmp_path), setting)
        == (SAMPLES[setting.name][2])
    )
    assert value_of(load({}, environ, tmp_path), setting) == wanted(by_variable)
    assert value_of(load({setting.name: by_flag}, environ, tmp_path), setting) == wanted(by_flag)


def test_defaults() -> None:
    settings = merge([], Path("/here"))
    assert settings == Settings(
        server="http://127.0.0.1:8188", workflow="txt2img", runs_dir=Path("/here/runs"), policy=QueuePolicy()
    )


def test_help_tells_the_real_defaults(tmp_path: Path) -> None:
    settings = merge([], tmp_path)
    for setting in SETTINGS:
        if setting.default:
            told = merge([from_flags({setting.name: setting.default}, tmp_path)], tmp_path)
            assert value_of(told, setting) == value_of(settings, setting), setting.name
        else:
            assert value_of(settings, setting) in (None, False), setting.name


def test_a_seed_may_have_all_the_digits_that_seeds_have(tmp_path: Path) -> None:
    for seed in (2**32 - 1, 2**63 - 1):
        assert load({}, {"LOCAL_LLM_SEED": str(seed), "COMFYTUI_CONFIG": ""}, tmp_path).llm.seed == seed


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    assert from_environment({"SCENE_RETRY_BUDGET": " ", "COMFYTUI_SERVER": ""}, tmp_path) == Layer({})


# --- values that cannot be used ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("max_wait", "soon", "'soon' is not a whole number"),
        ("max_wait", "1.5", "'1.5' is not a whole number"),
        ("max_wait", "nan", "'nan' is not a whole number"),
        ("max_wait", "9" * 6000, "is not a whole number"),
        ("max_wait", "1_000", "'1_000' is not a whole number"),
        ("max_wait", "0", "0 is less than 1"),
        ("max_wait", "-5", "-5 is less than 1"),
        ("max_wait", "2000000000", "2000000000 is more than 1000000000"),
        ("poll_interval", "0", "0 is less than 1"),
        ("gpu_interval", "0", "0 is not more than 0"),
        ("gpu_interval", "inf", "'inf' is not a number"),
        ("stability", "-1", "-1 is less than 0"),
        ("frame_floor", "0", "0 is less than 1"),
        ("done_marker", "maybe", "'maybe' is neither true nor false"),
        ("watch", "look", "'look' is none of auto, events, poll"),
        ("theme", " ", "it is empty"),
        ("theme", "a\x1b[31mb", "it holds characters that cannot be shown"),
        ("runs_dir", "a\x00b", "it holds characters that cannot be shown"),
        ("server", "ftp://box", "'ftp://box' begins with neither http:// nor https://"),
        ("server", "http://", "'http://' is no address"),
        ("server", "http://box:99999", "port out of range"),
        ("server", "http://box:0", "is no address"),
        ("server", "http://box/?a=1", "something after a ? or #"),
        ("server", "http://me:hidden@box", "a login does not belong in an address; set COMFYTUI_TOKEN"),
        ("server", "http://me:hidden@box:x", "'box:x' is no address"),
        ("llm", "http://me:hidden@box", "a login does not belong in an address; it is recorded in every run"),
        ("llm", "http://box/?key=hidden", "something after a ? or #"),
        ("llm_request_format", "ollama", "'ollama' is none of direct-json, openai-chat"),
        ("llm_temperature", "2.5", "2.5 is more than 2"),
        ("llm_timeout_ms", "0", "0 is less than 1"),
        ("llm_seed", "-1", "-1 is less than 0"),
    ],
)
def test_a_bad_value_is_told_with_its_flag_and_why(name: str, text: str, why: str, tmp_path: Path) -> None:
    fault = failure(from_flags, {name: text}, tmp_path)
    assert fault.code == "config.value"
    assert fault.what.startswith(f"--{name.replace('_', '-')} is not usable: ")
    assert why in fault.what
    assert "hidden" not in str(fault)


def test_a_bad_variable_is_named(tmp_path: Path) -> None:
    fault = failure(from_environment, {"SCENE_MAX_WAIT_SECONDS": "x"}, tmp_path)
    assert fault.what == "The variable SCENE_MAX_WAIT_SECONDS is not usable: 'x' is not a whole number."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("queue = 3", "queue in {file} is not usable: 3 stands where a table [queue] belongs."),
        ("[queue]\nmax_wait = true", "queue.max_wait in {file} is not usable: true is not a whole number."),
        ("[queue]\nmax_wait = []", "queue.max_wait in {file} is not usable: a list is not a whole number."),
        ("server = []", "server in {file} is not usable: it is empty."),
        ("[queue]\nstability = nan", "queue.stability in {file} is not usable: nan is not a number."),
        ("[queue]\nmax_wait = 1234567890", "1234567890 is more than 1000000000."),
        ("[llm]\nseed = 9223372036854775808", "9223372036854775808 is more than 9223372036854775807."),
        ("server = 8188", "server in {file} is not usable: 8188 is not text."),
        ("[keymap]\nquit = 1", "keymap.quit in {file} is not usable: 1 is not text."),
        ("sever = 'x'", "there is no such setting; did you mean `server` at the top of the file?"),
        ("max_wait = 3", "there is no such setting; did you mean `max_wait` under [queue]?"),
        ("[queue]\nmax_wait_seconds = 3", "did you mean `max_wait` under [queue]?"),
        ("[queue]\nruns_dir = 'x'", "did you mean `runs_dir` at the top of the file?"),
        ("[que]\na = 1", "did you mean the table [queue]?"),
        ("zzz = 1", "zzz in {file} is not usable: there is no such setting."),
        ("token = 'abc'", "secrets are not kept in files; set COMFYTUI_TOKEN or COMFYTUI_HEADERS in the environment"),
        ("[headers]\nX-Key = 'abc'", "secrets are not kept in files"),
        ("server = 'http://a:b@c'", "a login does not belong in an address"),
    ],
)
def test_the_file_is_held_to_its_keys(text: str, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    fault = failure(from_file, path)
    assert fault.code == "config.value"
    assert said.format(file=path) in fault.what
    assert not fault.what.endswith(("?.", ".."))
    assert "abc" not in str(fault)


@pytest.mark.parametrize("content", [b"a = ", b"\xff\xfe", b"[queue]\n[queue]\n"])
def test_a_file_that_is_no_toml_is_told(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "comfytui.toml"
    path.write_bytes(content)
    fault = failure(from_file, path)
    assert fault.code == "config.unreadable"
    assert str(path) in fault.what


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    fault = failure(load, {}, {"COMFYTUI_CONFIG": "nowhere.toml"}, tmp_path)
    assert fault.code == "config.unreadable"
    assert "nowhere.toml" in fault.what


# --- where the file is, and what its paths mean --------------------------------------------------------------------


def test_one_file_is_read_the_nearest(tmp_path: Path) -> None:
    home = tmp_path / "home"
    users = user_folder("linux", {}, home)
    assert users is not None
    environ: dict[str, str] = {"XDG_CONFIG_HOME": str(home / ".config"), "APPDATA": str(home)}
    assert find_file(environ, tmp_path, home) is None
    for platform_folder in (users, home / "comfytui", home / "Library" / "Application Support" / "comfytui"):
        platform_folder.mkdir(parents=True)
        written(platform_folder, "")
    found = find_file(environ, tmp_path, home)
    assert found is not None
    assert found.is_relative_to(home)
    here = written(tmp_path, "")
    assert find_file(environ, tmp_path, home) == here
    assert find_file({"COMFYTUI_CONFIG": ""}, tmp_path, home) is None


def test_a_folder_that_may_not_be_looked_into_is_told(tmp_path: Path) -> None:
    fault = failure(load, {}, {"XDG_CONFIG_HOME": f"/{'x' * 300}", "APPDATA": f"/{'x' * 300}"}, tmp_path)
    assert fault.code == "config.unreadable"


def test_a_user_without_a_home_has_no_file_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert load({}, {}, tmp_path) == load({}, {"COMFYTUI_CONFIG": ""}, tmp_path)
    assert find_file({"XDG_CONFIG_HOME": str(tmp_path), "APPDATA": str(tmp_path)}, tmp_path, None) is None
    users = tmp_path / "comfytui"
    users.mkdir()
    found = find_file({"XDG_CONFIG_HOME": str(tmp_path), "APPDATA": str(tmp_path)}, tmp_path, None)
    assert found is None
    there = written(users, "")
    if sys.platform != "darwin":
        assert find_file({"XDG_CONFIG_HOME": str(tmp_path), "APPDATA": str(tmp_path)}, tmp_path, None) == there


def test_user_folders() -> None:
    home = Path("/h")
    assert user_folder("linux", {}, home) == Path("/h/.config/comfytui")
    assert user_folder("linux", {"XDG_CONFIG_HOME": "/x"}, home) == Path("/x/comfytui")
    assert user_folder("darwin", {}, home) == Path("/h/Library/Application Support/comfytui")
    assert user_folder("win32", {"APPDATA": "/a"}, home) == Path("/a/comfytui")


def test_paths_are_relative_to_where_they_are_said(tmp_path: Path) -> None:
    folder = tmp_path / "conf"
    folder.mkdir()
    path = written(folder, 'runs_dir = "r"\nworkflow = "graphs/w.json"\noutput_dir = "~/out"')
    settings = load({}, {"COMFYTUI_CONFIG": str(path)}, tmp_path)
    assert settings.runs_dir == folder / "r"
    assert settings.workflow == str(folder / "graphs" / "w.json")
    assert settings.output_dir == Path.home() / "out"
    by_flag = load({"runs_dir": "r", "workflow": "w.json"}, {"COMFYTUI_CONFIG": ""}, tmp_path)
    assert by_flag.runs_dir == tmp_path / "r"
    assert by_flag.workflow == str(tmp_path / "w.json")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("sim", "sim"),
        ("SIM", "sim"),
        ("127.0.0.1:8188", "http://127.0.0.1:8188"),
        ("box", "http://box"),
        ("HTTPS://box/comfy/api/", "https://box/comfy/api"),
        ("wss://box/comfy", "https://box/comfy"),
        ("http://[::1]:8188", "http://[::1]:8188"),
    ],
)
def test_server_addresses(text: str, url: str, tmp_path: Path) -> None:
    assert merge([from_flags({"server": text}, tmp_path)], tmp_path).server == url


# --- what belongs together -----------------------------------------------------------------------------------------


def test_bindings_belong_to_their_workflow(tmp_path: Path) -> None:
    path = written(tmp_path, 'workflow = "mine.json"\n[bindings]\npositive = "6.text"\n[keymap]\nquit = "q"')
    file = from_file(path)
    assert merge([file], tmp_path).bindings == {"positive": "6.text"}
    assert merge([file], tmp_path).keymap == {"quit": "q"}
    assert merge([file, from_flags({"workflow": "mine.json"}, tmp_path)], tmp_path).bindings == {"positive": "6.text"}
    assert merge([file, from_flags({"workflow": "smoke"}, tmp_path)], tmp_path).bindings == {}
    alone = from_file(written(tmp_path, '[bindings]\npositive = "6.text"'))
    flagged = merge([alone, from_flags({"workflow": "other.json"}, tmp_path)], tmp_path)
    assert flagged.bindings == {"positive": "6.text"}


def test_an_output_folder_belongs_to_its_server(tmp_path: Path) -> None:
    file = Layer({"server": "http://a", "output_dir": Path("/a")})
    other = Layer({"server": "http://b"})
    assert merge([file], tmp_path).output_dir == Path("/a")
    assert merge([file, Layer({"server": "http://a"})], tmp_path).output_dir == Path("/a")
    assert merge([file, other], tmp_path).output_dir is None
    assert merge([file, other, Layer({"output_dir": Path("/c")})], tmp_path).output_dir == Path("/c")
    assert merge([Layer({"output_dir": Path("/a")}), other], tmp_path).output_dir == Path("/a")
    assert merge([Layer({"output_dir": Path("/a")}), Layer({"server": "sim"})], tmp_path).output_dir is None


def test_an_output_folder_for_the_simulator_is_refused(tmp_path: Path) -> None:
    fault = failure(load, {"server": "sim", "output_dir": "x"}, {"COMFYTUI_CONFIG": ""}, tmp_path)
    assert fault.what == "--output-dir is not usable: the simulator has an output folder of its own."


def test_the_demo_stands_above_file_and_environment_and_below_flags(tmp_path: Path) -> None:
    path = written(
        tmp_path, 'server = "http://a"\nworkflow = "mine.json"\noutput_dir = "o"\n[bindings]\nseed = "3.seed"'
    )
    environ = {"COMFYTUI_CONFIG": str(path), "COMFYTUI_SERVER": "http://b", "SCENE_MAX_WAIT_SECONDS": "50"}
    demo = load({}, environ, tmp_path, DEMO)
    assert (demo.server, demo.simulated, demo.workflow, demo.output_dir) == ("sim", True, "txt2img", None)
    assert demo.bindings == {}
    assert demo.policy.max_wait_seconds == 50
    assert load({"workflow": "smoke"}, environ, tmp_path, DEMO).workflow == "smoke"


def test_fast_iteration_yields_to_what_is_said_beside_or_above_it(tmp_path: Path) -> None:
    file = from_file(written(tmp_path, "[queue]\nmax_wait = 400\nretry_budget = 5\nfast_iteration = true"))
    assert merge([file], tmp_path).policy.max_wait_seconds == 400
    assert merge([file], tmp_path).policy.poll_interval_seconds == 1
    off = from_flags({"fast_iteration": False}, tmp_path)
    assert merge([file, off], tmp_path).policy == QueuePolicy(max_wait_seconds=400, scene_retry_budget=5)
    slow = from_file(written(tmp_path, "[queue]\nmax_wait = 400\nretry_budget = 5"))
    fast = merge([slow, from_flags({"fast_iteration": True, "poll_interval": "3"}, tmp_path)], tmp_path).policy
    assert (fast.max_wait_seconds, fast.scene_retry_budget, fast.poll_interval_seconds) == (120, 0, 3)


def test_ranges_are_those_of_the_policy() -> None:
    assert policy_range("max_wait_seconds") == (1, None)
    assert policy_range("gpu_interval_seconds") == (None, 0)
    assert policy_range("frame_floor") == (1, None)
    assert policy_range("done_marker") == (None, None)


# --- secrets -------------------------------------------------------------------------------------------------------


def test_secrets_come_from_the_environment() -> None:
    assert token_of({}) is None
    assert token_of({"COMFYTUI_TOKEN": " abc "}) == "abc"
    assert headers_of({}) == {}
    assert headers_of({"COMFYTUI_HEADERS": "X-Key: a:b\n\n Cookie: c=1; d=2 "}) == {
        "X-Key": "a:b",
        "Cookie": "c=1; d=2",
    }
    assert headers_of({"COMFYTUI_HEADERS": '{"X-Key": "a"}'}) == {"X-Key": "a"}


@pytest.mark.parametrize("text", ["hidden", ": hidden", "{hidden", '{"a": ["hidden"]}'])
def test_headers_that_cannot_be_used_are_told_without_them(text: str) -> None:
    fault = failure(headers_of, {"COMFYTUI_HEADERS": text})
    assert fault.what.startswith("The variable COMFYTUI_HEADERS is not usable: ")
    assert "hidden" not in str(fault)


# --- [retry] -----------------------------------------------------------------------------------------------------


def test_rules_of_failure_classes_are_changed_one_by_one(tmp_path: Path) -> None:
    file = tmp_path / "comfytui.toml"
    file.write_text('[retry]\nerror = "never"\noom = "budget"\ninterrupted = "free"\n')
    assert load({}, {}, tmp_path).retry == {"error": "never", "oom": "budget", "interrupted": "free"}
    assert merge([], tmp_path).retry == {}


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ('eror = "never"', "retry.eror", "there is no such failure class; did you mean `error`?"),
        ('x = "never"', "retry.x", "there is no such failure class; there are short, cached, error, oom, timeout"),
        ('error = "maybe"', "retry.error", "'maybe' is none of never, budget, free"),
        ("error = 3", "retry.error", "3 is none of never, budget, free"),
        ('[retry.error]\nx = "y"', "retry.error", "a table is none of"),
    ],
)
def test_a_retry_table_that_cannot_be_used_names_the_place(tmp_path: Path, text: str, place: str, why: str) -> None:
    file = tmp_path / "comfytui.toml"
    file.write_text(f"[retry]\n{text}\n")
    found = failure(from_file, file)
    assert found.code == "config.value"
    assert found.what.startswith(f"{place} in {file} is not usable: ")
    assert why in found.what


def test_retry_that_is_no_table_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "comfytui.toml"
    file.write_text('retry = "never"\n')
    assert "where a table [retry] belongs" in failure(from_file, file).what
