"""Keyframes for scenes that have none, where the workflow starts from a picture: drawn from the prompt, and said so."""

import io
from pathlib import Path

from msgspec import structs

from comfytui.cli.planning import Order
from comfytui.model.story import Scene
from comfytui.records.atomic import write_atomic
from comfytui.records.faults import writing
from comfytui.records.rundir import RunDir

SIZE = (1024, 576)
"""Pixels; what Stable Video Diffusion was made for, and 16:9 for all others."""
NAMED = 3
"""The most scenes that the warning names."""


def with_keyframes(order: Order, run: RunDir) -> Order:
    """Return ``order`` with a keyframe for every scene, if its workflow needs them, and a warning for those drawn.

    They are drawn by the painter of the simulator and kept in the folder of ``run``. Raises ``Failure``
    ``run.unwritable``.
    """
    story = order.story
    missing = [scene for scene in story.scenes if scene.keyframe_file is None] if order.workflow.needs_keyframe else []
    if not missing:
        return order
    drawn = {scene.id: _drawn(scene, run) for scene in missing}
    scenes = tuple(
        structs.replace(scene, keyframe_file=drawn.get(scene.id, scene.keyframe_file)) for scene in story.scenes
    )
    warnings = (*story.warnings, _warning([scene.id for scene in missing]))
    return structs.replace(order, story=structs.replace(story, scenes=scenes, warnings=warnings))


def _drawn(scene: Scene, run: RunDir) -> str:
    """Draw the keyframe of ``scene`` and return its absolute path."""
    from comfytui.simulator.painting.painter import Style, paint

    place = run.drawn_keyframe(scene.folder)
    picture = io.BytesIO()
    paint(Style(prompt=scene.prompt, seed=scene.seed or 0), SIZE, 0).save(picture, "PNG")
    with writing(place):
        place.parent.mkdir(exist_ok=True)
    write_atomic(Path(place), picture.getvalue())
    return str(place)


def _warning(ids: list[str]) -> str:
    names = ", ".join(ids[:NAMED]) + (f" and {len(ids) - NAMED} more" if len(ids) > NAMED else "")
    return f"Without a keyframe: {names}. It is drawn from the prompt; give the scene a keyframePath for a real one"
