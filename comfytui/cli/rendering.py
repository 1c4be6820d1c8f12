"""``comfytui run`` and ``comfytui demo``: everything checked, then a run folder, then a runner."""

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from comfytui.cli.endings import INTERRUPTED
from comfytui.cli.faces import EndNoted, Face, chosen_face, formatter_for, prepare_dashboard, show
from comfytui.cli.importing import importing
from comfytui.cli.keyframes import with_keyframes
from comfytui.cli.planning import Order, make_plan, order_made, order_sample, order_story
from comfytui.clock import Clock, system_clock
from comfytui.model.plan import RunPlan
from comfytui.records.rundir import RunDir, create_run, write_plan
from comfytui.settings.merged import DEMO, Settings, load
from comfytui.settings.secrets import headers_of

Reason = Literal["run", "resume"]


def run_story(story: Path, flags: Mapping[str, Any]) -> int:
    """Render the story in a file and return the exit code. Raises ``Failure`` before anything is sent or made."""
    return _render(lambda settings: order_story(story, settings), flags, load(flags, os.environ, Path.cwd()))


def run_told(flags: Mapping[str, Any]) -> int:
    """Render a story that a language model writes first, and return the exit code.

    Raises ``Failure`` before a server is touched or anything is made, ``llm.unhealthy`` among others.
    """

    def told(settings: Settings) -> Order:
        from comfytui.cli.storytelling import story_for_run

        made = story_for_run(flags, settings)
        return order_made(made.story, made.file, made.health, settings)

    return _render(told, flags, load(flags, os.environ, Path.cwd()))


def run_demo(flags: Mapping[str, Any]) -> int:
    """Render the bundled story on the simulator and return the exit code."""
    return _render(order_sample, flags, load(flags, os.environ, Path.cwd(), DEMO))


def _render(take_order: Callable[[Settings], Order], flags: Mapping[str, Any], settings: Settings) -> int:
    face = chosen_face(flags)
    if not face.headless:
        prepare_dashboard(settings)
    clock = system_clock()
    run, plan = _planned(take_order, settings, face, clock)
    if face.headless:
        return in_lines(run, plan, face, clock, "run")
    return in_dashboard(run, face, settings, clock, "run")


def _planned(
    take_order: Callable[[Settings], Order], settings: Settings, face: Face, clock: Clock
) -> tuple[RunDir, RunPlan]:
    """Return a new run folder with its plan in it. The order, a whole story, is let go of."""
    order = take_order(settings)
    headers_of(os.environ)  # so that unusable ones are told here, not in the log of a runner
    run = create_run(settings.runs_dir, clock)
    order = with_keyframes(order, run.drawn_keyframes)
    plan = make_plan(
        order,
        settings,
        run_id=run.run_id,
        created_at=clock.now(),
        simulator_speed="instant" if face.headless else "demo",
        mark=os.urandom(4).hex(),
    )
    write_plan(run, plan, order.story_file)
    return run, plan


def in_lines(run: RunDir, plan: RunPlan, face: Face, clock: Clock, reason: Reason) -> int:
    """Drive ``run`` in this process, tell it in lines, and return its exit code."""
    with importing():
        from comfytui.cli.driving import drive_in_foreground
        from comfytui.faces.printer import Printer, to_stdout

    return drive_in_foreground(
        run, plan, formatter_for(face, clock), Printer(to_stdout), reason, metrics_port=face.metrics_port
    )


def in_dashboard(run: RunDir, face: Face, settings: Settings, clock: Clock, reason: Reason) -> int:
    """Start a runner for ``run``, show it, and return the exit code of the run, 0 while it goes on without us."""
    import anyio

    from comfytui.link.feeds import RunFeed
    from comfytui.link.launch import answering, launch_runner, start_runner

    runner = start_runner(run, reason, face.metrics_port)
    try:
        import textual.app  # noqa: F401  (while the runner starts)

        anyio.run(answering, runner, clock)
    except KeyboardInterrupt:
        _say_it_goes_on(run)
        raise
    launch = functools.partial(launch_runner, run, clock, "rerun")
    feed = EndNoted(RunFeed(run.path, clock, journal=run.journal, launch=launch))
    left = show(feed, clock, face, settings, title=f"comfytui {run.run_id}", owns_run=True, run=run)
    if left == "stopped":
        return INTERRUPTED
    if feed.exit_code is not None:
        return feed.exit_code
    _say_it_goes_on(run)
    return 0


def _say_it_goes_on(run: RunDir) -> None:
    print(f"Run {run.run_id} goes on. Join it again with: comfytui attach {run.path}")
