"""Which scenes a filter lets through: ``bridge``, ``state:failed -prompt:rain``, ``exit:maxWait``, ``server:gpu-b``.

All terms must hold.
"""

from collections.abc import Sequence

from comfytui.model.state import Scene

FIELDS = ("state", "prompt", "id", "title", "exit", "server")


def matches(scene: Scene, terms: Sequence[str]) -> bool:
    """Return whether ``scene`` fits every term.

    ``field:word`` looks at one field, a bare word at id, title and state; a minus before a term turns it round.
    """
    return all(_fits(scene, term.removeprefix("-")) is not term.startswith("-") for term in terms)


def parse(text: str) -> tuple[str, ...]:
    """Return the terms of a filter as it was typed. A minus alone is a word that is still being typed."""
    return tuple(term for term in text.casefold().split() if term != "-")


def _fits(scene: Scene, term: str) -> bool:
    field, colon, word = term.partition(":")
    looked = _field(scene, field) if colon and field in FIELDS else None
    if looked is not None:
        return word in looked.casefold()
    return term in f"{scene.id} {scene.brief.title} {scene.phase}".casefold()


def _field(scene: Scene, field: str) -> str:
    match field:
        case "state":
            return scene.phase
        case "prompt":
            return scene.prompt or scene.brief.prompt
        case "id":
            return scene.id
        case "title":
            return scene.brief.title
        case "server":
            attempt = scene.chosen
            return attempt.server_name if attempt is not None else ""
        case _:
            attempt = scene.chosen
            return f"{attempt.exit_reason or ''} {attempt.status or ''}" if attempt is not None else ""
