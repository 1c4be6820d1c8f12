"""What ``comfytui serve`` starts for each tab."""

from pathlib import Path

from click.testing import CliRunner

from comfytui.cli.commands import comfytui
from comfytui.cli.serving import dashboard_words


def test_each_tab_has_the_looks_and_the_past_runs_that_were_asked_for(tmp_path: Path) -> None:
    runs = tmp_path / "elsewhere"
    flags = {"theme": "signal", "ascii": True, "ssh": False, "readonly": True}
    looks = ["--theme", "signal", "--ascii", "--no-ssh", "--readonly", "--runs-dir", str(runs)]
    assert dashboard_words(None, runs, flags) == (looks, "the dashboard of a server")
    run = runs / "20260301-102000"
    run.mkdir(parents=True)
    (run / "events.jsonl").touch()
    words, title = dashboard_words("latest", runs, flags)
    assert (words, title) == (["attach", str(run), *looks], "comfytui 20260301-102000")
    for told in (words, looks):
        done = CliRunner().invoke(comfytui, told, standalone_mode=False, env={"COMFYTUI_CONFIG": ""})
        assert "terminal.none" in str(done.exception), "every word of it is understood"
