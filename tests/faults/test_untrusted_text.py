"""Text that would do something to a terminal reaches none: whoever says it, wherever it would be written or shown."""

import json
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from comfytui.cli.planning import make_plan, order_story
from comfytui.engine.runner import Runner
from comfytui.engine.server.credentials import Credentials
from comfytui.errors import Failure
from comfytui.faces.headless import JsonFormatter
from comfytui.model import commands as c
from comfytui.model import events as e
from comfytui.model.envelope import Envelope
from comfytui.model.feed import CaughtUp
from comfytui.model.story import load_story
from comfytui.model.workflow import BUNDLED, load_workflow
from comfytui.records.rundir import create_run, write_plan
from comfytui.settings.merged import load
from comfytui.simulator import Simulator
from comfytui.simulator import faults as f
from comfytui.untrusted import plain
from tests.engine.playing import phase_is, playing
from tests.engine.stage import START, Outcome, Stage, brief
from tests.faults.hostile import SHOUT, foul, told
from tests.faults.test_frames_and_history import settled

STATS = json.dumps(
    {
        "system": {
            "os": SHOUT, "comfyui_version": SHOUT, "python_version": SHOUT, "pytorch_version": SHOUT,
            "argv": ["main.py", "--output-directory", SHOUT], SHOUT: [SHOUT],
        },
        "devices": [{"name": SHOUT, "type": SHOUT, "index": 0, "vram_total": 8 << 30, "vram_free": 4 << 30}],
    }
)  # fmt: skip


def test_what_is_shouted_would_be_heard() -> None:
    assert foul(SHOUT)
    assert foul({"a": [{"\x9b2J": 1}]})
    assert foul(plain(SHOUT)) == []
    assert "[red]loud[/red]" in plain(SHOUT)


def ordered(stage: Stage, folder: Path, simulator: Simulator) -> Runner:
    """Return a runner for a story and a workflow that shout wherever they can."""
    scene = dict.fromkeys(
        ("title", "summary", "prompt", "negativePrompt", "mood", "cameraMovement", "palette", SHOUT), SHOUT
    )
    story = {
        "storyId": SHOUT, "logline": SHOUT, "directorsVision": SHOUT, "generator": SHOUT, SHOUT: 1,
        "scenes": [{"id": f"{SHOUT} {number}", "expectedFrames": 3, **scene} for number in range(4)],
    }  # fmt: skip
    file = folder / "story \x1b]0;owned\x07\u202e.json"
    file.write_text(json.dumps(story), encoding="utf-8")
    graph: dict[str, Any] = msgspec.to_builtins(load_workflow(BUNDLED[0]).graph)
    for node in graph.values():
        node["_meta"] = {"title": SHOUT}
    workflow = folder / "flow.json"
    workflow.write_text(json.dumps(graph), encoding="utf-8")
    settings = load({"server": simulator.url, "workflow": str(workflow)}, {"COMFYTUI_CONFIG": ""}, folder)
    run = create_run(stage.runs, stage.clock)
    plan = make_plan(
        order_story(file, settings),
        settings,
        run_id=run.run_id,
        created_at=stage.clock.now(),
        simulator_speed="instant",
    )
    plan = replace(plan, server=replace(plan.server, watch="poll"))
    write_plan(run, plan, file.read_bytes())
    return Runner(run, plan, stage.clock, Credentials())


@pytest.mark.parametrize("stats", [False, True], ids=["plain server", "shouting server"])
async def test_nothing_that_is_shouted_at_a_run_is_heard_in_a_terminal(
    stage: Stage, tmp_path: Path, stats: bool
) -> None:
    faults: list[f.Fault] = [
        f.NodeError(nth=1, message=SHOUT, exception_type=SHOUT),
        f.HostileNames(nth=2, names=(SHOUT,), folders=(SHOUT,)),
        f.Rejected(nth=3, kind=SHOUT, message=SHOUT, details=SHOUT),
        f.PartlyAccepted(nth=4, node=SHOUT, class_type=SHOUT),
        f.Answered(path="/queue", status=500, text=SHOUT, times=1),
    ]
    if stats:
        answer = f.Answered(path="/system_stats", status=200, text=STATS, content_type="application/json")
        faults += [answer, f.Answered(path="/internal/folder_paths", status=404)]
    async with stage.simulator(*faults) as simulator:
        with ordered(stage, tmp_path, simulator) as runner:
            code = await runner.drive()
            outcome = Outcome(code, runner, simulator)
    settled(outcome)
    assert all(simulator.faults.used(fault) for fault in faults[:4])
    assert_silent(outcome)


def assert_silent(outcome: Outcome) -> None:
    """No text of the run would do anything to a terminal; markup is still there as text."""
    run = outcome.run_dir
    printed, ndjson = told(run.journal)
    assert foul(printed) == []
    assert foul(ndjson) == []
    assert foul([json.loads(line) for line in run.journal.read_text(encoding="utf-8").splitlines()]) == []
    assert foul(json.loads(run.metadata.read_text(encoding="utf-8"))) == []
    assert foul(msgspec.to_builtins(outcome.state, str_keys=True, enc_hook=str)) == []
    read = [run.summary, run.path / "validation.txt", *run.path.glob("*.txt"), *run.path.glob("*/*.txt")]
    for path in dict.fromkeys(path for path in read if path.exists()):
        assert foul(path.read_text(encoding="utf-8"), line_breaks=True) == [], path.name
    assert "[red]loud[/red]" in run.summary.read_text(encoding="utf-8")
    with zipfile.ZipFile(run.archive) as archive:
        assert foul(archive.namelist()) == []


async def test_what_a_person_pastes_into_a_rerun_is_made_plain(stage: Stage) -> None:
    async with stage.simulator() as simulator:
        with stage.open(simulator, brief(1), brief(2)) as runner:
            async with playing(runner, simulator) as play:
                await play.until(phase_is(1, "done"))
                asked = play.ask(c.Rerun, scenes=(SHOUT,))
                assert not asked.accepted
                assert foul([asked.command, asked.why, asked.id]) == []
                assert play.ask(c.Rerun, scenes=("scene-001",), prompt=f"a lighthouse {SHOUT}").accepted
            outcome = play.outcome
    settled(outcome)
    printed, ndjson = told(outcome.run_dir.journal)
    assert foul([printed, ndjson]) == []
    assert "a lighthouse" in (outcome.attempt(1, 2).prompt or "")
    assert "[red]loud[/red]" in (outcome.attempt(1, 2).prompt or "")


def test_a_journal_that_somebody_else_wrote_is_told_plainly() -> None:
    events: list[e.AnyEvent] = [e.RunNoted(text=SHOUT, remedy=SHOUT, scene=SHOUT), e.Unknown(kind=SHOUT)]
    formatter = JsonFormatter()
    formatter.on_item(CaughtUp())
    for number, event in enumerate(events, start=1):
        (line,) = formatter.on_item(Envelope(seq=number, at=START, run=SHOUT, event=event))
        assert foul(json.loads(line)) == []
        assert "[red]loud[/red]" in line


def test_a_keyframe_whose_path_would_act_on_a_terminal_is_refused(tmp_path: Path) -> None:
    for number, name in enumerate(("key\x1b[2J.png", "key\u202egnp.exe")):
        (tmp_path / name).write_bytes(b"")
        file = tmp_path / f"story-{number}.json"
        file.write_text(json.dumps({"scenes": [{"prompt": "x", "keyframePath": name}]}), encoding="utf-8")
        with pytest.raises(Failure) as caught:
            load_story(file)
        assert caught.value.code == "story.shape"
        assert "scenes[0].keyframePath" in caught.value.what
        assert foul(str(caught.value)) == []
