"""``comfytui attach``: a run that another process drives, or one that is over."""

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comfytui.cli.faces import Face, chosen_face, formatter_for, prepare_dashboard, show
from comfytui.cli.opening import LateFeed
from comfytui.clock import Clock, system_clock
from comfytui.model.feed import Feed
from comfytui.records.rundir import RunDir, find_run
from comfytui.records.sweepdir import SweepDir, named_sweep
from comfytui.settings.merged import Settings, load


def attach_run(name: str | None, flags: Mapping[str, Any]) -> int:
    """Show the run called ``name`` (an id, a folder, or the latest). In lines: to its end, and return its exit code.

    Raises ``Failure`` ``run.not_found``, ``journal.unreadable``.
    """
    settings = load(flags, os.environ, Path.cwd())
    face = chosen_face(flags)
    if name is not None and (sweep := named_sweep(settings.runs_dir, name)) is not None:
        return _attach_sweep(sweep, face, settings, system_clock())
    run = find_run(settings.runs_dir, name)
    clock = system_clock()
    if not face.headless:
        prepare_dashboard(settings)
        feed = LateFeed(lambda: _rerunnable(run, clock))
        title = f"comfytui {run.run_id}"
        show(_metered(feed, face), clock, face, settings, title=title, owns_run=False, run=run)
        return 0
    return _in_lines(_until_its_end(run, clock), face, clock)


def _rerunnable(run: RunDir, clock: Clock) -> Feed:
    """Return ``run`` as a feed that never ends, and starts a runner for a rerun."""
    from comfytui.link.feeds import RunFeed

    async def launch() -> int:
        from comfytui.link.launch import launch_runner

        return await launch_runner(run, clock, "rerun")

    return RunFeed(run.path, clock, journal=run.journal, launch=launch)


def _until_its_end(run: RunDir, clock: Clock) -> Feed:
    """Return ``run`` as a feed that ends once no process has the run in hand."""
    from comfytui.link.feeds import RunFeed
    from comfytui.records.lock import holder_of

    return RunFeed(run.path, clock, journal=run.journal, driven=lambda: holder_of(run) is not None, linger=False)


def _attach_sweep(sweep: SweepDir, face: Face, settings: Settings, clock: Clock) -> int:
    """Show the sweep from its newest run on. In lines: to its end, and return the exit code of its last run."""
    from comfytui.link.sweep_feed import SweepFeed

    feed = SweepFeed(sweep, clock)
    if face.headless:
        return _in_lines(feed, face, clock)
    prepare_dashboard(settings)
    show(_metered(feed, face), clock, face, settings, title=f"comfytui {sweep.sweep_id}", owns_run=False)
    return 0


def _in_lines(feed: Feed, face: Face, clock: Clock) -> int:
    """Tell ``feed`` in lines to its end, and return the exit code of its (last) run; 1 where there was none."""
    import anyio

    from comfytui.faces.headless import follow
    from comfytui.faces.printer import Printer, to_stdout

    formatter, items = formatter_for(face, clock), _metered(feed, face).items()
    code = anyio.run(functools.partial(follow, items, formatter, Printer(to_stdout), while_read=True))
    return code if formatter.state.run is not None else 1


def _metered(feed: Feed, face: Face) -> Feed:
    """Return ``feed``, with its metrics served where that was asked for."""
    if face.metrics_port is None:
        return feed
    from comfytui.link.metrics import MeteredFeed

    return MeteredFeed(feed, face.metrics_port)
