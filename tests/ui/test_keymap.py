"""Keys that a person has moved: they do what they are said to, everywhere they are named, or they are refused."""

from pathlib import Path

import pytest

from comfytui.cli.faces import prepare_dashboard
from comfytui.errors import Failure
from comfytui.faces.tui.keymap import checked
from comfytui.faces.tui.keys import KEYS
from comfytui.settings.merged import load
from tests.ui import script
from tests.ui.stage import NORMAL, WIDE, stage


async def test_a_moved_key_works_and_is_named_in_footer_and_help() -> None:
    keymap = checked({"rerun": "ctrl+r,f6", "hold": "H", "filter": "!", "cancel": "r"})
    async with stage(script.running(), WIDE, keymap=keymap) as shown:
        footer = shown.text().splitlines()[-1]
        assert "ctrl+r Rerun" in footer
        assert "H Hold" in footer
        assert "! Filter" in footer
        await shown.press("g", "f6", "ctrl+r", "h", "H")
        assert [type(command).__name__ for command in shown.feed.sent] == ["Rerun", "Rerun", "Hold"]
        await shown.press("exclamation_mark")
        assert shown.app.focused is not None
        assert shown.app.focused.id == "filter"
        await shown.press("escape", "question_mark")
        assert "ctrl+r, f6" in shown.text()


async def test_two_keys_may_change_places() -> None:
    async with stage(script.running(), NORMAL, keymap=checked({"rerun": "x", "cancel": "r"})) as shown:
        await shown.press("g", "x", "j", "j", "j", "j", "r")
        assert [type(command).__name__ for command in shown.feed.sent] == ["Rerun"]
        assert "Cancel scene-005?" in shown.text()


@pytest.mark.parametrize(
    ("name", "keys", "why"),
    [
        ("rerunn", "r", "there is no such command; did you mean `rerun`?"),
        ("quit", "zz", "there is no such command"),
        ("rerun", "zz", "there is no such key"),
        ("rerun", "", "there is no such key"),
        ("rerun", "r,", "there is no such key"),
        ("rerun", "hyper+r", "there is no such key"),
        ("rerun", "x", "it is the key of `cancel` (Cancel) already"),
        ("rerun", "j", "it is the key of `down` (Down) already"),
        ("log_filter", "q", "it is the key of `leave` (Leave) already"),
        ("cancel", "left", "it is the key of `attempt_before` (Attempt) already"),
        ("rerun", "ctrl+m", "a terminal cannot tell it from enter"),
        ("leave_always", "f9", "what it does must always be found at its own key"),
        ("yes", "j", "what it does must always be found at its own key"),
    ],
)
def test_what_cannot_be_is_refused(name: str, keys: str, why: str) -> None:
    with pytest.raises(Failure) as caught:
        checked({name: keys})
    assert caught.value.code == "config.keymap"
    assert why in caught.value.what
    assert f"'{name}'" in caught.value.what


@pytest.mark.parametrize(
    ("keys", "taken"),
    [("shift+w", "W"), (",", "comma"), (" f6 , alt+r ", "f6,alt+r"), ("é", "é"), ("ctrl+shift+f5", "ctrl+shift+f5")],
)
def test_keys_are_named_as_people_write_them(keys: str, taken: str) -> None:
    assert checked({"rerun": keys}) == {"rerun": taken}


def test_the_same_key_may_serve_two_panes() -> None:
    assert checked({"rerun": "w", "log_filter": "w"}) == {"rerun": "w", "log_filter": "w"}


def test_every_default_is_a_key_that_may_be_written_in_the_file() -> None:
    movable = [one for one in KEYS if one.movable]
    assert checked({one.id: one.keys for one in movable}) == {one.id: one.keys for one in movable}


def test_the_table_of_the_file_is_checked_before_anything_begins(tmp_path: Path) -> None:
    file = tmp_path / "comfytui.toml"
    file.write_text('[keymap]\nrerun = "x"\n', encoding="utf-8")
    settings = load({}, {"COMFYTUI_CONFIG": str(file)}, tmp_path)
    with pytest.raises(Failure, match="already, in the same place"):
        prepare_dashboard(settings)
