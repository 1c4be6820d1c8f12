"""The whole dashboard as pictures: each state that a night can be in, at the three sizes."""

from collections.abc import Callable
from typing import get_args

import pytest
from msgspec.structs import replace
from rich.color import ColorSystem

from comfytui.faces.tui.keys import PANES
from comfytui.faces.tui.palettes import PALETTES, Ground, depth_of, theme_for
from comfytui.faces.tui.panes.health import lines
from comfytui.faces.tui.panes.line import Role
from comfytui.faces.tui.screens.scene_changes import changes
from comfytui.faces.tui.themes import style_of
from comfytui.faces.tui.view import View
from comfytui.model import events as e
from comfytui.model.fold import fold_all
from tests.ui import script
from tests.ui.stage import COMPACT, HUGE, NORMAL, SIZES, WIDE, Stage, stage

NIGHTS: dict[str, Callable[[], script.Script]] = {
    "empty": script.empty,
    "running": script.running,
    "disconnected": script.disconnected,
    "held": script.held,
    "gone": script.gone,
    "finished": script.finished,
    "failed": lambda: script.finished(exit_code=1),
    "hostile": script.hostile,
    "ten-thousand": lambda: script.thousand(10_000, done=400),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("night", NIGHTS)
async def test_night(night: str, size: str, same_picture: Callable[[Stage], None]) -> None:
    async with stage(NIGHTS[night](), SIZES[size]) as shown:
        same_picture(shown)


@pytest.mark.parametrize("night", ["running", "disconnected", "ten-thousand"])
async def test_huge(night: str, same_picture: Callable[[Stage], None]) -> None:
    async with stage(NIGHTS[night](), HUGE) as shown:
        same_picture(shown)


@pytest.mark.parametrize("night", ["empty", "disconnected", "failed", "gone", "hostile", "ten-thousand"])
async def test_panes_of_a_small_terminal(night: str, same_picture: Callable[..., None]) -> None:
    async with stage(NIGHTS[night](), COMPACT) as shown:
        for key, pane in enumerate(PANES[1:], 2):
            await shown.press(str(key))
            same_picture(shown, pane)


@pytest.mark.parametrize("theme", ["daylight", "terminal", "mono", "ascii"])
async def test_theme_of_what_lies_over_the_deck(theme: str, same_picture: Callable[..., None]) -> None:
    look: dict[str, object] = {"ascii": True} if theme == "ascii" else {"theme": theme}
    async with stage(script.running(), NORMAL, **look) as shown:
        for name, keys in {"question": "x", "help": "question_mark", "form": "g e"}.items():
            await shown.press(*keys.split())
            same_picture(shown, name)
            await shown.press("escape")


@pytest.mark.parametrize("theme", PALETTES)
async def test_theme(theme: str, same_picture: Callable[[Stage], None]) -> None:
    async with stage(script.running(), WIDE, theme=theme) as shown:
        same_picture(shown)
        assert "RUNNING" in shown.text()
        assert all(word in shown.text() for word in ("done", "failed", "executing", "queued", "waiting"))


@pytest.mark.parametrize("theme", PALETTES)
async def test_theme_of_a_failed_night(theme: str, same_picture: Callable[..., None]) -> None:
    async with stage(script.finished(exit_code=1), NORMAL, theme=theme) as shown:
        await shown.press("g", "j", "j", "x")
        same_picture(shown)
        await shown.press("enter")
        same_picture(shown, "scene")


async def test_ascii(same_picture: Callable[[Stage], None]) -> None:
    async with stage(script.running(), NORMAL, ascii=True) as shown:
        same_picture(shown)
        assert shown.text().isascii()


@pytest.mark.parametrize("size", [(59, 15), (60, 14), (30, 6)], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("over", ["deck", "scene"])
async def test_too_small(size: tuple[int, int], over: str, same_picture: Callable[[Stage], None]) -> None:
    async with stage(script.running(), COMPACT) as shown:
        await shown.press(*({"deck": (), "scene": ("enter",)}[over]))
        before = shown.text()
        await shown.pilot.resize_terminal(*size)
        await shown.settle()
        if over == "deck":
            same_picture(shown)
        assert "RUNNING" in shown.text()
        assert f"{size[0]}x{size[1]}" in shown.text()
        await shown.pilot.resize_terminal(*COMPACT)
        await shown.settle()
        assert ("scene-005" in shown.text()) if over == "deck" else (shown.text() == before)


async def test_no_colour_leaves_the_terminal_without_any() -> None:
    async with stage(script.running(), NORMAL, theme="mono") as shown:
        strips = shown.app.screen._compositor.render_strips()
        styles = [segment.style for strip in strips for segment in strip if segment.style]
        assert {colour.name for style in styles for colour in (style.color, style.bgcolor) if colour} <= {"default"}
        assert any(style.reverse for style in styles), "the chosen row is told apart without colour"


@pytest.mark.parametrize("keys", ["enter", "question_mark", "q", "x", "e", "slash", "ctrl+p", "3 z", "enter f1"])
async def test_every_screen_keeps_to_ascii_where_that_is_asked_for(keys: str) -> None:
    async with stage(script.running(), NORMAL, ascii=True, theme="mono", owns_run=True) as shown:
        await shown.press("g", *keys.split())
        await shown.settle()
        assert shown.text().isascii()


async def test_the_chosen_command_is_told_apart_without_colour() -> None:
    async with stage(script.running(), NORMAL, theme="mono") as shown:
        await shown.press("ctrl+p")
        await shown.until(lambda: "Cancel" in shown.text())
        await shown.press("down")
        strips = shown.app.screen._compositor.render_strips()
        chosen = [segment.text for strip in strips for segment in strip if segment.style and segment.style.underline]
        assert chosen


@pytest.mark.parametrize(
    ("environ", "depth"),
    [
        ({"TERM": "xterm-256color"}, "many"),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "many"),
        ({"TERM": "xterm-kitty"}, "many"),
        ({"TERM": "tmux-256color"}, "many"),
        ({"TERM": "xterm"}, "sixteen"),
        ({"TERM": "screen"}, "sixteen"),
        ({"TERM": "linux"}, "sixteen"),
        ({"TERM": "vt100"}, "none"),
        ({"TERM": "xterm-mono"}, "none"),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "none"),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, "many"),
    ],
)
def test_how_many_colours_a_terminal_has(environ: dict[str, str], depth: str) -> None:
    assert depth_of(environ) == depth


def test_a_theme_is_drawn_as_far_as_the_terminal_can() -> None:
    assert [theme_for(depth, "daylight") for depth in ("many", "sixteen", "none")] == ["daylight", "terminal", "mono"]
    assert [theme_for(depth, None) for depth in ("many", "sixteen", "none")] == ["flight-deck", "terminal", "mono"]
    assert theme_for("sixteen", "mono") == "mono"


def test_the_sixteen_colour_theme_sends_no_other_colours() -> None:
    for role in get_args(Role):
        for ground in get_args(Ground):
            for palette in ("terminal", "mono"):
                code = style_of(palette, role, ground).render("x", color_system=ColorSystem.TRUECOLOR)
                assert "38;" not in code and "48;" not in code


@pytest.mark.parametrize("size", SIZES)
async def test_paused_and_readonly(size: str, same_picture: Callable[[Stage], None]) -> None:
    async with stage(script.running(), SIZES[size], readonly=True) as shown:
        await shown.press("p")
        same_picture(shown)


@pytest.mark.parametrize("night", NIGHTS)
async def test_every_state_is_told_in_words(night: str) -> None:
    words = {
        "empty": "WATCHING", "running": "RUNNING", "disconnected": "DISCONNECTED", "held": "HELD",
        "gone": "RUNNER GONE since 00:06:26", "finished": "FINISHED exit 0", "failed": "FINISHED exit 1",
        "hostile": "RUNNING", "ten-thousand": "RUNNING",
    }  # fmt: skip
    async with stage(NIGHTS[night](), NORMAL) as shown:
        assert words[night] in shown.text().splitlines()[0]


async def test_the_time_between_the_last_frame_and_the_end_has_its_word() -> None:
    night = script.running()
    async with stage(night, NORMAL) as shown:
        night.items.clear()
        await shown.tell(night.tell(e.RunSettled()).items)
        assert "FINISHING" in shown.text().splitlines()[0]
        assert "left" not in shown.text().splitlines()[0]
        await shown.tell(night.tell(e.RunEnded(outcome="interrupted", exit_code=130)).items)
        assert "INTERRUPTED exit 130" in shown.text().splitlines()[0]


async def test_hostile_text_is_shown_as_it_is_and_does_nothing() -> None:
    async with stage(script.hostile(), WIDE) as shown:
        await shown.press("enter")
        text = shown.text()
        assert "[red]not red[/red]" in text
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert all(len(line) <= 120 for line in text.splitlines())


@pytest.mark.parametrize("name", ["\x1b[31mshort", "\x1b[31m" + "long" * 9])
def test_hostile_names_of_tags_and_inputs_do_nothing_either(name: str) -> None:
    night = script.Script().opened(1).reached()
    for number in (1, 2):
        night.queued("scene-001", attempt=number)
    state = fold_all(item for item in night.items if hasattr(item, "event"))
    view = View(state=state, now=night.at)
    scene, run = state.scenes[0], state.run
    assert run is not None
    inputs = (e.VaryingInput(node="3", title=name, kind="K", name=name, template="__SEED__"),)
    told = [row.line for row in changes(replace(run, inputs=inputs), scene, scene.attempts[1], 60)]
    told += lines(view, 60, replace(state.server, tags=(name,)))
    assert "\x1b" not in "".join(text for line in told for text, _ in line)
