"""The scene screen: what changed between attempts, what the clipboard gets, and which path is told."""

from collections.abc import Callable

import pytest

from comfytui.faces.tui.app import Dashboard
from comfytui.faces.tui.screens.scene import SceneScreen
from comfytui.faces.tui.screens.scene_changes import changes
from comfytui.faces.tui.screens.scene_text import comparison, why_best
from comfytui.model import events as e
from comfytui.model.envelope import Envelope
from comfytui.model.fold import fold_all
from comfytui.model.state import State
from tests.ui import script
from tests.ui.script import Script
from tests.ui.stage import NORMAL, SIZES, WIDE, Stage, stage

Same = Callable[..., None]


def edited(prompt: str = "Bridge at dawn, fast dolly, volumetric light in snow") -> Script:
    """A scene whose first attempt failed and that is rendered once more with an edited prompt."""
    night = Script().opened(2).reached().wait(2).broke("scene-001")
    night.tell(e.SceneReopened(scene="scene-001", reason="asked for", prompt=prompt))
    night.tell(
        e.AttemptPlanned(
            scene="scene-001", attempt=2, prompt_id="p-2", prefix=f"{script.RUN_ID}_scene-001_a2", seed=77,
            reason="asked for", prompt=prompt,
        )
    )  # fmt: skip
    return night.executing("scene-001", 2).caught_up()


def told(night: Script, scene: str, number: int, width: int = 100) -> str:
    state: State = fold_all([item for item in night.items if isinstance(item, Envelope)])
    found = state.scene(scene)
    assert found is not None
    attempt = found.attempt(number)
    assert attempt is not None
    rows = changes(state.run, found, attempt, width)
    assert all(sum(len(text) for text, _ in row.line) <= width for row in rows)
    return "\n".join("".join(text for text, _ in row.line) for row in rows)


@pytest.mark.parametrize("size", SIZES)
async def test_an_edited_prompt(size: str, same_picture: Same) -> None:
    async with stage(edited(), SIZES[size]) as shown:
        await shown.press("g", "enter")
        if size == "60x15":
            await shown.press("pagedown", "pagedown")
        same_picture(shown)


def test_words_that_went_and_came_are_told_apart_without_colour() -> None:
    text = told(edited(), "scene-001", 2)
    assert "[-" in text and "-]" in text and "[+" in text and "+]" in text
    assert "[-The lamp is lit, slow-] [+Bridge at dawn, fast+] dolly," in text
    assert "Positive (6) text, changed" in text
    assert "- 1001" in text or "- 1002" in text
    assert "+ 77" in text


def test_the_first_attempt_has_no_changes() -> None:
    assert told(script.running(), "scene-005", 1) == ""


def test_a_journal_that_does_not_tell_the_inputs_says_so() -> None:
    night = script.running()
    opened = night.items[0]
    assert hasattr(opened, "event") and isinstance(opened.event, e.RunOpened)
    from msgspec import structs

    night.items[0] = structs.replace(opened, event=structs.replace(opened.event, inputs=()))  # type: ignore[type-var]
    text = told(night, "scene-005", 2)
    assert "Which inputs of the workflow they entered is not recorded." in text
    assert "1001" in text and "1002" in text


def test_a_very_long_word_in_an_edited_prompt_is_broken_not_lost() -> None:
    text = told(edited("x" * 500), "scene-001", 2, width=56)
    assert text.count("x") >= 500


def copied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    texts: list[str] = []
    monkeypatch.setattr(Dashboard, "copy_to_clipboard", lambda _app, text: texts.append(text))
    return texts


def choose(shown: Stage, word: str) -> None:
    """Put the cursor on the first row that shows or copies ``word``."""
    screen = shown.app.screen
    assert isinstance(screen, SceneScreen)
    screen.pane.jump(False)
    for _ in screen.pane.rows:
        row = screen.pane.rows[screen.pane.cursor]
        if word in "".join(text for text, _ in row.line) or word in row.copy:
            return
        screen.pane.move(1)
    raise AssertionError(f"{word!r} was never under the cursor")


async def test_y_copies_the_whole_value_under_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = copied(monkeypatch)
    async with stage(script.running(), WIDE) as shown:
        await shown.press("g", "y")
        assert texts == ["5f0c0001-0000-4000-8000-000000000001"], "on the deck: the prompt id"
        await shown.press("enter")
        choose(shown, "GPU.VramTotal")
        await shown.press("y")
        assert texts[-1] == "25,769,803,776 (24.0 GB)"
        await shown.press("G")
        assert "▌ camera" in shown.text()
        await shown.press("y")
        assert texts[-1] == "slow dolly in"


async def test_o_tells_the_folder_and_the_path_under_the_cursor() -> None:
    async with stage(script.running(), NORMAL) as shown:
        await shown.press("g", "o")
        folder = f"/data/runs/{script.RUN_ID}/scene-001"
        assert folder in shown.text()
        await shown.press("enter", "o")
        assert shown.app.paths == [folder]
        choose(shown, "generated-frames-attempt-1")
        await shown.press("o")
        assert shown.app.paths == [folder, f"{folder}/generated-frames-attempt-1"]


async def test_the_cursor_passes_over_blank_lines_and_stays_inside() -> None:
    async with stage(script.running(), WIDE) as shown:
        await shown.press("enter")
        screen = shown.app.screen
        assert isinstance(screen, SceneScreen)
        seen = set()
        for _ in screen.pane.rows:
            seen.add(screen.pane.cursor)
            assert screen.pane.rows[screen.pane.cursor].line
            screen.pane.move(1)
        assert seen == {place for place, row in enumerate(screen.pane.rows) if row.line}
        await shown.press("g", "k")
        assert "▌ executing" in shown.text()
        assert sum("▌" in line for line in shown.text().splitlines()) == 1


def test_why_an_attempt_is_best() -> None:
    from comfytui.model.envelope import Envelope
    from comfytui.model.fold import fold_all

    night = script.running()
    night.scene_ended("scene-005", best=1)
    scene = fold_all([item for item in night.items if isinstance(item, Envelope)]).scene("scene-005")
    assert scene is not None
    assert why_best(scene) == "attempt 1 has the most proven frames (22 against 12)"


async def test_a_hostile_scene(same_picture: Same) -> None:
    async with stage(script.hostile(), NORMAL) as shown:
        await shown.press("g", "enter")
        same_picture(shown)
        assert "\x1b" not in shown.text()


async def test_a_scene_of_a_run_whose_runner_is_gone(same_picture: Same) -> None:
    async with stage(script.gone(), NORMAL, theme="daylight") as shown:
        await shown.press("g", "j", "enter")
        same_picture(shown)
        assert "RUNNER GONE" in shown.text()


@pytest.mark.parametrize("chosen", [2, 5, 9])
@pytest.mark.parametrize("width", [20, 52, 76, 116])
def test_attempts_of_a_journal_that_lost_some_stand_side_by_side(chosen: int, width: int) -> None:
    night = Script().opened(1)
    for number in (2, 5, 9):
        night.queued("scene-001", attempt=number)
    scene = fold_all(item for item in night.items if isinstance(item, Envelope)).scenes[0]
    heads = "".join(text for text, _ in comparison(scene, chosen, width)[0].line)
    assert f"[{chosen}]" in heads
