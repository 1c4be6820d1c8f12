"""A replay in the dashboard: any moment of a recorded run, in both directions, and no command."""

from collections.abc import Callable
from datetime import UTC, timedelta

import pytest

from comfytui.faces.tui.replay import ReplayMailbox, timeline_line
from comfytui.faces.tui.view import Playback, View
from comfytui.model.feed import CaughtUp, FeedChanged
from comfytui.model.fold import fold_all
from comfytui.model.state import State
from tests.ui import script
from tests.ui.stage import NORMAL, SIZES, Stage, stage

MIDDLE = ("left_square_bracket",) * 5


def mailbox(night: script.Script) -> ReplayMailbox:
    box = ReplayMailbox(script.FixedClock())
    for item in night.items:
        box.take(item)
    box.take(CaughtUp())
    return box


@pytest.mark.parametrize("size", SIZES)
async def test_the_middle_of_a_night(size: str, same_picture: Callable[[Stage], None]) -> None:
    async with stage(script.finished(exit_code=1), SIZES[size], replay=True) as shown:
        await shown.press(*MIDDLE)
        assert "REPLAY" in shown.text()
        assert "RUNNING" in shown.text()
        same_picture(shown)


@pytest.mark.parametrize("size", SIZES)
async def test_a_hostile_night(size: str, same_picture: Callable[[Stage], None]) -> None:
    async with stage(script.hostile(), SIZES[size], replay=True) as shown:
        same_picture(shown)


async def test_nothing_recorded() -> None:
    night = script.Script()
    night.items.append(CaughtUp())
    async with stage(night, NORMAL, replay=True) as shown:
        await shown.press("left_square_bracket", "right_curly_bracket", "p")
        assert "NO RUN" in shown.text()
        assert shown.app.replay is not None
        assert not shown.app.replay.playing


async def test_a_scene_at_a_moment(same_picture: Callable[[Stage], None]) -> None:
    async with stage(script.finished(exit_code=1), NORMAL, replay=True, ascii=True) as shown:
        await shown.press(*MIDDLE, "enter", "left_curly_bracket")
        assert shown.text().isascii()
        same_picture(shown)


async def test_keys_move_it_and_commands_are_refused() -> None:
    night = script.finished()
    async with stage(night, NORMAL, replay=True) as shown:
        box = shown.app.replay
        assert box is not None
        end = box.position
        await shown.press("left_curly_bracket")
        assert box.recording.fact_number(box.position.envelopes) == box.recording.facts - 1
        await shown.press("right_curly_bracket", "right_curly_bracket", "right_square_bracket")
        assert box.position == end
        await shown.press("r")
        assert "cannot be changed" in shown.text()
        assert shown.feed.sent == []
        await shown.press("p")
        assert box.playing
        assert "p Pause" in shown.text()
        await shown.press("p")
        assert not box.playing


async def test_a_run_as_it_is_now_does_not_move() -> None:
    async with stage(script.running(), NORMAL) as shown:
        await shown.press("left_square_bracket")
        assert "This is no replay" in shown.text()
        assert "REPLAY" not in shown.text()


async def test_help_tells_the_keys_of_a_replay() -> None:
    async with stage(script.finished(), NORMAL, replay=True) as shown:
        await shown.press("question_mark")
        assert "Replay" in shown.text()
        assert "To the fact before." in shown.text()


def test_each_position_is_the_fold_of_what_came_before_it() -> None:
    night = script.finished(exit_code=1)
    box = mailbox(night)
    envelopes = [item for item in night.items if not isinstance(item, CaughtUp | FeedChanged)]
    while box.position.envelopes > 1:
        assert box.state == fold_all(envelopes[: box.position.envelopes])
        box.step(-1)
    assert box.state == fold_all(envelopes[:1])
    seen = 0
    while not box.at_end:
        before = box.position
        box.step(1)
        assert box.position.envelopes > before.envelopes or (box.position.moment or 0) > (before.moment or 0)  # type: ignore[operator]
        seen += 1
    assert seen < 2 * len(envelopes) + 110


def test_playing_ends_at_the_end_within_its_time() -> None:
    box = mailbox(script.finished())
    box.play()
    assert box.position.envelopes == 1
    beats = 0
    while box.playing:
        box.beat()
        beats += 1
    assert box.at_end
    assert beats <= 125 + len(box.recording)


def test_what_cannot_be_read_is_told_and_a_clock_that_breaks_off_shows_what_there_is() -> None:
    box = ReplayMailbox(script.FixedClock())
    for item in script.finished().items[:20]:
        box.take(item)
    box.take(FeedChanged(live=False, why="2 lines of the journal cannot be read"))
    box.take(CaughtUp())
    playback = box.playback()
    assert playback is not None
    assert playback.trouble.startswith("2 lines")
    broken = ReplayMailbox(script.FixedClock())
    for item in script.finished().items[:20]:
        broken.take(item)
    broken.lost("The archive cannot be used")
    assert broken.lane.caught_up
    assert broken.position.envelopes == len(broken.recording) > 0


@pytest.mark.parametrize("width", [12, 40, 60, 80, 120, 200])
@pytest.mark.parametrize("gone", [0, 30, 60])
def test_the_slider_fits(width: int, gone: int) -> None:
    start = script.MIDNIGHT
    replay = Playback(
        at=start + timedelta(seconds=gone), start=start, end=start + timedelta(seconds=60), fact=5, facts=99_999,
        playing=True, step=1, trouble="3 lines of the journal cannot be read",
    )  # fmt: skip
    line = timeline_line(View(state=State(), now=start, zone=UTC), replay, width)
    text = "".join(part for part, _ in line)
    assert text.count("●") == 1
    assert len(text) == max(width, len(text.replace("─", "")))
