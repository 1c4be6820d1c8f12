"""How commands end: failures in words, faults of ours in a file without secrets, interruptions in silence."""

import json
import signal
from pathlib import Path

import anyio
import click
import pytest
from click.testing import CliRunner

from comfytui.cli.commands import comfytui
from comfytui.cli.endings import guarded
from comfytui.cli.faces import EndNoted, chosen_face
from comfytui.cli.interruptions import interruptions
from comfytui.cli.mishaps import without_secrets, write_debug_file
from comfytui.errors import Failure
from comfytui.model.feed import FeedItem
from tests.unit.scripted_run import Script, ending, feed, opened, started


def raising(fault: BaseException) -> int:
    raise fault


def test_a_failure_is_two_sentences_and_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: raising(Failure("terminal.none")), []) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "The dashboard needs a terminal, and standard output is not one.\n"
        "Add --headless, or --json for scripts. [terminal.none]\n"
    )


def test_a_failure_is_found_in_the_groups_of_task_groups(capsys: pytest.CaptureFixture[str]) -> None:
    inner = BaseExceptionGroup("inner", [KeyboardInterrupt(), Failure("run.no_runner", run="x")])
    assert guarded(lambda: raising(BaseExceptionGroup("outer", [ValueError("x"), inner])), ["--json"]) == 2
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out)["error"]["code"] == "run.no_runner"


def test_interruptions_and_closed_pipes_are_silent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[bool] = []
    monkeypatch.setattr("comfytui.faces.printer.leave_stdout", lambda: left.append(True))
    assert guarded(lambda: raising(KeyboardInterrupt()), []) == 130
    assert guarded(lambda: raising(ExceptionGroup("g", [ExceptionGroup("h", [click.Abort()])])), []) == 130
    assert guarded(lambda: raising(BrokenPipeError()), []) == 0
    assert left == [True]
    assert capsys.readouterr() == ("", "")


def test_a_fault_of_ours_is_told_and_written_down_without_secrets(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("COMFYTUI_TOKEN", "s3cret-token")
    monkeypatch.setenv("COMFYTUI_HEADERS", '{"X-Key": "s3cret-key"}')
    fault = RuntimeError("it broke at http://me:s3cret-login@box/ with s3cret-token\nand s3cret-key")
    assert guarded(lambda: raising(fault), ["run", "--server", "http://me:s3cret-login@box/"]) == 1
    _, err = capsys.readouterr()
    (debug,) = tmp_path.iterdir()
    told = debug.read_text(encoding="utf-8")
    assert str(debug) in err
    assert err.startswith("comfytui met an error of its own: RuntimeError: it broke at http://***@box/ with ***")
    assert "Traceback" in told
    assert "s3cret" not in told + err
    assert len(err.splitlines()) == 2


def test_a_debug_file_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    assert write_debug_file(ValueError("x"), [], {}) is None


def test_short_words_are_not_blotted_out() -> None:
    assert without_secrets("a b", {"COMFYTUI_TOKEN": "a"}) == "a b"


def test_a_command_that_was_misused(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: raising(click.UsageError("no such thing")), []) == 2
    assert "no such thing" in capsys.readouterr().err


# --- faces ---------------------------------------------------------------------------------------------------------


def test_which_face_is_chosen() -> None:
    assert chosen_face({"headless": True}).kind == "lines"
    assert chosen_face({"headless": True, "as_json": True, "verbose": True}).kind == "json"
    assert not chosen_face({"headless": True}).readonly
    with pytest.raises(Failure) as caught:
        chosen_face({"headless": None})
    assert caught.value.code == "terminal.none"


class Scripted:
    """A feed of given items."""

    def __init__(self, items: list[FeedItem]) -> None:
        self.items = lambda: feed(items)

    async def send(self, command: object) -> None:
        raise AssertionError(command)


@pytest.mark.parametrize(
    ("more", "code"), [([], None), (ending(1), 1), ([*ending(1), started("rerun")], None), (ending(0), 0)]
)
async def test_how_a_shown_run_ended_is_noted(more: list[object], code: int | None) -> None:
    script = Script()
    noted = EndNoted(Scripted([script.seal(event) for event in [opened(), started(), *more]]))  # type: ignore[arg-type]
    assert len([item async for item in noted.items()]) == 2 + len(more)
    assert noted.exit_code == code


# --- signals -------------------------------------------------------------------------------------------------------


async def test_signals_call_back_and_are_given_back() -> None:
    heard: list[str] = []
    rang = anyio.Event()

    def ring(what: str) -> None:
        heard.append(what)
        rang.set()

    before = signal.getsignal(signal.SIGTERM)
    with interruptions(lambda: ring("end"), lambda: ring("hangup")):
        for number, what in ((signal.SIGINT, "end"), (signal.SIGTERM, "end"), (getattr(signal, "SIGHUP", 0), "hangup")):
            if not number:
                continue
            rang = anyio.Event()
            signal.raise_signal(number)
            with anyio.fail_after(5):
                await rang.wait()
            assert heard[-1] == what
    assert signal.getsignal(signal.SIGTERM) is before


LONG = "x" * 300


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["report", LONG], "report.no_runs"),
        (["report", "runs", "--baseline", LONG], "report.no_runs"),
        (["run", "--headless", "--from", LONG], "run.not_found"),
        (["replay", "--headless", LONG], "run.not_found"),
        (["attach", "--headless", LONG], "run.not_found"),
        (["validate", LONG], None),
        (["sentinel", "--once", LONG], "config.value"),
        (["node", "install", LONG], "node.no_comfyui"),
        (["story", "new", "--out", f"{LONG}.json"], "story.unwritten"),
        (["sweep", "--headless", "--resume", LONG], "sweep.not_found"),
        (["runs", "prune", "--keep-days", "9" * 20], None),
    ],
)
def test_a_name_that_no_disk_takes_is_no_fault_of_ours(
    words: list[str], code: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "20260301-102000"
    run.mkdir(parents=True)
    (run / "artifact-metadata.json").write_text('{"RunId": "20260301-102000"}')
    done = CliRunner().invoke(comfytui, words, standalone_mode=False, env={"COMFYTUI_CONFIG": ""})
    assert (done.exception.code if isinstance(done.exception, Failure) else done.exception) == code


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["--server", "sim", "resume"], "--server"),
        (["--server", "sim", "serve"], "--server"),
        (["--runs-dir", "x", "report"], "--runs-dir"),
        (["--headless", "runs", "--browse"], "--headless"),
        (["--no-ssh", "errors"], "--ssh"),
    ],
)
def test_a_flag_that_a_command_does_not_take_is_refused_before_its_name_too(words: list[str], flag: str) -> None:
    done = CliRunner().invoke(comfytui, words, standalone_mode=False, env={"COMFYTUI_CONFIG": ""})
    assert isinstance(done.exception, click.UsageError)
    assert f"takes no {flag}." in done.exception.message


def test_a_flag_that_it_takes_may_stand_before_its_name(tmp_path: Path) -> None:
    done = CliRunner().invoke(comfytui, ["--runs-dir", str(tmp_path), "runs", "--story", "none"], standalone_mode=False)
    assert done.output == f"No such runs in {tmp_path}.\n"
