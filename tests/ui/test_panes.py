"""Each pane alone, as a picture at the size it has when it fills the screen, and what its pure lines say."""

from collections.abc import Callable

import pytest

from tests.ui import script
from tests.ui.stage import COMPACT, NORMAL, WIDE, Stage, stage

PANES = {"scenes": "1", "frames": "2", "gpu": "3", "health": "4", "log": "5"}


@pytest.mark.parametrize("pane", PANES)
async def test_zoomed(pane: str, same_picture: Callable[[Stage], None]) -> None:
    async with stage(script.running(), NORMAL) as shown:
        await shown.press(PANES[pane], "z")
        same_picture(shown)


@pytest.mark.parametrize("pane", PANES)
async def test_compact(pane: str, same_picture: Callable[[Stage], None]) -> None:
    async with stage(script.running(), COMPACT) as shown:
        await shown.press(PANES[pane])
        same_picture(shown)


async def test_two_gpus(same_picture: Callable[[Stage], None]) -> None:
    async with stage(script.held(), WIDE) as shown:
        await shown.press("3", "z")
        same_picture(shown)
