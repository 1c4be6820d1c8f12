"""Each pane alone, as a picture at the size it has when it fills the screen, and what its pure lines say."""

from collections.abc import Callable

import pytest

from comfytui.faces.tui.panes.scenes import Tally
from comfytui.model import events as e
from comfytui.model.envelope import Envelope
from comfytui.model.fold import fold, fold_all
from comfytui.model.state import State
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


async def test_a_gpu_that_tells_only_its_memory() -> None:
    night = script.Script().opened(1).reached()
    figures = e.GpuFigures(index=0, name="cuda:0", vram_used=3 * script.GIB, vram_total=24 * script.GIB)
    night.tell(e.GpuSampled(source="system_stats", devices=(figures,))).caught_up()
    async with stage(night, WIDE) as shown:
        assert "not told by system_stats" in shown.line("load")
        assert "12 %" in shown.line("vram")
        assert "3,072 of 24,576 MB" in shown.text()


async def test_no_gpu_figures_say_why() -> None:
    night = script.Script().opened(1).reached().caught_up()
    async with stage(night, WIDE) as shown:
        assert "the first reading is" in shown.text()
        night.items.clear()
        await shown.tell(night.tell(e.GpuSampled(source="none", devices=())).items)
        assert "neither the server," in shown.text()


def test_the_queue_is_counted_step_by_step_as_at_once() -> None:
    tally, state = Tally(), State()
    for item in script.running().items:
        if isinstance(item, Envelope):
            state = fold(state, item)
            tally = tally.after(state.scenes)
    assert tally.count("done") == 3
    assert {phase: count for phase, count in (tally.phases or {}).items() if count} == Tally.of(state.scenes).phases
    other = fold_all(item for item in script.finished().items if isinstance(item, Envelope)).scenes
    assert tally.after(other) == Tally.of(other)
