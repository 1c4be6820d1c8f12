"""The story: what is to be rendered, scene by scene, and how a story file becomes one.

:func:`load_story` takes a ``.json`` or ``.toml`` file; everything that would stop a run later (a missing keyframe, two
scenes of one name, a misspelt number) is told here, with file, place and remedy, before anything is sent.
"""

import difflib
import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import msgspec

from comfytui.errors import Failure
from comfytui.model import document
from comfytui.model.ranges import MAX_SEED
from comfytui.untrusted import file_name, plain

DEFAULT_FRAMES = 25
MAX_FRAMES = 100_000
MAX_TEXT = 100_000
"""The longest single text of a story, in characters."""

_TAKEN_FOLDERS = {"story", "archives", "logs"}


class Scene(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One scene. Texts are plain (one line, no control characters); what the file leaves out is empty.

    ``expected_frames`` is the number of frames, 1 to 100,000; ``seed`` is 0 to 2**64 - 1 or None; ``keyframe_path`` is
    as the file has it, ``keyframe_file`` the absolute path of the picture once :func:`load_story` has found it.
    ``server_tags`` are what a server must have to render it, where there are several.
    """

    id: str
    title: str = ""
    summary: str = ""
    prompt: str
    negative_prompt: tuple[str, ...] = ()
    mood: str = ""
    keyframe_path: str | None = None
    keyframe_file: str | None = None
    expected_frames: int = DEFAULT_FRAMES
    camera_movement: str = ""
    palette: tuple[str, ...] = ()
    seed: int | None = None
    server_tags: tuple[str, ...] = ()

    @property
    def negative(self) -> str:
        """The negative prompt as one text, its parts joined with ``, ``."""
        return ", ".join(self.negative_prompt)

    @property
    def folder(self) -> str:
        """The scene's folder in a run: valid on every platform, unique in its story whatever the case, no dots.

        Without a dot it can be none of the run folder's own files, and its other folders are stepped around.
        """
        name = file_name(file_name(self.id).replace(".", "-"))
        return f"scene-{name}" if name.lower() in _TAKEN_FOLDERS else name


class Story(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A story with at least one scene, the ``file`` it came from and what is odd about it (``warnings``)."""

    story_id: str
    logline: str = ""
    directors_vision: str = ""
    generator: str = ""
    scenes: tuple[Scene, ...]
    file: str = ""
    warnings: tuple[str, ...] = ()
    llm: dict[str, Any] | None = None
    """What the file says of the language model that wrote it."""


class _SceneFields(msgspec.Struct, kw_only=True, rename="camel"):
    """A scene as a file has it: ``null`` counts as left out, since generated stories are full of it."""

    id: str | None = None
    title: str | None = None
    summary: str | None = None
    prompt: str | None = None
    negative_prompt: str | list[str] | None = None
    mood: str | None = None
    keyframe_path: str | None = None
    expected_frames: int | None = None
    camera_movement: str | None = None
    palette: str | list[str] | None = None
    seed: int | None = None
    server_tags: str | list[str] | None = None


class _StoryFields(msgspec.Struct, kw_only=True, rename="camel"):
    """A story as a file has it."""

    story_id: str | None = None
    logline: str | None = None
    directors_vision: str | None = None
    generator: str | None = None
    scenes: list[_SceneFields] | None = None
    llm: dict[str, Any] | None = None
    warnings: list[str] | None = None
    generated_at: str | None = None


def load_story(path: Path) -> Story:
    """Return the story in the ``.json`` or ``.toml`` file at ``path``, its keyframes found.

    Raises :class:`Failure` ``story.unreadable``, ``story.format``, ``story.syntax``, ``story.shape``, ``story.empty``,
    ``story.duplicate_scene`` or ``story.keyframe_missing``.
    """
    endings: dict[str, document.Format] = {".json": "json", ".toml": "toml"}
    form = endings.get(path.suffix.lower())
    if form is None:
        raise Failure("story.format", file=str(path))
    story = decode_story(document.read_bytes(path, unreadable="story.unreadable"), str(path), form)
    folder = path.absolute().parent
    return msgspec.structs.replace(
        story, scenes=tuple(_with_keyframe(scene, at, folder, story.file) for at, scene in enumerate(story.scenes))
    )


def decode_story(data: bytes, file: str, form: document.Format) -> Story:
    """Return the story that ``data`` holds; ``file`` names it in messages and its stem is the default story id.

    Pure: keyframes are not looked for. Raises what :func:`load_story` does about the content.
    """
    raw = document.decode(data, form, file=file, syntax="story.syntax")
    try:
        fields = msgspec.convert(raw, _StoryFields)
    except msgspec.ValidationError as fault:
        raise misshapen(file, fault) from None
    if not fields.scenes:
        raise Failure("story.empty", file=file)
    ids = _scene_ids(fields.scenes, file)
    return Story(
        story_id=_text(fields.story_id, file, "storyId") or file_name(Path(file).stem),
        logline=_text(fields.logline, file, "logline"),
        directors_vision=_text(fields.directors_vision, file, "directorsVision"),
        generator=_text(fields.generator, file, "generator"),
        scenes=tuple(
            _scene(scene, name, f"scenes[{at}]", file)
            for at, (scene, name) in enumerate(zip(fields.scenes, ids, strict=True))
        ),
        file=file,
        warnings=(*_texts(fields.warnings, file, "warnings"), *_unknown_fields(raw)),
        llm=None if fields.llm is None else _scalars(fields.llm),
    )


def sample_story() -> bytes:
    """Return the bundled story of three scenes, as the JSON file that it is."""
    from importlib import resources

    return resources.files("comfytui").joinpath("bundled", "sample-story.json").read_bytes()


def _scene(fields: _SceneFields, scene_id: str, place: str, file: str) -> Scene:
    prompt = _text(fields.prompt, file, f"{place}.prompt")
    if not prompt:
        raise Failure("story.shape", file=file, place=f"{place}.prompt", why="the prompt is missing or blank")
    frames = DEFAULT_FRAMES if fields.expected_frames is None else fields.expected_frames
    _within(frames, 1, MAX_FRAMES, file, f"{place}.expectedFrames")
    if fields.seed is not None:
        _within(fields.seed, 0, MAX_SEED, file, f"{place}.seed")
    return Scene(
        id=scene_id,
        title=_text(fields.title, file, f"{place}.title"),
        summary=_text(fields.summary, file, f"{place}.summary"),
        prompt=prompt,
        negative_prompt=_texts(fields.negative_prompt, file, f"{place}.negativePrompt"),
        mood=_text(fields.mood, file, f"{place}.mood"),
        keyframe_path=(fields.keyframe_path or "").strip() or None,
        expected_frames=frames,
        camera_movement=_text(fields.camera_movement, file, f"{place}.cameraMovement"),
        palette=_texts(fields.palette, file, f"{place}.palette"),
        seed=fields.seed,
        server_tags=_texts(fields.server_tags, file, f"{place}.serverTags"),
    )


def _scene_ids(scenes: list[_SceneFields], file: str) -> list[str]:
    """Return one id a scene, the missing ones made from the position; no two may share a folder."""
    given = [_text(scene.id, file, f"scenes[{at}].id") for at, scene in enumerate(scenes)]
    owner: dict[str, int] = {}
    for at, name in enumerate(given):
        first = owner.setdefault(_folder_key(name), at) if name else at
        if first != at:
            raise Failure("story.duplicate_scene", file=file, scene=name, place=_clash(given, first, at))
    taken = set(owner)
    return [name or _free_id(at, taken) for at, name in enumerate(given)]


def _free_id(at: int, taken: set[str]) -> str:
    """Return an id for the scene at position ``at`` whose folder is not among ``taken``, and add it there."""
    wished = f"scene-{at + 1:03d}"
    names = itertools.chain([wished], (f"{wished}-{again}" for again in itertools.count(2)))
    name = next(name for name in names if _folder_key(name) not in taken)
    taken.add(_folder_key(name))
    return name


def _folder_key(scene_id: str) -> str:
    return Scene(id=scene_id, prompt="").folder.lower()


def _clash(ids: list[str], first: int, second: int) -> str:
    if ids[first] == ids[second]:
        return f"scenes[{first}].id and scenes[{second}].id"
    return f"scenes[{second}].id (scenes[{first}].id, {ids[first]!r}, would share its folder)"


def _with_keyframe(scene: Scene, at: int, folder: Path, file: str) -> Scene:
    """Return ``scene`` with the absolute path of its keyframe, which is relative to the story's ``folder``."""
    if scene.keyframe_path is None:
        return scene
    # A story written on Windows names its keyframes with backslashes, and is rendered on a Linux box.
    for name in (scene.keyframe_path, PureWindowsPath(scene.keyframe_path).as_posix()):
        try:
            found = folder / name
            if found.is_file():
                return msgspec.structs.replace(scene, keyframe_file=_showable(found.resolve(), file, at))
        except (OSError, ValueError):  # a name that no file system can hold: it is not there
            continue
    place = f"{plain(scene.keyframe_path, 400)} (scenes[{at}].keyframePath)"
    raise Failure("story.keyframe_missing", file=file, scene=scene.id, path=place)


def _showable(path: Path, file: str, at: int) -> str:
    """Return ``path`` as text; it is recorded and shown, so it may hold nothing that acts on a terminal."""
    if plain(str(path)) != str(path):
        why = "the path of the picture holds characters that cannot be shown"
        raise Failure("story.shape", file=file, place=f"scenes[{at}].keyframePath", why=why)
    return str(path)


def _text(value: str | None, file: str, place: str) -> str:
    if value is None:
        return ""
    if len(value) > MAX_TEXT:
        why = f"the text has {len(value)} characters, more than {MAX_TEXT}"
        raise Failure("story.shape", file=file, place=place, why=why)
    return plain(value, MAX_TEXT).strip()


def _texts(value: str | list[str] | None, file: str, place: str) -> tuple[str, ...]:
    if value is None or isinstance(value, str):
        given = [_text(value, file, place)]
    else:
        given = [_text(part, file, f"{place}[{at}]") for at, part in enumerate(value)]
    return tuple(part for part in given if part)


def _scalars(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers, flags and texts of ``table``, the texts made plain: they are recorded and shown."""
    return {
        plain(name, 80): plain(value, 400) if isinstance(value, str) else value
        for name, value in table.items()
        if value is None or isinstance(value, str | int | float)
    }


def _within(number: int, low: int, high: int, file: str, place: str) -> None:
    if not low <= number <= high:
        why = f"{_short(number)} is not between {low} and {high}"
        raise Failure("story.shape", file=file, place=place, why=why)


def _short(number: int) -> str:
    """Return ``number`` in digits, or in words when it has more digits than anyone reads."""
    return str(number) if abs(number) < 10**30 else "a number of more than 30 digits"


# --- messages ------------------------------------------------------------------------------------------------------

_KINDS = {
    "int": "a whole number",
    "float": "a number with a fraction",
    "str": "text",
    "array": "a list",
    "object": "a table of fields",
    "bool": "true or false",
    "null": "nothing",
    "datetime": "a date",
    "date": "a date",
    "time": "a time",
}


def misshapen(file: str, fault: msgspec.ValidationError) -> Failure:
    """Return the failure ``story.shape`` for msgspec's "Expected `int | null`, got `str` - at `$.scenes[2].seed`"."""
    message, _, path = str(fault).partition(" - at `")
    place = path.rstrip("`").removeprefix("$").removeprefix(".") or "the top level"
    wanted, _, got = message.removeprefix("Expected ").replace("`", "").partition(", got ")
    kinds = [_KINDS.get(kind, kind) for kind in wanted.split(" | ") if kind != "null"]
    why = f"{' or '.join(kinds)} is expected, not {_KINDS.get(got, got)}" if got else message
    return Failure("story.shape", file=file, place=place, why=why)


def _unknown_fields(raw: Any) -> Iterable[str]:
    yield from _unknown(raw, _StoryFields, "")
    for at, scene in enumerate(raw["scenes"]):
        yield from _unknown(scene, _SceneFields, f"scenes[{at}].")


def _unknown(table: Mapping[str, object], fields: type[msgspec.Struct], place: str) -> Iterable[str]:
    known = fields.__struct_encode_fields__
    for name in table:
        if name not in known:
            # `expected_frames` and `Prompt` are near enough once case and underscores are gone
            by_key = {field.lower(): field for field in known}
            near = difflib.get_close_matches(name.lower().replace("_", ""), by_key, n=1, cutoff=0.7)
            hint = f"; did you mean `{by_key[near[0]]}`?" if near else ""
            yield f"The field `{place}{plain(name, 80)}` is not known and was ignored{hint}"
