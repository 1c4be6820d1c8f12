"""The queue: sorted, filtered, marked; what is ordered of it; other people's prompts; the form of a rerun."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from comfytui.faces.tui.keys import KEYS
from comfytui.faces.tui.orders import Orders
from comfytui.faces.tui.panes import scene_order
from comfytui.faces.tui.panes.scene_filter import matches, parse
from comfytui.faces.tui.panes.scene_order import SORTS, SceneOrder
from comfytui.faces.tui.screens.rerun_form import Changes, changes_in
from comfytui.model import commands as c
from comfytui.model import events as e
from comfytui.model.envelope import Envelope
from comfytui.model.fold import fold_all
from comfytui.model.ranges import MAX_SEED
from comfytui.model.state import State
from tests.ui import script
from tests.ui.stage import COMPACT, NORMAL, SIZES, WIDE, Stage, stage

Same = Callable[..., None]


def told(night: script.Script) -> State:
    return fold_all(item for item in night.items if isinstance(item, Envelope))


def asked(shown: Stage) -> list[tuple[str, tuple[str, ...]]]:
    return [(type(command).__name__, getattr(command, "scenes", ())) for command in shown.feed.sent]


def rows(shown: Stage) -> list[str]:
    """Return the last digits of the scenes on the screen, in their order."""
    words = (word for line in shown.text().splitlines() for word in line.split() if word.startswith("scene-"))
    return [word[-2:] for word in words]


# --- what is shown, in which order ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("state:done", "01 02 04"),
        ("-state:done state:failed", "03"),
        ("-state:waiting -state:done", "03 05 06"),
        ("exit:unknown", "03"),
        ("exit:error", "03"),
        ("prompt:bridge", "05"),
        ("-prompt:bridge title:bridge", ""),
        ("scene-01 -012", "10 11"),
        ("zebra:crossing", ""),
        ("-", "01 02 03 04 05 06 07 08 09 10 11 12"),
    ],
)
def test_filters(typed: str, found: str) -> None:
    scenes = told(script.running()).scenes
    assert " ".join(scene.id[-2:] for scene in scenes if matches(scene, parse(typed))) == found


def test_a_filter_looks_at_the_prompt_that_is_rendered() -> None:
    scene = replace(told(script.running()).scenes[0], prompt="a storm")
    assert matches(scene, parse("prompt:storm"))
    assert not matches(scene, parse("prompt:lamp"))


def test_every_sort_shows_every_scene_and_what_is_unknown_stands_last_both_ways() -> None:
    scenes = told(script.running()).scenes
    order = SceneOrder()
    for name in SORTS:
        for turned in (False, True):
            order.sort_by(name, turned)
            assert sorted(order.places(scenes, ())) == list(range(12))
    order.sort_by("time")
    slowest = [scenes[place].id for place in order.places(scenes, ())]
    order.sort_by("time", turned=True)
    fastest = [scenes[place].id for place in order.places(scenes, ())]
    known = sum(s.chosen is not None and s.chosen.telemetry is not None for s in scenes)
    assert slowest[:known] == fastest[:known][::-1]
    assert set(slowest[known:]) == set(fastest[known:])


@pytest.mark.parametrize("name", SORTS)
def test_an_order_that_is_kept_up_to_date_is_that_of_a_fresh_look(name: str) -> None:
    night = script.running()
    before = told(night)
    night.items = [*night.items]
    night.scene_ended("scene-005", 25, best=2).tell(e.SceneMoved(scene="scene-012", turn=-3.0))
    night.tell(e.SceneGivenUp(scene="scene-008", how="skipped")).scene_ended("scene-009", 0, success=False, meets=False)
    after = told(night)
    kept, fresh = SceneOrder(), SceneOrder()
    for order in (kept, fresh):
        order.sort_by(name)
    kept.places(before.scenes, parse("-id:001"))
    assert list(kept.places(after.scenes, parse("-id:001"))) == list(fresh.places(after.scenes, parse("-id:001")))


def test_ten_thousand_scenes_are_kept_in_order_at_the_cost_of_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str] = []
    monkeypatch.setattr(scene_order, "matches", lambda scene, terms: judged.append(scene.id) or matches(scene, terms))
    scenes = told(script.thousand(10_000, done=20)).scenes
    order = SceneOrder()
    order.sort_by("time")
    assert len(order.places(scenes, parse("state:done"))) == 20
    assert len(judged) == 10_000
    order.places((*scenes[:-1], replace(scenes[-1], next_reason="moved nothing")), parse("state:done"))
    assert judged[10_000:] == ["scene-10000"]


async def test_sort_goes_round_and_turns_round() -> None:
    async with stage(script.running(), WIDE) as shown:
        await shown.press("s", "s", "s")
        assert "(by time)" in shown.line("Scenes")
        await shown.press("S")
        assert "(by time, reversed)" in shown.line("Scenes")
        for _ in range(len(SORTS) - 3):
            await shown.press("s")
        assert "(by" not in shown.line("Scenes")


async def test_estimates_follow_the_order_of_rendering() -> None:
    night = script.running()
    night.tell(e.SceneMoved(scene="scene-012", turn=-1.0, before="scene-007"))
    async with stage(night, WIDE) as shown:
        before = script.running()
        async with stage(before, WIDE) as unmoved:
            first = unmoved.line("scene-007").partition("ETA")[2][:12]
        assert shown.line("scene-012").partition("ETA")[2][:12] == first
        assert shown.line("scene-007").partition("ETA")[2][:12] != first


async def test_what_is_given_up_says_so_until_it_has_ended() -> None:
    night = script.running()
    async with stage(night, WIDE) as shown:
        night.items.clear()
        await shown.tell(night.tell(e.SceneGivenUp(scene="scene-005", how="cancelled")).items)
        assert "being cancelled" in shown.line("scene-005")


# --- marks -------------------------------------------------------------------------------------------------------


async def test_marked_scenes_are_meant_and_the_marks_go_with_the_command() -> None:
    async with stage(script.running(), WIDE) as shown:
        await shown.press("g", "space", "space", "space")
        assert "3 marked" in shown.line("Scenes")
        await shown.press("r")
        assert asked(shown) == [("Rerun", ("scene-001", "scene-002", "scene-003"))]
        assert "marked" not in shown.line("Scenes")


async def test_of_the_marked_those_that_can_be_are_sent() -> None:
    async with stage(script.running(), WIDE) as shown:
        await shown.press("asterisk", "n", "asterisk", "x")
        assert "Cancel 8 scenes?" in shown.text()
        await shown.press("y", "asterisk", "r")
        waiting = tuple(f"scene-{n:03}" for n in range(7, 13))
        assert asked(shown)[0] == ("Skip", waiting)
        assert asked(shown)[1] == ("Cancel", ("scene-005", "scene-006", *waiting))
        assert asked(shown)[2] == ("Rerun", ("scene-001", "scene-002", "scene-003", "scene-004"))


async def test_what_ended_while_a_person_was_asked_is_left_out() -> None:
    night = script.running()
    async with stage(night, WIDE) as shown:
        await shown.press("G", "space", "k", "space", "g", "j", "j", "j", "j", "space", "x")
        assert "Cancel 3 scenes?" in shown.text()
        night.items.clear()
        await shown.tell(night.scene_ended("scene-005", 12, best=2, meets=False).items)
        await shown.press("y")
        assert asked(shown) == [("Cancel", ("scene-011", "scene-012"))]


async def test_marks_of_which_none_can_be_say_so() -> None:
    async with stage(script.running(), WIDE) as shown:
        await shown.press("g", "space", "space", "n")
        assert "The 2 marked scenes are not waiting" in shown.text()
        await shown.press("escape", "g", "n")
        assert "scene-001 is not waiting" in shown.text()
        assert "marked" not in shown.line("Scenes")
        assert asked(shown) == []


async def test_all_that_the_filter_shows_are_marked_and_unmarked() -> None:
    async with stage(script.running(), WIDE) as shown:
        await shown.press("slash", *"state", "colon", *"done", "enter", "asterisk", "r")
        assert asked(shown) == [("Rerun", ("scene-001", "scene-002", "scene-004"))]
        await shown.press("asterisk", "asterisk")
        assert "marked" not in shown.line("Scenes")


# --- orders ------------------------------------------------------------------------------------------------------


def test_every_order_that_a_key_gives_exists() -> None:
    orders = [one.action.partition("'")[2].rstrip("')") for one in KEYS if "order(" in one.action]
    assert len(orders) == 8
    assert all(callable(getattr(Orders, name)) for name in orders)


async def test_one_failed_scene_is_rerun_at_once_and_several_after_a_question() -> None:
    async with stage(script.running(), WIDE) as shown:
        await shown.press("R")
        assert asked(shown) == [("Rerun", ("scene-003",))]
    night = script.Script().opened(3).reached().broke("scene-001").broke("scene-002").caught_up()
    async with stage(night, WIDE) as shown:
        await shown.press("R")
        assert "Rerun all 2 failed scenes?" in shown.text()
        await shown.press("n")
        assert asked(shown) == []
        await shown.press("R", "y")
        assert asked(shown) == [("Rerun", ("scene-001", "scene-002"))]


async def test_moving_shows_the_order_of_rendering_and_goes_on_from_what_the_runner_says() -> None:
    night = script.running()
    async with stage(night, WIDE) as shown:
        await shown.press("G", "K", "K")
        assert [(type(x).__name__, getattr(x, "by", 0)) for x in shown.feed.sent] == [("Move", -1), ("Move", -1)]
        assert "(by turn)" in shown.line("Scenes")
        night.items.clear()
        await shown.tell(night.tell(e.SceneMoved(scene="scene-012", turn=5.5, before="scene-007")).items)
        assert rows(shown)[:4] == ["05", "06", "12", "07"]
        selected = shown.app.deck.scenes.selected
        assert selected is not None
        assert selected.id == "scene-012"


@pytest.mark.parametrize("key", ["r", "R", "e", "x", "n", "J", "K", "h"])
async def test_a_dashboard_that_only_reads_orders_nothing(key: str) -> None:
    async with stage(script.running(), NORMAL, readonly=True) as shown:
        await shown.press("G", key)
        assert "Read-only: this dashboard sends no commands." in shown.text()
        assert asked(shown) == []


# --- the form of a rerun -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seed", "prompt", "found"),
    [
        ("", "a lamp", Changes()),
        (" 42 ", "a lamp", Changes(seed=42)),
        ("0", "  a \n lamp ", Changes(seed=0)),
        ("007", "a storm", Changes(seed=7, prompt="a storm")),
        (str(MAX_SEED), "a lamp", Changes(seed=MAX_SEED)),
        (str(MAX_SEED + 1), "a lamp", "A seed is a whole number"),
        ("9" * 5000, "a lamp", "A seed is a whole number"),
        ("-1", "a lamp", "A seed is a whole number"),
        ("1e3", "a lamp", "A seed is a whole number"),
        ("٣", "a lamp", "A seed is a whole number"),
        ("", "   ", "The prompt is empty."),
        ("", "x" * 100_001, "The prompt has more than 100,000 characters."),
    ],
)
def test_what_is_filled_in_is_checked(seed: str, prompt: str, found: Changes | str) -> None:
    result = changes_in(seed, prompt, "a lamp")
    assert result == found if isinstance(found, Changes) else isinstance(result, str) and result.startswith(found)


@pytest.mark.parametrize("size", SIZES)
async def test_form(size: str, same_picture: Same) -> None:
    async with stage(script.running(), SIZES[size]) as shown:
        await shown.press("g", "e", "x", "enter")
        same_picture(shown)
        assert "A seed is a whole number" in shown.text()
        assert asked(shown) == []


async def test_the_form_sends_the_seed_and_the_edited_prompt() -> None:
    async with stage(script.running(), NORMAL) as shown:
        await shown.press("g", "e", "7", "tab", *" x", "enter")
        (command,) = shown.feed.sent
        assert isinstance(command, c.Rerun)
        assert (command.scenes, command.seed) == (("scene-001",), 7)
        assert command.prompt == "The lamp is lit, slow dolly, volumetric light, 35mm film grain x"
        assert shown.app.screen is shown.app.deck


async def test_the_form_for_several_scenes_leaves_each_its_prompt() -> None:
    async with stage(script.running(), NORMAL) as shown:
        await shown.press("g", "space", "space", "e")
        assert "Rerun 2 scenes with" in shown.text()
        await shown.press("enter")
        (command,) = shown.feed.sent
        assert isinstance(command, c.Rerun)
        assert (command.scenes, command.seed, command.prompt) == (("scene-001", "scene-002"), None, None)


async def test_the_form_is_closed_without_a_command() -> None:
    async with stage(script.running(), NORMAL) as shown:
        await shown.press("g", "e", "7", "escape")
        assert shown.app.screen is shown.app.deck
        await shown.press("g", "j", "j", "j", "j", "e")
        assert "scene-005 is not over yet." in shown.text()
        assert asked(shown) == []


# --- other people's prompts --------------------------------------------------------------------------------------


def shared(scenes: int = 4) -> script.Script:
    """A server that others use too."""
    night = script.Script().opened(scenes).reached().rendered("scene-001").queued("scene-002")
    night.tell(e.QueueDepth(ours=1, others=43))
    others = [e.OthersPrompt(id=f"{n:08x}-1d2c-4b5a", number=17 + n, nodes=12 * n + 1, running=not n) for n in range(3)]
    return night.tell(e.QueueListed(others=tuple(others), more=40)).pulse(ours=1, others=43).caught_up()


@pytest.mark.parametrize("size", [WIDE, NORMAL, COMPACT], ids=SIZES)
async def test_others(size: tuple[int, int], same_picture: Same) -> None:
    async with stage(shared(), size) as shown:
        await shown.press("g", "space", "G", "j", "j")
        same_picture(shown)
        assert shown.app.deck.scenes.selected is None
        await shown.press("r", "x", "enter")
        assert asked(shown) == [("Rerun", ("scene-001",))], "a prompt of others is never meant"


async def test_others_are_shown_where_there_is_no_run() -> None:
    night = script.empty()
    prompt = e.OthersPrompt(id="5f0c", number=3, nodes=7, running=True)
    night.tell(e.QueueDepth(ours=0, others=1)).tell(e.QueueListed(others=(prompt,)))
    async with stage(night, NORMAL) as shown:
        await shown.press("j", "space", "asterisk", "enter", "r")
        assert "Watching the server; there is no story." in shown.text()
        assert "On the server for others: 1 prompt, only shown here" in shown.text()
        assert asked(shown) == []


async def test_others_go_from_the_pane_when_they_have_gone() -> None:
    night = shared()
    async with stage(night, WIDE) as shown:
        await shown.press("G", "j")
        assert shown.app.deck.scenes.selected is None
        night.items.clear()
        await shown.tell(night.tell(e.QueueDepth(ours=1, others=0)).items)
        assert "for others" not in shown.text()
        assert shown.app.deck.scenes.selected is not None


async def test_skipped_and_estimated(same_picture: Same) -> None:
    night = script.Script().opened(9).reached().rendered("scene-001", seconds=41).rendered("scene-002", seconds=44)
    night.rendered("scene-003", seconds=47).queued("scene-004").executing("scene-004").wait(11)
    night.progress("scene-004", 7).queued("scene-005").tell(
        e.SceneEnded(scene="scene-006", best=1, success=False, meets_floor=False, frames=0, skipped=True)
    )
    async with stage(night.pulse().caught_up(), WIDE) as shown:
        await shown.press("S")
        same_picture(shown)
        assert "ETA" in shown.line("scene-008")
        assert "skipped" in shown.line("scene-006")
