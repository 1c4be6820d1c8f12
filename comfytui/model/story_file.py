"""A story that was made, as the file that holds it: what ``comfytui story new`` writes and a run reads."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from comfytui.errors import Failure
from comfytui.model.llm import StoryReport
from comfytui.model.story import MAX_TEXT, decode_story
from comfytui.model.story_draft import StoryDraft, Unfit
from comfytui.untrusted import plain


def story_file(
    draft: StoryDraft, *, generator: str, report: StoryReport | None = None, warnings: Sequence[str] = ()
) -> bytes:
    """Return the JSON file of the story in ``draft``: plain texts, ids of our own, what is empty left out.

    The same story makes the same bytes, but for the times in ``report``.
    """
    scenes = [
        {"id": f"scene-{number:03d}", **_clean(msgspec.to_builtins(scene))}
        for number, scene in enumerate(draft.scenes, 1)
    ]
    head = {
        "storyId": draft.story_id or f"story-{hashlib.sha256(msgspec.json.encode(scenes)).hexdigest()[:8]}",
        "logline": draft.logline,
        "directorsVision": draft.directors_vision,
        "generator": generator,
    }
    told = {**_clean(head), "scenes": scenes}
    if report is not None:
        told["llm"] = msgspec.to_builtins(report)
    if warnings:
        told["warnings"] = list(warnings)
    return msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n"


def checked_draft(draft: StoryDraft) -> StoryDraft:
    """Return ``draft`` once it is proven to make a story that a run would take. Raises :class:`Unfit`."""
    try:
        decode_story(story_file(draft, generator=""), "answer", "json")
    except Failure as failure:
        raise Unfit(f"{failure.words.get('place', 'the story')}: {failure.words['why']}") from None
    return draft


def _clean(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``fields`` with texts made plain, and without those that are empty."""
    cleaned = {name: _plain(value) for name, value in fields.items()}
    return {name: value for name, value in cleaned.items() if value not in (None, "", [])}


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value, MAX_TEXT).strip()
    return [text for part in value if (text := _plain(part))] if isinstance(value, list) else value
