"""What a language model must answer when it is asked for a story, and how its answer is read: strictly, or not at all.

What is taken off without a word is the wrapping alone: one Markdown fence around the whole, and the thoughts of a
reasoning model in front of it. Text around the JSON, a wrong type, a missing prompt: the answer is :class:`Unfit`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from comfytui.errors import Failure
from comfytui.model import document
from comfytui.model.story import misshapen
from comfytui.untrusted import plain

_THOUGHTS = re.compile(r"\s*<think>.*?</think>", re.S)
_FENCE = re.compile(r"```[\w-]*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```", re.S)


class Unfit(Exception):
    """Why an answer is no story, in words that follow "the model's answer cannot be used: "."""


class SceneDraft(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A scene as a model writes it. It can name no file: a keyframe is a person's to choose."""

    title: str | None = None
    summary: str | None = None
    prompt: str
    negative_prompt: str | list[str] | None = None
    mood: str | None = None
    camera_movement: str | None = None
    palette: str | list[str] | None = None
    expected_frames: int | None = None
    seed: int | None = None


class StoryDraft(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A story as a model writes it."""

    story_id: str | None = None
    logline: str | None = None
    directors_vision: str | None = None
    generator: str | None = None
    scenes: list[SceneDraft]


def draft_schema(scenes: int) -> dict[str, Any]:
    """Return the JSON Schema of a story of so many scenes: every field required, no reference, nothing beside it.

    That is what OpenAI's ``strict`` asks for, and the grammars of llama.cpp, LM Studio and Ollama take it as well.
    """
    text = {"type": "string"}
    scene = _object(
        title=text, summary=text, prompt=text, negativePrompt=text, mood=text, cameraMovement=text,
        palette={"type": "array", "items": text},
    )  # fmt: skip
    listed = {"type": "array", "items": scene, "minItems": scenes, "maxItems": scenes}
    return _object(logline=text, directorsVision=text, scenes=listed)


def _object(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def read_draft(answer: str) -> tuple[StoryDraft, tuple[str, ...]]:
    """Return the story that ``answer`` holds, and the names of what else it holds, which is not used.

    Raises :class:`Unfit`.
    """
    text = _unwrapped(answer)
    try:
        raw = document.decode(text.encode("utf-8", "replace"), "json", file="answer", syntax="story.syntax")
        draft = msgspec.convert(raw, StoryDraft)
    except msgspec.ValidationError as fault:
        words = misshapen("answer", fault).words
        raise Unfit(f"{words['place']}: {words['why']}") from None
    except Failure as failure:
        raise Unfit(f"its JSON is broken: {failure.words['why']}") from None
    if not draft.scenes:
        raise Unfit("it has no scenes")
    for at, scene in enumerate(draft.scenes):
        if not plain(scene.prompt).strip():
            raise Unfit(f"scenes[{at}].prompt is blank")
    return draft, tuple(dict.fromkeys(_unused(raw)))


def _unwrapped(answer: str) -> str:
    """Return ``answer`` without thoughts before it and the fence around it. Raises :class:`Unfit`."""
    text = answer.strip()
    if (thoughts := _THOUGHTS.match(text)) is not None:
        text = text[thoughts.end() :].strip()
    if (fenced := _FENCE.fullmatch(text)) is not None:
        text = fenced[1].strip()
    if not text:
        raise Unfit("it is empty")
    if not (text.startswith("{") and text.endswith("}")):
        cut = text.startswith("{") and "}" not in text[text.rfind("{") :]
        if "{" not in text:
            raise Unfit("there is no JSON in it")
        raise Unfit("it ends in the middle of its JSON" if cut else "there is other text around its JSON")
    return text


def _unused(raw: Any) -> Iterator[str]:
    yield from _unknown(raw, StoryDraft, "")
    for scene in raw["scenes"]:
        yield from _unknown(scene, SceneDraft, "scenes[].")


def _unknown(table: Mapping[str, object], fields: type[msgspec.Struct], place: str) -> Iterator[str]:
    yield from (f"{place}{plain(name, 40)}" for name in table if name not in fields.__struct_encode_fields__)
