"""The screens over the deck: a scene in full, the keys, the questions, the palette."""

from collections.abc import Callable

import pytest
from textual.command import CommandList
from textual.widgets import Input

from comfytui.faces.tui.command_palette import offered
from comfytui.faces.tui.screens.telemetry_words import WORDS
from comfytui.model.telemetry import GpuTelemetry, SystemTelemetry, Telemetry, contract_name
from tests.ui import script
from tests.ui.stage import ALL_SIZES, COMPACT, SIZES, WIDE, stage

Same = Callable[..., None]


@pytest.mark.parametrize("size", SIZES)
async def test_scene_done(size: str, same_picture: Same) -> None:
    async with stage(script.running(), SIZES[size]) as shown:
        await shown.press("g", "enter")
        same_picture(shown)


async def test_scene_executing_its_second_attempt(same_picture: Same) -> None:
    async with stage(script.running(), WIDE) as shown:
        await shown.press("enter")
        same_picture(shown, "second")
        await shown.press("left")
        same_picture(shown, "first")


@pytest.mark.parametrize("size", ALL_SIZES)
async def test_scene_failed(size: str, same_picture: Same) -> None:
    async with stage(script.running(), ALL_SIZES[size]) as shown:
        await shown.press("g", "j", "j", "enter")
        same_picture(shown)
        text = " ".join(word for word in shown.text().split() if word not in "│╭╮╰╯▌")
        assert "CUDA out of memory" in text
        assert "Lower the resolution or the frames, or free VRAM." in text


async def test_scene_goes_on_while_it_is_open() -> None:
    night = script.running()
    async with stage(night, WIDE) as shown:
        await shown.press("enter")
        assert "12/25" in shown.text()
        night.items.clear()
        await shown.tell(night.frame("scene-005", 13, 2).items)
        assert "13/25" in shown.text()
        assert "13 of 25 frames proven" in shown.text()


async def test_scene_scrolls_to_its_story() -> None:
    async with stage(script.running(), COMPACT) as shown:
        await shown.press("g", "enter", "G")
        assert "slow dolly in" in shown.text()
        await shown.press("escape")
        assert shown.app.screen is shown.app.deck


@pytest.mark.parametrize(("pane", "size"), [("3", "80x24"), *(("1", size) for size in ALL_SIZES)])
async def test_help(pane: str, size: str, same_picture: Same) -> None:
    async with stage(script.running(), ALL_SIZES[size]) as shown:
        await shown.press(pane, "question_mark")
        same_picture(shown)
        await shown.press("escape")
        assert shown.app.screen is shown.app.deck


async def test_help_of_the_scene_screen_names_what_is_disabled(same_picture: Same) -> None:
    async with stage(script.running(), WIDE, readonly=True) as shown:
        await shown.press("enter", "f1")
        same_picture(shown)
        assert "Disabled: read-only." in shown.text()


@pytest.mark.parametrize("size", SIZES)
async def test_leave(size: str, same_picture: Same) -> None:
    async with stage(script.running(), SIZES[size], owns_run=True) as shown:
        await shown.press("q")
        same_picture(shown)


@pytest.mark.parametrize("size", SIZES)
async def test_confirm(size: str, same_picture: Same) -> None:
    async with stage(script.running(), SIZES[size]) as shown:
        await shown.press("x")
        same_picture(shown)


async def test_palette_offers_every_command_by_name() -> None:
    async with stage(script.running(), WIDE) as shown:
        names = {command.title for command in offered(shown.app, shown.app.screen)}
        named = ("Cancel (x)", "Rerun (r)", "Rerun with (e)", "Skip (n)", "Later (J)", "Sort (s)", "Mark all (*)")
        assert names.issuperset(named)


@pytest.mark.parametrize("size", SIZES)
async def test_palette(size: str, same_picture: Same) -> None:
    async with stage(script.running(), SIZES[size]) as shown:
        await shown.press("ctrl+p")
        palette = shown.app.screen
        found = palette.query_one(CommandList)
        await shown.until(lambda: found.option_count > 3)
        palette.query_one(Input).value = "rerun"
        await shown.until(lambda: found.option_count == 3 and found.highlighted == 0)
        same_picture(shown)


@pytest.mark.parametrize("size", SIZES)
async def test_filter_line(size: str, same_picture: Same) -> None:
    async with stage(script.running(), SIZES[size]) as shown:
        await shown.press("slash", *"state", "colon", *"failed")
        same_picture(shown)


def test_every_field_of_the_contract_has_its_word() -> None:
    named = [word.name for word in WORDS]
    wanted: list[str] = []
    for field in Telemetry.__struct_fields__:
        inner = {"gpu": GpuTelemetry, "system": SystemTelemetry}.get(field)
        if inner is None:
            wanted.append(contract_name(field))
        else:
            wanted += [f"{contract_name(field)}.{contract_name(each)}" for each in inner.__struct_fields__]
    assert named == wanted
    assert all(word.meaning for word in WORDS)
