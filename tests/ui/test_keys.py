"""What the keys do: the commands they send, the panes they move, the ways out."""

import pytest
from textual.events import Key as KeyPressed

from comfytui.errors import Failure
from comfytui.faces.tui.keys import FOOTERS, KEYS, PANES, key, key_table_markdown, together
from comfytui.faces.tui.screens.picture import PictureScreen
from comfytui.model import commands as c
from comfytui.model import events as e
from comfytui.model.feed import CaughtUp, FeedChanged
from tests.ui import script
from tests.ui.stage import COMPACT, NORMAL, WIDE, Stage, stage


def sent(shown: Stage) -> list[tuple[str, tuple[str, ...]]]:
    return [(type(command).__name__, getattr(command, "scenes", ())) for command in shown.feed.sent]


async def test_rerun_asks_for_the_selected_scene() -> None:
    async with stage(script.running()) as shown:
        await shown.press("g", "j", "j", "r")
        assert sent(shown) == [("Rerun", ("scene-003",))]
        assert shown.feed.sent[0].id


async def test_rerun_works_on_a_run_that_is_over() -> None:
    async with stage(script.finished(1)) as shown:
        await shown.press("G", "k", "k", "r")
        assert sent(shown) == [("Rerun", ("scene-003",))]


async def test_the_answer_to_a_command_is_a_quiet_line() -> None:
    night = script.running()
    async with stage(night, NORMAL) as shown:
        await shown.press("r")
        ticket = shown.feed.sent[0].id
        night.items.clear()
        night.tell(e.CommandAnswered(id=ticket, command="rerun", accepted=False, why="scene-005 is executing"))
        await shown.tell(night.items)
        assert "rerun: refused, scene-005 is executing" in shown.text().splitlines()[-2]


async def test_the_answer_to_another_dashboard_is_left_to_the_log() -> None:
    night = script.running()
    async with stage(night, NORMAL) as shown:
        night.items.clear()
        await shown.tell(night.tell(e.CommandAnswered(id="another", command="hold", accepted=True)).items)
        assert "hold: accepted" not in shown.text()
        await shown.press("5")
        assert "hold: accepted" in shown.text()


async def test_cancel_asks_first() -> None:
    async with stage(script.running()) as shown:
        await shown.press("x")
        assert "Cancel scene-005?" in shown.text()
        await shown.press("n")
        assert sent(shown) == []
        await shown.press("x", "y")
        assert sent(shown) == [("Cancel", ("scene-005",))]


async def test_cancel_of_a_scene_that_is_over_says_so() -> None:
    async with stage(script.running()) as shown:
        await shown.press("g", "x")
        assert "scene-001 is over" in shown.text()
        assert sent(shown) == []


async def test_hold_and_release() -> None:
    night = script.running()
    async with stage(night) as shown:
        await shown.press("h")
        night.items.clear()
        await shown.tell(night.tell(e.QueueHeld(held=True)).items)
        assert "HELD" in shown.line("comfytui")
        assert "h Release" in shown.text().splitlines()[-1]
        await shown.press("h")
        assert sent(shown) == [("Hold", ()), ("Release", ())]


@pytest.mark.parametrize("pressed", ["r", "x", "h"])
async def test_readonly_sends_nothing_and_says_so(pressed: str) -> None:
    async with stage(script.running(), readonly=True) as shown:
        await shown.press(pressed)
        assert sent(shown) == []
        assert "Read-only: this dashboard sends no commands." in shown.text()
        footer = shown.text().splitlines()[-1]
        assert all(word not in footer for word in ("Rerun", "Cancel", "Hold"))
        assert "READ-ONLY" in shown.line("comfytui")


async def test_a_command_that_cannot_be_delivered_is_told_with_its_remedy() -> None:
    async with stage(script.running(), WIDE) as shown:
        shown.feed.refusal = Failure("run.no_runner", run="20260124-000000")
        await shown.press("r")
        assert "No runner answers for run 20260124-000000." in shown.text()
        assert "[run.no_runner]" in shown.text()


async def test_an_unexpected_failure_of_a_command_is_told_too() -> None:
    async with stage(script.running(), WIDE) as shown:
        shown.feed.refusal = OSError("[red]the pipe broke")
        await shown.press("r")
        assert "not sent, [red]the pipe broke" in shown.text()


# --- leaving ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way_out", ["q", "ctrl+q", "ctrl+c"])
async def test_leaving_a_run_of_another_terminal_detaches(way_out: str) -> None:
    async with stage(script.running()) as shown:
        await shown.pilot.press(way_out)
    assert (shown.app.leaving, shown.app.return_value) == ("detached", "detached")


@pytest.mark.parametrize("way_out", ["q", "ctrl+q", "ctrl+c"])
async def test_leaving_a_live_run_of_ones_own_asks(way_out: str) -> None:
    async with stage(script.running(), owns_run=True) as shown:
        await shown.press(way_out)
        assert "The run is still going on." in shown.text()
        await shown.press("escape")
        assert shown.app.leaving is None
        await shown.press(way_out)
        await shown.pilot.press("d")
    assert shown.app.return_value == "detached"
    assert shown.feed.sent == []


async def test_stopping_sends_the_command_and_leaves() -> None:
    async with stage(script.running(), owns_run=True) as shown:
        await shown.press("q")
        await shown.pilot.press("s")
        await shown.pilot.pause()
    assert shown.app.return_value == "stopped"
    assert [type(command) for command in shown.feed.sent] == [c.Stop]


async def test_a_stop_that_cannot_be_delivered_keeps_the_dashboard() -> None:
    async with stage(script.running(), owns_run=True) as shown:
        shown.feed.refusal = Failure("run.no_runner", run="20260124-000000")
        await shown.press("q", "s")
        assert shown.app.leaving is None
        assert "No runner answers" in shown.text()


async def test_leaving_a_run_that_is_over() -> None:
    async with stage(script.finished(), owns_run=True) as shown:
        await shown.pilot.press("q")
    assert shown.app.return_value == "ended"


async def test_leaving_when_the_runner_is_gone_asks_nothing() -> None:
    async with stage(script.gone(), owns_run=True) as shown:
        await shown.pilot.press("q")
    assert shown.app.return_value == "detached"


# --- moving -------------------------------------------------------------------------------------------------------


async def test_the_selection_follows_what_executes_until_a_person_moves() -> None:
    night = script.running()
    async with stage(night) as shown:
        scenes = shown.app.deck.scenes
        assert scenes.selected and scenes.selected.id == "scene-005"
        await shown.press("j")
        assert scenes.selected.id == "scene-006"
        night.items.clear()
        night.executed("scene-005", 2).attempt_ended("scene-005", 2).scene_ended("scene-005", best=2)
        await shown.tell(night.executing("scene-006").items)
        await shown.press("g")
        assert scenes.selected.id == "scene-001"
        await shown.press("t")
        assert scenes.selected.id == "scene-006"


async def test_pages_and_ends_of_a_long_queue() -> None:
    async with stage(script.thousand(), WIDE) as shown:
        scenes = shown.app.deck.scenes
        assert scenes.selected and scenes.selected.id == "scene-500"
        await shown.press("G")
        assert scenes.selected.id == "scene-1000"
        assert "of 1,000" in shown.text()
        await shown.press("g", "pagedown")
        assert scenes.selected.id == f"scene-{scenes.page:03d}"
        await shown.press("pageup")
        assert scenes.selected.id == "scene-001"


@pytest.mark.parametrize("size", [WIDE, NORMAL, COMPACT])
async def test_numbers_and_tab_give_the_keys_to_each_pane(size: tuple[int, int]) -> None:
    async with stage(script.running(), size) as shown:
        for number, name in enumerate(PANES, 1):
            await shown.press(str(number))
            assert shown.app.focused is shown.app.deck.panes[name]
            assert shown.app.deck.panes[name].size.height > 2
        await shown.press("tab")
        assert shown.app.focused is shown.app.deck.panes["scenes"]
        await shown.press("shift+tab")
        assert shown.app.focused is shown.app.deck.panes["log"]


async def test_zoom_and_back() -> None:
    async with stage(script.running(), NORMAL) as shown:
        await shown.press("3", "z")
        assert shown.app.deck.panes["gpu"].size.width == 80
        await shown.press("escape")
        assert shown.app.deck.panes["gpu"].size.width == 40


async def test_filter_shows_what_matches_and_escape_clears_it() -> None:
    async with stage(script.running(), NORMAL) as shown:
        await shown.press("slash", *"state", "colon", *"done", "enter")
        text = shown.text()
        assert "scene-004" in text
        assert "scene-003" not in text
        assert "(3 fit state:done)" in text
        assert shown.app.focused is shown.app.deck.scenes
        await shown.press("escape")
        assert "scene-003" in shown.text()


async def test_filter_that_nothing_fits() -> None:
    async with stage(script.running(), NORMAL) as shown:
        await shown.press("slash", *"zebra", "enter")
        assert "No scene fits the filter." in shown.text()
        await shown.press("enter")
        assert "There is no scene to open." in shown.text()


async def test_typing_q_into_the_filter_leaves_nothing() -> None:
    async with stage(script.running(), NORMAL) as shown:
        await shown.press("slash", "q")
        assert shown.app.leaving is None
        assert shown.app.deck.scenes.filter_text == "q"


async def test_a_filter_that_is_typed_at_once_is_no_row_of_commands() -> None:
    async with stage(script.running(), NORMAL) as shown:
        order = shown.app.deck.scenes.order
        for one in "/xrs":
            shown.app.post_message(KeyPressed({"/": "slash"}.get(one, one), one))
        await shown.settle()
        assert shown.app.deck.scenes.filter_text == "xrs"
        assert shown.app.deck.scenes.order == order
        assert shown.feed.sent == []


@pytest.mark.parametrize("to_frames", ["2", "tab"])
async def test_enter_that_is_typed_with_the_number_of_a_pane_is_for_that_pane(to_frames: str) -> None:
    async with stage(script.running(), WIDE) as shown:
        shown.app.post_message(KeyPressed(to_frames, None if to_frames == "tab" else to_frames))
        shown.app.post_message(KeyPressed("enter", "\r"))
        await shown.settle()
        assert isinstance(shown.app.screen, PictureScreen)


async def test_an_answer_that_is_typed_with_its_question_answers_it() -> None:
    async with stage(script.running(), NORMAL) as shown:
        for one in "xy":
            shown.app.post_message(KeyPressed(one, one))
        await shown.settle()
        assert [type(command) for command in shown.feed.sent] == [c.Cancel]


async def test_a_message_on_another_screen_takes_the_one_beneath_away() -> None:
    async with stage(script.running(), NORMAL) as shown:
        await shown.press("o", "enter", "y")
        assert shown.app.screen is not shown.app.deck
        await shown.press("escape")
        assert not shown.app.deck.message.display


async def test_scrolled_frames_stay_where_they_are() -> None:
    night = script.running()
    async with stage(night, WIDE) as shown:
        frames = shown.app.deck.frames
        await shown.press("2", *"jjjjj", "pagedown", "pagedown")
        first = frames.picture.lines[frames.top]
        assert frames.top > 2
        night.items.clear()
        await shown.tell(night.frame("scene-005", 13, 2).frame("scene-005", 14, 2).items)
        assert frames.picture.lines[frames.top] == first


async def test_the_log_follows_unless_scrolled_back() -> None:
    night = script.running()
    async with stage(night, WIDE) as shown:
        night.items.clear()
        await shown.tell(night.tell(e.RunNoted(text="the first news")).items)
        assert "the first news" in shown.text()
        await shown.press("5", "g")
        night.items.clear()
        await shown.tell(night.tell(e.RunNoted(text="the second news")).items)
        assert "the second news" not in shown.text()
        await shown.press("G")
        assert "the second news" in shown.text()


async def test_copy_takes_the_prompt_id() -> None:
    async with stage(script.running(), WIDE) as shown:
        await shown.press("g", "y")
        assert shown.app.clipboard == "5f0c0001-0000-4000-8000-000000000001"


# --- the feed -----------------------------------------------------------------------------------------------------


async def test_a_runner_that_goes_is_told_and_one_that_comes_back_too() -> None:
    night = script.running()
    async with stage(night, NORMAL) as shown:
        await shown.tell([FeedChanged(live=False, why="gone")])
        assert "RUNNER GONE since" in shown.line("comfytui")
        await shown.tell([FeedChanged(live=True)])
        assert "RUNNING" in shown.line("comfytui")


async def test_a_feed_that_breaks_is_told_and_the_dashboard_stays() -> None:
    async with stage(script.running(), WIDE) as shown:
        assert shown.app.is_running
    night = script.running()
    async with stage(night, WIDE, feed_failure=Failure("journal.unreadable", file="events.jsonl", why="torn")) as shown:
        assert "The journal events.jsonl cannot be read: torn." in shown.text()
        assert "scene-005" in shown.text()


async def test_a_feed_that_breaks_before_it_caught_up_shows_what_it_told() -> None:
    night = script.running()
    night.items = [item for item in night.items if not isinstance(item, CaughtUp)]
    async with stage(night, WIDE, feed_failure=RuntimeError("[bold]odd")) as shown:
        assert "The feed broke: [bold]odd" in shown.text()
        assert "RUNNER GONE" in shown.text()
        assert "scene-005" in shown.text()


# --- the table ----------------------------------------------------------------------------------------------------


def test_ids_are_unique_and_every_key_says_what_it_does() -> None:
    assert len({one.id for one in KEYS}) == len(KEYS)
    assert all(one.tooltip.endswith(".") and one.label for one in KEYS)


def test_no_key_means_two_things_in_one_place() -> None:
    for place in (*together(), [one for one in KEYS if one.place in ("sheet", "lists")]):
        taken = [key for one in place for key in one.keys.split(",")]
        assert len(taken) == len(set(taken))


def test_footers_name_six_to_nine_known_keys() -> None:
    for names in FOOTERS.values():
        assert 6 <= len(names) <= 9
        assert all(key(name) for name in names)


def test_the_table_for_the_readme_holds_every_key() -> None:
    table = key_table_markdown()
    assert all(one.tooltip in table for one in KEYS)
    assert table.count("\n") == len(KEYS) + 2


async def test_every_action_exists() -> None:
    async with stage(script.running(), WIDE) as shown:
        homes = {"everywhere": shown.app, "lists": shown.app.deck, "deck": shown.app.deck, "scenes": shown.app}
        for one in KEYS:
            name = one.action.partition("(")[0]
            home = shown.app.deck if name.startswith("screen.") else homes.get(one.place)
            if home is not None:
                assert hasattr(home, f"action_{name.rpartition('.')[2]}"), one.id
