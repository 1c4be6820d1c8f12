"""Stories from files: what a good one becomes, and where a bad one is told to be wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from comfytui.errors import Failure
from comfytui.model.story import Story, decode_story, load_story, sample_story


def decoded(content: Any, file: str = "night.json") -> Story:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return decode_story(data, file, "json")


def failure(content: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        decoded(content)
    return caught.value


def scenes(*fields: dict[str, Any]) -> dict[str, Any]:
    return {"scenes": [{"prompt": "a lamp", **each} for each in fields]}


FULL = {
    "storyId": "night-1",
    "logline": "A lamp goes out.",
    "directorsVision": "Slow,\nand dark.",
    "generator": "by hand",
    "scenes": [
        {
            "id": "one",
            "title": "One",
            "summary": "It burns.",
            "prompt": "a lamp\nin the rain",
            "negativePrompt": ["text", "blur"],
            "mood": "calm",
            "expectedFrames": 5,
            "cameraMovement": "pan",
            "palette": "amber",
            "seed": 2**64 - 1,
        }
    ],
}


def test_every_field_arrives_and_texts_are_one_line() -> None:
    story = decoded(FULL)
    (scene,) = story.scenes
    assert (story.story_id, story.logline, story.generator) == ("night-1", "A lamp goes out.", "by hand")
    assert story.directors_vision == "Slow, and dark."
    assert scene.prompt == "a lamp in the rain"
    assert scene.negative_prompt == ("text", "blur")
    assert scene.negative == "text, blur"
    assert scene.palette == ("amber",)
    assert (scene.expected_frames, scene.seed, scene.folder) == (5, 2**64 - 1, "one")
    assert (scene.camera_movement, scene.mood, scene.title, scene.summary) == ("pan", "calm", "One", "It burns.")
    assert story.warnings == ()


def test_what_is_left_out_or_null_has_a_default() -> None:
    story = decoded({"scenes": [{"prompt": "x", "title": None, "expectedFrames": None, "id": None, "palette": None}]})
    (scene,) = story.scenes
    assert (story.story_id, scene.id, scene.expected_frames, scene.seed) == ("night", "scene-001", 25, None)
    assert (scene.negative, scene.palette, scene.keyframe_path) == ("", (), None)


def test_the_default_story_id_is_safe_as_a_name() -> None:
    assert decode_story(b'{"scenes":[{"prompt":"x"}]}', "../a b/my story?.json", "json").story_id == "my-story"


def test_a_prompt_keeps_its_whole_content_but_no_control_characters() -> None:
    prompt = "\x1b[31mred\x1b[0m \x07" + "word " * 2000 + "end\u202e"
    kept = decoded(scenes({"prompt": prompt})).scenes[0].prompt
    assert kept.startswith("red ")
    assert kept.endswith("end")
    assert kept.count("word") == 2000


def test_toml_is_read_as_json_is(tmp_path: Path) -> None:
    path = tmp_path / "night.toml"
    path.write_text(
        'storyId = "n"\n[[scenes]]\nprompt = """a\nlamp"""\nnegativePrompt = "blur"\nexpectedFrames = 3\n', "utf-8"
    )
    story = load_story(path)
    assert (story.story_id, story.file) == ("n", str(path))
    assert (story.scenes[0].prompt, story.scenes[0].negative, story.scenes[0].expected_frames) == ("a lamp", "blur", 3)


def test_a_byte_order_mark_is_tolerated() -> None:
    assert decoded(b'\xef\xbb\xbf{"scenes":[{"prompt":"x"}]}').scenes[0].prompt == "x"


# --- ids and folders -----------------------------------------------------------------------------------------------


def test_missing_ids_are_numbered_by_position() -> None:
    assert [scene.id for scene in decoded(scenes({}, {"id": "mine"}, {"id": " "})).scenes] == [
        "scene-001",
        "mine",
        "scene-003",
    ]


def test_a_made_id_steps_around_a_given_one() -> None:
    ids = [scene.id for scene in decoded(scenes({"id": "Scene-002"}, {}, {"id": "scene-002-2"})).scenes]
    assert ids[0] == "Scene-002"
    assert ids[2] == "scene-002-2"
    assert len({name.lower() for name in ids}) == 3


@pytest.mark.parametrize(
    ("first", "second"), [("a", "a"), ("Lamp", "lamp"), ("a b", "a/b"), ("a.b", "a-b"), ("x" * 90, "x" * 91)]
)
def test_ids_that_would_share_a_folder_are_refused(first: str, second: str) -> None:
    fault = failure(scenes({"id": first}, {}, {"id": second}))
    assert fault.code == "story.duplicate_scene"
    assert "scenes[2].id" in fault.what
    assert "scenes[0].id" in fault.what


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        ("scene-001", "scene-001"),
        ("story", "scene-story"),
        ("ARCHIVES", "scene-ARCHIVES"),
        ("logs", "scene-logs"),
        ("events.jsonl", "events-jsonl"),
        ("..", "unnamed"),
        ("../../etc/passwd", "etc-passwd"),
        ("con", "con_"),
        ("nul.txt", "nul_txt"),
        ("a:b*c", "a-b-c"),
    ],
)
def test_a_folder_is_one_safe_name_beside_the_run_folders_own(given: str, folder: str) -> None:
    assert decoded(scenes({"id": given})).scenes[0].folder == folder


# --- keyframes -------------------------------------------------------------------------------------------------------


def test_a_keyframe_is_found_beside_the_story(tmp_path: Path) -> None:
    picture = tmp_path / "keys" / "one.png"
    picture.parent.mkdir()
    picture.write_bytes(b"png")
    path = tmp_path / "s.json"
    path.write_text(
        json.dumps(scenes({"keyframePath": "keys/one.png"}, {"keyframePath": "keys\\one.png"}, {})), "utf-8"
    )
    story = load_story(path)
    assert [scene.keyframe_file for scene in story.scenes] == [str(picture.resolve())] * 2 + [None]
    assert [scene.keyframe_path for scene in story.scenes] == ["keys/one.png", "keys\\one.png", None]


@pytest.mark.parametrize("name", ["gone.png", ".", "a\0b.png", "x" * 5000])
def test_a_keyframe_that_is_no_file_is_told(tmp_path: Path, name: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps(scenes({}, {"id": "two", "keyframePath": name})), "utf-8")
    with pytest.raises(Failure) as caught:
        load_story(path)
    assert caught.value.code == "story.keyframe_missing"
    assert "'two'" in caught.value.what
    assert "scenes[1].keyframePath" in caught.value.what


# --- what is wrong, and where ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "place", "why"),
    [
        ([], "the top level", "a table of fields is expected, not a list"),
        ({"scenes": {}}, "scenes", "a list is expected, not a table of fields"),
        ({"scenes": ["x"]}, "scenes[0]", "a table of fields is expected, not text"),
        ({"scenes": [{"prompt": "x"}], "logline": 3}, "logline", "text is expected, not a whole number"),
        (scenes({}, {}, {"expectedFrames": "25"}), "scenes[2].expectedFrames", "a whole number is expected, not text"),
        (scenes({"expectedFrames": True}), "scenes[0].expectedFrames", "not true or false"),
        (scenes({"expectedFrames": 2.5}), "scenes[0].expectedFrames", "not a number with a fraction"),
        (scenes({"expectedFrames": 0}), "scenes[0].expectedFrames", "0 is not between 1 and 100000"),
        (scenes({"expectedFrames": 100_001}), "scenes[0].expectedFrames", "100001 is not between"),
        (scenes({"seed": -1}), "scenes[0].seed", "-1 is not between 0 and 18446744073709551615"),
        (scenes({"seed": 2**64}), "scenes[0].seed", "18446744073709551616 is not between"),
        (scenes({"palette": ["teal", 3]}), "scenes[0].palette[1]", "text is expected, not a whole number"),
        (scenes({"negativePrompt": 3}), "scenes[0].negativePrompt", "text or a list is expected"),
        (scenes({}, {"id": 7}), "scenes[1].id", "text is expected, not a whole number"),
        (scenes({"prompt": " \n "}), "scenes[0].prompt", "the prompt is missing or blank"),
        ({"scenes": [{"title": "x"}]}, "scenes[0].prompt", "the prompt is missing or blank"),
        (scenes({"prompt": "x" * 100_001}), "scenes[0].prompt", "more than 100000"),
    ],
)
def test_a_wrong_field_is_told_with_its_place(content: Any, place: str, why: str) -> None:
    fault = failure(content)
    assert fault.code == "story.shape"
    assert f"night.json is wrong at {place}: " in fault.what
    assert why in fault.what
    assert fault.remedy


@pytest.mark.parametrize("content", [{}, {"scenes": []}, {"scenes": None}])
def test_a_story_without_scenes_is_empty(content: Any) -> None:
    assert failure(content).code == "story.empty"


@pytest.mark.parametrize(
    ("field", "hint"),
    [
        (
            {"expectedframes": 3},
            "`scenes[1].expectedframes` is not known and was ignored; did you mean `expectedFrames`?",
        ),
        ({"negative_prompt": "x"}, "did you mean `negativePrompt`?"),
        ({"sead": 3}, "did you mean `seed`?"),
        ({"zzz": 3}, "`scenes[1].zzz` is not known and was ignored"),
    ],
)
def test_an_unknown_field_is_a_warning_that_knows_what_was_meant(field: dict[str, Any], hint: str) -> None:
    (warning,) = decoded(scenes({}, field)).warnings
    assert hint in warning
    assert ("did you mean" in warning) == ("did you mean" in hint)


def test_an_unknown_field_cannot_reach_the_terminal() -> None:
    (warning,) = decoded({**scenes({}), "\x1b[2Jlogline!": 1}).warnings
    assert "\x1b" not in warning


# --- hostile files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it ends in the middle"),
        (b'{"scenes": [', "it ends in the middle"),
        (b'{\n  "scenes": [],\n}', "trailing comma in object at line 3, column 1"),
        ('{"é": "é",\n "x": @}'.encode(), "invalid character at line 2, column 7"),
        (b'{"scenes": NaN}', "invalid character at line 1, column 12"),
        (b'{"a":\n"\xff"}', "line 2 is not UTF-8 (byte 0xff); save it as UTF-8"),
        ('{"scenes": []}'.encode("utf-16"), "it is saved as UTF-16; save it as UTF-8"),
        ('{"scenes": []}'.encode("utf-32"), "it is saved as UTF-32; save it as UTF-8"),
        (b"[" * 10_000, "nested deeper than 64 levels"),
        (b"[" * 10_000 + b"]" * 10_000, "nested deeper than 64 levels"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "nested deeper than 64 levels"),
        (b"\x89PNG\r\n\x1a\n", "is not UTF-8"),
    ],
)
def test_bytes_that_are_no_json_are_told(data: bytes, why: str) -> None:
    fault = failure(data)
    assert fault.code == "story.syntax"
    assert why in fault.what


@pytest.mark.parametrize(
    "data", [b"a = ", b"a = 1\na = 2", b"x = " + b"[" * 5000, b"d = 2026-13-45", b"a = \xff", b"x = " + b"9" * 5000]
)
def test_bytes_that_are_no_toml_are_told(data: bytes) -> None:
    with pytest.raises(Failure) as caught:
        decode_story(data, "s.toml", "toml")
    assert caught.value.code == "story.syntax"
    assert "is not valid TOML" in caught.value.what


def test_a_toml_date_is_a_wrong_type() -> None:
    with pytest.raises(Failure) as caught:
        decode_story(b'logline = 2026-01-02\n[[scenes]]\nprompt = "x"', "s.toml", "toml")
    assert caught.value.code == "story.shape"
    assert "logline" in caught.value.what


def test_a_missing_file_a_folder_and_a_huge_file_are_told(tmp_path: Path) -> None:
    huge = tmp_path / "huge.json"
    with huge.open("wb") as file:
        file.truncate(16 * 1024 * 1024 + 1)
    (tmp_path / "folder.json").mkdir()
    for name, why in [
        ("gone.json", "there is no such file"),
        ("folder.json", "it is a folder"),
        ("huge.json", "it is larger than 16 MiB"),
        ("a\0b.json", "null"),
    ]:
        with pytest.raises(Failure) as caught:
            load_story(tmp_path / name)
        assert caught.value.code == "story.unreadable"
        assert why in caught.value.what


def test_another_ending_is_told(tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        load_story(tmp_path / "story.yaml")
    assert caught.value.code == "story.format"


# --- the sample ------------------------------------------------------------------------------------------------------


def test_the_sample_story_is_three_scenes_of_25_frames_that_look_different() -> None:
    story = decode_story(sample_story(), "sample-story.json", "json")
    assert story.warnings == ()
    assert [scene.expected_frames for scene in story.scenes] == [25, 25, 25]
    assert len({scene.palette for scene in story.scenes}) == 3
    assert all(scene.title and scene.summary and scene.mood and scene.camera_movement for scene in story.scenes)
    palettes = {word for scene in story.scenes for word in scene.palette}
    assert {"amber", "teal", "night"} <= palettes
