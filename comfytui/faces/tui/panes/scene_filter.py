"""Which scenes a filter lets through: ``bridge``, ``state:failed``, ``prompt:rain state:done`` (all must hold)."""

from collections.abc import Sequence

from comfytui.model.state import Scene

FIELDS = ("state", "prompt", "id", "title")


def matches(scene: Scene, terms: Sequence[str]) -> bool:
    """Return whether ``scene`` fits every term; ``field:word`` looks at one field, a bare word at id and title."""
    return all(_fits(scene, term) for term in terms)


def parse(text: str) -> tuple[str, ...]:
    """Return the terms of a filter as it was typed."""
    return tuple(text.casefold().split())


def _fits(scene: Scene, term: str) -> bool:
    field, colon, word = term.partition(":")
    brief = scene.brief
    if colon and field in FIELDS:
        looked = {"state": scene.phase, "prompt": brief.prompt, "id": brief.id, "title": brief.title}[field]
        return word in looked.casefold()
    return term in f"{brief.id} {brief.title} {scene.phase}".casefold()
