"""The GPU pane: attempts on its time axis, and VRAM that leaks from scene to scene."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from comfytui.faces.tui.panes.gpu_past import RECENT, GpuPast, Span, timeline
from comfytui.faces.tui.themes import ASCII, UNICODE
from comfytui.model.fold import fold_all
from comfytui.model.state import State
from tests.ui import script
from tests.ui.stage import NORMAL, SIZES, WIDE, Stage, stage

Same = Callable[..., None]


def leaking(scenes: int = 9, devices: int = 1) -> script.Script:
    """A night in which each scene leaves 200 MB less."""
    night = script.Script().opened(20, floor=2).reached()
    for number in range(1, scenes + 1):
        night.rendered(f"scene-{number:03d}", frames=2, seconds=14, delta_gib=-0.2 * number)
    night.queued("scene-010").executing("scene-010").wait(5).progress("scene-010", 6)
    return night.gpu_history(devices=devices).pulse().caught_up()


def state_of(night: script.Script, state: State | None = None) -> State:
    return fold_all((item for item in night.items if hasattr(item, "event")), state)


@pytest.mark.parametrize("size", SIZES)
async def test_leaking(size: str, same_picture: Same) -> None:
    async with stage(leaking(), SIZES[size]) as shown:
        await shown.press("3")
        same_picture(shown)
        assert "VRAM leaks" in shown.text()
        await shown.press("z")
        assert "leaks ~205 MB a scene, will run out in ~" in " ".join(shown.text().split())


@pytest.mark.parametrize("more", [{"ascii": True}, {"theme": "mono"}], ids=["ascii", "mono"])
async def test_plain(more: dict[str, object], same_picture: Same) -> None:
    async with stage(leaking(), NORMAL, **more) as shown:
        await shown.press("3", "z")
        same_picture(shown)


async def test_old_readings_do_not_begin_two_minutes_ago() -> None:
    async with stage(leaking().wait(200).pulse().caught_up(), WIDE) as shown:
        assert "3 min ago" in shown.text()
        assert "2 min before" in shown.text()
        assert "2 min ago" not in shown.text()


async def test_a_slope_that_may_be_chance_is_not_told() -> None:
    async with stage(leaking(scenes=4), WIDE) as shown:
        assert "leak" not in shown.text()
    async with stage(script.thousand(60), WIDE) as shown:
        assert "leak" not in shown.text()


async def test_the_leak_is_that_of_its_device() -> None:
    async with stage(leaking(devices=2), WIDE) as shown:
        await shown.press("3", "z")
        assert shown.text().count("leaks ~205 MB a scene") == 1


def drawn(spans: list[tuple[float, float | None]], width: int = 40, name: str = "s", ascii_only: bool = True) -> str:
    """A line of 40 cells for 120 seconds, 3 seconds a cell."""
    end = script.MIDNIGHT + timedelta(seconds=1)
    made = [
        Span(name, end - timedelta(seconds=began), None if ended is None else end - timedelta(seconds=ended))
        for began, ended in spans
    ]
    line = timeline(made, end, 120, width, ASCII if ascii_only else UNICODE)
    text = "".join(part for part, _ in line)
    assert len(text) == width
    return text


def test_attempts_stand_where_they_began_and_ended() -> None:
    assert drawn([]).strip() == ""
    assert drawn([(60, 30)]).strip() == "[----s----]"
    assert drawn([(60, 30)]).index("[") == 19
    assert drawn([(60, 30)], ascii_only=False).strip() == "├────s────┤"
    assert drawn([(60, 30), (30, None)]).strip() == "[----s----|----s----"
    assert drawn([(300, 90)])[:10] == "----s----]"
    assert drawn([(300, 200)]).strip() == ""
    assert drawn([(30, 30)]).strip() == "|"
    assert drawn([(30, 21)]).strip() == "[--]"
    assert drawn([(60, 30)], name="a-name-that-is-too-long").strip() == "[---------]"


def test_the_past_is_learnt_step_by_step_as_at_once_and_stays_bounded() -> None:
    night = leaking()
    by_steps, state = GpuPast(), State()
    for item in night.items:
        if hasattr(item, "event"):
            state = fold_all([item], state)
            by_steps.take("run", state.scenes)
    at_once = GpuPast()
    at_once.take("run", state.scenes)
    assert (by_steps.spans, by_steps.leaks) == (at_once.spans, at_once.leaks)
    assert list(at_once.leaks) == [("http://127.0.0.1:8188", 0)]
    long = script.Script().opened(200, floor=1).reached()
    for number in range(1, 200):
        long.rendered(f"scene-{number:03d}", frames=1, seconds=2)
    past = GpuPast()
    past.take("long", state_of(long).scenes)
    assert len(past.spans) == RECENT
    assert all(len(readings) <= RECENT for readings in past.readings.values())
    past.take("another", state_of(script.Script().opened(3)).scenes)
    assert (past.spans, past.readings, past.leaks) == ({}, {}, {})


async def test_the_pane_keeps_up_with_a_run() -> None:
    night = leaking()

    async def told(shown: Stage) -> None:
        night.items.clear()
        night.wait(9).executed("scene-010", frames=2).measured("scene-010", 1, "after", 20.0)
        await shown.tell(night.attempt_ended("scene-010").scene_ended("scene-010", 2).items)

    async with stage(night, WIDE) as shown:
        assert "leaks ~205 MB" in shown.text()
        await told(shown)
        assert "leaks ~205 MB" in shown.text()
