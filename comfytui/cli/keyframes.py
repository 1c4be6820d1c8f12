"""Keyframes for scenes that have none, where the workflow starts from a picture: drawn from the prompt."""

import io
from pathlib import Path

from msgspec import structs

from comfytui.cli.planning import Order
from comfytui.model.story import Scene
from comfytui.records.atomic import write_atomic
from comfytui.records.faults import writing

SIZE = (1024, 576)
"""Pixels; what Stable Video Diffusion was made for, and 16:9 for all others."""


def with_keyframes(order: Order, folder: Path) -> Order:
    """Return ``order`` with a keyframe for every scene, if its workflow needs them.

    Those that are missing, of which the order warns, are drawn by the painter of the simulator and kept in ``folder``.
    Raises ``Failure`` ``run.unwritable``.
    """
    story = order.story
    missing = [scene for scene in story.scenes if scene.keyframe_file is None] if order.workflow.needs_keyframe else []
    if not missing:
        return order
    drawn = {scene.id: _drawn(scene, folder) for scene in missing}
    scenes = tuple(
        structs.replace(scene, keyframe_file=drawn.get(scene.id, scene.keyframe_file)) for scene in story.scenes
    )
    return structs.replace(order, story=structs.replace(story, scenes=scenes))


def _drawn(scene: Scene, folder: Path) -> str:
    """Draw the keyframe of ``scene`` and return its absolute path."""
    from comfytui.simulator.painting.painter import Style, paint

    place = folder / f"{scene.folder}.png"
    picture = io.BytesIO()
    paint(Style(prompt=scene.prompt, seed=scene.seed or 0), SIZE, 0).save(picture, "PNG")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomic(place, picture.getvalue())
    return str(place)
