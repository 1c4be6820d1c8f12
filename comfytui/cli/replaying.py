"""``comfytui replay``: a recorded run in the dashboard, at any moment of it; in lines: everything that happened."""

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from comfytui.cli.faces import chosen_face, formatter_for, prepare_dashboard, show
from comfytui.clock import system_clock
from comfytui.engine.planner import checked, fulfilled
from comfytui.link.replay import ReplayFeed
from comfytui.model.state import State
from comfytui.records.recorded import recorded_as
from comfytui.settings.merged import load


def replay_run(name: str | None, flags: Mapping[str, Any]) -> int:
    """Show the record of the run called ``name``: an id, a folder, a zip, or the latest. Return 0.

    In lines: its exit code, 1 where it tells of no end; an archive is packed just before the run's last word, so that
    its code is worked out from what that word rests on. Raises ``Failure`` ``run.not_found``, ``journal.unreadable``,
    ``archive.unreadable``.
    """
    settings = load(flags, os.environ, Path.cwd())
    face = chosen_face(flags)
    record = recorded_as(name, settings.runs_dir)
    clock, feed = system_clock(), ReplayFeed(record)
    if not face.headless:
        prepare_dashboard(settings)
        show(feed, clock, face, settings, title=f"comfytui {record.run_id}", owns_run=False, replay=True)
        return 0
    import anyio

    from comfytui.faces.headless import follow
    from comfytui.faces.printer import Printer, to_stdout

    formatter = formatter_for(face, clock)
    code = anyio.run(functools.partial(follow, feed.items(), formatter, Printer(to_stdout), while_read=True))
    return _packed_code(formatter.state, code)


def _packed_code(state: State, told: int) -> int:
    """Return the code of a run that was archived: ``told`` where its end is, else what its end rests on."""
    run = state.run
    if run is None or run.exit_code is not None or run.settled_at is None or run.validated is None:
        return told if run is not None else 1
    return 0 if run.validated and fulfilled(state) and checked(state) else 1
