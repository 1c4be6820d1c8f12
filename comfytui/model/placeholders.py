"""Placeholders in a workflow's inputs, such as ``__SCENE_PROMPT__``: where they stand, and what replaces them.

All are replaced in one pass over the original text, so that a prompt that itself says ``__SEED__`` stays as it is.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from comfytui.model.graph import Graph

PLACEHOLDERS: dict[str, str] = {
    "__SCENE_PREFIX__": "prefix",
    "__SCENE_PROMPT__": "positive",
    "__NEGATIVE_PROMPT__": "negative",
    "__KEYFRAME_IMAGE__": "keyframe",
    "__SEED__": "seed",
    "__FRAME_COUNT__": "frames",
}
"""Each placeholder and the binding it stands for."""

_KNOWN = re.compile("|".join(PLACEHOLDERS))
_LIKELY = re.compile(r"__[A-Z][A-Z_]*[A-Z]__")


def places(graph: Graph) -> Iterator[tuple[str, str, str]]:
    """Yield (binding, node id, input name) for each placeholder in the inputs of ``graph``, once an input."""
    for key, node in graph.items():
        for name, value in node["inputs"].items():
            found = {match for text in _texts(value) for match in _KNOWN.findall(text)}
            yield from ((PLACEHOLDERS[match], key, name) for match in sorted(found))


def misspelt(graph: Graph) -> Iterator[tuple[str, str, str, str]]:
    """Yield (node id, input name, what stands there, what was meant) for words that are nearly a placeholder."""
    for key, node in graph.items():
        for name, value in node["inputs"].items():
            words = {word for text in _texts(value) for word in _LIKELY.findall(text)} - set(PLACEHOLDERS)
            for word in sorted(words):
                near = difflib.get_close_matches(word, PLACEHOLDERS, n=1, cutoff=0.75)
                if near:
                    yield key, name, word, near[0]


def filled(value: Any, replacements: Mapping[str, str | int]) -> Any:
    """Return ``value`` (a JSON value) with its placeholders replaced; containers are copied, never changed.

    ``replacements`` maps a placeholder to its value. A text that is exactly one placeholder becomes that value,
    number or text; within a longer text a number is written in digits.
    """
    if isinstance(value, str):
        if value in replacements:
            return replacements[value]
        return _KNOWN.sub(lambda match: str(replacements[match[0]]), value)
    if isinstance(value, list):
        return [filled(item, replacements) for item in value]
    if isinstance(value, dict):
        return {name: filled(item, replacements) for name, item in value.items()}
    return value


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a JSON value, however nested."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
