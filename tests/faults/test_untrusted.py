"""What a server, its nodes and its network say is not trusted: names prove their place, replies have bounds."""

import json
import sys
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import pytest
from msgspec.structs import replace

from comfytui.engine.frames.shelves import wanted_of
from comfytui.records.rundir import RunDir
from comfytui.simulator import faults as f
from comfytui.simulator.speed import Speed
from comfytui.sources.comfy.wire import OutputFile
from comfytui.sources.frames.verify import prove
from comfytui.untrusted import plain
from tests.engine.stage import Outcome, Stage, brief
from tests.faults.hostile import foul, told
from tests.faults.test_frames_and_history import settled

NAMES = (
    "../../escape_00001_.png",
    "..",
    "/etc/passwd",
    "\\\\server\\share\\x.png",
    "C:\\Windows\\win.ini",
    "C:x.png",
    "frame\x00.png",
    "\x1b]52;c;aGk=\x07frame.png",
    "\u202egnp.emarf",
    "CON",
    "nul.png",
    "COM1.png",
    "n" * 10_000 + ".png",
    "\ud800.png",
)
FOLDERS = ("..", "/etc", "a/../..", "..\\..", "C:\\Windows", "CON", "a\x00b", "d" * 10_000, "\x1b[2J")
ELSEWHERE = json.dumps({"system": {"comfyui_version": "0.8.0", "os": "posix", "argv": ["main.py"]}, "devices": []})
"""What a server says that does not tell where its output folder is."""


async def test_an_output_folder_that_cannot_even_be_looked_for_is_no_reason_not_to_render(stage: Stage) -> None:
    """Such as that of a server which another user runs: what the system refuses here is the length of a name."""
    system = {"comfyui_version": "0.8.0", "os": "posix", "argv": ["main.py", "--output-directory", f"/{'d' * 300}"]}
    stats = json.dumps({"system": system, "devices": []})
    outcome = await stage.play(
        f.Answered(path="/system_stats", status=200, content_type="application/json", text=stats)
    )
    settled(outcome)
    assert (outcome.exit_code, outcome.state.server.frames_by) == (0, "http")


@pytest.mark.parametrize("remote", [False, True], ids=["disk", "view"])
async def test_no_name_of_a_server_leaves_the_output_folder(stage: Stage, remote: bool) -> None:
    elsewhere = (
        f.Answered(path="/internal/folder_paths", status=404),
        f.Answered(path="/system_stats", status=200, content_type="application/json", text=ELSEWHERE),
    )
    outcome = await stage.play(f.HostileNames(names=NAMES, folders=FOLDERS), *(elsewhere if remote else ()))
    settled(outcome)
    assert outcome.exit_code == 0
    attempt = outcome.attempt()
    assert attempt.proven == 5
    refused = {refusal.name: refusal for refusal in attempt.refused}
    assert {refusal.state for refusal in refused.values()} == {"unsafe"}
    assert len(refused) >= len(set(NAMES)) + len(set(FOLDERS)) - 2, "no refusal is kept from people"
    assert all(len(name) <= 400 for name in refused)
    assert_contained(outcome)
    views = [r for r in outcome.simulator.requests if r.path.endswith("/view")]
    assert bool(views) == remote
    assert not any("etc" in r.query or "Windows" in r.query or ".." in r.query for r in views), "not even asked for"


def assert_contained(outcome: Outcome) -> None:
    """Nothing lies where it should not, and whatever is told of it is clean."""
    run: RunDir = outcome.run_dir
    frames = run.frames("scene-001", 1)
    assert {path.name for path in frames.iterdir()} == {frame.name for frame in outcome.attempt().frames}
    assert sorted(path.name for path in run.path.parent.parent.iterdir()) == ["output", "runs"]
    printed, ndjson = told(run.journal)
    assert foul(printed) == []
    assert foul(ndjson) == []
    with zipfile.ZipFile(run.archive) as archive:
        for name in archive.namelist():
            parts = PurePosixPath(name).parts
            assert not name.startswith("/") and ".." not in parts and "\\" not in name and ":" not in name
            assert plain(name) == name
            assert archive.getinfo(name).external_attr >> 16 & 0o170000 in (0, 0o100000), "a plain file, no link"


@pytest.mark.skipif(sys.platform == "win32", reason="making links needs a privilege there")
async def test_links_that_leave_the_output_folder_are_refused_and_not_waited_for(stage: Stage, tmp_path: Path) -> None:
    secret = tmp_path / "output" / ".." / "secret.png"
    async with stage.simulator() as simulator:
        with stage.open(simulator, brief(1)) as runner:
            folder = stage.output / "comfytui" / runner.plan.run_id
            folder.mkdir(parents=True)
            elsewhere = tmp_path / "elsewhere"
            elsewhere.mkdir()
            secret.write_bytes(b"\x89PNG\r\n\x1a\n a secret")
            (folder / "scene-001-a1_00099_.png").symlink_to(secret)
            (folder / "scene-001-a1_00098_.png").symlink_to("/etc/hostname")
            (folder / "scene-001-a1_00097_.png").symlink_to("scene-001-a1_00097_.png")
            (folder / "scene-001-a1_00096_\x1b[2J\u202e.png").write_bytes(b"no link, but a name that wipes the screen")
            began = stage.clock.monotonic()
            code = await runner.drive()
            took = stage.clock.monotonic() - began
            outcome = Outcome(code, runner, simulator)
    secret.unlink()
    elsewhere.rmdir()
    settled(outcome)
    assert outcome.exit_code == 0
    assert (outcome.attempt().status, outcome.attempt().proven) == ("success", 5)
    states = {refusal.name: refusal.state for refusal in outcome.attempt().refused}
    assert states == {"scene-001-a1_00099_.png": "unsafe", "scene-001-a1_00098_.png": "unsafe"}
    assert took < stage.policy.post_execution_timeout_seconds, "what may never be read is not waited for"
    assert_contained(outcome)


def test_a_link_where_we_happen_to_be_started_makes_no_name_unsafe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform != "win32":
        (tmp_path / "here").mkdir()
        (tmp_path / "here" / "video").symlink_to(tmp_path)
        monkeypatch.chdir(tmp_path / "here")
    file = OutputFile(node="1", key="images", filename="a.png", subfolder="video", type="output")
    wanted, unsafe = wanted_of([file])
    assert ([one.name for one in wanted], unsafe) == (["a.png"], [])


# --- replies -------------------------------------------------------------------------------------------------------

DEEP = "[" * 10_000 + "]" * 10_000
ODD = {
    "deep": DEEP,
    "a deep entry": '{"%s": ' + DEEP + "}",
    "not json": "{'outputs': nope",
    "a number": "1e999",
    "nothing": "",
    "a list": "[1, 2, 3]",
    "half a character": '"\\ud800"',
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
async def test_a_history_that_makes_no_sense_is_read_again(stage: Stage, text: str) -> None:
    odd = f.Answered(path="/history*", status=200, text=text, content_type="application/json", times=3)
    outcome = await stage.play(odd)
    settled(outcome)
    assert outcome.exit_code == 0
    assert outcome.simulator.faults.used(odd) == 3
    assert (outcome.attempt().status, outcome.attempt().proven) == ("success", 5)
    assert len(outcome.scene().attempts) == 1


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
@pytest.mark.parametrize("path", ["/system_stats", "/queue", "/prompt"])
async def test_an_answer_that_makes_no_sense_ends_in_words(stage: Stage, path: str, text: str) -> None:
    stage.policy = replace(stage.policy, scene_retry_budget=0)
    outcome = await stage.play(f.Answered(path=path, status=200, text=text, content_type="application/json"))
    assert outcome.exit_code in (0, 1, 2)
    printed, ndjson = told(outcome.run_dir.journal)
    assert not any("Traceback" in line or "internal" in line for line in printed)
    assert foul(printed) == []
    assert foul(ndjson) == []


@pytest.mark.parametrize(
    "gate",
    [f.Answered.login_page(), f.Answered.redirect(), f.Answered(status=401), f.Answered(status=403)],
    ids=["login page", "redirect", "401", "403"],
)
async def test_a_login_that_is_wanted_is_said_so(stage: Stage, gate: f.Answered) -> None:
    outcome = await stage.play(gate)
    assert outcome.exit_code == 2
    assert outcome.state.server.trouble_code == "server.auth"
    printed, _ = told(outcome.run_dir.journal)
    assert any("wants a login" in line and "COMFYTUI_TOKEN" in line for line in printed)
    assert not any("<form" in line or "<html" in line for line in printed)


async def test_a_login_that_is_wanted_in_the_middle_of_a_run_loses_no_frame(stage: Stage) -> None:
    gates = [f.Answered.redirect(path="/history*", times=2), f.Answered.login_page(path="/queue", times=2)]
    outcome = await stage.play(*gates, f.SocketDeaf(), speed=Speed(save_frame=2.0))
    settled(outcome)
    assert outcome.exit_code == 0
    assert outcome.attempt().proven == 5


# --- pictures ------------------------------------------------------------------------------------------------------


def bomb() -> bytes:
    """Return a PNG of 100 kB that claims 2 thousand million pixels and unpacks to 100 MB."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    size = (45_000).to_bytes(4, "big")
    head = chunk(b"IHDR", size + size + b"\x08\x00\x00\x00\x00")
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(100_000_000), 9)) + chunk(b"IEND", b"")


def test_a_picture_that_unpacks_to_gigabytes_is_proven_within_bounds(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb())
    tracemalloc.start()
    began = time.monotonic()
    proof = prove(path)
    took = time.monotonic() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (proof.kind, proof.whole, proof.width) == ("png", True, 45_000)
    assert peak < 8_000_000
    assert took < 2
