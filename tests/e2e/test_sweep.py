"""A sweep as a user meets it: one that is killed goes on where it was, and its report is there at the end."""

import json
import time
from pathlib import Path

import pytest

from tests.e2e.command import comfytui, started, story


def sweep_folder(folder: Path) -> Path:
    """Return the one sweep's folder."""
    (found,) = (folder / "runs").glob("sweep-*")
    return found


def begun(folder: Path) -> list[dict[str, object]]:
    found = list((folder / "runs").glob("sweep-*/sweep-progress.json"))
    told: list[dict[str, object]] = json.loads(found[0].read_text(encoding="utf-8"))["runs"] if found else []
    return told


@pytest.mark.timeout(120)
def test_a_killed_sweep_goes_on_where_it_was(tmp_path: Path) -> None:
    arguments = [str(story(tmp_path, scenes=1)), "-n", "3", "--matrix", "width=64", "--json", "--fail-on", "success<1"]
    process = started("sweep", *arguments, "--server", "sim", "--workflow", "smoke", cwd=tmp_path)
    deadline = time.monotonic() + 50
    while len(begun(tmp_path)) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    before = begun(tmp_path)
    assert not (sweep_folder(tmp_path) / "report.json").exists()

    done = comfytui("resume", str(sweep_folder(tmp_path)), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    after = begun(tmp_path)
    assert [run["run_id"] for run in after][: len(before)] == [run["run_id"] for run in before]
    assert [run["exit_code"] for run in after] == [0, 0, 0]
    assert len({run["run_id"] for run in after}) == 3
    last = json.loads(done.stdout.splitlines()[-1])["sweep"]
    assert last["scenes"] == {"well": 3, "of": 3}
    assert [verdict["broken"] for verdict in last["gate"]] == [False]
    assert {file.name for file in sweep_folder(tmp_path).iterdir()} >= {"report.json", "report.md", "report.html"}
    opened = [line for line in done.stdout.splitlines() if '"run_opened"' in line]
    assert '"number":3' in opened[-1]

    again = comfytui("sweep", "--resume", "--headless", cwd=tmp_path)
    assert again.returncode == 0
    assert len(begun(tmp_path)) == 3, "a sweep that is over begins nothing"
    changed = comfytui("sweep", "--resume", "-n", "9", "--headless", cwd=tmp_path)
    assert changed.returncode == 2
    assert "-n cannot be given with --resume" in changed.stderr
    broken = comfytui("report", "runs", "--fail-on", "p95>0s", "--out", "out", cwd=tmp_path)
    assert broken.returncode == 1
    assert "BROKEN" in broken.stdout
    assert (tmp_path / "out" / "junit.xml").exists()
    slow = [
        str(story(tmp_path, scenes=1)),
        "-n",
        "1",
        "--baseline",
        "out",
        "--fail-on",
        "p95<0.01x,success<1x",
        "--json",
    ]
    against = comfytui("sweep", *slow, "--server", "sim", "--workflow", "smoke", cwd=tmp_path)
    assert against.returncode == 0, against.stdout + against.stderr
    told = json.loads(against.stdout.splitlines()[-1])["sweep"]
    assert [verdict["broken"] for verdict in told["gate"]] == [False, False]
    assert (Path(told["dir"]) / "baseline.json").exists()


def test_what_is_wrong_is_told_before_anything_is_made(tmp_path: Path) -> None:
    wrong = {
        "sweep.matrix": ["--matrix", "stepps=3"],
        "gate.syntax": ["--fail-on", "success"],
    }
    given = [str(story(tmp_path)), "--server", "sim", "--workflow", "smoke", "--headless"]
    for code, arguments in wrong.items():
        done = comfytui("sweep", *given, *arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert f"[{code}]" in done.stderr
    assert not (tmp_path / "runs").exists()
    done = comfytui("sweep", "--resume", "--headless", cwd=tmp_path)
    assert done.returncode == 2
    assert "[sweep.not_found]" in done.stderr
