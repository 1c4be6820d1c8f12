"""What is different between two attempts of a scene: its prompt, and the inputs of the workflow that follow. Pure."""

import difflib
from functools import lru_cache

from comfytui.faces.tui.panes.line import Line, Role, left, safe, wrap
from comfytui.faces.tui.screens.section import LABEL, Row, Section, heading, labelled, told
from comfytui.model.events import VaryingInput
from comfytui.model.state import Attempt, Run, Scene
from comfytui.model.varying import input_value


def changes(run: Run | None, scene: Scene, attempt: Attempt, width: int) -> Section:
    """Return what ``attempt`` had otherwise than the one before it; nothing for the first."""
    before = scene.attempt(attempt.number - 1)
    if before is None:
        return []
    rows: Section = [heading(f"Changes from attempt {before.number} to {attempt.number}")]
    if before.server != attempt.server:
        rows += _changed("server", before.server, attempt.server, width)
    rows += _prompt(_asked(scene, before), _asked(scene, attempt), width)
    if run is None or not run.inputs:
        rows += _changed("seed", str(before.seed), str(attempt.seed), width)
        rows += _changed("prefix", before.prefix, attempt.prefix, width)
        return rows + told("Which inputs of the workflow they entered is not recorded.", width, "dim")
    for one in run.inputs:
        if "__SCENE_PROMPT__" in one.template:
            continue
        was, now = (str(_value(one, scene, each)) for each in (before, attempt))
        if was != now:
            rows += _changed(f"{one.title} ({one.node}) {one.name}", was, now, width)
    texts = [one for one in run.inputs if "__SCENE_PROMPT__" in one.template]
    entered = ", ".join(f"{one.title} ({one.node}) {one.name}" for one in texts)
    same = _asked(scene, before) == _asked(scene, attempt)
    rows += labelled("prompt input", f"{entered}, {'the same' if same else 'changed'}", width) if texts else []
    return rows + told("Every other input of the workflow is the same.", width, "dim")


def _asked(scene: Scene, attempt: Attempt) -> str:
    return attempt.prompt if attempt.prompt is not None else scene.brief.prompt


def _value(varying: VaryingInput, scene: Scene, attempt: Attempt) -> object:
    return input_value(varying, prompt=_asked(scene, attempt), seed=attempt.seed, prefix=attempt.prefix)


def _changed(label: str, was: str, now: str, width: int) -> Section:
    """Return the two values of ``label``, the former one marked ``-`` and the present one ``+``."""
    if was == now:
        return labelled(label, f"{now}, the same", width)
    label = safe(label)
    rows: Section = [Row(((label, "dim"),), label)] if len(label) >= LABEL else []
    beside = "" if rows else label
    for mark, value, role in (("-", was, "dim"), ("+", now, "text")):
        for place, part in enumerate(wrap(safe(value), max(8, width - LABEL - 2))):
            start = left(beside if mark == "-" and not place else "", LABEL)
            sign = f"{mark} " if not place else "  "
            rows.append(Row(((start, "dim"), (sign, "strong"), (part, role)), safe(value)))  # type: ignore[arg-type]
    return rows


@lru_cache(maxsize=16)
def _prompt(was: str, now: str, width: int) -> tuple[Row, ...]:
    """Return the words that went and came: in brackets with their sign, so that no colour is needed to see them.

    It is remembered: long prompts take longer to compare than a painting may.
    """
    if was == now:
        return tuple(labelled("prompt", "the same", width))
    old, new = safe(was).split(), safe(now).split()
    words: list[tuple[str, Role]] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        if kind == "equal":
            words += [(word, "dim") for word in old[a:b]]
            continue
        if b > a:
            words.append((f"[-{' '.join(old[a:b])}-]", "bad"))
        if d > c:
            words.append((f"[+{' '.join(new[c:d])}+]", "good"))
    return tuple(
        Row(((left("" if place else "prompt", LABEL), "dim"), *line), safe(now))
        for place, line in enumerate(_flowed(words, max(8, width - LABEL)))
    )


def _flowed(words: list[tuple[str, Role]], cells: int) -> list[Line]:
    """Return ``words`` in lines of at most ``cells``, each word in its role."""
    lines: list[list[tuple[str, Role]]] = [[]]
    room = cells
    for text, role in words:
        for word in wrap(text, cells) if len(text) > cells else text.split(" "):
            if len(word) + bool(lines[-1]) > room:
                lines.append([])
                room = cells
            gap = " " if lines[-1] else ""
            lines[-1].append((gap + word, role))
            room -= len(gap) + len(word)
    return [tuple(line) for line in lines]
