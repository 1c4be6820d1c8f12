"""Stories without a language model: arcs written by hand, chosen by a seed. The same seed makes the same story."""

import functools
import importlib.resources
import random

import msgspec

from comfytui.model import document
from comfytui.model.story_draft import SceneDraft, StoryDraft
from comfytui.untrusted import plain

MOST_SCENES = 100
"""The most scenes of one story that is made."""
LONGEST_IDEA = 1000
"""The longest idea, in characters: it stands in every prompt."""


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """One step of an arc, as a scene of it is written."""

    title: str
    summary: str
    prompt: str
    mood: str
    camera: str
    palette: list[str]


class Arc(msgspec.Struct, frozen=True, kw_only=True):
    """A whole story of six beats; one with an ``idea`` takes a person's where its texts say ``{idea}``."""

    id: str
    logline: str
    vision: str
    figure: str
    negative: list[str]
    beat: list[Beat]
    idea: bool = False


class Shot(msgspec.Struct, frozen=True, kw_only=True):
    """Another look at a beat: what it adds to title and prompt."""

    title: str
    words: str


class Templates(msgspec.Struct, frozen=True, kw_only=True):
    """All that stories are made of."""

    arc: list[Arc]
    shot: list[Shot]


@functools.cache
def bundled_templates() -> Templates:
    """Return the templates that come with comfytui."""
    data = importlib.resources.files("comfytui").joinpath("bundled", "story-templates.toml").read_bytes()
    return msgspec.convert(document.decode(data, "toml", file="templates", syntax="story.syntax"), Templates)


def story_from_templates(scenes: int, seed: int, idea: str = "", templates: Templates | None = None) -> StoryDraft:
    """Return a story of so many scenes (1 to :data:`MOST_SCENES`) about ``idea``, or about what ``seed`` chooses.

    Its scenes go through one arc in order. Fewer scenes than beats keep the first and the last; more look at a beat
    again in another way. Each scene has a seed of its own, drawn from ``seed``.
    """
    templates = templates or bundled_templates()
    chance = random.Random(seed)
    idea = plain(idea, LONGEST_IDEA).strip()
    arc = chance.choice([arc for arc in templates.arc if arc.idea == bool(idea)])
    figure = arc.figure.replace("{idea}", idea)
    return StoryDraft(
        story_id=f"{arc.id}-{seed}",
        logline=arc.logline.replace("{idea}", idea),
        directors_vision=arc.vision,
        scenes=[
            SceneDraft(
                title=f"{beat.title}, {shot.title}" if shot.title else beat.title,
                summary=beat.summary,
                prompt=_sentence(beat.prompt.replace("{figure}", figure), shot.words),
                negative_prompt=list(arc.negative),
                mood=beat.mood,
                camera_movement=beat.camera,
                palette=list(beat.palette),
                seed=chance.randrange(2**31),
            )
            for beat, shot in _shots(arc.beat, templates.shot, scenes)
        ],
    )


def _shots(beats: list[Beat], shots: list[Shot], scenes: int) -> list[tuple[Beat, Shot]]:
    """Return which beat each scene tells, in order, and how it is looked at."""
    if scenes <= len(beats):
        last = len(beats) - 1
        chosen = [beats[round(number * last / max(1, scenes - 1))] for number in range(scenes)]
        return [(beat, shots[0]) for beat in chosen]
    per_beat = [number * len(beats) // scenes for number in range(scenes)]
    return [(beats[beat], shots[(at - per_beat.index(beat)) % len(shots)]) for at, beat in enumerate(per_beat)]


def _sentence(prompt: str, words: str) -> str:
    text = prompt[:1].upper() + prompt[1:]
    return f"{text}, {words}" if words else text
