"""From a story, a workflow and settings to the plan of a run: everything is checked before anything is done."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from msgspec import UNSET, Struct, structs

from comfytui import __version__
from comfytui.errors import Failure
from comfytui.model.events import SceneBrief, StoryBrief
from comfytui.model.llm import HealthCheck
from comfytui.model.plan import RunPlan, ServerPlan, SuitePlan
from comfytui.model.story import Scene, Story, decode_story, load_story, sample_story
from comfytui.model.workflow import Workflow, check_story, load_workflow
from comfytui.settings.merged import Settings
from comfytui.settings.servers_table import ServerEntry
from comfytui.settings.table import SIMULATOR
from comfytui.untrusted import plain

SAMPLE_NAME = "sample-story.json"


class Order(Struct, frozen=True, kw_only=True):
    """What is to be rendered, checked: the story, the bytes of its file, and the workflow."""

    story: Story
    story_file: bytes
    workflow: Workflow
    health: HealthCheck | None = None
    """How the language model was that wrote the story."""


def order_story(path: Path, settings: Settings) -> Order:
    """Return the order for the story at ``path``. Raises ``Failure`` for anything that is wrong with either file."""
    story = load_story(path)
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise Failure("story.unreadable", file=str(path), why=fault.strerror or str(fault)) from None
    return _checked(structs.replace(story, file=str(path.absolute())), content, settings)


def order_sample(settings: Settings) -> Order:
    """Return the order for the bundled story."""
    content = sample_story()
    return _checked(decode_story(content, SAMPLE_NAME, "json"), content, settings)


def order_made(story: Story, story_file: bytes, health: HealthCheck | None, settings: Settings) -> Order:
    """Return the order for a story that was just made, ``story_file`` holding it."""
    return structs.replace(_checked(story, story_file, settings), health=health)


def _checked(story: Story, content: bytes, settings: Settings) -> Order:
    workflow = load_workflow(settings.workflow, settings.bindings or None)
    warnings = (*story.warnings, *check_story(workflow, story))
    return Order(story=structs.replace(story, warnings=warnings), story_file=content, workflow=workflow)


def make_plan(
    order: Order,
    settings: Settings,
    *,
    run_id: str,
    created_at: datetime,
    simulator_speed: Literal["instant", "demo", "realistic"],
    mark: str = "",
) -> RunPlan:
    """Return the plan of run ``run_id``, told from others of that id by its ``mark``. Pure."""
    story = order.story
    told = StoryBrief(
        id=story.story_id,
        logline=story.logline,
        directors_vision=story.directors_vision,
        generator=story.generator,
        file=plain(story.file),
        warnings=story.warnings,
        llm=story.llm,
        health=order.health,
    )
    scenes = scenes_of(story, settings.policy.frame_floor)
    return planned(
        settings, told, scenes, order.workflow, run_id=run_id, created_at=created_at, simulator_speed=simulator_speed,
        mark=mark,
    )  # fmt: skip


def planned(
    settings: Settings,
    story: StoryBrief,
    scenes: tuple[SceneBrief, ...],
    workflow: Workflow,
    *,
    run_id: str,
    created_at: datetime,
    simulator_speed: Literal["instant", "demo", "realistic"],
    mark: str = "",
) -> RunPlan:
    """Return the plan of a run of those scenes with that workflow; all else is as it is set. Pure."""
    servers = server_plans(settings, simulator_speed)
    check_tags(scenes, servers)
    return RunPlan(
        run_id=run_id,
        created_at=created_at,
        version=__version__,
        story=story,
        scenes=scenes,
        workflow=workflow,
        policy=settings.policy,
        retry=dict(settings.retry),
        server=servers[0],
        more_servers=servers[1:],
        mark=mark,
        news=settings.notify.events,
        notify_file=str(settings.notify.file) if settings.notify.file is not None else None,
        suites=tuple(
            SuitePlan(label=suite.label, command=suite.command, cwd=str(suite.cwd), timeout=suite.timeout)
            for suite in settings.suites
        ),
    )


def server_plans(
    settings: Settings, simulator_speed: Literal["instant", "demo", "realistic"]
) -> tuple[ServerPlan, ...]:
    """Return the servers that are set, ``simulator_speed`` being that of each which is the simulator. Pure.

    A single one has no name: what is recorded of its run speaks of it as of the server.
    """
    entries = settings.servers or (
        ServerEntry(url=settings.server, output_dir=settings.output_dir, start=settings.start),
    )
    plans = tuple(_server_plan(entry, settings.watch, simulator_speed) for entry in entries)
    return plans if len(plans) > 1 else (structs.replace(plans[0], name=""),)


def _server_plan(
    entry: ServerEntry,
    watch: Literal["auto", "events", "poll"],
    simulator_speed: Literal["instant", "demo", "realistic"],
) -> ServerPlan:
    server = ServerPlan(
        url=entry.url,
        name=entry.name,
        tags=entry.tags,
        weight=entry.weight,
        headers_file=str(entry.file) if entry.file is not None else None,
        output_dir=str(entry.output_dir) if entry.output_dir is not None else None,
        watch=watch,
        simulator_speed=simulator_speed if entry.url == SIMULATOR else None,
    )
    if (start := entry.start) is None:
        return server
    return structs.replace(
        server,
        command=start.command,
        cwd=str(start.cwd),
        env_file=str(start.file) if start.env else None,
        ready_timeout=start.ready_timeout,
        stop_grace=start.stop_grace,
    )


def check_tags(scenes: Sequence[SceneBrief], servers: Sequence[ServerPlan]) -> None:
    """Return when each of ``scenes`` has a server with all the tags that it asks for; a single one has them all. Pure.

    Raises ``Failure`` ``story.server_tags``.
    """
    for scene in scenes if len(servers) > 1 else ():
        wanted = set(scene.server_tags or ())
        if not any(wanted <= set(server.tags) for server in servers):
            raise Failure("story.server_tags", scene=scene.id, tags=", ".join(sorted(wanted)))


def scenes_of(story: Story, floor: int | None) -> tuple[SceneBrief, ...]:
    """Return what a run records of each scene of ``story``; ``floor`` stands above the frames that it expects. Pure."""
    return tuple(_brief(scene, floor) for scene in story.scenes)


def _brief(scene: Scene, floor: int | None) -> SceneBrief:
    return SceneBrief(
        id=scene.id,
        folder=scene.folder,
        floor=scene.expected_frames if floor is None else floor,
        prompt=scene.prompt,
        negative_prompt=scene.negative,
        title=scene.title,
        summary=scene.summary,
        mood=scene.mood,
        camera_movement=scene.camera_movement,
        palette=", ".join(scene.palette),
        keyframe=scene.keyframe_file,
        expected_frames=scene.expected_frames,
        seed=scene.seed,
        server_tags=scene.server_tags or UNSET,
    )
