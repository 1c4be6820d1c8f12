"""``comfytui run --from``: a recorded run rendered once more, with its own story, workflow, seeds and keyframes.

What is taken from the record is what makes the pictures. Which server renders them, how long it is waited for and what
runs afterwards is this machine's own affair, so that an archive of somebody else's starts nothing here.
"""

import os
import secrets
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from msgspec import structs

from comfytui.cli.faces import chosen_face, prepare_dashboard
from comfytui.cli.planning import planned
from comfytui.clock import system_clock
from comfytui.errors import Failure
from comfytui.model.events import SceneBrief, StoryBrief
from comfytui.model.fold import fold_all
from comfytui.model.plan import RunPlan
from comfytui.model.state import State
from comfytui.model.workflow import loaded_again
from comfytui.records.recorded import Recorded, keyframe_in, recorded_as
from comfytui.records.rundir import RunDir, create_run, write_plan
from comfytui.settings.merged import Settings, load
from comfytui.settings.secrets import headers_of
from comfytui.untrusted import file_name, plain


def run_again(name: str, flags: Mapping[str, Any]) -> int:
    """Render the run called ``name`` (an id, a folder, a zip) once more, and return the exit code of the new run.

    Raises ``Failure`` before anything is sent or made: ``run.not_found``, ``run.plan``, ``archive.unreadable``,
    ``journal.unreadable``, ``story.keyframe_missing``, and those of a workflow that no server could run.
    """
    from comfytui.cli.rendering import in_dashboard, in_lines

    settings = load(flags, os.environ, Path.cwd())
    face = chosen_face(flags)
    if not face.headless:
        prepare_dashboard(settings)
    record = recorded_as(name, settings.runs_dir)
    old, state = checked(record.plan(), record.path), fold_all(record.journal())
    keyframes = keyframes_of(old, record)
    story_file = record.file(f"story/{RunDir(record.path).story_file(old.story.file).name}") if old.story.file else None
    headers_of(os.environ)  # so that unusable ones are told here, not in the log of a runner
    clock = system_clock()
    run = create_run(settings.runs_dir, clock)
    plan = plan_again(
        old, state, settings, run_id=run.run_id, created_at=clock.now(),
        simulator_speed="instant" if face.headless else "demo", mark=secrets.token_hex(4),
    )  # fmt: skip
    write_plan(run, plan, story_file, keyframes)
    if face.headless:
        return in_lines(run, plan, face, clock, "run")
    return in_dashboard(run, face, settings, clock, "run")


def checked(plan: RunPlan, place: Path) -> RunPlan:
    """Return ``plan`` as it may be used: its texts plain, each scene with a folder of its own, its workflow proven.

    A plan in an archive may come from anybody. Raises ``Failure`` ``run.plan``, and what a workflow given by
    ``--workflow`` is refused with.
    """
    folders = [scene.folder for scene in plan.scenes]
    odd = [folder for folder in folders if file_name(folder) != folder]
    if odd or len(set(map(str.casefold, folders))) != len(folders):
        why = f"the folder {odd[0]!r} of a scene is none" if odd else "two scenes have one folder"
        raise Failure("run.plan", file=str(place), why=why)
    ids = [plain(scene.id) for scene in plan.scenes]
    if not ids or len(set(ids)) != len(ids):
        raise Failure("run.plan", file=str(place), why="two scenes have one id" if ids else "it has no scenes")
    story = plan.story
    return structs.replace(
        plan,
        story=StoryBrief(
            id=plain(story.id),
            logline=plain(story.logline),
            directors_vision=plain(story.directors_vision),
            generator=plain(story.generator),
            file=plain(story.file),
            warnings=tuple(map(plain, story.warnings)),
        ),
        scenes=tuple(_plain(scene) for scene in plan.scenes),
        workflow=loaded_again(plan.workflow, f"in {place}"),
    )


def _plain(scene: SceneBrief) -> SceneBrief:
    names = ("id", "title", "summary", "mood", "camera_movement", "palette")
    return structs.replace(scene, **{name: plain(getattr(scene, name)) for name in names})


def keyframes_of(plan: RunPlan, record: Recorded) -> dict[str, bytes]:
    """Return the keyframes of the scenes by their original paths, all of them from ``record``, none from this disk.

    Raises ``Failure`` ``story.keyframe_missing``, and what reading the record raises.
    """
    found: dict[str, bytes] = {}
    for scene in plan.scenes:
        if scene.keyframe is None or scene.keyframe in found:
            continue
        content = keyframe_in(record, scene.keyframe, scene.folder)
        if content is None:
            place = f"{scene.keyframe} (the record has no copy of it)"
            raise Failure("story.keyframe_missing", scene=scene.id, file=str(record.path), path=place)
        found[scene.keyframe] = content
    return found


def plan_again(
    old: RunPlan,
    state: State,
    settings: Settings,
    *,
    run_id: str,
    created_at: datetime,
    simulator_speed: Literal["instant", "demo", "realistic"],
    mark: str,
) -> RunPlan:
    """Return the plan of run ``run_id``: each scene with the seed and prompt that ``state`` remembers it by. Pure."""
    scenes = tuple(_as_rendered(scene, state, settings.policy.frame_floor) for scene in old.scenes)
    return planned(
        settings, old.story, scenes, old.workflow, run_id=run_id, created_at=created_at,
        simulator_speed=simulator_speed, mark=mark,
    )  # fmt: skip


def _as_rendered(brief: SceneBrief, state: State, floor: int | None) -> SceneBrief:
    brief = brief if floor is None else structs.replace(brief, floor=floor)
    scene = state.scene(brief.id)
    attempt = scene.chosen if scene is not None else None
    if attempt is None:
        return brief
    return structs.replace(brief, seed=attempt.seed, prompt=brief.prompt if attempt.prompt is None else attempt.prompt)
