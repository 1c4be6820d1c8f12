"""The command line as a user meets it: what starts quickly, what is refused, in which words, with which code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import comfytui as package
from tests.e2e.command import COMMAND, comfytui, environment, story

HEAVY = {"textual", "httpx", "httpx_ws", "msgspec", "anyio", "matplotlib"}

MODULES = """
import json, sys
sys.argv = ["comfytui", *json.loads(sys.argv[1])]
from comfytui.__main__ import main
try:
    main()
except SystemExit:
    pass
print("MODULES " + json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def modules_after(cwd: Path, *arguments: str) -> set[str]:
    """Return the top-level modules that a command leaves imported."""
    done = subprocess.run(
        [sys.executable, "-c", MODULES, json.dumps(arguments)], cwd=cwd, env=environment(), capture_output=True,
        encoding="utf-8", timeout=50, check=False,
    )  # fmt: skip
    told = [line for line in done.stdout.splitlines() if line.startswith("MODULES ")]
    assert told, done.stderr
    return set(json.loads(told[-1].removeprefix("MODULES ")))


# --- what is imported ----------------------------------------------------------------------------------------------


def test_the_version_imports_next_to_nothing(tmp_path: Path) -> None:
    done = comfytui("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"comfytui {package.__version__}\n", "")
    assert not modules_after(tmp_path, "--version") & {*HEAVY, "click"}


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["demo", "-h"], ["sim", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    assert not modules_after(tmp_path, *arguments) & HEAVY


def test_lines_import_no_textual_and_a_past_run_no_http(tmp_path: Path) -> None:
    assert not modules_after(tmp_path, "demo", "--headless", "--workflow", "smoke") & {"textual", "rich"}
    assert not modules_after(tmp_path, "attach", "--headless") & {"textual", "rich", "httpx", "httpx_ws", "pynvml"}
    assert not modules_after(tmp_path, "validate", "runs") & {"textual", "httpx"}
    assert not modules_after(tmp_path, "report", "runs") & {"textual", "httpx", "matplotlib"}


DASHBOARD = """
import sys
import comfytui.cli.rendering, comfytui.cli.attaching, comfytui.cli.observing
import comfytui.link.launch, comfytui.link.feeds, comfytui.faces.tui.app
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_the_dashboard_imports_no_source_of_facts(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DASHBOARD], cwd=tmp_path, env=environment(), capture_output=True, encoding="utf-8",
        check=True,
    )  # fmt: skip
    assert "textual" in done.stdout.split()
    assert not set(done.stdout.split()) & {"httpx", "httpx_ws", "pynvml", "watchfiles", "PIL", "aiohttp"}


RUN = """
import sys
import comfytui.cli.rendering, comfytui.cli.driving, comfytui.faces.headless
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_a_run_does_not_wait_for_what_its_first_prompt_needs_not(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=tmp_path, env=environment(), capture_output=True, encoding="utf-8", check=True
    )
    assert "httpx" in done.stdout.split()
    assert not set(done.stdout.split()) & {"psutil", "watchfiles", "multiprocessing", "pynvml", "textual", "rich"}


# --- what is refused -----------------------------------------------------------------------------------------------


def refused(done: "subprocess.CompletedProcess[str]", code: str, exit_code: int = 2) -> str:
    """Return what was said on standard error, once it is what a failure looks like."""
    assert done.returncode == exit_code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert lines[1].endswith(f"[{code}]")
    return done.stderr


def gui_workflow(folder: Path) -> Path:
    path = folder / "gui.json"
    path.write_text(json.dumps({"nodes": [{"id": 1, "type": "KSampler"}], "links": [], "version": 0.4}))
    return path


def test_a_story_that_is_not_there(tmp_path: Path) -> None:
    assert "nowhere.json" in refused(comfytui("run", "nowhere.json", "--headless", cwd=tmp_path), "story.unreadable")


def test_a_story_that_is_wrong_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"scenes": [{"prompt": "x"}, {"prompt": 7}]}')
    said = refused(comfytui("run", "bad.json", "--headless", "--server", "sim", cwd=tmp_path), "story.shape")
    assert "scenes[1].prompt" in said
    assert not (tmp_path / "runs").exists(), "nothing is made before everything is checked"


def test_a_workflow_of_the_editor(tmp_path: Path) -> None:
    arguments = ["run", str(story(tmp_path)), "--workflow", str(gui_workflow(tmp_path)), "--headless"]
    assert "Export (API)" in refused(comfytui(*arguments, cwd=tmp_path), "workflow.gui_format")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "more", "said"),
    [
        (["--max-wait", "soon"], {}, "--max-wait is not usable: 'soon' is not a whole number."),
        ([], {"SCENE_RETRY_BUDGET": "-1"}, "The variable SCENE_RETRY_BUDGET is not usable: -1 is less than 0."),
        (
            [],
            {"COMFYTUI_HEADERS": "hidden"},
            "The variable COMFYTUI_HEADERS is not usable: line 1 is not `Name: value`.",
        ),
        (["--server", "ftp://x"], {}, "--server is not usable: 'ftp://x' begins with neither http:// nor https://."),
        (["--output-dir", "x"], {}, "--output-dir is not usable: the simulator has an output folder of its own."),
    ],
)
def test_settings_that_cannot_be_used(arguments: list[str], more: dict[str, str], said: str, tmp_path: Path) -> None:
    done = comfytui("demo", "--headless", *arguments, cwd=tmp_path, **more)
    assert refused(done, "config.value").splitlines()[0] == said
    assert not (tmp_path / "runs").exists()


def test_a_configuration_file_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "comfytui.toml").write_text("[queue]\nmax_wiat = 3\n")
    done = comfytui("demo", "--headless", cwd=tmp_path, COMFYTUI_CONFIG="comfytui.toml")
    assert "did you mean `max_wait` under [queue]?" in refused(done, "config.value")


@pytest.mark.parametrize("arguments", [["demo"], ["attach"], [], ["run", "story.toml"]])
def test_no_terminal(arguments: list[str], tmp_path: Path) -> None:
    story(tmp_path)
    assert "--headless" in refused(comfytui(*arguments, cwd=tmp_path), "terminal.none")
    assert not (tmp_path / "runs").exists()


def test_a_failure_is_one_line_of_json_where_json_was_asked_for(tmp_path: Path) -> None:
    done = comfytui("run", "nowhere.json", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "")
    (line,) = done.stdout.splitlines()
    told = json.loads(line)
    assert told["v"] == 1
    assert told["error"]["code"] == "story.unreadable"
    assert set(told["error"]) == {"code", "what", "remedy"}


@pytest.mark.parametrize("arguments", [["fly"], ["run"], ["demo", "--nonsense"], ["validate"], ["sim", "--port", "x"]])
def test_usage(arguments: list[str], tmp_path: Path) -> None:
    done = comfytui(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: comfytui" in done.stderr
    assert "Traceback" not in done.stderr


def test_runs_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments in (["validate", "nowhere"], ["validate", "empty"], ["attach", "nowhere", "--headless"]):
        refused(comfytui(*arguments, cwd=tmp_path), "run.not_found")
    refused(comfytui("attach", "--headless", cwd=tmp_path), "run.not_found")


def test_a_runs_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    refused(comfytui("demo", "--headless", cwd=tmp_path), "run.unwritable")


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = refused(comfytui("sim", "--port", str(taken.getsockname()[1]), cwd=tmp_path), "config.value")
    assert "in use" in said


# --- where output goes ---------------------------------------------------------------------------------------------


def redirected(words: str, *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command with its streams redirected as a shell does it: ``>&-``."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {words}', "sh", *COMMAND, *arguments], cwd=cwd, env=environment(), text=True,
        capture_output=True, timeout=50, check=False,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_a_process_without_streams_goes_its_way(tmp_path: Path) -> None:
    done = redirected("<&- >&-", "themes", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert redirected("<&- >&- 2>&-", "validate", "none", cwd=tmp_path).returncode == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_output_that_the_disk_does_not_take_is_told(tmp_path: Path) -> None:
    done = redirected("> /dev/full", "errors", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("A disk took no more: No space left on device.\n")
    assert done.stderr.endswith("[disk.full]\n")
