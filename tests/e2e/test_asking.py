"""``comfytui ask`` and a real run: held, ordered anew, released."""

import json
from pathlib import Path

from comfytui.model.events import PromptQueued
from comfytui.model.fold import fold_all
from comfytui.records import journal
from comfytui.records.rundir import find_run
from tests.e2e.command import comfytui, started, story

SCENES = 30
"""As many as are not all rendered before the first command arrives, on a fast machine either."""
SKIPPED = tuple(f"scene-{number:03}" for number in range(16, SCENES + 1))


def test_scripts_order_a_run(tmp_path: Path) -> None:
    def ask(*words: str) -> tuple[int, str]:
        done = comfytui("ask", "latest", *words, cwd=tmp_path)
        return done.returncode, done.stdout + done.stderr

    run = started("run", str(story(tmp_path, scenes=SCENES, frames=3)), "--server", "sim", "--workflow", "smoke",
                  "--json", cwd=tmp_path)  # fmt: skip
    try:
        assert run.stdout is not None
        for line in run.stdout:
            if b'"execution_started"' in line:
                break
        assert ask("hold") == (0, "hold: accepted\n")
        assert ask("hold") == (1, "hold: refused, it is held already\n")
        assert ask("skip", *SKIPPED)[0] == 0
        code, told = ask("move", "scene-015", "--by", "-99", "--json")
        answer = json.loads(told)["event"]
        assert (code, answer["type"], answer["command"]) == (0, "command_answered", "move scene-015")
        assert ask("release") == (0, "release: accepted\n")
        run.communicate(timeout=40)
        assert run.returncode == 1, "scenes that were skipped were not rendered"
    finally:
        run.kill()
        run.communicate()
    found = find_run(tmp_path / "runs")
    told_of = (each.event for each in journal.read(found.journal))
    order = [event.scene for event in told_of if isinstance(event, PromptQueued)]
    assert order.index("scene-015") < order.index("scene-014")
    assert not set(SKIPPED) & set(order)

    code, told = ask("cancel", "scene-001")
    assert code == 2
    assert "[run.no_runner]" in told
    phases = [scene.phase for scene in fold_all(journal.read(found.journal)).scenes]
    assert phases == ["done"] * 15 + ["skipped"] * 15
