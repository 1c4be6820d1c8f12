"""Whatever a story file holds, it becomes a sound story or a failure with words; never a traceback."""

import json
import unicodedata
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comfytui.errors import Failure
from comfytui.model.story import Story, decode_story

names = st.sampled_from(
    ["id", "prompt", "title", "negativePrompt", "expectedFrames", "palette", "seed", "keyframePath"]
)
ids = (
    st.sampled_from(["a", "A", "a.", "a b", "a/b", "story", "Story", "scene-001", "scene-002", "con", "..", "é", ""])
    | st.text()
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
scene = st.dictionaries(names, anything, max_size=4) | st.fixed_dictionaries({"id": ids, "prompt": st.just("x")})


def sound(story: Story) -> None:
    assert story.scenes
    assert story.story_id
    folders = [scene.folder.lower() for scene in story.scenes]
    assert len(set(folders)) == len(folders)
    assert not set(folders) & {"story", "archives", "logs"}
    for each in story.scenes:
        assert each.prompt
        assert 1 <= each.expected_frames <= 100_000
        assert each.seed is None or 0 <= each.seed < 2**64
        shown = "".join([each.id, each.prompt, each.title, each.negative, *each.palette])
        assert not any(unicodedata.category(char) == "Cc" for char in shown)


def judge(data: bytes, form: Any) -> None:
    try:
        story = decode_story(data, "s.json", form)
    except Failure as fault:
        assert fault.code.startswith("story.")
        assert "s.json" in fault.what
    else:
        sound(story)


@given(data=st.binary(max_size=200), form=st.sampled_from(["json", "toml"]))
def test_any_bytes(data: bytes, form: Any) -> None:
    judge(data, form)


@given(raw=anything)
def test_any_value(raw: Any) -> None:
    judge(json.dumps(raw).encode(), "json")


@given(scenes=st.lists(scene, max_size=5), extra=st.dictionaries(st.text(max_size=8), anything, max_size=2))
def test_any_scenes(scenes: list[Any], extra: dict[str, Any]) -> None:
    judge(json.dumps({**extra, "scenes": scenes}).encode(), "json")


@given(given_ids=st.lists(ids, min_size=1, max_size=8))
def test_any_ids_get_folders_of_their_own_or_are_refused(given_ids: list[str]) -> None:
    judge(json.dumps({"scenes": [{"id": each, "prompt": "x"} for each in given_ids]}).encode(), "json")
